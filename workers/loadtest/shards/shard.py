"""One shard of a test: makes its part of the calls as it is told to through a pipe.

It leaves when it is told to, and has its callers hang up where whoever leads the test is gone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from workers.loadtest.errors import LoadTestError
from workers.loadtest.machine import this_machine
from workers.loadtest.measured import OwnSlip
from workers.loadtest.measuring import Measuring
from workers.loadtest.plan import Plan
from workers.loadtest.run import LoadRun
from workers.loadtest.shards.conductor import SILENT_S
from workers.loadtest.shards.desk import AtDesk
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    Going,
    Hold,
    Left,
    Prepare,
    Ready,
    SendWavs,
    TimeTold,
    WavPiece,
    WhatTime,
)
from workers.loadtest.shards.pipe import Pipe
from workers.loadtest.stage import Account, Stage, ends_of, telephones
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import encode_sums
from workers.loadtest.under_test import UnderTest, given_target
from workers.loadtest.wavs import SlowestWavs

GOING_S: Final = 1.0
"""So often a shard says how it goes."""
LATE_S: Final = 0.5
"""A test may begin so long after its time; later the others would be ahead of it."""
PIECE_BYTES: Final = 2**20
_NO_SLIP: Final = OwnSlip(0, 0.0, 0.0, 0.0)

AccountOf = Callable[[Plan], Account]


async def serve_shard(pipe: Pipe, account_of: AccountOf) -> None:
    """Do what the first message asks to be prepared, to its end.

    Args:
        pipe: To whoever leads the test.
        account_of: The Twilio account that a plan's worker believes in.
    """
    try:
        first = await pipe.receive()
        if first is None:
            return
        if not isinstance(first, Prepare):
            raise LoadTestError(f"{type(first).__name__} is nothing to begin with.")
        await _serve(pipe, first, account_of(first.plan))
        pipe.send(Left())
    except LoadTestError as error:
        pipe.send(Failed(str(error)))
    except ValueError as error:
        pipe.send(Failed(f"It does not know what it was told ({error}): is it another version?"))
    with contextlib.suppress(OSError):
        await pipe.drain()


async def _serve(pipe: Pipe, prepare: Prepare, account: Account) -> None:
    with TemporaryDirectory(prefix="evercall-shard-") as folder:
        wavs = SlowestWavs(Path(folder))
        async with _staged(prepare, account) as stage, Measuring() as measuring:
            machine = await asyncio.to_thread(this_machine)
            pipe.send(Ready(platform.node(), machine, stage.twilio.base_url))
            orders = _Orders(pipe)
            async with orders:
                at = await orders.begin()
                late_s = time.time() - at
                if late_s > LATE_S:
                    raise LoadTestError(f"It was told to begin {late_s:.1f} s after the moment.")
                run = LoadRun(
                    _plan_of(prepare),
                    stage,
                    measuring,
                    wavs=wavs,
                    part=prepare.part,
                    begins_at_s=time.monotonic() - late_s,
                    on_measured=lambda call: pipe.send(CallOver(call)),
                )
                orders.follow(run)
                result = await run.run()
                pipe.send(Finished(result.slip, encode_sums(sums_of(result.calls))))
                await _send_wavs(pipe, wavs, await orders.wavs())


def _plan_of(prepare: Prepare) -> Plan:
    """Return the plan without what the leader sees to."""
    plan = prepare.plan
    return replace(plan, faults=replace(plan.faults, kills_every_s=0.0))


@asynccontextmanager
async def _staged(prepare: Prepare, account: Account) -> AsyncIterator[Stage]:
    """Start telephones of one's own, and find the worker."""
    own, target = prepare.own, prepare.plan.target.voice_url
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(telephones(account))
        if own is not None:
            at_desk = AtDesk(own.desk)
            worker = UnderTest(own.voice_url, own.status_url, reset_gaps_ms=at_desk.reset_gaps_ms)
            yield Stage(twilio, at_desk, worker)
            return
        assert target is not None
        ends = ends_of(account, twilio.base_url, None)
        worker = await stack.enter_async_context(given_target(target)(ends))
        # Who leads the test looks at it.
        yield Stage(twilio, None, replace(worker, metrics_url=None))


async def _send_wavs(pipe: Pipe, wavs: SlowestWavs, numbers: Sequence[int]) -> None:
    for number in numbers:
        file = wavs.files.get(number)
        if file is None:
            continue
        data = await asyncio.to_thread(file.read_bytes)
        for at in range(0, len(data), PIECE_BYTES):
            piece = base64.b64encode(data[at : at + PIECE_BYTES]).decode("ascii")
            pipe.send(WavPiece(number, piece))
            await pipe.drain()


class _Orders:
    """What comes through the pipe; use as an async context manager, which says how it goes."""

    def __init__(self, pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        self._pipe = pipe
        self._begin: asyncio.Future[float] = loop.create_future()
        self._wavs: asyncio.Future[tuple[int, ...]] = loop.create_future()
        self._run: LoadRun | None = None
        self._broken_off = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="orders"),
            asyncio.create_task(self._tell(), name="going"),
        ]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def begin(self) -> float:
        """Wait for the time at which it begins, POSIX seconds.

        Raises:
            LoadTestError: it does not.
        """
        return await self._begin

    def follow(self, run: LoadRun) -> None:
        """Break this one off when that is asked for, or was already, and say how it goes."""
        self._run = run
        if self._broken_off:
            run.break_off()

    async def wavs(self) -> tuple[int, ...]:
        """Wait for the calls whose sound is wanted.

        Raises:
            LoadTestError: nobody is there any more.
        """
        return await self._wavs

    async def _listen(self) -> None:
        why = LoadTestError("Whoever leads the test is gone.")
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    message = await self._pipe.receive()
                match message:
                    case None:
                        break
                    case WhatTime(asked):
                        self._pipe.send(TimeTold(asked, time.time()))
                    case Begin(at) if not self._begin.done():
                        self._begin.set_result(at)
                    case BreakOff():
                        self._break_off(LoadTestError("It was broken off."))
                    case SendWavs(numbers) if not self._wavs.done():
                        self._wavs.set_result(numbers)
                    case Hold():
                        pass
                    case _:
                        why = LoadTestError(f"{type(message).__name__} is nothing to be told now.")
                        break
        except (OSError, ValueError) as error:
            why.__cause__ = error
        self._break_off(why)
        if not self._wavs.done():
            _fail(self._wavs, why)

    def _break_off(self, why: LoadTestError) -> None:
        self._broken_off = True
        if self._run is not None:
            self._run.break_off()
        elif not self._begin.done():
            _fail(self._begin, why)

    async def _tell(self) -> None:
        while True:
            run = self._run
            if run is None:
                self._pipe.send(Going(0, 0, _NO_SLIP))
            else:
                now = run.progress
                begun = now.running + now.waiting + now.ended
                self._pipe.send(Going(now.running, begun, now.slip))
            await asyncio.sleep(GOING_S)


def _fail(future: asyncio.Future[Any], why: LoadTestError) -> None:
    future.set_exception(why)
    # It may be that nobody waits for it any more, and asyncio would complain.
    future.exception()
