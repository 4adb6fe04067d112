"""Catches the audio of a greeting that was spoken whole, so that it can be kept for later calls."""

from __future__ import annotations

import difflib
import re

from agent.audio import AUDIBLE_RMS, OUTPUT_RATE_HZ, PcmChunk, loudness
from agent.conversation.heard import is_whole

MAX_GREETING_MS = 60_000.0
_SAME_ENOUGH = 0.9


class GreetingCapture:
    """Listens to the first turn of a call in which the model was asked for its greeting.

    The model may say something else, for example because the caller spoke first, so what it said
    is compared with what it was asked for. Models also send audio that cannot be heard, or that
    breaks off, beside a transcript that is whole (observed: gemini-live-api-examples#40); kept,
    that would greet every caller from now on.
    """

    def __init__(self, greeting: str) -> None:
        self._greeting = _words(greeting)
        self._said = ""
        self._pcm: list[bytes] = []
        self._ms = 0.0
        self.done = False
        """Nothing more is to be caught."""

    def text(self, text: str) -> None:
        """The model's transcript."""
        self._said += text

    def audio(self, audio: PcmChunk) -> None:
        """The model's audio."""
        self._pcm.append(audio.pcm)
        self._ms += audio.duration_ms
        if audio.rate_hz != OUTPUT_RATE_HZ or self._ms > MAX_GREETING_MS:
            self.spoil()

    def spoil(self) -> None:
        """The greeting was cut; this call yields none."""
        self.done = True
        self._pcm.clear()

    def complete(self) -> PcmChunk | None:
        """The turn's audio is complete: return it if it is the greeting."""
        if self.done or not self._pcm:
            return None
        pcm, ms = b"".join(self._pcm), self._ms
        self.spoil()
        said = _words(self._said)
        if loudness(pcm) < AUDIBLE_RMS or not is_whole(self._said, ms):
            return None
        same = difflib.SequenceMatcher(None, said, self._greeting, autojunk=False).ratio()
        return PcmChunk(pcm, OUTPUT_RATE_HZ) if same >= _SAME_ENOUGH else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
