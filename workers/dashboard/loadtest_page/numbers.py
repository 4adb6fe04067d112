"""Numbers of a load test for its page: percentiles, and calls at once at any moment."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.loadtest.measured import CallMeasured

_STRETCHES_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400,
)  # fmt: skip
_MOST_STRETCHES = 40


@dataclass(frozen=True, slots=True)
class Wait:
    """One answer, placed in the time of the test."""

    at_s: float
    """When the caller had stopped."""
    delay_ms: float
    added_ms: float | None
    """Without what the simulated model took; None where it cannot be told."""
    calls: int
    """At once, then."""


class Crowd:
    """How many calls there were at once."""

    def __init__(self, calls: Iterable[CallMeasured]) -> None:
        moves = [(call.began_s, 1) for call in calls]
        moves += [(call.began_s + max(call.duration_s, 0.0), -1) for call in calls]
        # Who hangs up makes room for who begins in the same instant.
        moves.sort()
        self._at_s = [0.0]
        self._calls = [0]
        for at_s, step in moves:
            self._at_s.append(at_s)
            self._calls.append(self._calls[-1] + step)

    def at(self, at_s: float) -> int:
        """How many there were at a moment of the test."""
        return self._calls[bisect_right(self._at_s, at_s) - 1] if at_s >= 0 else 0

    @property
    def most(self) -> int:
        """How many there were at once at most."""
        return max(self._calls)

    def columns(self, until_s: float, count: int) -> list[int]:
        """The most in each of so many equal stretches of the test."""
        found = [self.at(until_s * column / count) for column in range(count)]
        for at_s, calls in zip(self._at_s, self._calls, strict=True):
            column = min(int(at_s / until_s * count), count - 1)
            found[column] = max(found[column], calls)
        return found


def waits(calls: Iterable[CallMeasured], crowd: Crowd) -> list[Wait]:
    """Every answer of every call, in the order in which they were waited for."""
    found = [
        Wait(
            at_s := call.began_s + answer.asked_s,
            answer.delay_ms,
            None if answer.model_ms is None else answer.delay_ms - answer.model_ms,
            max(crowd.at(at_s), 1),
        )
        for call in calls
        for answer in call.answers
    ]
    return sorted(found, key=lambda wait: wait.at_s)


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of all does not exceed.

    Args:
        values: At least one, in any order.
        share: Above 0, at most 1.
    """
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]


def stretch_s(until_s: float) -> int:
    """Length of the stretches that a test is told in: some forty at most."""
    return next((one for one in _STRETCHES_S if until_s / one <= _MOST_STRETCHES), _STRETCHES_S[-1])


def by_stretch(
    points: Iterable[tuple[float, float]], until: float, width: float
) -> list[list[float]]:
    """Second halves of points by which stretch of ``width`` the first halves lie in."""
    found: list[list[float]] = [[] for _ in range(max(1, math.ceil(until / width - 1e-9)))]
    for at, value in points:
        found[min(max(int(at / width), 0), len(found) - 1)].append(value)
    return found


def thinned(
    points: Sequence[tuple[float, float]], until: float, most: int
) -> list[tuple[float, float]]:
    """At most so many points, with the highest of each of ``most // 3`` equal stretches kept.

    The rest is every n-th: what stands out stays, and dense places stay dense.
    """
    if len(points) <= most:
        return list(points)
    columns: dict[int, int] = {}
    count = max(1, most // 3)
    for index, (at, value) in enumerate(points):
        column = int(at / until * count)
        if column not in columns or value > points[columns[column]][1]:
            columns[column] = index
    rest = max(1, math.ceil(len(points) / (most - len(columns))))
    kept = set(columns.values()) | set(range(0, len(points), rest))
    return [points[index] for index in sorted(kept)][:most]
