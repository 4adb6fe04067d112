"""Load tests read from YAML: one file to one ``Plan``.

``workers.loadtest.plan`` says what the fields mean, ``workers.loadtest.plan_shape`` what may stand
in them, ``workers.loadtest.plan_checks`` what does not go together. Every problem is reported at
once, each with file, line and field.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from agent.errors import AgentSpecError
from agent.yaml_source import FieldPath, YamlSource, did_you_mean, field_name, read_yaml
from workers.loadtest.plan import DEFAULT_PROMISES, TWIN_ONLY, LiveSide, Plan, Promise, Target
from workers.loadtest.plan_checks import cross_checks
from workers.loadtest.plan_shape import PlanShape

_ADAPTER: Final[TypeAdapter[PlanShape]] = TypeAdapter(PlanShape)


def load_plan(path: str | Path) -> Plan:
    """Read and check a plan's file.

    The path of the agent is relative to the file, and absolute in the result. Promises of the file
    stand in place of the usual ones.

    Raises:
        AgentSpecError: every problem there is, in file order.
    """
    source = read_yaml(Path(path))
    folder = Path(path).absolute().parent
    issues = list(source.issues)
    issues += [source.issue(at, text) for at, text in cross_checks(source.data, folder)]
    read: PlanShape | None = None
    try:
        read = _ADAPTER.validate_python(source.data)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            at, unread = _place(source, problem["loc"]), problem["input"] is None
            if unread and any(issue.field == field_name(at) for issue in source.issues):
                # The reader has said why there is no value.
                continue
            issues.append(source.issue(at, "has no value" if unread else _message(at, problem)))
    if issues or read is None:
        raise AgentSpecError(sorted(issues, key=lambda issue: issue.line or 0))
    return _plan(read, folder)


def usual_promises(live: LiveSide) -> tuple[Promise, ...]:
    """Return what is promised where nobody says otherwise, as far as it can be told."""
    told = [one for one in DEFAULT_PROMISES if live is LiveSide.TWIN or one.metric not in TWIN_ONLY]
    return tuple(told)


def _plan(read: PlanShape, folder: Path) -> Plan:
    said: dict[str, Any] = dict(read)
    target: Target = said.get("target", Target())
    if target.agent is not None:
        said["target"] = dataclasses.replace(target, agent=str(folder / target.agent))
    # Whoever plays the model of a worker that runs already, callers have to speak in words.
    usual = LiveSide.TWIN if target.voice_url is None else LiveSide.SERVICE
    live = said.setdefault("live", usual)
    said.setdefault("promises", usual_promises(live))
    return Plan(**said)


def _place(source: YamlSource, loc: FieldPath) -> FieldPath:
    """Where the file has the problem: pydantic also names its own steps, such as ``[key]``."""
    at = loc
    while at and at not in source.lines:
        at = at[:-1]
    return at


def _message(at: FieldPath, problem: ErrorDetails) -> str:
    kind, text = problem["type"], problem["msg"].replace("Input should be", "must be")
    if kind == "extra_forbidden":
        return f"unknown field{did_you_mean(str(at[-1]), _field_names(at[:-1]))}"
    if kind == "enum":
        return text + did_you_mean(str(problem["input"]), re.findall(r"'(\w+)'", text))
    fixed = {
        "dict_type": "must be a mapping of fields",
        "string_type": "must be text",
        "string_too_short": "is empty",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a whole number of a few digits",
        "int_type": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
    }
    return fixed.get(kind, text.removeprefix("Value error, "))


def _field_names(path: FieldPath) -> list[str]:
    kind: Any = PlanShape
    for part in path:
        kind = get_type_hints(kind)[str(part)] if is_typeddict(kind) else get_args(kind)[-1]
    return list(get_type_hints(kind))
