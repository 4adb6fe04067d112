"""What is planted between callers and a worker is found again, over real sockets."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

import pytest

from tests.workers.loadtest.relay import Done, Planted, relay
from workers.entrypoints.free_port import free_port
from workers.entrypoints.loadtest_worker import own_worker
from workers.loadtest.clockwork import too_late
from workers.loadtest.measured import CallMeasured
from workers.loadtest.measuring import Ended, measure_ended
from workers.loadtest.plan import Arrivals, Plan
from workers.loadtest.run import LoadRun
from workers.loadtest.stage import staged
from workers.settings import load_settings

# Where a call's frames fall within 20 ms is chance: so many answers have a median good to 2 ms.
PLAN = Plan(arrivals=Arrivals(calls=6, hold_s=35.0, rise_s=1.0), call_s=35.0)
LEAST_ANSWERS = 18

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Here:
    async def measure(self, ended: Ended) -> CallMeasured:
        return await asyncio.to_thread(measure_ended, ended)


async def calls_with(planted: Planted, folder: Path) -> tuple[tuple[CallMeasured, ...], Done]:
    """The calls of a test with the relay in front of the worker, and what the relay did."""
    port, public = free_port(), free_port()
    start = own_worker(
        PLAN,
        log=folder / "worker.log",
        settings=load_settings(env_file=None),
        port=port,
        public_url=f"http://127.0.0.1:{public}",
    )
    async with relay(public, port, planted) as done, staged(PLAN, start) as stage:
        result = await LoadRun(PLAN, stage, Here()).run()
    if slipped := too_late(result.slip):
        # No report is made of such a test either.
        pytest.skip(slipped)
    return result.calls, done


async def added_ms(planted: Planted, folder: Path) -> list[float]:
    """The added delay of each answer."""
    calls, _ = await calls_with(planted, folder)
    return [
        one.delay_ms - one.model_ms
        for call in calls
        for one in call.answers
        if one.model_ms is not None
    ]


async def test_delay_that_is_planted_is_found_within_5_ms(tmp_path: Path) -> None:
    """50 ms on the way to the caller are 50 ms more of added delay, and nothing else is."""
    without = await added_ms(Planted(), tmp_path)
    planted = await added_ms(Planted(down_s=0.05), tmp_path)
    assert min(len(without), len(planted)) >= LEAST_ANSWERS
    found_ms = statistics.median(planted) - statistics.median(without)
    assert found_ms == pytest.approx(50.0, abs=5.0)


async def test_loss_that_is_planted_is_found_within_a_thousandth(tmp_path: Path) -> None:
    """One frame of the caller in a hundred is lost; none of the agent's is."""
    calls, done = await calls_with(Planted(loses_every=100), tmp_path)
    sent = sum(call.caller_frames.sent for call in calls)
    lost = sum(call.caller_frames.lost for call in calls)
    assert sent == pytest.approx(done.passed, rel=0.02)
    assert done.lost == done.passed // 100 > 0
    assert lost / sent == pytest.approx(0.01, abs=0.001)
    assert sum(call.agent_frames.lost for call in calls) == 0


async def test_gap_that_is_planted_is_found_within_10_ms(tmp_path: Path) -> None:
    """100 ms of silence in the middle of an utterance are a gap of 100 ms, each time."""
    calls, _ = await calls_with(Planted(gap_every=40), tmp_path)
    gaps = [gap.ms for call in calls for gap in call.gaps]
    assert len(gaps) >= LEAST_ANSWERS
    assert all(gap == pytest.approx(100.0, abs=10.0) for gap in gaps), gaps
    assert sum(call.caller_frames.lost for call in calls) == 0
