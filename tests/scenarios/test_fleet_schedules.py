"""Kills, stops, late questions and lost streams in any order: never two voices in one call."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from tests.scenarios.fleet.database import KINDS
from tests.scenarios.fleet.fleet import Fleet, fleet
from tests.scenarios.fleet.seen import CONTINUE, FleetCall
from tests.scenarios.fleet.talk import MODEL, QUESTIONS, greeted
from workers.twin.caller import (
    DropSocket,
    HangUp,
    LoseStream,
    Say,
    SecondStream,
    Step,
    WaitAgentDone,
    WaitSeconds,
)

pytestmark = [pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(500)]

CALLS = 25
"""Of each kind of database: fifty schedules in all."""
AT_ONCE = 13
# How long a worker may believe that a call is still its own: it asks once a second.
LEARNS_S = 3.0


def schedule(rng: random.Random) -> list[Step]:
    """A caller to whom things happen."""
    steps = [*greeted()]
    for text in QUESTIONS:
        # Nobody waits for ever: an answer may have been cut off.
        steps += [Say(text), WaitAgentDone(400, timeout_s=15), WaitSeconds(rng.uniform(0, 2))]
        match rng.randrange(12):
            case 0:
                steps.append(DropSocket(half_open=rng.random() < 0.5))
            case 1:
                steps.append(LoseStream(rng.randrange(200, 3_000)))
            case 2:
                steps.append(SecondStream())
            case 3:
                steps.append(HangUp())
    return [*steps, HangUp()]


async def harm(it: Fleet, rng: random.Random, over: asyncio.Event) -> None:
    """One worker after the other is killed, stopped for a while, or asked to leave."""
    names = ("w1", "w2", "w3")
    while not over.is_set():
        await asyncio.sleep(rng.uniform(1, 4))
        worker = it.workers[rng.choice(names)]
        what = rng.choice(("kill", "stop", "terminate"))
        print(f"{worker.name} {what}")
        if what == "kill":
            worker.kill()
        elif what == "stop":
            worker.stop()
            await asyncio.sleep(rng.uniform(0.5, 9))
            worker.cont()
            continue
        else:
            worker.terminate()
            with contextlib.suppress(TimeoutError):
                await worker.wait_gone(rng.uniform(1, 8))
        it.balancer.remove(worker.name)
        worker.end()
        await it.restart(worker.name)


async def pester(it: Fleet, rng: random.Random, call: FleetCall) -> None:
    """Ask again what was asked before, at any worker and any time."""
    while not call.is_over:
        await asyncio.sleep(rng.uniform(0.5, 5))
        asked = [*call.webhooks("/voice"), *call.webhooks(CONTINUE)]
        if asked and not call.is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    await it.repeat(call, rng.choice(asked), at=rng.choice(list(it.workers)))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_schedule_makes_two_voices(kind: str, tmp_path: Path) -> None:
    """Every call ends, by its caller or with a word to them, and only one worker ever speaks."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    agent = {"limits": {"answer_timeout_s": 5, "connect_timeout_s": 5, "takeovers": 8}}
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3"), seed=seed, agent=agent) as it:
        over, room = asyncio.Event(), asyncio.Semaphore(AT_ONCE)

        async def one() -> FleetCall:
            async with room:
                call = await it.ring(*schedule(rng), model=MODEL)
                asking = asyncio.create_task(pester(it, rng, call))
                try:
                    await call.wait(200)
                finally:
                    asking.cancel()
                return call

        harming = asyncio.create_task(harm(it, rng, over))
        try:
            calls = await asyncio.gather(*(one() for _ in range(CALLS)))
        finally:
            over.set()
            await asyncio.wait_for(harming, 60)
        for call in calls:
            result = await call.wait(5)
            assert result.two_voices() == [], call.sid
            assert all(
                pair.until_s - pair.from_s < LEARNS_S for pair in result.two_voices(unheard=True)
            ), call.sid
            assert result.status == "completed"
        print(f"{sum(call.streams for call in calls)} streams of {len(calls)} calls")
