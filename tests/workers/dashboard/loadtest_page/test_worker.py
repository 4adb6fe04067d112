"""What a call costs the worker, from looks at it."""

from __future__ import annotations

import pytest

from workers.dashboard.loadtest_page.worker import WorkerFigures, worker_figures
from workers.loadtest.measured import WorkerSample


def look(at_s: float, calls: int, cpu_s: float, memory_mib: float = 100.0) -> WorkerSample:
    return WorkerSample(at_s, calls, cpu_s, memory_mib)


def test_cpu_is_divided_by_the_time_of_all_calls() -> None:
    """Ten calls for ten seconds are a hundred seconds of call."""
    found = worker_figures([look(0, 10, 5.0), look(10, 10, 6.2)])
    assert found.cpu_ms_per_call_s == pytest.approx(12.0)


def test_a_killed_process_takes_its_cpu_time_along() -> None:
    """That stretch is left out, with its calls: it would count against what was used."""
    found = worker_figures(
        [look(0, 10, 5.0), look(10, 10, 6.0), look(11, 5, 2.0), look(21, 10, 2.75)]
    )
    assert found.cpu_ms_per_call_s == pytest.approx(1000 * 1.75 / (100 + 75))


def test_memory_of_a_further_call_is_the_slope() -> None:
    """The worker's own share is no call's."""
    looks = [look(n, n, 0.0, 180.0 + 2.5 * n) for n in range(10)]
    assert worker_figures(looks).mib_per_call == pytest.approx(2.5)


@pytest.mark.parametrize("looks", [[], [look(0, 3, 1.0)], [look(0, 0, 1.0), look(1, 0, 1.0)]])
def test_what_cannot_be_told_is_not(looks: list[WorkerSample]) -> None:
    """One look, none, or no calls."""
    found = worker_figures(looks)
    assert found.cpu_ms_per_call_s is None
    assert found.mib_per_call is None
    assert worker_figures([]) == WorkerFigures()
