"""What is planted between callers and a worker is found again, over real sockets."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

import pytest

from tests.workers.loadtest.relay import relay
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
PLANTED_S = 0.05


class Here:
    async def measure(self, ended: Ended) -> CallMeasured:
        return await asyncio.to_thread(measure_ended, ended)


async def added_ms(folder: Path, *, down_s: float) -> list[float]:
    """The added delay of each answer, with the relay in front of the worker."""
    port, public = free_port(), free_port()
    start = own_worker(
        PLAN,
        log=folder / "worker.log",
        settings=load_settings(env_file=None),
        port=port,
        public_url=f"http://127.0.0.1:{public}",
    )
    async with relay(public, port, down_s=down_s), staged(PLAN, start) as stage:
        result = await LoadRun(PLAN, stage, Here()).run()
    if slipped := too_late(result.slip):
        # No report is made of such a test either.
        pytest.skip(slipped)
    return [
        one.delay_ms - one.model_ms
        for call in result.calls
        for one in call.answers
        if one.model_ms is not None
    ]


@pytest.mark.real_time
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_delay_that_is_planted_is_found_within_5_ms(tmp_path: Path) -> None:
    """50 ms on the way to the caller are 50 ms more of added delay, and nothing else is."""
    without = await added_ms(tmp_path, down_s=0.0)
    planted = await added_ms(tmp_path, down_s=PLANTED_S)
    assert min(len(without), len(planted)) >= LEAST_ANSWERS
    found_ms = statistics.median(planted) - statistics.median(without)
    assert found_ms == pytest.approx(1000 * PLANTED_S, abs=5.0)
