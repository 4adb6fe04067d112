"""uvicorn's WebSocket protocol, with a short way for a media stream's messages.

Nearly all of a stream's traffic is one whole, unfragmented text frame at a time, fifty a second
each way. The library takes such a frame through a generator and several objects, and uvicorn
stops and restarts reading for each; here it is read or written in one step, and written without
awaiting anything. Everything else goes their way: handshake, control frames, fragments, binary,
frames cut by the network, large ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from agent.live.websocket import between_frames

try:
    from websockets.speedups import apply_mask
except ImportError:  # not built for this platform
    from websockets.utils import apply_mask

# RFC 6455, section 5.2: FIN and text; then masked or not, and 126 for a length of two bytes.
_FIN_TEXT: Final = 0x81
_MASKED: Final = 0x80
_LENGTH_IN_2_BYTES: Final = 126
_MAX_BYTES: Final = 0xFFFF
# Messages read ahead of the call, 0.6 s of audio; beyond that reading stops, as uvicorn's does
# after each.
_MAX_AHEAD: Final = 32

AT_ONCE: Final = "evercall.at_once"
"""The ASGI extension under which the application is given ``write`` and ``listen``, by name."""


class MediaProtocol(WebSocketsSansIOProtocol):
    """For ``uvicorn.Config(ws=...)``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = _Messages()
        self._take: Callable[[str], bool] | None = None

    def data_received(self, data: bytes) -> None:
        """Take what came from the network: whole text messages, then what is uvicorn's to read."""
        if (
            self.handshake_complete
            and not self.close_sent
            and self.conn.state is State.OPEN
            and between_frames(self.conn)
            and not self.frames
        ):
            at = 0
            while (found := _whole_text(data, at)) is not None:
                text, at = found
                if self._take is None or not self.queue.empty() or not self._take(text):
                    self.queue.put_nowait({"type": "websocket.receive", "text": text})
            if not self.read_paused and self.queue.qsize() > _MAX_AHEAD:
                self.read_paused = True
                self.transport.pause_reading()
            if at == len(data):
                return
            data = data[at:]
        super().data_received(data)

    async def run_asgi(self) -> None:
        """Run the application."""
        self.scope["extensions"][AT_ONCE] = {"write": self.write, "listen": self.listen}
        await super().run_asgi()

    def listen(self, take: Callable[[str], bool]) -> None:
        """Have ``take`` offered each text message as it comes, unless others wait.

        What it refuses (False) is received in its turn.
        """
        self._take = take

    def write(self, text: str) -> bool:
        """Send a text message at once; False where that is for ``send``, which may wait."""
        if (
            not self.handshake_complete
            or self.close_sent
            or self.disconnected
            or not self.writable.is_set()
            or self.initial_response is not None
            or self.conn.state is not State.OPEN
        ):
            return False
        data = text.encode()
        size = len(data)
        if size < _LENGTH_IN_2_BYTES:
            head = bytes((_FIN_TEXT, size))
        elif size <= _MAX_BYTES:
            head = bytes((_FIN_TEXT, _LENGTH_IN_2_BYTES, size >> 8, size & 0xFF))
        else:
            return False
        self.transport.write(head + data)
        return True


class _Messages(asyncio.Queue[ASGIReceiveEvent]):
    """An unbounded queue with one reader; asyncio's own takes ten calls for each message."""

    def _init(self, maxsize: int) -> None:
        self._messages: deque[ASGIReceiveEvent] = deque()
        self._reader: asyncio.Future[None] | None = None

    def qsize(self) -> int:
        return len(self._messages)

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, item: ASGIReceiveEvent) -> None:
        self._messages.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> ASGIReceiveEvent:
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.popleft()


def _whole_text(data: bytes, at: int) -> tuple[str, int] | None:
    """Read the message that begins at ``at``; None where it is not one whole frame of text.

    Returns:
        The message, and where the next one begins.
    """
    head = at + 6
    if len(data) < head or data[at] != _FIN_TEXT:
        return None
    size = data[at + 1] - _MASKED
    if size == _LENGTH_IN_2_BYTES:
        head += 2
        size = data[at + 2] << 8 | data[at + 3]
    elif not 0 <= size < _LENGTH_IN_2_BYTES:
        return None
    end = head + size
    if len(data) < end:
        return None
    try:
        return apply_mask(data[head:end], data[head - 4 : head]).decode(), end
    except UnicodeDecodeError:
        return None
