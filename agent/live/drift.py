"""Whether a session has become slow, judged by its answers."""

from __future__ import annotations

from collections import deque
from statistics import median

_SAMPLES = 3
"""Answers that make a median; one slow answer is no drift."""


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
