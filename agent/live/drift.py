"""Whether a session has become slow, and whether it has lost its memory: judged by its answers."""

from __future__ import annotations

from collections import deque
from statistics import median

_SAMPLES = 3
"""Answers that make a median; one slow answer is no drift."""
COLLAPSE = 0.4
"""Of the prompt's tokens left after a resume: amnesia. Observed: 2,758 to 351
(livekit/agents-js#2346). Compression halves them at most (its default target)."""
MIN_TOKENS = 300
"""Below this a prompt is instruction and little else."""


class LatencyDrift:
    """Compares the newest answers of a session with its first. Bound: three of each."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._first: list[float] = []
        self._newest: deque[float] = deque(maxlen=_SAMPLES)

    def answered(self, delay_s: float) -> float | None:
        """Note an answer's delay; return the drift in seconds where it is past the budget."""
        if len(self._first) < _SAMPLES:
            self._first.append(delay_s)
            return None
        self._newest.append(delay_s)
        if len(self._newest) < _SAMPLES:
            return None
        drift_s = median(self._newest) - median(self._first)
        return drift_s if drift_s > self._budget_s else None


class MemoryCheck:
    """Holds a session's prompt size after a resume against the one before."""

    def __init__(self) -> None:
        self._tokens = 0
        self._resumed = False

    def connected(self, *, resumed: bool) -> None:
        """A new connection; only a resumed one has a memory to lose."""
        self._resumed = resumed and self._tokens >= MIN_TOKENS
        if not resumed:
            self._tokens = 0

    def reported(self, prompt_tokens: int) -> str | None:
        """Note a sample; return what is wrong where the memory is gone.

        Samples without a prompt are per chunk of audio (observed on 3.1) and tell nothing.
        """
        if prompt_tokens <= 0:
            return None
        before, self._tokens = self._tokens, prompt_tokens
        resumed, self._resumed = self._resumed, False
        if resumed and prompt_tokens < COLLAPSE * before:
            return f"the prompt fell from {before} to {prompt_tokens} tokens"
        return None
