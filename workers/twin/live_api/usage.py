"""Counts the tokens of a session as the server reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Live: about 25 tokens per second of audio (sokuji); general Gemini audio counting: 32.
CALLER_TOKENS_PER_S = 32
MODEL_TOKENS_PER_S = 25
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """The size of a conversation without its system instruction."""

    text: float = 0.0
    audio: float = 0.0


class Meter:
    """The size of the context, and what the running turn added."""

    def __init__(self, *, vertex: bool) -> None:
        self._vertex = vertex
        self._instruction = 0.0
        self._text = 0.0
        self._audio = 0.0
        self._answer = 0.0

    @property
    def context_tokens(self) -> int:
        """Everything the next turn is prompted with."""
        return round(self._instruction + self._text + self._audio)

    @property
    def tokens(self) -> Tokens:
        """What was said so far; the answer that is being produced does not count yet."""
        return Tokens(self._text, self._audio)

    def restore(self, tokens: Tokens) -> None:
        """Begin with a conversation of this size."""
        self._text, self._audio = tokens.text, tokens.audio

    def instruction(self, text: str) -> None:
        """Take ``text`` for the system instruction, in place of the one before."""
        self._instruction = len(text) / _CHARACTERS_PER_TOKEN

    def text(self, text: str) -> None:
        """Add text to the context: history, tool results."""
        self._text += len(text) / _CHARACTERS_PER_TOKEN

    def caller_audio(self, duration_ms: float) -> None:
        """Add caller audio to the context."""
        self._audio += duration_ms * CALLER_TOKENS_PER_S / 1000

    def model_audio(self, duration_ms: float) -> None:
        """Add audio to the answer that is being produced."""
        self._answer += duration_ms * MODEL_TOKENS_PER_S / 1000

    def turn_ended(self) -> dict[str, Any]:
        """Return the turn's ``usageMetadata``; its answer becomes context."""
        usage = self._metadata(self.context_tokens, round(self._answer))
        self._audio += self._answer
        self._answer = 0.0
        return usage

    def frame(self, duration_ms: float) -> dict[str, Any]:
        """Return the ``usageMetadata`` of one audio frame: its prompt count is 0 (3.1)."""
        return self._metadata(0, round(duration_ms * MODEL_TOKENS_PER_S / 1000))

    def _metadata(self, prompt: int, answer: int) -> dict[str, Any]:
        name = "candidates" if self._vertex else "response"
        usage: dict[str, Any] = {"promptTokenCount": prompt, "totalTokenCount": prompt + answer}
        if prompt:
            usage["promptTokensDetails"] = [
                {"modality": "TEXT", "tokenCount": round(self._instruction + self._text)},
                {"modality": "AUDIO", "tokenCount": round(self._audio)},
            ]
        if answer:
            usage[f"{name}TokenCount"] = answer
            usage[f"{name}TokensDetails"] = [{"modality": "AUDIO", "tokenCount": answer}]
        if self._vertex:
            usage["trafficType"] = "ON_DEMAND"
        return usage
