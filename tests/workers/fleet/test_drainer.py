"""A worker empties itself: calls go elsewhere, then it may exit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import structlog
from structlog.testing import capture_logs

from tests.fakes import virtual_loop
from workers.fleet import drainer as module
from workers.fleet.drainer import Drainer


@dataclass
class Entry:
    call_sid: str
    stream_live: bool = True
    streams: int = 1


class World:
    """Calls end their stream ``leaves_s`` after they were told to, if that is no None."""

    def __init__(self, calls: int, *, drain_s: float = 300.0, leaves_s: float | None = 0.5) -> None:
        self.entries = [Entry(f"CA{number}") for number in range(calls)]
        self.leaves_s = leaves_s
        self.others_ready = 1
        self.awaited = False
        self.hurry = asyncio.Event()
        self.told: list[tuple[str, float]] = []
        loop = asyncio.get_running_loop()
        self.drainer = Drainer(
            drain_s,
            active=self.entries,
            awaited=lambda: self.awaited,
            others_ready=lambda: self.others_ready,
            hand_over=self.hand_over,
            clock=loop.time,
        )

    def hand_over(self, call_sid: str, limit_s: float) -> None:
        self.told.append((call_sid, limit_s))
        if self.leaves_s is not None:
            asyncio.get_running_loop().call_later(self.leaves_s, self.leave, call_sid)

    def leave(self, call_sid: str) -> None:
        for entry in self.entries:
            if entry.call_sid == call_sid:
                entry.stream_live = False


def played(play: Callable[[], Coroutine[None, None, None]]) -> list[dict[str, object]]:
    """Run a play without waiting; returns what was logged."""
    with capture_logs() as logs:
        # What was bound before keeps the processors it was bound with.
        module._log = structlog.get_logger("workers.fleet.drainer")
        virtual_loop.run(play())
    return [dict(line) for line in logs]


def test_thirty_calls_go_elsewhere_within_seconds() -> None:
    """Each is told once; beginning and end are logged."""

    async def play() -> None:
        world = World(30)
        began_at = asyncio.get_running_loop().time()
        assert await world.drainer.run(world.hurry) == 0
        assert asyncio.get_running_loop().time() - began_at <= 5
        assert sorted(sid for sid, _ in world.told) == sorted(e.call_sid for e in world.entries)

    logs = played(play)
    assert logs[0] == {
        "event": "drain.started",
        "live": 30,
        "others_ready": 1,
        "limit_s": 300.0,
        "log_level": "info",
    }
    assert sum(line["event"] == "drain.handing_over" for line in logs) == 30
    assert logs[-1]["event"] == "drain.done"
    assert (logs[-1]["handed_over"], logs[-1]["left"]) == (30, 0)


def test_first_call_waits_until_balancers_know() -> None:
    """Where it was said how long that takes."""

    async def play() -> None:
        world = World(1)
        world.drainer._settle_s = 3.0
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        await world.drainer.run(world.hurry)
        assert 3.5 <= loop.time() - began_at <= 3.8

    played(play)


def test_waiting_is_told_every_ten_seconds() -> None:
    """With what it waits for."""

    async def play() -> None:
        world = World(1)
        world.others_ready = 0
        asyncio.get_running_loop().call_later(35, world.leave, "CA0")
        await world.drainer.run(world.hurry)
        assert world.told == []

    logs = [line for line in played(play) if line["event"] == "drain.waiting"]
    assert [line["waits_for"] for line in logs] == ["no_other_worker"] * 3


def test_second_signal_is_obeyed_at_the_next_step() -> None:
    """All are forced, and what does not leave is left."""

    async def play() -> None:
        world = World(3, leaves_s=None)
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, world.hurry.set)
        began_at = loop.time()
        assert await world.drainer.run(world.hurry) == 3
        assert loop.time() - began_at <= 6.5
        assert sorted(world.told)[::2] == [("CA0", 0.0), ("CA1", 0.0), ("CA2", 0.0)]

    played(play)


def test_call_that_cannot_be_told_does_not_keep_the_others_here() -> None:
    """The mistake is logged."""

    async def play() -> None:
        world = World(2, drain_s=20.0)
        told = world.hand_over

        def hand_over(call_sid: str, limit_s: float) -> None:
            if call_sid == "CA0":
                raise RuntimeError("a bug")
            told(call_sid, limit_s)

        world.drainer._hand_over = hand_over
        assert await world.drainer.run(world.hurry) == 1
        assert [sid for sid, _ in world.told] == ["CA1"]

    assert any(line["event"] == "drain.hand_over_failed" for line in played(play))


def test_calls_without_a_stream_are_not_told() -> None:
    """Twilio asks about them, and is answered."""

    async def play() -> None:
        world = World(1)
        world.leave("CA0")
        world.awaited = True
        loop = asyncio.get_running_loop()
        loop.call_later(3, setattr, world, "awaited", False)
        began_at = loop.time()
        await world.drainer.run(world.hurry)
        assert world.told == []
        assert 3 <= loop.time() - began_at <= 3.3

    played(play)
