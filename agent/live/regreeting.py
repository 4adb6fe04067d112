"""Whether a model that ought to know better is about to greet again.

A session that resumed without its memory greets the caller in the middle of the call (observed:
livekit/agents-js#2346). Its prompt's size tells, but only once it has spoken. Transcripts run ahead
of audio, so the first words of its first answer tell before they are heard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent import events

_WORDS = 4
"""Fewer may begin an answer, too ("Thank you, ..."). A greeting of one word is not looked for."""
MAX_HELD_MS = 400.0
"""Audio that comes so far without a transcript is let through."""


class Regreeting:
    """Listens to the first answer after a resume; its audio is kept back until words tell.

    Bound: ``MAX_HELD_MS`` of audio.
    """

    def __init__(self, greeting: str) -> None:
        self._greeting = _words(greeting)[:_WORDS]
        self._said = ""
        self._kept: list[events.AudioReceived] = []
        self._kept_ms = 0.0

    def audio(self, event: events.AudioReceived) -> bool:
        """Keep audio back; False where that would be too much."""
        self._kept.append(event)
        self._kept_ms += event.audio.duration_ms
        return self._kept_ms < MAX_HELD_MS

    def text(self, text: str) -> bool | None:
        """Whether the words so far are the greeting's; None where they may still become that."""
        self._said += text
        said = _words(self._said)
        if not said:
            return None
        # Transcripts come in pieces: the last word may be a part of one.
        *whole, last = said[: max(2, len(self._greeting))]
        begun = self._greeting[len(whole) :]
        if whole != self._greeting[: len(whole)] or not begun or not begun[0].startswith(last):
            return False
        complete = len(whole) + 1 == max(2, len(self._greeting))
        return True if complete and begun[0] == last else None

    def take(self) -> Sequence[events.AudioReceived]:
        """Return what was kept back, to be played after all."""
        kept, self._kept = self._kept, []
        return kept


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
