"""What a shard does as it is told: in this process, through a pair of pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator

import pytest

from workers.loadtest.arrivals import Part
from workers.loadtest.measured import Ending
from workers.loadtest.plan import Arrivals, Faults, LiveSide, Plan, Target
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    Going,
    Left,
    Message,
    Prepare,
    Ready,
    SendWavs,
    TimeTold,
    WhatTime,
)
from workers.loadtest.shards.pipe import Pipe, pipe_of
from workers.loadtest.shards.shard import serve_shard
from workers.loadtest.stage import DEMO_ACCOUNT
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import decode_sums

PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[str]:
    """A target that is there, and takes no call."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot"


def prepare(url: str, *, hold_s: float = 4.0) -> Prepare:
    plan = Plan(
        target=Target(voice_url=url),
        live=LiveSide.SERVICE,
        arrivals=Arrivals(calls=4, hold_s=hold_s, rise_s=0.0),
        call_s=hold_s,
        faults=Faults(kills_every_s=0.1),
    )
    return Prepare(plan, Part(1, 2))


class Leader:
    """The other end of a shard's pipe."""

    def __init__(self, pipe: Pipe, write_fd: int, serving: asyncio.Task[None]) -> None:
        self.pipe = pipe
        self.write_fd = write_fd
        self.serving = serving

    async def until(self, kind: type[Message]) -> list[Message]:
        """What the shard says, up to the first of a kind."""
        heard: list[Message] = []
        async with asyncio.timeout(PATIENCE_S):
            while not heard or not isinstance(heard[-1], kind | Failed):
                said = await self.pipe.receive()
                assert said is not None, heard
                heard.append(said)
        return heard

    async def failed(self) -> str:
        """Why it has taken its leave."""
        last = (await self.until(Failed))[-1]
        assert isinstance(last, Failed)
        await self.left()
        return last.why

    async def left(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.serving

    async def begun(self, first: Prepare) -> None:
        self.pipe.send(first)
        assert isinstance((await self.until(Ready))[-1], Ready)
        self.pipe.send(WhatTime(1.5))
        told = (await self.until(TimeTold))[-1]
        assert isinstance(told, TimeTold)
        assert told.asked == 1.5
        assert abs(told.told - time.time()) < 5
        self.pipe.send(Begin(time.time() + 0.2))


@contextlib.asynccontextmanager
async def shard() -> AsyncIterator[Leader]:
    there_read, here_write = os.pipe()
    here_read, there_write = os.pipe()
    theirs, ours = await pipe_of(there_read, there_write), await pipe_of(here_read, here_write)
    serving = asyncio.create_task(serve_shard(theirs, lambda _plan: DEMO_ACCOUNT))
    try:
        yield Leader(ours, here_write, serving)
    finally:
        ours.close()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({serving})
        theirs.close()


async def test_part_of_a_test_from_beginning_to_end() -> None:
    """Its calls are told one by one and once more in sum, and nothing follows its leave."""
    async with refusing() as url, shard() as leader:
        await leader.begun(prepare(url))
        heard = await leader.until(Finished)
        calls = [one.call for one in heard if isinstance(one, CallOver)]
        assert [call.number for call in calls][:2] == [2, 4]
        assert all(call.number % 2 == 0 for call in calls)
        assert {call.ending for call in calls} == {Ending.REFUSED}
        assert any(isinstance(one, Going) for one in heard)
        finished = heard[-1]
        assert isinstance(finished, Finished)
        assert decode_sums(dict(finished.sums)).endings == sums_of(calls).endings
        leader.pipe.send(SendWavs((2,)))
        assert isinstance((await leader.until(Left))[-1], Left)
        await leader.left()


async def test_leader_that_is_gone_ends_the_calls() -> None:
    """As a Ctrl-C would; nobody is left to be told."""
    async with refusing() as url, shard() as leader:
        await leader.begun(prepare(url, hold_s=300.0))
        await leader.until(CallOver)
        leader.pipe.close()
        await leader.left()


async def test_it_is_broken_off_before_it_began() -> None:
    """Then nobody calls."""
    async with refusing() as url, shard() as leader:
        leader.pipe.send(prepare(url))
        await leader.until(Ready)
        leader.pipe.send(BreakOff())
        assert await leader.failed() == "It was broken off."


async def test_it_is_broken_off_as_it_begins() -> None:
    """What comes with the order to begin is not lost."""
    async with refusing() as url, shard() as leader:
        await leader.begun(prepare(url, hold_s=300.0))
        leader.pipe.send(BreakOff())
        assert isinstance((await leader.until(Finished))[-1], Finished)


async def test_order_that_comes_twice_ends_it() -> None:
    """Whoever leads it does not know what it does; nobody goes on alone."""
    async with refusing() as url, shard() as leader:
        await leader.begun(prepare(url, hold_s=300.0))
        leader.pipe.send(Begin(time.time()))
        assert await leader.failed() == "Begin is nothing to be told now."


async def test_order_that_comes_too_late_is_refused() -> None:
    """The others would be ahead of it."""
    async with refusing() as url, shard() as leader:
        leader.pipe.send(prepare(url))
        await leader.until(Ready)
        leader.pipe.send(Begin(time.time() - 3.0))
        assert (await leader.failed()).startswith("It was told to begin 3.")


async def test_target_that_cannot_be_reached_from_there() -> None:
    """From the host of the leader it may be."""
    async with shard() as leader:
        leader.pipe.send(prepare("http://127.0.0.1:9/voice"))
        assert "cannot be reached: the connection was refused" in await leader.failed()


@pytest.mark.parametrize(
    ("said", "why"),
    [(b'{"kind": "Sing"}\n', "is it another version?"), (b"{}\n", "is it another version?")],
)
async def test_what_it_does_not_understand(said: bytes, why: str) -> None:
    """It says so, and leaves."""
    async with shard() as leader:
        os.write(leader.write_fd, said)
        assert why in await leader.failed()


async def test_other_order_of_things() -> None:
    """Nothing is begun that was not prepared."""
    async with shard() as leader:
        leader.pipe.send(Begin(1.0))
        assert await leader.failed() == "Begin is nothing to begin with."


async def test_nobody_says_anything() -> None:
    """It leaves with whoever started it."""
    async with shard() as leader:
        leader.pipe.close()
        await leader.left()
