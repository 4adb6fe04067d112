"""Searches for the most calls at once that keep every promise.

The number of calls is doubled from the first level until a level breaks a promise; then the gap
between the most that kept all and the fewest that did not is halved until it is one step wide. A
level that has been judged is not tried again. No level is assumed to be kept because a greater one
was: every number that is reported was seen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a search came to.

    Attributes:
        calls: The most calls at once that kept every promise; 0: not even the fewest tried did.
        cores: Of the machine.
        broken_at: The fewest that broke one; None: none did, there may be room for more.
        levels: Every level that was tried, in order, and whether it kept all.
    """

    calls: int
    cores: int
    broken_at: int | None
    levels: tuple[tuple[int, bool], ...]

    @property
    def calls_per_core(self) -> float:
        """Calls at once for each core, whoever else uses them: the callers' side, too."""
        return self.calls / self.cores


class CapacitySearch:
    """Sans-IO: ask for a level, run it, report, until there is none.

    Args:
        start: The first level, from 1.
        most: No level is greater.
        step: How exactly the capacity is wanted, in calls.
        cores: Of the machine.

    Raises:
        ValueError: a number below 1, or a start beyond the most.
    """

    def __init__(self, *, start: int, most: int, step: int, cores: int) -> None:
        if min(start, step, cores) < 1 or start > most:
            raise ValueError(f"no search from {start} to {most} in steps of {step}")
        self._start = start
        self._most = most
        self._step = step
        self._cores = cores
        self._kept = 0
        self._broken: int | None = None
        self._levels: list[tuple[int, bool]] = []

    def next_level(self) -> int | None:
        """Return how many calls to try; None: the search is over."""
        if self._broken is None:
            if self._kept >= self._most:
                return None
            return min(2 * self._kept, self._most) if self._kept else self._start
        if self._broken - self._kept <= self._step:
            return None
        middle = (self._kept + self._broken) // 2
        # In whole steps above what is known to be kept, but never what is known to be broken.
        return self._kept + max(1, (middle - self._kept) // self._step) * self._step

    def report(self, level: int, kept: bool) -> None:
        """Say whether the level that was asked for kept every promise.

        Raises:
            ValueError: it was not asked for.
        """
        if level != self.next_level():
            raise ValueError(f"{level} calls are not what is to be tried")
        self._levels.append((level, kept))
        if kept:
            self._kept = level
        else:
            self._broken = level

    @property
    def found(self) -> Capacity:
        """What it has come to so far."""
        return Capacity(self._kept, self._cores, self._broken, tuple(self._levels))
