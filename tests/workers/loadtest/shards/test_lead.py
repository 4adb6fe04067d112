"""A test is led to its end with shards that are none: what they say is written here."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import pytest

from tests.workers.loadtest.measured_samples import answered, call
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import CallMeasured, Ending, OwnSlip
from workers.loadtest.plan import Arrivals, Plan
from workers.loadtest.result import Machine
from workers.loadtest.shards.lead import MODEL, Gone, Patience, ShardedRun
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    FromLeader,
    FromShard,
    Going,
    Left,
    Ready,
    SendWavs,
    TimeTold,
    WavPiece,
    WhatTime,
)
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import encode_sums
from workers.loadtest.under_test import UnderTest

MACHINE = Machine("Any", 4, "3.11.9", "0.1.0")
GOOD, LATE = OwnSlip(900, 0.4, 2.0, 0.0), OwnSlip(900, 9.0, 30.0, 0.02)
PLAN = Plan(arrivals=Arrivals(calls=2, hold_s=1.0, rise_s=0.0), call_s=1.0)
PATIENCE = Patience(prepare_s=5.0, lead_s=0.05)
NOBODY = UnderTest("http://127.0.0.1:9/voice")


class Script:
    """Two shards; the first makes call 1, the second call 2."""

    def __init__(self, *, stays: bool = False, dies: bool = False) -> None:
        self.said: asyncio.Queue[tuple[int, FromShard | Gone]] = asyncio.Queue()
        self.heard: list[tuple[int, FromLeader]] = []
        self._stays = stays
        self._dies = dies
        for index in range(2):
            self.say(index, Ready(f"host-{index}", MACHINE, f"http://{index}"))

    def say(self, index: int, *said: FromShard | Gone) -> None:
        for one in said:
            self.said.put_nowait((index, one))

    async def send(self, index: int, message: FromLeader) -> None:
        self.heard.append((index, message))
        match message:
            case WhatTime(asked):
                self.say(index, TimeTold(asked, time.time()))
            case Begin() if self._dies and index:
                self.say(index, Gone("ended by itself: signal SIGKILL"))
            case Begin():
                self.say(index, Going(1, 1, GOOD))
                if not self._stays:
                    self._finish(index, Ending.COMPLETED)
            case BreakOff():
                self._finish(index, Ending.STOPPED)
            case SendWavs(numbers):
                pieces = [base64.b64encode(piece).decode() for piece in (b"RIFF", b"-more")]
                self.say(index, *(WavPiece(n, piece) for n in numbers for piece in pieces), Left())

    async def receive(self) -> tuple[int, FromShard | Gone]:
        return await self.said.get()

    def _finish(self, index: int, ending: Ending) -> None:
        one = self.made(index, ending)
        slip = LATE if index else GOOD
        self.say(index, CallOver(one), Finished(slip, encode_sums(sums_of([one]))))

    def made(self, index: int, ending: Ending) -> CallMeasured:
        return call(
            index + 1, began_s=0.1 * index, duration_s=0.5, ending=ending, answers=answered(30.0)
        )


def led(script: Script, folder: Path, *, models: bool = False) -> ShardedRun:
    return ShardedRun(PLAN, 2, script, NOBODY, wavs=folder, patience=PATIENCE, models=models)


async def test_what_shards_have_found_is_one_result(tmp_path: Path) -> None:
    """Calls, clocks and sound of all; and how it goes in sum."""
    script = Script()
    run = led(script, tmp_path / "calls", models=True)
    assert run.progress.at_s == 0
    async with asyncio.timeout(10):
        result = await run.run()
    assert [(one.number, one.calls_at_once) for one in result.calls] == [(1, 1), (2, 2)]
    assert [(one.name, one.calls, one.slip) for one in result.generators[:2]] == [
        ("callers 1 of 2 on host-0", 1, GOOD),
        ("callers 2 of 2 on host-1", 1, LATE),
    ]
    assert result.generators[2].name == MODEL
    assert result.slip.late_share >= LATE.late_share
    assert {number: file.read_bytes() for number, file in run.wavs.items()} == {
        1: b"RIFF-more",
        2: b"RIFF-more",
    }
    assert (run.progress.ended, run.progress.running) == (2, 0)
    assert run.rest_urls == ["http://0", "http://1"]
    assert not result.broken_off


async def test_test_that_is_broken_off_is_one(tmp_path: Path) -> None:
    """Each shard has its callers hang up, and finishes."""
    run = led(Script(stays=True), tmp_path)
    running = asyncio.create_task(run.run())
    async with asyncio.timeout(10):
        while run.progress.running < 2:  # noqa: ASYNC110  figures tell nobody
            await asyncio.sleep(0.02)
        run.break_off()
        run.break_off()
        result = await running
    assert result.broken_off
    assert [one.ending for one in result.calls] == [Ending.STOPPED] * 2


async def test_shard_that_dies_ends_it(tmp_path: Path) -> None:
    """The others hang up; nobody has broken it off."""
    async with asyncio.timeout(10):
        result = await led(Script(stays=True, dies=True), tmp_path).run()
    assert [one.lost for one in result.generators] == [
        "",
        "Callers 2 of 2 on host-1 ended by itself: signal SIGKILL.",
    ]
    assert [one.ending for one in result.calls] == [Ending.STOPPED]
    assert not result.broken_off


async def test_shard_that_cannot_begin_makes_no_test(tmp_path: Path) -> None:
    """There is nothing to report."""
    script = Script()
    script.said = asyncio.Queue()
    script.say(1, Failed("http://x cannot be reached."))
    with pytest.raises(LoadTestError, match=r"^Callers 2 of 2 failed: http://x cannot be reached"):
        await led(script, tmp_path).run()


async def test_shard_that_talks_nonsense_makes_no_test(tmp_path: Path) -> None:
    """It is named with what it said."""
    script = Script()
    script.said = asyncio.Queue()
    script.say(0, Left())
    with pytest.raises(LoadTestError, match="does not keep to the order of things"):
        await led(script, tmp_path).run()


async def test_test_that_nobody_has_begun_is_left_without_a_report(tmp_path: Path) -> None:
    """As where one process makes it."""
    script = Script()
    script.said = asyncio.Queue()
    run = led(script, tmp_path)
    running = asyncio.create_task(run.run())
    await asyncio.sleep(0.05)
    run.break_off()
    script.say(0, Failed("It was broken off."))
    async with asyncio.timeout(10):
        await asyncio.wait({running})
    assert running.cancelled()
