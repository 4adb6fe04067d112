"""YAML text as plain data that remembers the line of every field.

Scalars stay the text the author wrote: YAML 1.1 would read ``+15550100001`` as a number and the
language ``no`` as false. Whoever knows the field's type converts.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from agent.errors import AgentSpecError, SpecIssue

FieldPath: TypeAlias = tuple[str | int, ...]

# An agent's file is a page or two; more than this is another file by mistake.
_MAX_SIZE_BYTES = 1_000_000
# Aliases of aliases make of one page more than a machine can hold.
_MAX_VALUES = 10_000


def field_name(path: FieldPath) -> str:
    """Write a path as people do: ``tools[1]``, ``limits.idle_s``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def did_you_mean(word: str, words: Sequence[str]) -> str:
    """The end of a message: the word that is nearest, or nothing where none is near."""
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A mapping read from a file, the line of each of its fields, and problems met on the way."""

    file: str
    data: dict[str, Any]
    lines: Mapping[FieldPath, int]
    issues: tuple[SpecIssue, ...] = ()

    def issue(self, path: FieldPath, message: str) -> SpecIssue:
        """Name the line of ``path``, or of the nearest field around it that the file has."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return SpecIssue(self.file, self.lines.get(known, 1), field_name(path), message)


def read_yaml(path: Path) -> YamlSource:
    """Read one mapping out of a YAML file.

    Raises:
        AgentSpecError: no such file, not UTF-8, not YAML, or not a mapping.
    """
    file = str(path)

    def whole_file(message: str, line: int | None = None) -> AgentSpecError:
        return AgentSpecError([SpecIssue(file, line, "", message)])

    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_SIZE_BYTES + 1)
    except OSError as error:
        raise whole_file(f"cannot be read: {error.strerror or error}") from error
    if len(raw) > _MAX_SIZE_BYTES:
        raise whole_file(f"is larger than {_MAX_SIZE_BYTES} bytes")
    try:
        root = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise whole_file("is not UTF-8 text", line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be parsed"
        raise whole_file(f"is not YAML: {problem}", mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise whole_file(f"is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise whole_file("is nested too deeply") from error
    if not isinstance(root, yaml.MappingNode):
        raise whole_file("must hold a mapping of fields", 1 if root is None else _line(root))
    reader = _Reader(file)
    try:
        data = reader.mapping(root, (), ())
    except _TooManyValuesError as error:
        message = f"holds more than {_MAX_VALUES} values; are there aliases of aliases?"
        raise whole_file(message) from error
    return YamlSource(file, data, reader.lines, tuple(reader.issues))


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


class _TooManyValuesError(Exception):
    pass


class _Reader:
    """Walks the node tree once; nodes carry marks, constructed values no longer do."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[FieldPath, int] = {}
        self.issues: list[SpecIssue] = []
        self._values = 0

    def _note(self, path: FieldPath, line: int, message: str) -> None:
        self.issues.append(SpecIssue(self.file, line, field_name(path), message))

    def mapping(
        self, node: yaml.MappingNode, path: FieldPath, above: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(path, _line(key_node), "a field's name must be plain text")
                continue
            key = str(key_node.value)
            if key in result:
                self._note((*path, key), _line(key_node), "is given twice")
                continue
            self.lines[(*path, key)] = _line(key_node)
            result[key] = self._value(value_node, (*path, key), (*above, node))
        return result

    def _value(self, node: yaml.Node, path: FieldPath, above: tuple[yaml.Node, ...]) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _TooManyValuesError
        if node in above:
            self._note(path, self.lines[path], "contains itself")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[(*path, index)] = _line(item)
                items.append(self._value(item, (*path, index), (*above, node)))
            return items
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
