"""The model's side of a recipe: YAML text -> ``LiveScript``, every mistake with its line.

What the model says in a drill is position-coded (``coded:1000:2000``: numbers from 1000 on, for
2000 ms), so that the judge can tell each 20 ms of it at the phone. The same number must therefore
not stand in two different lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import yaml

from agent.errors import SpecIssue
from agent.yaml_source import FieldPath, YamlSource
from workers.twin import speech
from workers.twin.live_api.script import (
    Call,
    CallTool,
    LiveScript,
    Say,
    Silence,
    Step,
    Steps,
    TextRule,
    Turn,
    Wait,
)

_CODED = re.compile(r"coded:(\d+):(\d+)")
_FRAME_MS = 20

_STEPS = "say, call, wait, silence"
_NUMBERS = ("answer_delay_s", "tool_delay_s", "speed")

# The first rule asks the worker's own words for going on, the second for its nudge.
STANDARD = LiveScript(
    opening=(Say("coded:100:800"),),
    turns=(
        Turn("Question one.", (Say("coded:1000:2000"),)),
        Turn("Question two.", (Say("coded:2000:1500"),)),
        Turn("Question three.", (Say("coded:3000:1500"),)),
    ),
    texts=(
        TextRule("cut off", (Say("coded:5000:1500"),)),
        TextRule("waiting for your answer", (Say("coded:6000:800"),)),
    ),
    otherwise=(Say("coded:9000:600"),),
    # The real server takes 0.3 to 1 s, but what is measured is the worker's share of a gap.
    answer_delay_s=0.05,
)
"""What the model says where a recipe does not say otherwise."""


def codes_of(what: str) -> range | None:
    """Return the numbers of a coded line; None for any other."""
    found = _CODED.fullmatch(what)
    if found is None:
        return None
    first = int(found[1])
    return range(first, first + int(found[2]) // _FRAME_MS)


def lines_of(script: LiveScript) -> tuple[range, ...]:
    """Return the numbers of every coded line of a script, each line once."""
    found = (codes_of(say.what) for say in _says(script))
    return tuple(dict.fromkeys(line for line in found if line is not None))


def greeting_of(script: LiveScript) -> range | None:
    """Return the numbers of the greeting; None where it is not coded, or there is none."""
    lines = (codes_of(step.what) for step in script.opening or () if isinstance(step, Say))
    return next((line for line in lines if line is not None), None)


def plain(value: Any) -> Any:
    """Turn the text of YAML scalars into numbers and booleans, as YAML itself would."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        return scalar if isinstance(scalar := yaml.safe_load(value), bool | int | float) else value
    except yaml.YAMLError:
        return value


class ModelScriptReader:
    """Reads the field ``live`` of a recipe; ``issues`` is complete after ``read``."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self.issues: list[SpecIssue] = []

    def read(self, written: object) -> LiveScript:
        """Return the standard script with what is written in its place."""
        if not isinstance(written, Mapping):
            self._wrong(("live",), "must be a mapping of fields")
            return STANDARD
        fields: dict[str, Any] = {}
        for name, value in written.items():
            at: FieldPath = ("live", name)
            match name:
                case "opening" | "otherwise":
                    fields[name] = self._steps(value, at)
                case "turns":
                    fields[name] = tuple(self._turns(value, at))
                case "texts":
                    fields[name] = (*self._rules(value, at), *STANDARD.texts)
                case _ if name in _NUMBERS:
                    fields[name] = self._number(value, at)
                case _:
                    known = ", ".join(("opening", "turns", "texts", "otherwise", *_NUMBERS))
                    self._wrong(at, f"unknown field; known: {known}")
        script = replace(STANDARD, **fields)
        self._check_numbers(script)
        return script

    def _check_numbers(self, script: LiveScript) -> None:
        lines = sorted(lines_of(script), key=lambda line: line.start)
        for one, other in pairwise(lines):
            if other.start < one.stop:
                self._wrong(
                    ("live",), f"number {other.start} is in two lines, from {one.start} too"
                )

    def _turns(self, written: object, at: FieldPath) -> Iterator[Turn]:
        for here, item in self._mappings(written, at, {"heard", "answer"}):
            if (heard := self._text(item["heard"], (*here, "heard"))) is not None:
                yield Turn(heard, self._steps(item["answer"], (*here, "answer")))

    def _rules(self, written: object, at: FieldPath) -> Iterator[TextRule]:
        for here, item in self._mappings(written, at, {"match", "answer"}):
            try:
                re.compile(str(item["match"]))
            except re.error as error:
                self._wrong((*here, "match"), f"is no regular expression: {error}")
                continue
            yield TextRule(str(item["match"]), self._steps(item["answer"], (*here, "answer")))

    def _mappings(
        self, written: object, at: FieldPath, names: set[str]
    ) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
        if not isinstance(written, list):
            self._wrong(at, "must be a list")
            return
        for index, item in enumerate(written):
            if isinstance(item, Mapping) and item.keys() == names:
                yield (*at, index), item
            else:
                self._wrong((*at, index), f"must have the fields {' and '.join(sorted(names))}")

    def _steps(self, written: object, at: FieldPath) -> Steps:
        if not isinstance(written, list):
            self._wrong(at, f"must be a list of steps: {_STEPS}")
            return ()
        found = (self._step(item, (*at, index)) for index, item in enumerate(written))
        return tuple(step for step in found if step is not None)

    def _step(self, written: object, at: FieldPath) -> Step | None:
        if written == "silence":
            return Silence()
        if isinstance(written, Mapping) and len(written) == 1:
            ((kind, body),) = written.items()
            here = (*at, kind)
            match kind:
                case "say":
                    text = self._text(body, here)
                    return None if text is None else Say(text)
                case "wait":
                    return Wait(self._number(body, here))
                case "call":
                    return self._call(body, here)
        self._wrong(at, f"unknown step; known: {_STEPS}")
        return None

    def _call(self, body: object, at: FieldPath) -> CallTool | None:
        if not isinstance(body, Mapping) or "name" not in body:
            self._wrong(at, "must have a name")
            return None
        if unknown := sorted(body.keys() - {"name", "args", "also", "on_error"}):
            self._wrong((*at, unknown[0]), "unknown field; known: name, args, also, on_error")
        also = body.get("also", [])
        others = also if isinstance(also, list) else [also]
        if not all(isinstance(one, Mapping) and "name" in one for one in others):
            self._wrong((*at, "also"), "must be a list of calls, each with a name")
            others = []
        on_error = body.get("on_error")
        return CallTool(
            str(body["name"]),
            self._args(body, at),
            tuple(Call(str(one["name"]), self._args(one, (*at, "also"))) for one in others),
            None if on_error is None else self._steps(on_error, (*at, "on_error")),
        )

    def _args(self, call: Mapping[str, Any], at: FieldPath) -> dict[str, Any]:
        args = call.get("args", {})
        if isinstance(args, Mapping):
            return dict(plain(args))
        self._wrong((*at, "args"), "must be a mapping")
        return {}

    def _text(self, written: object, at: FieldPath) -> str | None:
        text = written if isinstance(written, str) else ""
        try:
            if text.strip():
                speech.line(text)
                return text
        except (KeyError, ValueError) as error:
            self._wrong(at, str(error.args[0]))
            return None
        self._wrong(at, "must be a text")
        return None

    def _number(self, written: object, at: FieldPath) -> float:
        number = plain(written)
        if isinstance(number, int | float) and not isinstance(number, bool) and number >= 0:
            return float(number)
        self._wrong(at, "must be a number from 0 on")
        return 1.0

    def _wrong(self, at: FieldPath, message: str) -> None:
        self.issues.append(self._source.issue(at, message))


def _says(script: LiveScript) -> Iterator[Say]:
    answers = [script.opening or (), script.otherwise]
    answers += [turn.answer for turn in script.turns]
    answers += [rule.answer for rule in script.texts]
    for steps in answers:
        yield from _says_in(steps)


def _says_in(steps: Steps) -> Iterator[Say]:
    for step in steps:
        match step:
            case Say():
                yield step
            case CallTool(on_error=tuple(instead)):
                yield from _says_in(instead)
