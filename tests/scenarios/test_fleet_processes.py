"""``evercall serve --processes``: one port, several processes, each of which may die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.scenarios.fleet.database import kinds
from tests.scenarios.fleet.fleet import fleet
from tests.scenarios.fleet.seen import got_through
from tests.scenarios.fleet.talk import MODEL, greeted, questions
from tests.scenarios.rig import until
from workers.twin.caller import HangUp, WaitSeconds

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_processes_get_equally_many_calls(kind: str, tmp_path: Path) -> None:
    """Left to the kernel, one of two gets nearly all that come at once."""
    async with fleet(tmp_path, kind=kind, workers=("both",), options=("--processes", "2")) as it:
        async with asyncio.timeout(20):
            while len(await it.store.list_workers()) < 2:  # noqa: ASYNC110  a store tells nobody
                await asyncio.sleep(0.1)
        core = min(os.sched_getaffinity(0))
        for child in it.workers["both"].children():
            # Where whoever is awake stays awake, as on a busy machine.
            os.sched_setaffinity(child.pid, {core})
        talk = (*greeted(), *questions(1), WaitSeconds(4), HangUp())
        calls = []
        for _ in range(4):
            calls.append(await it.ring(*talk, model=MODEL))
            # The first call takes a process longer to begin than another waits for it.
            await asyncio.sleep(0.5)
        calls += [await it.ring(*talk, model=MODEL) for _ in range(8)]
        await asyncio.gather(*(call.until_answers(1) for call in calls))
        owners = Counter([(await it.row(call)).owner for call in calls])
        results = await asyncio.gather(*(call.wait(40) for call in calls))
        assert all(got_through(result) for result in results)
        assert len(owners) == 2
        assert min(owners.values()) >= 4, owners


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_calls_go_on_when_one_of_two_processes_is_killed(kind: str, tmp_path: Path) -> None:
    """Those of the dead one at the other; it is started again, and the parent leaves in order."""
    async with fleet(tmp_path, kind=kind, workers=("both",), options=("--processes", "2")) as it:
        parent = it.workers["both"]
        await until(lambda: len(parent.children()) == 2, timeout_s=20)
        calls = [
            await it.ring(
                *greeted(),
                *questions(1),
                WaitSeconds(4),
                *questions(1, first=1),
                HangUp(),
                model=MODEL,
            )
            for _ in range(6)
        ]
        await asyncio.gather(*(call.until_answers(2) for call in calls))
        owner = (await it.row(calls[0])).owner
        (pid,) = [row.pid for row in await it.store.list_workers() if row.worker == owner]
        assert pid in [child.pid for child in parent.children()]
        os.kill(pid, signal.SIGKILL)
        results = await asyncio.gather(*(call.wait(40) for call in calls))
        assert all(got_through(result) for result in results)
        assert calls[0].streams == 2
        for call, result in zip(calls, results, strict=True):
            assert result.two_voices(unheard=True) == []
            streams = (await it.record(call)).streams
            assert len(streams) == call.streams
        # Back-off and start.
        await until(
            lambda: len({child.pid for child in parent.children()} - {pid}) == 2, timeout_s=30
        )
        parent.terminate()
        assert await parent.wait_gone(20) == 0
