"""The socket of a connection: the websockets library's, with a short way for audio.

Nearly all of a session's traffic is one whole, unfragmented frame at a time, fifty a second each
way. The library takes such a frame through a generator, several objects and a system call for
four random bytes; here it is read or written in one step. Everything else goes the library's way:
handshake, control frames, fragments, frames cut by the network, large ones.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State

try:
    from websockets.speedups import apply_mask
except ImportError:  # not built for this platform
    from websockets.utils import apply_mask

# RFC 6455, section 5.2: first byte FIN and opcode; second the length, 126 for two bytes of it.
_FIN_TEXT: Final = 0x80 | Opcode.TEXT
_FIN_BINARY: Final = 0x80 | Opcode.BINARY
_MASKED: Final = 0x80
_LENGTH_IN_2_BYTES: Final = 126
_MAX_BYTES: Final = 0xFFFF
# One system call for this many masks of four bytes. They must be unpredictable (section 5.3).
_MASKS: Final = 1024
# Several of the largest TLS records, of 16 KiB (RFC 8446, section 5.1); what does not fit is read
# in the loop's next turn.
_BUFFER_BYTES: Final = 64 * 1024


def between_frames(protocol: Protocol) -> bool:
    """Whether what the library is fed next begins a frame; False also where that cannot be told.

    Its buffer does not tell: it is empty as well where the network has cut a frame behind a piece
    of its head, and what follows may look like one that is whole.
    """
    waits_in: Any = protocol.parser
    while (inner := getattr(waits_in, "gi_yieldfrom", None)) is not None:
        waits_in = inner
    return getattr(waits_in, "__name__", "") == "at_eof"


class LiveSocket(ClientConnection):
    """A client connection; ``connect(create_connection=LiveSocket)`` makes it."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        # Without this one of the library's own attributes there is no short way in.
        self._short_way = hasattr(protocol, "current_size")
        self._take: Callable[[bytes], bool] | None = None
        self._waited_for = False
        """Whether the reader waits, and nothing waits for the reader."""
        self._masks = b""
        self._next_mask = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have what comes read into a buffer that is there already."""
        super().connection_made(transport)
        self.transport.set_protocol(_Reader(self))

    def listen(self, take: Callable[[bytes], bool]) -> None:
        """Have ``take`` offered each whole message as it comes, unless others wait to be received.

        What it refuses (False) is received in its turn.
        """
        self._take = take

    async def recv(self, decode: bool | None = None) -> Any:
        """Receive the next message, as the library does."""
        self._waited_for = True
        try:
            return await super().recv(decode)
        finally:
            self._waited_for = False

    def data_received(self, data: bytes) -> None:
        """Take what came from the network: whole messages, then what is the library's to read."""
        protocol = self.protocol
        if (
            self._short_way
            and self.response is not None
            and protocol.state is State.OPEN
            and between_frames(protocol)
            and protocol.current_size is None
        ):
            at = 0
            while (found := _whole_frame(data, at)) is not None:
                opcode, message, at = found
                if self._waited_for and self._take is not None and self._take(message):
                    continue
                self._waited_for = False
                self.recv_messages.put(Frame(opcode, message))
            if at == len(data):
                return
            data = data[at:]
        self._waited_for = False
        super().data_received(data)

    def write(self, message: bytes) -> bool:
        """Send one text message at once; False where that is for ``send``, which may wait."""
        size = len(message)
        if (
            self.protocol.state is not State.OPEN
            or self.send_in_progress is not None
            or not _LENGTH_IN_2_BYTES <= size <= _MAX_BYTES
            or self.paused
        ):
            return False
        mask = self._mask()
        self.transport.write(
            bytes((_FIN_TEXT, _MASKED | _LENGTH_IN_2_BYTES, size >> 8, size & 0xFF))
            + mask
            + apply_mask(message, mask)
        )
        return True

    def _mask(self) -> bytes:
        if self._next_mask == len(self._masks):
            self._masks = os.urandom(4 * _MASKS)
            self._next_mask = 0
        start = self._next_mask
        self._next_mask = start + 4
        return self._masks[start : start + 4]


class _Buffer(threading.local):
    """What an event loop reads into: one connection at a time, so one is enough."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_BUFFER_BYTES))


_buffer = _Buffer()


class _Reader(asyncio.BufferedProtocol):
    """Stands between the transport and a connection.

    For a protocol that takes ``bytes`` uvloop makes 256 KiB of them for each read of TLS, and cuts
    them to what was there (``_do_read__copied``, sslproto.pyx): three system calls and a cleared
    page for every message, a seventh of a call's CPU.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the transport is to put what has come."""
        return _buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """So much has come."""
        self._connection.data_received(bytes(_buffer.view[:nbytes]))

    def eof_received(self) -> None:
        """Nothing more comes."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Much of what was written waits."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It has gone out."""
        self._connection.resume_writing()


def _whole_frame(data: bytes, at: int) -> tuple[Opcode, bytes, int] | None:
    """Read the message that begins at ``at``; None where it is not such a frame.

    Returns:
        What it is, the message, and where the next one begins.
    """
    head = at + 4
    if len(data) < head or data[at + 1] != _LENGTH_IN_2_BYTES:
        return None
    if data[at] == _FIN_BINARY:
        opcode = Opcode.BINARY
    elif data[at] == _FIN_TEXT:
        opcode = Opcode.TEXT
    else:
        return None
    end = head + (data[at + 2] << 8 | data[at + 3])
    return (opcode, data[head:end], end) if end <= len(data) else None
