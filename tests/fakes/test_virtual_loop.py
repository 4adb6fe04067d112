"""The loop whose time passes by itself."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.fakes.virtual_loop import START_S, StuckLoop, run


def test_hours_pass_in_no_time_and_timers_come_in_order() -> None:
    """The clock shows what was slept, whatever it took."""
    woken: list[str] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(f"{name} {asyncio.get_running_loop().time() - START_S:g}")

    async def both() -> None:
        await asyncio.gather(sleep("long", 7_200.0), sleep("short", 0.02))

    began_s = time.monotonic()
    run(both())
    assert woken == ["short 0.02", "long 7200"]
    assert time.monotonic() - began_s < 5


def test_timeout_comes_when_nothing_else_does() -> None:
    """A wait with a bound ends at its bound."""

    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time() - START_S

    assert run(wait()) == 30


def test_wait_for_ever_is_an_error_that_says_where() -> None:
    """A deadlock names the task and the line, and does not hang."""

    async def forever() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        await asyncio.create_task(forever(), name="who waits")

    with pytest.raises(StuckLoop, match=r"who waits at locks\.py:\d+"):
        run(work())


def test_time_that_stands_still_is_an_error() -> None:
    """A task that gives way and never waits does not hang the test."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110  # the mistake itself
            await asyncio.sleep(0)

    with pytest.raises(StuckLoop, match="time stands still"):
        run(spin())


def test_threads_are_refused() -> None:
    """Neither is work handed to one, nor may one call in."""
    refused: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(time.sleep, 0)

        def call() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    run(work())
    assert refused == ["a virtual loop has no threads"]
