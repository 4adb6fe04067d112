"""Looks at a worker by its processes and its page, or by what there is of the two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from workers.loadtest.lookout import Lookout, see
from workers.metrics import Metrics

URL = "http://127.0.0.1:1/metrics"


def answering(status: int, text: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _request: httpx.Response(status, text=text))


def fail(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "sum(range(3_000_000)); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_processes_are_seen_by_cpu_memory_and_files(child: subprocess.Popen[bytes]) -> None:
    """Of another process, and of several."""
    one = see([child.pid])
    both = see([child.pid, os.getpid()])
    assert one is not None
    assert both is not None
    assert 0.01 < one.cpu_s[str(child.pid)] < 60
    assert 3 < one.memory_mib < both.memory_mib
    assert 3 <= one.open_files < both.open_files


def test_process_that_is_gone_is_left_out(child: subprocess.Popen[bytes]) -> None:
    """Killed by the test's own plan, and replaced."""
    child.kill()
    child.communicate()
    assert see([child.pid]) is None
    left = see([child.pid, os.getpid()])
    assert left is not None
    assert set(left.cpu_s) == {str(os.getpid())}


async def test_worker_of_our_own_is_seen_by_the_system_and_told_by_its_page() -> None:
    """CPU, memory and files by the system, calls, loop and queues by the page."""
    metrics = Metrics()
    metrics.live_streams.set(4)
    metrics.store_waiting.set(9)
    metrics.loop_lag_s.observe(0.3)
    page = httpx.MockTransport(lambda _: httpx.Response(200, content=metrics.render()))
    async with Lookout(URL, lambda: [os.getpid()], transport=page) as lookout:
        first = await lookout.look(10.0, calls=5)
        metrics.loop_lag_s.observe(0.0003)
        second = await lookout.look(12.0, calls=5)
        third = await lookout.look(14.0, calls=5)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.at_s, first.calls, first.queued) == (10.0, 4, 9)
    assert first.cpu_s < second.cpu_s
    assert first.memory_mib > 10
    # What came before the first look is not the test's.
    assert (first.loop_lag_ms, second.loop_lag_ms, third.loop_lag_ms) == (None, 1.0, None)


async def test_target_is_told_by_its_page_alone() -> None:
    """There are no processes of ours."""
    metrics = Metrics()
    metrics.live_streams.set(2)
    page = answering(200, metrics.render().decode())
    async with Lookout(URL, transport=page) as lookout:
        sample = await lookout.look(1.0, calls=3)
    assert sample is not None
    assert (sample.calls, sample.queued) == (2, 0)
    assert sample.cpu_s > 0


@pytest.mark.parametrize(
    "transport",
    [answering(404, "not found"), answering(200, "<html>"), httpx.MockTransport(fail)],
)
async def test_page_that_is_none_costs_its_figures_alone(transport: httpx.MockTransport) -> None:
    """Of a target nothing is known then; of a worker of our own what the system says."""
    async with Lookout(URL, transport=transport) as lookout:
        assert await lookout.look(1.0, calls=3) is None
    async with Lookout(URL, lambda: [os.getpid()], transport=transport) as lookout:
        sample = await lookout.look(1.0, calls=3)
    assert sample is not None
    assert (sample.calls, sample.queued, sample.loop_lag_ms) == (3, None, None)


async def test_worker_without_a_page_is_not_asked() -> None:
    """Nor is anything made of it."""
    async with Lookout(None) as lookout:
        assert await lookout.look(1.0, calls=1) is None
