"""What goes on beside the calls of a test: looks at its worker, and kills of its processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

import structlog

from workers.loadtest.lookout import LOOK_S, Lookout
from workers.loadtest.measured import WorkerSample
from workers.loadtest.plan import Faults
from workers.loadtest.under_test import UnderTest

_log: Final = structlog.get_logger(__name__)


class Beside:
    """Use as an async context manager, from the first call to the last; the last look is at exit.

    Args:
        worker: Whose processes they are; where they are somebody else's, nothing is killed.
        faults: What goes wrong.
        at_s: Now, in seconds of the test.
        calls: How many there are now.
    """

    def __init__(
        self,
        worker: UnderTest,
        faults: Faults,
        *,
        at_s: Callable[[], float],
        calls: Callable[[], int],
    ) -> None:
        self._worker = worker
        self._kills_every_s = faults.kills_every_s
        self._at_s = at_s
        self._calls = calls
        self._lookout = Lookout(worker.metrics_url, worker.pids)
        self._tasks: list[asyncio.Task[None]] = []
        self._no_more = False
        self.samples: list[WorkerSample] = []
        """Looks so far."""
        self.kills_s: list[float] = []
        """When a process was killed, in seconds of the test."""

    async def __aenter__(self) -> Beside:
        self._tasks = [
            asyncio.create_task(self._look(), name="lookout"),
            asyncio.create_task(self._kill(), name="kills"),
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        async with self._lookout:
            if kind is None:
                await self._take_sample()

    def kill_no_more(self) -> None:
        """Leave the worker's processes alone from now on."""
        self._no_more = True

    async def _look(self) -> None:
        while True:
            await self._take_sample()
            await asyncio.sleep(LOOK_S)

    async def _take_sample(self) -> None:
        sample = await self._lookout.look(self._at_s(), calls=self._calls())
        if sample is not None:
            self.samples.append(sample)

    async def _kill(self) -> None:
        """Kill one process of the worker after the other, as the plan says."""
        while self._kills_every_s > 0:
            await asyncio.sleep(self._kills_every_s)
            if self._no_more:
                return
            pids = sorted(self._worker.pids())
            # Calls go on at another one; where there is none, they end, which proves nothing.
            if len(pids) < 2:
                _log.warning("loadtest.not_killed", processes=len(pids))
                continue
            pid = pids[len(self.kills_s) % len(pids)]
            self.kills_s.append(self._at_s())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _log.info("loadtest.killed", pid=pid, at_s=round(self.kills_s[-1], 2))
