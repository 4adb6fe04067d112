"""The worker over time."""

from __future__ import annotations

import re

import pytest

from tests.workers.dashboard.outline import rows_of
from workers.dashboard.loadtest_page.drawing import Across
from workers.dashboard.loadtest_page.worker import worker_plot
from workers.loadtest.measured import WorkerSample


def look(at_s: float, calls: int, cpu_s: float, lag_ms: float | None = None) -> WorkerSample:
    return WorkerSample(at_s, calls, cpu_s, 100.0 + calls, lag_ms)


def plot(*samples: WorkerSample, until: float = 20.0) -> str:
    return worker_plot(samples, Across(until, [(0.0, "0:00")]))


def test_cpu_is_told_in_shares_of_a_core() -> None:
    """Between one look and the next."""
    page = plot(look(0, 10, 5.0), look(10, 10, 6.2), look(20, 20, 11.2))
    assert "At most 120 MiB; 24.8 ms of CPU time per second of call." in page
    rows = rows_of(page)
    assert rows[0] == "From Calls CPU Memory Loop lag Queued Files"
    assert "0:10 10 12 % 110 MiB – – –" in rows


def test_a_killed_process_leaves_no_value_below_nothing() -> None:
    """It takes its CPU time along; between those two looks nothing is known."""
    page = plot(
        look(0, 10, 5.0), look(10, 10, 6.0), look(12, 5, 2.0), look(16, 10, 2.4), look(20, 10, 2.8)
    )
    cpu = re.findall(r'class="line cpu" d="(.*?)"', page)
    assert cpu == ["M500 0M800 0L1000 0"]


@pytest.mark.parametrize("samples", [(), (look(0, 3, 1.0),)])
def test_one_look_is_no_picture(samples: tuple[WorkerSample, ...]) -> None:
    """Nor is none."""
    assert "did not let itself be looked at" in plot(*samples)


def test_what_the_worker_does_not_tell_has_no_drawing() -> None:
    """Another worker than ours has no event loop that could be asked."""
    assert "Event loop" not in plot(look(0, 1, 1.0), look(20, 1, 2.0))
    assert "Event loop" in plot(look(0, 1, 1.0, 3.0), look(20, 1, 2.0, 4.0))


def test_a_day_of_looks_is_drawn_in_columns() -> None:
    """With the highest of each."""
    looks = [look(float(n), 1, n * 0.01, 50.0 if n == 43_210 else 1.0) for n in range(86_400)]
    page = plot(*looks, until=86_400.0)
    assert len(page) < 50_000
    assert "50 ms" in page
