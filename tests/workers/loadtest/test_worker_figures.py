"""What a worker needs for a call, from looks at all of them together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.loadtest.measured_samples import samples
from workers.loadtest.measured import WorkerSample
from workers.loadtest.worker_figures import WorkerFigures, figures_of


def look(at_s: float, calls: int, cpu_s: float = 0.0, mib: float = 100.0) -> WorkerSample:
    return WorkerSample(at_s, calls, cpu_s, mib)


def test_cpu_for_a_second_of_call() -> None:
    """Between two looks there were as many calls as on average of both."""
    found = figures_of([look(0, 0, 5.0), look(10, 10, 5.5), look(20, 10, 6.5)])
    assert found.call_s == 150
    assert found.cpu_ms_per_call_s == pytest.approx(10.0)


def test_process_that_was_killed() -> None:
    """Its CPU time is gone with it, which is no work undone."""
    found = figures_of([look(0, 10, 5.0), look(10, 10, 1.0), look(20, 10, 2.0)])
    assert found.cpu_s == 1.0


@given(st.lists(st.integers(0, 200), min_size=2, max_size=20, unique=True), st.floats(0.1, 9))
def test_memory_of_a_further_call(calls: list[int], mib: float) -> None:
    """It is the slope, whatever the worker takes without calls."""
    found = figures_of(look(at, many, mib=90 + mib * many) for at, many in enumerate(calls))
    assert found.mib_per_call == pytest.approx(mib, rel=1e-6)


def test_nothing_to_tell_from() -> None:
    """No calls, or always as many: no figure."""
    assert WorkerFigures().cpu_ms_per_call_s is None
    assert WorkerFigures().mib_per_call is None
    assert figures_of([look(0, 5), look(10, 5, mib=300)]).mib_per_call is None


@given(st.lists(samples, max_size=6))
def test_two_that_look_at_one_worker(looks: list[WorkerSample]) -> None:
    """They tell what one of them does."""
    one = figures_of(looks)
    both = one + one
    assert both.cpu_ms_per_call_s == pytest.approx(one.cpu_ms_per_call_s)
    assert both.mib_per_call == pytest.approx(one.mib_per_call)
    assert (both.loop_lag_ms, both.queued) == (one.loop_lag_ms, one.queued)


def test_worst_of_what_was_told() -> None:
    """What one worker does not tell hides nothing of another."""
    told = WorkerFigures(loop_lag_ms=4.0, queued=3)
    assert (told + WorkerFigures(queued=5)).loop_lag_ms == 4.0
    assert (told + WorkerFigures(queued=5)).queued == 5
    assert (WorkerFigures() + WorkerFigures()).open_files is None
