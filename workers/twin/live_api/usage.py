"""Counts the tokens of a session, and reports them as the server does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# ai.google.dev/gemini-api/docs/tokens: about four characters for a token of text.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Rates:
    """What a second of audio costs.

    Live: about 25 tokens (sokuji); Gemini's audio in general: 32. Which of them holds for which
    side is not published.
    """

    caller_per_s: float = 32.0
    model_per_s: float = 25.0


RATES = Rates()


@dataclass(frozen=True, slots=True)
class Tokens:
    """The size of something the model holds."""

    text: float = 0.0
    audio: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.text + self.audio

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.text + other.text, self.audio + other.audio)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.text - other.text, self.audio - other.audio)


def text_tokens(text: str) -> float:
    """Return the size of ``text``."""
    return len(text) / _CHARACTERS_PER_TOKEN


class Meter:
    """The size of the context, and what the running turn added.

    What is on the lines that the model remembers is told by whoever keeps them; the instruction and
    audio that is on no line yet are counted here.
    """

    def __init__(self, *, vertex: bool, rates: Rates = RATES) -> None:
        self._vertex = vertex
        self._rates = rates
        self._instruction = 0.0
        self._lines = Tokens()
        self._unanswered = 0.0
        self._answer = 0.0
        self._turn = 0.0

    @property
    def context_tokens(self) -> int:
        """All that the model holds: instruction, lines, and audio that is on no line yet."""
        return round(self.size)

    @property
    def size(self) -> float:
        """The same, not rounded."""
        return self._instruction + self._lines.total + self._unanswered + self._answer

    def instruction(self, text: str) -> None:
        """Take ``text`` for the system instruction, in place of the one before."""
        self._instruction = text_tokens(text)

    def remembered(self, tokens: Tokens) -> None:
        """Count a line more."""
        self._lines += tokens

    def forgotten(self, tokens: Tokens) -> None:
        """Count lines less."""
        self._lines -= tokens

    def caller_audio(self, duration_ms: float) -> float:
        """Count caller audio that is on no line yet, and return its size."""
        tokens = duration_ms * self._rates.caller_per_s / 1000
        self._unanswered += tokens
        return tokens

    def caller_line(self, tokens: float) -> None:
        """Count caller audio for the lines that was on none."""
        self._unanswered -= tokens
        self._lines += Tokens(audio=tokens)

    def model_audio(self, duration_ms: float) -> None:
        """Add audio to the answer that is being produced."""
        tokens = duration_ms * self._rates.model_per_s / 1000
        self._answer += tokens
        self._turn += tokens

    def model_line(self) -> float:
        """Count the answer so far for the lines, and return its size."""
        tokens, self._answer = self._answer, 0.0
        self._lines += Tokens(audio=tokens)
        return tokens

    def turn_ended(self) -> dict[str, Any]:
        """Return the turn's ``usageMetadata``; the next turn is prompted with its answer too."""
        audio = self._lines.audio + self._unanswered + self._answer - self._turn
        usage = self._metadata(Tokens(self._instruction + self._lines.text, audio), self._turn)
        self._turn = 0.0
        return usage

    def frame(self, duration_ms: float) -> dict[str, Any]:
        """Return the ``usageMetadata`` of one audio frame: its prompt count is 0 (3.1)."""
        return self._metadata(Tokens(), duration_ms * self._rates.model_per_s / 1000)

    def _metadata(self, prompted: Tokens, answered: float) -> dict[str, Any]:
        name = "candidates" if self._vertex else "response"
        prompt, answer = round(prompted.total), round(answered)
        usage: dict[str, Any] = {"promptTokenCount": prompt, "totalTokenCount": prompt + answer}
        if prompt:
            usage["promptTokensDetails"] = [
                {"modality": "TEXT", "tokenCount": round(prompted.text)},
                {"modality": "AUDIO", "tokenCount": round(prompted.audio)},
            ]
        if answer:
            usage[f"{name}TokenCount"] = answer
            usage[f"{name}TokensDetails"] = [{"modality": "AUDIO", "tokenCount": answer}]
        if self._vertex:
            usage["trafficType"] = "ON_DEMAND"
        return usage
