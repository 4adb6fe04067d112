"""The queue of calls: who leaves it when, and who is not let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from workers.twin.twilio_api.call_queue import CallQueue, QueueFull


class Time:
    """A clock, and the one timer that a queue has at a time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.due_s: float | None = None
        self._what: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now_s

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        assert self.due_s is None
        self.due_s, self._what = self.now_s + delay_s, what

    def pass_until(self, at_s: float) -> None:
        while self.due_s is not None and self.due_s <= at_s:
            self.now_s, self.due_s = self.due_s, None
            self._what()
        self.now_s = at_s


def queue(per_second: float | None, *, speed: float = 1.0) -> tuple[CallQueue, Time]:
    time = Time()
    return CallQueue(per_second, speed=speed, clock=time.clock, later=time.later), time


async def test_calls_leave_in_order_at_the_rate() -> None:
    """The first goes at once, each further one when its time has come, and all know how long."""
    calls, time = queue(2)
    turns = [calls.join() for _ in range(4)]
    assert [queued_ms for _, queued_ms in turns] == [0, 500, 1000, 1500]
    left = []
    for at_s in (100.0, 100.4, 100.6, 101.1, 101.6):
        time.pass_until(at_s)
        left.append([turn.done() for turn, _ in turns])
    assert left == [
        [True, False, False, False],
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
    assert len(calls) == 0
    time.pass_until(200)
    assert calls.join()[1] == 0


async def test_idle_time_is_not_saved_up() -> None:
    """After a pause one call goes at once, not as many as the pause would have let go."""
    calls, time = queue(1)
    calls.join()
    time.pass_until(500)
    assert [calls.join()[0].done() for _ in range(3)] == [True, False, False]


async def test_faster_time_drains_faster_and_tells_its_own_time() -> None:
    """At speed 10, ten calls of one a second take a second of the clock."""
    calls, time = queue(1, speed=10)
    turns = [calls.join() for _ in range(11)]
    assert turns[-1][1] == 10_000
    time.pass_until(100.95)
    assert sum(turn.done() for turn, _ in turns) == 10
    time.pass_until(101.05)
    assert all(turn.done() for turn, _ in turns)


async def test_cancelled_call_gives_its_place_to_the_next() -> None:
    """It takes no turn, and nobody waits behind it."""
    calls, time = queue(1)
    turns = [calls.join()[0] for _ in range(3)]
    turns[1].cancel()
    await asyncio.sleep(0)
    assert len(calls) == 1
    time.pass_until(101)
    assert turns[2].done()


async def test_more_than_a_day_of_calls_is_refused() -> None:
    """86,400 wait at one a second; the next is not taken."""
    calls, _ = queue(1)
    for _ in range(86_401):
        calls.join()
    with pytest.raises(QueueFull):
        calls.join()


async def test_without_a_rate_nobody_waits() -> None:
    """All go at once."""
    calls, _ = queue(None)
    assert all(calls.join()[0].done() for _ in range(100))
