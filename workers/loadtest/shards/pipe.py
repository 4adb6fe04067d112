"""Messages as lines of JSON, through a pair of pipes between two processes."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import orjson

from workers.loadtest.shards.messages import Message, decode, encode

LONGEST_BYTES: Final = 64 * 2**20
"""Of a line: a call of four hours is a few of them."""


def to_line(message: Message) -> bytes:
    """Write a message as a line."""
    return orjson.dumps(encode(message)) + b"\n"


def from_line(line: bytes) -> Message:
    """Read what ``to_line`` wrote.

    Raises:
        ValueError: it did not.
    """
    return decode(orjson.loads(line))


class Pipe:
    """Both directions of one end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, message: Message) -> None:
        """Send a message, some time; nothing happens where the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(to_line(message))

    async def drain(self) -> None:
        """Wait until most of what was sent is on its way.

        Raises:
            OSError: the other end is gone.
        """
        await self._writer.drain()

    def close(self) -> None:
        """Say no more."""
        self._writer.close()

    async def receive(self) -> Message | None:
        """Return the next message; None: the other end is gone.

        Raises:
            ValueError: what came is none.
        """
        line = await self._reader.readline()
        return from_line(line) if line.endswith(b"\n") else None


async def pipe_of(read_fd: int, write_fd: int) -> Pipe:
    """Return this process's end of two pipes, by their file descriptors."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(read_fd, "rb", buffering=0))
    transport, flow = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(write_fd, "wb", buffering=0)
    )
    return Pipe(reader, asyncio.StreamWriter(transport, flow, reader, loop))
