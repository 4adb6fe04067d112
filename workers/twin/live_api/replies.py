"""Chooses what the model says next: reads a script from its beginning to its end."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from workers.twin import speech
from workers.twin.live_api.script import Call, LiveScript, Say, Step, Steps

_QUOTED = re.compile(r"[\"“„«](.{2,}?)[\"”“»]", re.DOTALL)
_GREETING: Steps = (Say("Hello, how can I help you?"),)


@dataclass(slots=True, eq=False)
class Reply:
    """One turn of the model before and while it is carried out."""

    steps: deque[Step]
    heard: str = ""
    """What the caller is taken to have said; empty where text asked for this reply."""
    groups: tuple[str, ...] = ()
    """What the text rule matched; ``{0}`` is all of it."""
    delay_s: float | None = None
    opened: bool = False
    audio_ends_at: float | None = None
    """When the server thinks that the audio produced so far has been played."""
    audio_ms: float = 0.0

    def fill(self, text: str) -> str:
        """Put what the text rule matched in place of ``{0}``, ``{1}`` and so on."""
        for number, group in enumerate(self.groups):
            text = text.replace(f"{{{number}}}", group)
        return text

    def arguments(self, call: Call) -> dict[str, Any]:
        """Return the arguments of ``call``, filled."""
        return {
            key: self.fill(value) if isinstance(value, str) else value
            for key, value in call.args.items()
        }


class Replies:
    """The script, and how far it has been played."""

    def __init__(self, script: LiveScript) -> None:
        self._script = script
        self._turns = deque(script.turns)
        self._greeted = False

    def to_speech(self) -> Reply:
        """Answer the next turn of the caller."""
        self._greeted = True
        if not self._turns:
            return Reply(deque(self._script.otherwise), heard="And another thing.")
        turn = self._turns.popleft()
        heard = speech.line(turn.heard).text
        return Reply(deque(turn.answer), heard=heard)

    def to_text(self, text: str) -> Reply:
        """Answer text: by the first rule that matches, else by the opening, once."""
        for rule in self._script.texts:
            found = re.search(rule.match, text)
            if found is not None:
                self._greeted = True
                groups = (found.group(0), *(group or "" for group in found.groups()))
                return Reply(deque(rule.answer), groups=groups)
        if self._greeted:
            return Reply(deque(self._script.otherwise))
        self._greeted = True
        if self._script.opening is not None:
            return Reply(deque(self._script.opening))
        quoted = _QUOTED.search(text)
        return Reply(deque((Say(quoted.group(1)),) if quoted else _GREETING))
