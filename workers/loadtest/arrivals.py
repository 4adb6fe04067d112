"""How many calls there are to be at a time of the test, and when the next one may begin.

Sans-IO: times are seconds of the test. A caller who has hung up is replaced; no caller is sent away
but by the end of the test, or of the spike they came for, which they know when they call.

Several generators may share a test: each has its part of the calls there are to be at any moment,
and the parts add up to the whole, so that nobody has to be told what the others do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from workers.loadtest.plan import Arrivals, Profile

LOOK_S: Final = 0.1
"""Calls end when they like: so often it is looked whether one is missing."""
# Whoever would have to leave at once tells nothing: nobody calls in the last tenth of a test or a
# spike, or its last few seconds.
_TOO_LATE_SHARE: Final = 0.1
_TOO_LATE_S: Final = 5.0
# Sums of tenths are not what they should be.
_TINY_S: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about arrivals now.

    Attributes:
        begins: Whether a call begins now. Never more than one: after a stall of the process they
            must not all begin together.
        again_s: When to look again, at the latest; None: no call begins any more.
    """

    begins: bool
    again_s: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """One of ``of`` generators that share a test, by its ``index`` from 0.

    Of the calls that are wanted at once, as of all that are numbered, every ``of``-th is its own.
    """

    index: int = 0
    of: int = 1

    def number(self, nth: int) -> int:
        """Return the number in the whole test, from 1, of the ``nth`` call of this part, from 1."""
        return (nth - 1) * self.of + self.index + 1

    def share(self, calls: int) -> int:
        """Return how many of so many calls at once are this part's."""
        return (calls + self.of - 1 - self.index) // self.of


WHOLE: Final = Part()
"""Of a test that nobody shares."""


def duration_s(arrivals: Arrivals) -> float:
    """Return how long callers are wanted; those who are on the line then soon hang up."""
    match arrivals.profile:
        case Profile.RAMP:
            return arrivals.rise_s + arrivals.hold_s
        case Profile.STEPS:
            return arrivals.steps * arrivals.hold_s
        case Profile.SPIKE | Profile.SOAK:
            return arrivals.hold_s


def wanted(arrivals: Arrivals, at_s: float) -> int:
    """Return how many calls there are to be at once at ``at_s``; 0 before and after the test."""
    if not 0 <= at_s < duration_s(arrivals):
        return 0
    match arrivals.profile:
        case Profile.RAMP if at_s < arrivals.rise_s:
            # The first at once, and then one after another at the same distance.
            share = at_s / arrivals.rise_s
            return min(arrivals.calls, 1 + math.floor(arrivals.calls * share + _TINY_S))
        case Profile.STEPS:
            step = 1 + math.floor(at_s / arrivals.hold_s + _TINY_S)
            return math.ceil(arrivals.calls * min(step, arrivals.steps) / arrivals.steps)
        case Profile.SPIKE:
            begin_s, end_s = _spike(arrivals)
            return arrivals.calls if begin_s <= at_s < end_s else arrivals.base
        case _:
            return arrivals.calls


def until_s(arrivals: Arrivals, at_s: float) -> float:
    """Return until when a caller who calls at ``at_s`` is wanted: to the end of test or spike."""
    if arrivals.profile is Profile.SPIKE:
        begin_s, end_s = _spike(arrivals)
        if begin_s <= at_s < end_s:
            return end_s
    return duration_s(arrivals)


def due(
    arrivals: Arrivals,
    at_s: float,
    running: int,
    last_begun_s: float | None,
    part: Part = WHOLE,
) -> Due:
    """Say whether a call begins now, and when to look again.

    Args:
        arrivals: The profile, of the whole test.
        at_s: Now.
        running: Calls of this part under way, those that ring included.
        last_begun_s: When the last of them began; None: there was none as yet.
        part: Whose calls these are.
    """
    if at_s >= duration_s(arrivals) - _too_late_s(duration_s(arrivals)):
        return Due(begins=False, again_s=None)
    if running >= part.share(wanted(arrivals, at_s)) or _is_too_late(arrivals, at_s):
        return Due(begins=False, again_s=at_s + LOOK_S)
    # Parts begin one after the other, and go on in turn.
    pause_s = part.of / arrivals.calls_per_second
    first_s = part.index / arrivals.calls_per_second
    free_s = first_s if last_begun_s is None else last_begun_s + pause_s
    if at_s < free_s - _TINY_S:
        return Due(begins=False, again_s=min(free_s, at_s + LOOK_S))
    return Due(begins=True, again_s=at_s + min(pause_s, LOOK_S))


def _is_too_late(arrivals: Arrivals, at_s: float) -> bool:
    if arrivals.profile is not Profile.SPIKE:
        return False
    begin_s, end_s = _spike(arrivals)
    return begin_s <= at_s and end_s - _too_late_s(end_s - begin_s) <= at_s < end_s


def _too_late_s(length_s: float) -> float:
    return min(_TOO_LATE_S, length_s * _TOO_LATE_SHARE)


def _spike(arrivals: Arrivals) -> tuple[float, float]:
    """When it begins and ends: in the middle."""
    begin_s = (arrivals.hold_s - arrivals.spike_s) / 2
    return begin_s, begin_s + arrivals.spike_s
