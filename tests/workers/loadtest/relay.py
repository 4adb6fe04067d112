"""Stands between callers and a worker, and holds up what the worker says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_READ_BYTES = 65_536


@asynccontextmanager
async def relay(port: int, to_port: int, *, down_s: float) -> AsyncIterator[None]:
    """Pass connections on to a worker; what it says comes ``down_s`` later, in the same steps."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pass(reader, far_writer, 0.0))
                ways.create_task(_pass(far_reader, writer, down_s))
        writer.close()
        tasks.discard(task)

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    loop = asyncio.get_running_loop()
    # Not in the order of a queue's reader, which could not read while it waits.
    while data := await reader.read(_READ_BYTES):
        if late_s:
            loop.call_later(late_s, writer.write, data)
        else:
            writer.write(data)
    await asyncio.sleep(late_s)
    with contextlib.suppress(OSError):
        writer.close()
