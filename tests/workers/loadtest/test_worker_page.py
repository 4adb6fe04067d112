"""What a metrics page says of a worker, of several processes, and of some that were replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.entrypoints.supervisor.exposition import merged
from workers.loadtest.worker_page import CpuSum, WorkerPage, read_page, worst_lag_ms
from workers.metrics import Metrics


def metrics(*lags_s: float, calls: int = 0) -> Metrics:
    made = Metrics()
    made.live_streams.set(calls)
    made.store_waiting.set(3)
    made.logs_waiting.set(4)
    for lag_s in lags_s:
        made.loop_lag_s.observe(lag_s)
    return made


def page(*lags_s: float) -> WorkerPage:
    return read_page(metrics(*lags_s).render().decode())


def test_page_of_a_worker_says_calls_cpu_memory_files_and_queues() -> None:
    """As the worker itself writes it."""
    read = read_page(metrics(calls=7).render().decode())
    assert read.calls == 7
    assert read.queued == 7
    assert read.cpu_s[""] > 0
    assert read.memory_mib > 10
    assert read.open_files is not None
    assert read.open_files > 2


def test_page_of_several_processes_is_added_up() -> None:
    """Each sample names its process."""
    text = merged([("0", metrics(calls=2).render()), ("1", metrics(calls=3).render())])
    read = read_page(text.decode())
    assert read.calls == 5
    assert read.queued == 14
    assert set(read.cpu_s) == {"0", "1"}
    assert set(read.lags) == {"0", "1"}


@given(st.text())
def test_page_of_somebody_else_says_nothing(text: str) -> None:
    """Whatever it is."""
    assert read_page(text).calls is None


def test_worst_lag_is_that_since_the_look_before() -> None:
    """By the upper edge of its bucket: late by 12 ms is no later than 20 ms."""
    made = metrics(0.09)
    before = read_page(made.render().decode())
    assert worst_lag_ms(page(), before) == pytest.approx(100)
    made.loop_lag_s.observe(0.0004)
    made.loop_lag_s.observe(0.012)
    after = read_page(made.render().decode())
    assert worst_lag_ms(before, after) == pytest.approx(20)
    assert worst_lag_ms(after, after) is None


def test_process_that_was_replaced_tells_its_lag_anew() -> None:
    """Its counters begin with nothing."""
    assert worst_lag_ms(page(0.3, 0.3, 0.3), page(0.004)) == pytest.approx(5)


def test_lag_beyond_the_last_edge_is_at_least_that() -> None:
    """No infinite figure in a report."""
    assert worst_lag_ms(page(), page(60.0)) == pytest.approx(5000)


def test_cpu_of_processes_that_died_is_not_forgotten() -> None:
    """One is killed, another begins under its name, a third leaves for good."""
    cpu = CpuSum()
    assert cpu.add({"0": 4.0, "1": 2.0}) == pytest.approx(6.0)
    assert cpu.add({"0": 5.0, "1": 3.0}) == pytest.approx(8.0)
    assert cpu.add({"0": 5.5, "1": 0.5}) == pytest.approx(9.0)
    assert cpu.add({"0": 6.0}) == pytest.approx(9.5)
    assert cpu.add({"0": 6.0}) == pytest.approx(9.5)
