"""Calls write together: nobody is forgotten, nobody waits for long, nobody is kept."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest
import uvloop

from workers.call.ticks import TICK_S, Ticks

LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)
whose: contextvars.ContextVar[object] = contextvars.ContextVar("whose", default=None)


class Inline(Executor):
    """Does at once what it is given, and counts it; may refuse it."""

    def __init__(self) -> None:
        self.submitted = 0
        self.refuses = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        if self.refuses:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.submitted += 1
        fn(*args, **named)
        return Future()


class Writer:
    """Notes when it wrote."""

    def __init__(self) -> None:
        self.copied_s: list[float] = []
        self.written = 0
        self.context: object = None
        self.then: Callable[[], None] = lambda: None

    def copied(self) -> Callable[[], None]:
        self.copied_s.append(asyncio.get_running_loop().time())
        self.context = whose.get()
        self.then()
        return self._write

    def _write(self) -> None:
        self.written += 1


@pytest.fixture
def executor() -> Inline:
    return Inline()


@pytest.fixture
def ticks(executor: Inline) -> Ticks:
    return Ticks(executor)


async def wait_for(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  plain data
            await asyncio.sleep(0.01)


async def test_all_that_want_to_write_do_it_in_one_job(ticks: Ticks, executor: Inline) -> None:
    """One job for each tick, whoever was first."""
    writers = [Writer() for _ in range(5)]
    for writer in writers:
        ticks.call_at(0.0, writer)
        ticks.call_at(0.0, writer)
    await wait_for(lambda: all(writer.written for writer in writers))
    assert [writer.written for writer in writers] == [1] * 5
    assert executor.submitted == 1


async def test_nobody_writes_before_they_may(ticks: Ticks) -> None:
    """And whoever wants to write sooner than they once did is not kept waiting."""
    now = asyncio.get_running_loop().time()
    late, soon = Writer(), Writer()
    ticks.call_at(now + 1.2, late)
    ticks.call_at(now + 60, soon)
    ticks.call_at(now, soon)
    await wait_for(lambda: late.written)
    assert now <= soon.copied_s[0] <= now + TICK_S + 0.3
    assert late.copied_s[0] >= now + 1.2
    assert soon.written == 1


async def test_who_cancels_does_not_write(ticks: Ticks) -> None:
    """The others do."""
    gone, other = Writer(), Writer()
    ticks.call_at(0.0, gone)
    ticks.call_at(0.0, other)
    ticks.cancel(gone)
    await wait_for(lambda: other.written)
    assert gone.copied_s == []


async def test_who_goes_on_is_asked_again(ticks: Ticks) -> None:
    """What is wanted in the middle of a tick is not lost with it."""
    writer = Writer()
    writer.then = lambda: ticks.call_at(writer.copied_s[-1] + 0.1, writer)
    ticks.call_at(0.0, writer)
    await wait_for(lambda: writer.written == 3)


@pytest.mark.parametrize("loop", LOOPS)
def test_stalled_loop_forgets_nobody(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Its next tick has passed by then, and uvloop's timers for the past know no time."""

    async def run() -> None:
        ticks = Ticks(Inline())
        first, second, third = Writer(), Writer(), Writer()
        now = asyncio.get_running_loop().time()
        ticks.call_at(now, first)
        ticks.call_at(now + TICK_S, second)
        first.then = lambda: time.sleep(1.5 * TICK_S)

        def stall() -> None:
            ticks.call_at(0.0, third)

        while not first.copied_s:  # noqa: ASYNC110  in the very pass in which it is noticed
            await asyncio.sleep(0)
        stall()
        await wait_for(lambda: first.written and second.written and third.written)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def test_call_that_is_over_is_not_kept(ticks: Ticks) -> None:
    """Its context holds its session, and the names that are logged."""

    class Session:
        pass

    other = Writer()
    other.then = lambda: ticks.call_at(0.0, other)

    async def first_call() -> weakref.ref[Session]:
        session = Session()
        whose.set(session)
        ticks.call_at(0.0, Writer())
        ticks.call_at(0.0, other)
        return weakref.ref(session)

    gone = await asyncio.create_task(first_call())
    await wait_for(lambda: other.written > 1)
    assert other.context is None
    gc.collect()
    assert gone() is None
    other.then = lambda: None


async def test_executor_that_refuses_costs_that_tick_alone(ticks: Ticks, executor: Inline) -> None:
    """Whoever is to write later is still asked."""
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    first, second = Writer(), Writer()
    executor.refuses = True
    ticks.call_at(0.0, first)
    ticks.call_at(loop.time() + 1.5 * TICK_S, second)
    await wait_for(lambda: told)
    executor.refuses = False
    await wait_for(lambda: second.written)
    assert len(told) == 1
