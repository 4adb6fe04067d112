"""Stands between callers and a worker, and spoils what they say to each other, as a test wants."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import orjson

_READ_BYTES: Final = 65_536
_FRAME_MS: Final = 20
_SILENCE: Final = base64.b64encode(b"\xff" * 8 * _FRAME_MS).decode()
"""20 ms of it, μ-law."""
_TEXT: Final = 0x81
"""First byte of a text message in one frame (RFC 6455, section 5.2)."""
_HEAD_ENDS: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Planted:
    """What is to be found again.

    Attributes:
        down_s: What the worker says comes so much later, in the same steps.
        loses_every: One in so many ``media`` messages of the caller is lost; 0: none.
        gap_every: Before one in so many of the worker's there is silence; 0: never.
        gap_ms: Of silence, a multiple of 20.
    """

    down_s: float = 0.0
    loses_every: int = 0
    gap_every: int = 0
    gap_ms: int = 100


@dataclass(slots=True)
class Done:
    """What was really done."""

    passed: int = 0
    """Messages of callers with sound in them, those that were lost included."""
    lost: int = 0


@asynccontextmanager
async def relay(port: int, to_port: int, planted: Planted) -> AsyncIterator[Done]:
    """Pass connections on to a worker."""
    done = Done()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
            up, down = _up(planted, done), _down(planted)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pass(reader, far_writer, up))
                ways.create_task(_pass(far_reader, writer, down, planted.down_s))
        writer.close()
        tasks.discard(task)

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        try:
            yield done
        finally:
            for task in tasks:
                task.cancel()


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    spoilt: Callable[[bytes], bytes],
    late_s: float = 0.0,
) -> None:
    loop = asyncio.get_running_loop()
    # Not in the order of a queue's reader, which could not read while it waits.
    while data := await reader.read(_READ_BYTES):
        if late_s:
            loop.call_later(late_s, writer.write, spoilt(data))
        else:
            writer.write(spoilt(data))
    await asyncio.sleep(late_s)
    with contextlib.suppress(OSError):
        writer.close()


def _up(planted: Planted, done: Done) -> Callable[[bytes], bytes]:
    """Lose some of what a caller says."""
    messages = _Messages()

    def spoilt(data: bytes) -> bytes:
        kept = bytearray()
        for frame, text in messages.cut(data):
            if text.get("event") == "media":
                done.passed += 1
                if planted.loses_every and done.passed % planted.loses_every == 0:
                    done.lost += 1
                    continue
            kept += frame
        return bytes(kept)

    return spoilt if planted.loses_every else bytes


def _down(planted: Planted) -> Callable[[bytes], bytes]:
    """Put silence into what the worker says."""
    messages = _Messages()
    said = 0

    def spoilt(data: bytes) -> bytes:
        nonlocal said
        out = bytearray()
        for frame, text in messages.cut(data):
            if text.get("event") == "media":
                said += 1
                if said % planted.gap_every == 0:
                    media = {**text, "media": {"payload": _SILENCE}}
                    out += _message(orjson.dumps(media)) * (planted.gap_ms // _FRAME_MS)
            out += frame
        return bytes(out)

    return spoilt if planted.gap_every else bytes


class _Messages:
    """Cuts what goes one way over a connection into an HTTP head and WebSocket frames.

    Whatever is no upgrade passes as one piece.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._upgraded: bool | None = None

    def cut(self, data: bytes) -> Iterator[tuple[bytes, dict[str, object]]]:
        """Return each piece with the JSON in it, if there is some."""
        self._rest += data
        if self._upgraded is None:
            end = self._rest.find(_HEAD_ENDS)
            if end < 0:
                return
            head = bytes(self._rest[: end + len(_HEAD_ENDS)])
            self._upgraded = b"upgrade: websocket" in head.lower()
            del self._rest[: len(head)]
            yield head, {}
        if not self._upgraded:
            yield bytes(self._rest), {}
            self._rest.clear()
            return
        while (size := _size(self._rest)) is not None and len(self._rest) >= size:
            frame = bytes(self._rest[:size])
            del self._rest[:size]
            yield frame, orjson.loads(_payload(frame)) if frame[0] == _TEXT else {}


def _size(data: bytes | bytearray) -> int | None:
    """Of the frame that data begins with; None: its head is not all there."""
    body = _body(data)
    if body is None:
        return None
    short = data[1] & 0x7F
    return body + (short if short < 126 else int.from_bytes(data[2 : 4 if short == 126 else 10]))


def _body(data: bytes | bytearray) -> int | None:
    """Where a frame's payload begins."""
    if len(data) < 2:
        return None
    begin = 2 + {126: 2, 127: 8}.get(data[1] & 0x7F, 0) + (4 if data[1] & 0x80 else 0)
    return begin if len(data) >= begin else None


def _payload(frame: bytes) -> bytes:
    begin = _body(frame)
    assert begin is not None
    payload = frame[begin:]
    if not frame[1] & 0x80:
        return payload
    mask = frame[begin - 4 : begin] * (len(payload) // 4 + 1)
    return bytes(one ^ other for one, other in zip(payload, mask, strict=False))


def _message(payload: bytes) -> bytes:
    """A text message of a server: not masked."""
    assert 126 <= len(payload) < 1 << 16
    return bytes((_TEXT, 126)) + len(payload).to_bytes(2) + payload
