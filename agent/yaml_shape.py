"""A YAML file held against the ``TypedDict`` that is its shape: all problems at once, with lines.

The ``TypedDict`` has no defaults; what a file leaves out is missing in what is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from agent.errors import AgentSpecError
from agent.yaml_source import FieldPath, YamlSource, did_you_mean, field_name, read_yaml

T = TypeVar("T")

_FIXED = {
    "missing": "is required",
    "dict_type": "must be a mapping of fields",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "is empty",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a few digits",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be yes or no",
    "bool_type": "must be yes or no",
}


class YamlShape(Generic[T]):
    """Reads files of one shape.

    Args:
        shape: A ``TypedDict``, with its bounds as pydantic writes them.
        cross_checks: Rules over several fields, on raw data so that one bad field does not hide
            them: from what the file says and its folder to places and messages.
    """

    def __init__(
        self,
        shape: type[T],
        cross_checks: Callable[[Mapping[str, Any], Path], Iterable[tuple[FieldPath, str]]],
    ) -> None:
        self._shape = shape
        self._adapter = TypeAdapter(shape)
        self._cross_checks = cross_checks

    def read(self, path: Path) -> T:
        """Read and check a file.

        Raises:
            AgentSpecError: every problem there is, in file order. A required field that is missing
                is reported at the line of the mapping around it.
        """
        source = read_yaml(path)
        issues = list(source.issues)
        found = self._cross_checks(source.data, path.absolute().parent)
        issues += [source.issue(at, text) for at, text in found]
        read: T | None = None
        try:
            read = self._adapter.validate_python(source.data)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                at, unread = _place(source, problem), problem["input"] is None
                if unread and any(issue.field == field_name(at) for issue in source.issues):
                    # The reader has said why there is no value.
                    continue
                message = "has no value" if unread else self._message(at, problem)
                issues.append(source.issue(at, message))
        if issues or read is None:
            raise AgentSpecError(sorted(issues, key=lambda issue: issue.line or 0))
        return read

    def _message(self, at: FieldPath, problem: ErrorDetails) -> str:
        kind, text = problem["type"], problem["msg"].replace("Input should be", "must be")
        if kind == "extra_forbidden":
            return f"unknown field{did_you_mean(str(at[-1]), self._field_names(at[:-1]))}"
        if kind in ("enum", "literal_error"):
            return text + did_you_mean(str(problem["input"]), re.findall(r"'(\w+)'", text))
        return _FIXED.get(kind, text.removeprefix("Value error, "))

    def _field_names(self, path: FieldPath) -> list[str]:
        kind: Any = self._shape
        for part in path:
            kind = get_type_hints(kind)[str(part)] if is_typeddict(kind) else get_args(kind)[-1]
        return list(get_type_hints(kind))


def _place(source: YamlSource, problem: ErrorDetails) -> FieldPath:
    """Where the file has the problem: pydantic also names its own steps, such as ``[key]``."""
    at: FieldPath = problem["loc"]
    while at and problem["type"] != "missing" and at not in source.lines:
        at = at[:-1]
    return at
