"""What the model of one session knows, and the snapshots of it that handles stand for.

A snapshot is taken at a turn boundary. What was under way then is not in it: an answer being
generated, calls without their results, a turn of the caller that the model had not begun to answer.
The system instruction is not in it either, because every setup brings its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from workers.twin.live_api.messages import FunctionAnswer
from workers.twin.live_api.usage import Meter, Tokens

Line = tuple[str, str]
"""Role and text; roles are ``user``, ``model`` and, for results of functions, ``tool``."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at a turn boundary."""

    lines: tuple[Line, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    position: int = 0
    """How many turns of the script were played."""
    greeted: bool = False
    answers: int = 0
    """How many answers were given, on all connections of the session."""
    late_s: float = 0.0
    """How much later than at first the session answers by now."""


BLANK = Snapshot()
"""A session that has just begun."""


class Memory:
    """The conversation of one session so far: restored, then continued."""

    def __init__(self, lines: list[Line], meter: Meter, snapshot: Snapshot = BLANK) -> None:
        """Continue from ``snapshot``, on a list that others may read, with a meter of its own."""
        self.lines = lines
        self.lines.extend(snapshot.lines)
        self.meter = meter
        self.meter.restore(snapshot.tokens)
        self.position = snapshot.position
        self.greeted = snapshot.greeted
        self.answers = snapshot.answers
        self.late_s = snapshot.late_s

    def add(self, role: str, text: str) -> None:
        """Remember a line, unless it is empty."""
        if text.strip():
            self.lines.append((role, text.strip()))

    def tool_result(self, answer: FunctionAnswer) -> None:
        """Remember what a function gave back."""
        self.meter.text(str(answer.response))
        self.add("tool", f"{answer.name} {json.dumps(answer.response, ensure_ascii=False)}")

    def snapshot(self) -> Snapshot:
        """Return the session as it is now."""
        return Snapshot(
            lines=tuple(self.lines),
            tokens=self.meter.tokens,
            position=self.position,
            greeted=self.greeted,
            answers=self.answers,
            late_s=self.late_s,
        )
