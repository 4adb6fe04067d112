"""The server's end of one socket: it may answer pings late, be reset, or fall dead half open.

Usual messages take a short way: in to ``on_message``, while the library holds none that came
before, and out past its locks.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.tls import TlsTransport
from workers.twin.shortcut import FIN_BINARY, Shortcut, framed

_LINGER_0 = struct.pack("ii", 1, 0)  # socket(7): close() sends RST and drops what is unsent.


class Connection(ServerConnection):
    """A connection that knows what its session will need, noted at the upgrade.

    Its loop gives it bytes of TCP; TLS is its own.
    """

    number: int
    path: str
    plan: FaultPlan
    vertex: bool
    key_fits: bool

    def __init__(self, *args: Any, context: ssl.SSLContext, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context = context
        self._tls: TlsTransport | None = None
        self.half_open = False
        self.on_message: Callable[[bytes], bool] = lambda _: False
        """Gets a message before ``recv`` does; False where it leaves it to that."""
        self._shortcut = Shortcut(
            self.protocol, masked=True, on_message=self._offer, on_other=super().data_received
        )
        self._send_frame = self.protocol.send_frame
        # The sans-IO protocol answers pings by itself, and this is the only door its frames use.
        self.protocol.send_frame = self._send_or_hold  # type: ignore[method-assign]

    async def reset(self) -> None:
        """Reset the TCP connection: no close frame, no end of TLS, RST in place of FIN."""
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0
        )
        self.transport.abort()
        await self.wait_closed()

    async def go_half_open(self) -> None:
        """Hear and send nothing more; returns when the client has left or the server stops.

        What arrives is thrown away unread. Left in the kernel it would hold back the client's FIN
        after a few seconds of audio, and whether a resume finds the old socket open would be luck.
        """
        self.half_open = True
        await self.wait_closed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin TLS; to the library the connection is there when that is."""
        tcp = cast("asyncio.Transport", transport)
        self._tls = tls = TlsTransport(
            tcp,
            self._context,
            on_ready=lambda: super(Connection, self).connection_made(tls),
            on_data=self._decrypted,
            on_eof=self._end,
        )

    def data_received(self, data: bytes) -> None:
        """Take in what TCP delivers."""
        assert self._tls is not None
        self._tls.receive(data)

    def eof_received(self) -> None:
        """Take in the end of what TCP delivers."""
        if self._tls is not None and self._tls.ready:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the library that TCP is over, if it knew of it."""
        assert self._tls is not None
        self._tls.lost()
        if self._tls.ready:
            super().connection_lost(exc)

    def _decrypted(self, data: bytes) -> None:
        if not self.half_open:
            self._shortcut.receive(data)

    def _end(self) -> None:
        if not self.half_open:
            self._shortcut.end()
        super().eof_received()

    async def send_message(self, content: bytes) -> None:
        """Send a binary message, as ``send`` does, where nothing is in its way without its detours.

        Raises:
            ConnectionClosed: It is closed.
        """
        frame = framed(content, FIN_BINARY, masked=False)
        at_once = self.protocol.state is State.OPEN and not self.transport.is_closing()
        if frame is None or not at_once or self.paused or self.half_open:
            await self.send(content)
            return
        self.transport.write(frame)
        await self.drain()

    def _offer(self, content: bytes, _is_text: bool) -> bool:
        # What the library holds came before.
        return not len(self.recv_messages.frames) and self.on_message(content)

    def _send_or_hold(self, frame: Frame) -> None:
        if self.half_open:
            return
        delay_s = self.plan.pong_delay_s if frame.opcode is Opcode.PONG else 0.0
        if delay_s == 0.0:
            self._send_frame(frame)
        elif delay_s is not None:
            self.loop.call_later(delay_s, self._send_late, frame)

    def _send_late(self, frame: Frame) -> None:
        if self.protocol.state is State.OPEN and not self.half_open:
            self._send_frame(frame)
            self.send_data()
