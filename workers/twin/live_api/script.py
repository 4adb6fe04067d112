"""What the simulated model hears and says: turns by script, in Python or YAML.

A model that plays a script does not understand speech. It knows when the caller has spoken, takes
the next turn of the script as what was said, and answers with that turn's steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from workers.twin.live_api.plain import build

Mode = Literal["script", "parrot", "tone", "stream"]


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a line by its name, or any text; ``{1}`` is what the text rule matched."""

    what: str


@dataclass(frozen=True, slots=True)
class Call:
    """One function call; string arguments may hold ``{1}``."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call functions, all in one message, and go on with the next step once they are answered.

    ``on_error`` replaces the steps that follow where an answer has the key ``error``.
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    also: tuple[Call, ...] = ()
    on_error: tuple[Step, ...] | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of the message."""
        return (Call(self.name, self.args), *self.also)


@dataclass(frozen=True, slots=True)
class Wait:
    """Produce nothing for a while, in the middle of an answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoOn:
    """Speak what is left of a line: from the word after the last that the model was told.

    Of several lines it is the one that was told last.
    """

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Say what the model knows: what it holds is searched at that moment, and nothing else.

    It holds its instruction and the lines that were not cut: speech of both sides, text and history
    of the client, results of functions.
    """

    known: str
    """A regular expression that finds the fact, in one of these texts."""
    say: str
    """Said where it is found; ``{1}`` is what the expression's first group matched."""
    otherwise: str
    """Said where it is not."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing and close nothing: the turn that never gets an answer."""


Step = Say | GoOn | Recall | CallTool | Wait | Silence
# No steps at all is an empty answer: the turn is closed without a frame of audio.
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller is taken to have said, and the answer."""

    heard: str
    answer: Steps


@dataclass(frozen=True, slots=True)
class TextRule:
    """An answer to text from the client that matches a regular expression, anywhere in it."""

    match: str
    answer: Steps


SORRY: Steps = (Say("Sorry, could you say that again?"),)


@dataclass(frozen=True, slots=True)
class LiveScript:
    """One session of the model."""

    opening: Steps | None = None
    """The answer to the first text that no rule takes; None says what the text quotes."""
    turns: tuple[Turn, ...] = ()
    texts: tuple[TextRule, ...] = ()
    otherwise: Steps = SORRY
    """The answer to a caller turn or a text beyond the script."""
    answer_delay_s: float = 0.3
    """From the end of the caller's turn to the first audio (0.3 to 1 s on the real server)."""
    tool_delay_s: float = 0.1
    """From a tool's answer to what the model says next."""
    speed: float = 8.0
    """How much faster than real time audio is produced; below 1 the answer starves."""
    mode: Mode = "script"
    tone_hz: int = 440
    """The tone of mode ``tone``."""
    audio: bytes | None = None
    """Mode ``stream``: PCM16 at 24 kHz, repeated for ever; None takes recorded speech."""
    chunk_ms: int = 20
    """Length of the frames of modes ``tone`` and ``stream``, sent at real time."""


# One script for all sessions of a server, or one chosen by the session's number (from 1) and setup.
ScriptSource = LiveScript | Callable[[int, dict[str, Any]], LiveScript]


def load_script(path: Path) -> LiveScript:
    """Read a script from YAML: the fields of ``LiveScript``, steps as ``say: x``, ``call: {...}``.

    Raises:
        ValueError: A field or step that does not exist.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    known = set(LiveScript.__dataclass_fields__)
    unknown = document.keys() - known
    if unknown:
        raise ValueError(f"{path}: unknown fields {sorted(unknown)}; known: {sorted(known)}")
    fields: dict[str, Any] = dict(document)
    for name in ("opening", "otherwise"):
        if fields.get(name) is not None:
            fields[name] = _steps(fields[name], path)
    fields["turns"] = tuple(
        Turn(turn["heard"], _steps(turn["answer"], path)) for turn in fields.get("turns", [])
    )
    fields["texts"] = tuple(
        TextRule(rule["match"], _steps(rule["answer"], path)) for rule in fields.get("texts", [])
    )
    return LiveScript(**fields)


def _steps(items: list[Any], path: Path) -> Steps:
    return tuple(_step(item, path) for item in items)


def _step(item: Any, path: Path) -> Step:
    if item == "silence":
        return Silence()
    if isinstance(item, dict) and len(item) == 1:
        ((kind, body),) = item.items()
        match kind:
            case "say":
                return Say(str(body))
            case "go_on":
                lines = body if isinstance(body, list) else [body]
                return GoOn(tuple(str(line) for line in lines))
            case "recall" if isinstance(body, dict):
                return _recall(body, path)
            case "wait":
                return Wait(float(body))
            case "call":
                also = tuple(Call(**one) for one in body.get("also", []))
                on_error = body.get("on_error")
                return CallTool(
                    body["name"],
                    body.get("args", {}),
                    also,
                    None if on_error is None else _steps(on_error, path),
                )
    known = "say, go_on, recall, call, wait, silence"
    raise ValueError(f"{path}: unknown step {item!r}; known: {known}")


def _recall(body: dict[str, Any], path: Path) -> Recall:
    step = build(Recall, body, f"{path}: recall")
    try:
        re.compile(step.known)
    except re.error as error:
        raise ValueError(f"{path}: recall: known is no regular expression: {error}") from error
    return step
