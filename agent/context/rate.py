"""Tokens for a second of speech, learned from what the server counted."""

from __future__ import annotations

from collections import deque

MIN_PER_S, MAX_PER_S = 5.0, 100.0
"""What is outside is no rate: a function's result that was counted in, an answer that was cut off,
audio that was not counted (1 token for 5.5 s was reported)."""
_LEARNED_FROM = 15
_MIN_MS = 500.0
# Nothing longer weighs more, and what it began with weighs less than anything seen.
_MAX_MS = 20_000.0


class Rate:
    """The median of the newest counts, by length of speech: up to half of them may be wrong.

    Args:
        start_per_s: Taken for the rate until there is a count.
    """

    def __init__(self, start_per_s: float) -> None:
        # Bound: _LEARNED_FROM; the oldest is forgotten.
        self._seen = deque([(start_per_s, _MIN_MS / 2)], maxlen=_LEARNED_FROM)
        self.per_s = start_per_s

    @property
    def per_ms(self) -> float:
        """Tokens for a millisecond."""
        return self.per_s / 1000

    def learn(self, tokens: float, speech_ms: float) -> bool:
        """Note what was counted for so much speech; False where that cannot be a rate.

        Of very short speech nothing is learned.
        """
        if speech_ms < _MIN_MS:
            return True
        per_s = tokens * 1000 / speech_ms
        if not MIN_PER_S <= per_s <= MAX_PER_S:
            return False
        self._seen.append((per_s, min(speech_ms, _MAX_MS)))
        half = sum(weight for _, weight in self._seen) / 2
        for seen_per_s, weight in sorted(self._seen):
            half -= weight
            if half <= 0:
                self.per_s = seen_per_s
                break
        return True
