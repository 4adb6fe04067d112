"""What is told of a test while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from workers.loadtest.measured import (
    Answered,
    CallMeasured,
    Ending,
    Gap,
    OwnSlip,
    WorkerSample,
)
from workers.loadtest.plan import Persona
from workers.loadtest.progress import Progress, Tally, cpu_ms_per_call_second, shown, told

EARLY = Progress(
    at_s=0.4,
    of_s=70.0,
    wanted=10,
    running=2,
    waiting=0,
    ended=0,
    refused=0,
    dropped=0,
    delay_p50_ms=None,
    delay_p95_ms=None,
    gaps=0,
    worst_gap_ms=0.0,
    cpu_ms=None,
    memory_mib=None,
    slip=OwnSlip(20, 0.4, 0.9, 0.0),
)
LATER = Progress(
    at_s=64.2,
    of_s=70.0,
    wanted=10,
    running=9,
    waiting=2,
    ended=40,
    refused=1,
    dropped=3,
    delay_p50_ms=612.4,
    delay_p95_ms=690.0,
    gaps=4,
    worst_gap_ms=83.0,
    cpu_ms=11.04,
    memory_mib=243.6,
    slip=OwnSlip(3200, 7.5, 42.0, 0.02),
)


def test_line_tells_all_that_is_known() -> None:
    """Time, calls, endings, delays, gaps, the worker, and how late we are ourselves."""
    assert told(LATER) == (
        "time 1:04 of 1:10; calls 9 of 10, 2 to be measured; ended 40, 1 refused, 3 dropped; "
        "answers p50 612 ms, p95 690 ms; gaps 4, worst 83 ms; "
        "worker 11.0 ms CPU for a second of call, 244 MiB; own slip p99 7.5 ms, worst 42 ms"
    )


def test_what_is_not_known_yet_is_left_out() -> None:
    """No figure is made up."""
    line = told(EARLY)
    assert "answers none yet; gaps none; own slip" in line
    assert "worker" not in line


def test_terminal_shows_the_same() -> None:
    """A row each."""
    stream = io.StringIO()
    Console(file=stream, width=100).print(shown(LATER))
    rows = stream.getvalue().splitlines()
    assert len(rows) == 7
    assert rows[1].split() == ["calls", "9", "of", "10,", "2", "to", "be", "measured"]


def test_tally_counts_endings_delays_and_gaps() -> None:
    """As calls end."""
    tally = Tally()
    for number, ending in enumerate((Ending.COMPLETED, Ending.REFUSED, Ending.DROPPED), start=1):
        tally.add(
            CallMeasured(
                number=number,
                sid="CA",
                persona=Persona.TALK,
                lines=(),
                began_s=0.0,
                calls_at_once=1,
                ending=ending,
                answers=(Answered(1.0, 600.0 + number),),
                gaps=(Gap(2.0, 10.0 * number),),
            )
        )
    assert (tally.ended, tally.refused, tally.dropped) == (3, 1, 1)
    assert (tally.gaps, tally.worst_gap_ms) == (3, 30.0)
    assert tally.delays.percentile(50.0) == pytest.approx(602, abs=1)


def test_cpu_is_told_for_a_second_of_call() -> None:
    """Between two looks, by the calls that there were."""
    before, after = WorkerSample(10, 2, 5.0, 100), WorkerSample(12, 4, 5.06, 100)
    assert cpu_ms_per_call_second(before, after) == pytest.approx(10.0)
    assert cpu_ms_per_call_second(WorkerSample(1, 0, 1, 1), WorkerSample(2, 0, 2, 1)) is None
