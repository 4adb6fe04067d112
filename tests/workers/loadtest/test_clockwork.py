"""The generator knows how late it was itself, and says so."""

from __future__ import annotations

import asyncio
import time

import pytest

from workers.loadtest.clockwork import TICK_S, Clockwork, Lateness, too_late
from workers.loadtest.measured import OwnSlip


def test_clockwork_in_time_has_not_slipped() -> None:
    """Each tick counts, and none is late."""
    lateness = Lateness(100.0)
    for tick in range(1, 501):
        lateness.tick(100.0 + tick * TICK_S + 0.0004)
    slip = lateness.slip
    assert slip.frames == 500
    assert slip.late_share == 0.0
    assert slip.p99_ms == pytest.approx(0.4, abs=0.1)
    assert slip.worst_ms == pytest.approx(0.4, abs=0.01)


def test_tick_that_comes_early_is_not_counted_yet() -> None:
    """A loop may wake a moment before the time."""
    lateness = Lateness(100.0)
    lateness.tick(100.0 + TICK_S - 0.001)
    assert lateness.slip.frames == 0
    assert lateness.due_s == pytest.approx(100.0 + TICK_S)


def test_each_tick_of_a_stall_counts_by_how_late_it_was() -> None:
    """A loop that stood still for 100 ms was late for five frames of every caller, not for one."""
    lateness = Lateness(100.0)
    for tick in range(1, 96):
        lateness.tick(100.0 + tick * TICK_S)
    lateness.tick(100.0 + 96 * TICK_S + 0.0801)
    slip = lateness.slip
    assert slip.frames == 100
    assert slip.late_share == pytest.approx(0.04)
    assert slip.worst_ms == pytest.approx(80.1, abs=0.01)
    assert slip.p99_ms == pytest.approx(60.2, abs=0.2)


def test_lateness_beyond_all_measure_is_told_whole() -> None:
    """A machine that slept: the worst is what it was."""
    lateness = Lateness(0.0)
    lateness.tick(60.0)
    slip = lateness.slip
    assert slip.frames == 3000
    assert slip.worst_ms == pytest.approx(59_980, abs=0.1)


def test_nothing_ticked_is_no_slip() -> None:
    """A test that was broken off at once."""
    assert Lateness(1.0).slip == OwnSlip(0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (OwnSlip(1000, 0.8, 30.0, 0.002), None),
        (OwnSlip(1000, 9.0, 30.0, 0.031), "3.1% of its frames were more than 5 ms late"),
        (OwnSlip(1000, 2.0, 240.0, 0.004), "the worst by 240 ms"),
    ],
)
def test_slip_too_large_says_by_how_much(slip: OwnSlip, told: str | None) -> None:
    """One sentence that names the figure; none where measurements are good."""
    said = too_late(slip)
    if told is None:
        assert said is None
    else:
        assert said is not None
        assert told in said
        assert "Nothing is reported" in said


async def test_loop_that_stands_still_is_noticed() -> None:
    """Really: 150 ms of somebody's work on the loop."""
    clockwork = Clockwork()
    clockwork.start()
    await asyncio.sleep(0.1)
    time.sleep(0.15)  # noqa: ASYNC251  the loop is to stand still
    await asyncio.sleep(0)
    slip = clockwork.stop()
    assert slip.worst_ms >= 125
    assert slip.frames >= 11
    assert clockwork.slip == slip
