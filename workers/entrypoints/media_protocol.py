"""uvicorn's WebSocket protocol, with a short way for a media stream's messages.

Nearly all of a stream's traffic is one whole, unfragmented text frame at a time, fifty a second
each way. The library takes such a frame through a generator and several objects, and uvicorn
stops and restarts reading for each; here it is read or written in one step. Everything else goes
their way: handshake, control frames, fragments, binary, frames cut by the network, large ones.
"""

from __future__ import annotations

from typing import Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # not built for this platform
    from websockets.utils import apply_mask

# RFC 6455, section 5.2: FIN and text; then masked or not, and 126 for a length of two bytes.
_FIN_TEXT: Final = 0x81
_MASKED_126: Final = 0xFE
_UNMASKED_126: Final = 126
_HEAD_BYTES: Final = 8
_MAX_BYTES: Final = 0xFFFF
# Messages read ahead of the call, 0.6 s of audio; beyond that reading stops, as uvicorn's does
# after each.
_MAX_AHEAD: Final = 32


class MediaProtocol(WebSocketsSansIOProtocol):
    """For ``uvicorn.Config(ws=...)``."""

    def data_received(self, data: bytes) -> None:
        """Take what came from the network."""
        if (
            len(data) >= _HEAD_BYTES
            and data[0] == _FIN_TEXT
            and data[1] == _MASKED_126
            and len(data) == _HEAD_BYTES + (data[2] << 8 | data[3])
            and self.handshake_complete
            and not self.close_sent
            and self.conn.state is State.OPEN
            and not self.conn.reader.buffer
            and not self.frames
        ):
            try:
                text = apply_mask(data[_HEAD_BYTES:], data[4:_HEAD_BYTES]).decode()
            except UnicodeDecodeError:
                super().data_received(data)
                return
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
            if not self.read_paused and self.queue.qsize() > _MAX_AHEAD:
                self.read_paused = True
                self.transport.pause_reading()
            return
        super().data_received(data)

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application says."""
        if (
            message["type"] == "websocket.send"
            and self.handshake_complete
            and not self.close_sent
            and not self.disconnected
            and self.writable.is_set()
            and self.initial_response is None
            and self.conn.state is State.OPEN
        ):
            text = message.get("text")
            data = text.encode() if text is not None else b""
            size = len(data)
            if _UNMASKED_126 <= size <= _MAX_BYTES:
                self.transport.write(
                    bytes((_FIN_TEXT, _UNMASKED_126, size >> 8, size & 0xFF)) + data
                )
                return
        await super().send(message)
