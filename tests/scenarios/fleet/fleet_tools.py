"""Tools that can be counted across processes: each run adds a line to a file beside this one.

Copied into a fleet's folder, where the agent's file finds it.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

RUNS = Path(__file__).with_name("tool_runs.txt")


async def book_table(key: str, takes_s: float) -> dict[str, str]:
    """Book a table.

    Args:
        key: What is counted.
        takes_s: How long it takes.
    """
    _note("begun", key)
    await asyncio.sleep(takes_s)
    _note("done", key)
    return {"booked": key}


async def block_the_loop(key: str, takes_s: float) -> dict[str, str]:
    """Do what a tool must not do.

    Args:
        key: What is counted.
        takes_s: How long nothing else happens in this process.
    """
    _note("begun", key)
    time.sleep(takes_s)  # noqa: ASYNC251 - that is the mistake
    _note("done", key)
    return {"blocked": key}


def _note(what: str, key: str) -> None:
    # One write in append mode is whole, whoever else writes (write(2)).
    file = os.open(RUNS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{what} {key} {os.getpid()}\n".encode())
    finally:
        os.close(file)
