"""Which calls were the slowest: those whose sound is kept, and that a report shows one by one."""

from __future__ import annotations

from collections.abc import Iterable

from workers.loadtest.measured import CallMeasured

SHOWN = 10
"""Calls that a report shows one by one."""


def slowness_ms(call: CallMeasured) -> float:
    """The longest that a caller had to wait for a sound, in ms; 0: for none.

    What a simulated model took of it is not counted: a caller who asked for something that takes
    long was not served slowly.
    """
    waits = [one.delay_ms - (one.model_ms or 0.0) for one in call.answers]
    waits += [one.ms for one in call.gaps]
    waits += call.reset_gaps_ms
    return max([0.0, *waits])


def slowest(calls: Iterable[CallMeasured], most: int = SHOWN) -> list[CallMeasured]:
    """Choose at most so many calls, the slowest first; those that nobody waited in are left out."""
    found = [call for call in calls if slowness_ms(call) > 0]
    return sorted(found, key=lambda call: (-slowness_ms(call), call.number))[:most]
