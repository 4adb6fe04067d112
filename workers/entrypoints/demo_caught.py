"""Ends a demo on a signal, and what it has started with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_caught(work: Coroutine[object, object, T], caught: list[int]) -> T:
    """Do the work; a signal cancels it, and its number is appended to ``caught``."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in _CAUGHT:
        loop.add_signal_handler(number, end, number)
    return await work
