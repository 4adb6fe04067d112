"""Leads a test whose callers are elsewhere: the shell around ``Conductor``.

Beside that it does what is done once for all of them: it looks at the worker, kills its processes,
keeps watch over its own clockwork where the simulated Live side runs on its loop, and adds up.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from workers.loadtest.arrivals import duration_s, wanted
from workers.loadtest.beside import Beside
from workers.loadtest.clockwork import Clockwork
from workers.loadtest.errors import LoadTestError
from workers.loadtest.machine import this_machine
from workers.loadtest.plan import Plan
from workers.loadtest.progress import Progress, Tally, cpu_ms_lately
from workers.loadtest.result import Generator, LoadResult
from workers.loadtest.shards.conductor import Command, Conductor, Send, WriteWav
from workers.loadtest.shards.merge import merged, worst_of
from workers.loadtest.shards.messages import FromLeader, FromShard
from workers.loadtest.under_test import UnderTest
from workers.loadtest.wavs import wav_file

MODEL: Final = "the simulated model"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gone:
    """A shard's process is, or the way to it; why, as the end of a sentence about it."""

    why: str


class Link(Protocol):
    """The way to all shards of a test; they have been asked to prepare."""

    async def send(self, index: int, message: FromLeader) -> None:
        """Tell one something, if it is there."""
        ...

    async def receive(self) -> tuple[int, FromShard | Gone]:
        """Return what the next one says, or that it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take.

    Attributes:
        prepare_s: Until every shard is ready.
        lead_s: Until a message has come to all of them.
        never: What it means where a shard never says a word, as a sentence.
    """

    prepare_s: float
    lead_s: float
    never: str = ""


class ShardedRun:
    """One test, to be run once; the like of ``LoadRun``.

    Args:
        plan: What is to be done.
        count: How many shards there are.
        link: The way to them.
        worker: Under test.
        wavs: The folder for the sound of the slowest calls.
        patience: How long things may take.
        models: Whether the simulated Live side runs on this loop.
        clock: Seconds, monotonic.
        wall: POSIX seconds.
    """

    def __init__(
        self,
        plan: Plan,
        count: int,
        link: Link,
        worker: UnderTest,
        *,
        wavs: Path,
        patience: Patience,
        models: bool,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._link = link
        self._folder = wavs
        self._models = models
        self._clock = clock
        self._wall = wall
        self._tally = Tally()
        self._conductor = Conductor(
            count,
            now_s=clock(),
            prepare_s=patience.prepare_s,
            lead_s=patience.lead_s,
            never=patience.never,
            on_call=self._tally.add,
        )
        self._start_s = clock()
        self._clockwork = Clockwork(clock=clock)
        self._beside = Beside(worker, plan.faults, at_s=self._at_s, calls=self._running)
        self._breaking_off: asyncio.Task[None] | None = None
        self.wavs: dict[int, Path] = {}
        """Sound of the slowest calls, by the number of the call."""

    @property
    def rest_urls(self) -> Sequence[str]:
        """The simulated Twilios there are by now."""
        return [shard.rest_url for shard in self._conductor.shards if shard.rest_url]

    def break_off(self) -> None:
        """Let no call begin any more, and every caller hang up."""
        if self._breaking_off is None:
            self._beside.kill_no_more()
            commands = self._conductor.break_off()
            self._breaking_off = asyncio.create_task(self._carry_out(commands), name="break off")

    async def run(self) -> LoadResult:
        """Run it to its end.

        Raises:
            LoadTestError: it cannot be made.
            asyncio.CancelledError: it was broken off before anybody called.
        """
        conductor = self._conductor
        await self._until(lambda: bool(conductor.begins_at or conductor.refused))
        if conductor.begins_at is None:
            if conductor.broken_off:
                raise asyncio.CancelledError
            raise LoadTestError(conductor.refused)
        # As the callers do, each in its own process.
        gc.collect()
        gc.freeze()
        try:
            self._start_s = self._clock() + conductor.begins_at - self._wall()
            await self._until(lambda: self._at_s() >= 0, due_s=self._start_s)
            self._clockwork.start()
            async with self._beside:
                await self._until(lambda: conductor.called)
            took_s, slip = self._at_s(), self._clockwork.stop()
        finally:
            self._clockwork.stop()
            gc.unfreeze()
        await self._until(lambda: conductor.over)
        machine = await asyncio.to_thread(this_machine)
        generators = [
            Generator(one.name, one.machine or machine, len(one.calls), one.slip, one.lost)
            for one in conductor.shards
        ]
        if self._models:
            generators.append(Generator(MODEL, machine, 0, slip))
        return merged(
            self._plan,
            [call for shard in conductor.shards for call in shard.calls],
            generators,
            began_at=datetime.fromtimestamp(conductor.begins_at, UTC),
            took_s=took_s,
            machine=machine,
            samples=self._beside.samples,
            kills_s=self._beside.kills_s,
            broken_off=conductor.broken_off,
        )

    @property
    def progress(self) -> Progress:
        """How it goes."""
        shards, tally, at_s = self._conductor.shards, self._tally, max(0.0, self._at_s())
        samples, begins_at = self._beside.samples, self._conductor.begins_at
        slips = [shard.slip for shard in shards]
        idle = begins_at is None or self._conductor.broken_off
        running, begun = self._running(), sum(shard.begun for shard in shards)
        return Progress(
            at_s=0.0 if begins_at is None else at_s,
            of_s=duration_s(self._plan.arrivals),
            wanted=0 if idle else wanted(self._plan.arrivals, at_s),
            running=running,
            # What shards say of themselves is a second old.
            waiting=max(0, begun - running - tally.ended),
            ended=tally.ended,
            refused=tally.refused,
            dropped=tally.dropped,
            delay_p50_ms=tally.delays.percentile(50.0),
            delay_p95_ms=tally.delays.percentile(95.0),
            gaps=tally.gaps,
            worst_gap_ms=tally.worst_gap_ms,
            cpu_ms=cpu_ms_lately(samples),
            memory_mib=samples[-1].memory_mib if samples else None,
            slip=worst_of([*slips, self._clockwork.slip] if self._models else slips),
        )

    def _at_s(self) -> float:
        return self._clock() - self._start_s

    def _running(self) -> int:
        return sum(shard.running for shard in self._conductor.shards)

    async def _until(self, there: Callable[[], bool], *, due_s: float = math.inf) -> None:
        """Take in what shards say until something is so, and look again at ``due_s``."""
        while not there():
            next_s = min(self._conductor.next_s, due_s)
            try:
                async with asyncio.timeout(max(0.0, next_s - self._clock())):
                    index, said = await self._link.receive()
            except TimeoutError:
                commands: list[Command] = []
            else:
                commands = self._take_in(index, said)
            now_s = self._clock()
            if now_s >= self._conductor.next_s:
                commands += self._conductor.tick(now_s=now_s, wall=self._wall())
            await self._carry_out(commands)

    def _take_in(self, index: int, said: FromShard | Gone) -> list[Command]:
        wall = self._wall()
        if not isinstance(said, Gone):
            try:
                return self._conductor.handle(index, said, now_s=self._clock(), wall=wall)
            except ValueError as error:
                said = Gone(f"does not keep to the order of things: {error}")
        _log.warning("loadtest.shard_gone", shard=index + 1, why=said.why)
        return self._conductor.gone(index, said.why, wall=wall)

    async def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Send(index, message):
                    await self._link.send(index, message)
                case WriteWav(number, data):
                    await asyncio.to_thread(self._write, number, data)

    def _write(self, number: int, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self.wavs.setdefault(number, wav_file(self._folder, number))
        with path.open("ab") as file:
            file.write(data)
