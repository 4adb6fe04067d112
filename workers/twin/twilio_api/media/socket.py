"""One WebSocket to a server, with synchronous sends.

websockets' sans-IO protocol under an ``asyncio.Protocol``: forty callers send two thousand frames
a second from timers, which neither a task per frame nor an awaited send would bear; usual messages
go past it. It also lets a script do to a connection what a library client prevents.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from workers.twin.shortcut import FIN_BINARY, FIN_TEXT, Shortcut, framed

# No maximum is documented; generous, so that only a runaway server meets it.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
WRITE_BUFFER_BYTES = 64 * 1024


class HandshakeFailed(Exception):
    """The socket did not open; ``code`` is Twilio's (twilio.com/docs/api/errors)."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Closed:
    """How a socket ended: the server's close code (None where it gave none), or broken off."""

    code: int | None
    reason: str
    clean: bool
    protocol_error: str = ""


class ClientSocket(asyncio.Protocol):
    """Call ``connect``; messages and the end arrive at the callbacks, in the event loop."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        on_message: Callable[[bytes, bool], None],
        on_closed: Callable[[Closed], None],
        send_buffer_bytes: int | None = None,
    ) -> None:
        self._uri = parse_uri(url)
        self._headers = headers
        self._on_message = on_message
        self._on_closed = on_closed
        self._protocol = ClientProtocol(self._uri, max_size=MAX_MESSAGE_BYTES)
        self._shortcut = Shortcut(
            self._protocol,
            masked=False,
            on_message=self._take_message,
            on_other=self._feed,
        )
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._parts: list[bytes] = []
        self._parts_are_text = True
        self._mute = False
        self._send_buffer_bytes = send_buffer_bytes
        self.writing_paused = False

    @property
    def is_connected(self) -> bool:
        """Whether the TCP connection is still there."""
        return self._transport is not None and not self._gone.is_set()

    async def connect(self, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        """Open TCP, TLS and the WebSocket.

        Raises:
            HandshakeFailed: with the code Twilio would log.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._dial(tls)
                await self._opened
        except TimeoutError:
            raise self._failed(31901, f"no answer in {timeout_s} s") from None
        except ConnectionRefusedError as error:
            raise self._failed(31902, str(error)) from error
        except ssl.SSLError as error:
            raise self._failed(31910, str(error)) from error
        except OSError as error:
            raise self._failed(31904, str(error)) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    async def _dial(self, tls: ssl.SSLContext | None) -> None:
        secure = self._uri.secure
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self,
                self._uri.host,
                self._uri.port,
                ssl=(tls or ssl.create_default_context()) if secure else None,
                server_hostname=self._uri.host if secure else None,
            )
        except asyncio.CancelledError:
            # The loop closes what it had opened by then, uvloop without any connection_lost.
            self._transport = None
            self._gone.set()
            raise

    def send_text(self, text: str) -> None:
        """Send a text message; nothing happens if the socket is no longer open."""
        self._send(text.encode(), FIN_TEXT)

    def mute(self) -> None:
        """Let nothing out any more, neither answers to pings nor a close; go on reading.

        To the server the connection is half open: there, and silent.
        """
        self._mute = True
        self.resume_reading()

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        self._send(data, FIN_BINARY)

    def send_bytes(self, data: bytes) -> None:
        """Write bytes past the WebSocket framing."""
        if self._transport is not None and not self._mute:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Read nothing more, so that the server's sends pile up."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self, *, timeout_s: float) -> None:
        """Close without a status, as servers see it from Twilio (1005); bounded in time."""
        self.resume_reading()
        if self._protocol.state is OPEN:
            self._protocol.send_close()
            self._flush()
        if self._transport is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), timeout_s)
            self.abort()
            await self._gone.wait()

    def abort(self) -> None:
        """Break the connection off with a TCP reset."""
        if self._transport is None or self._gone.is_set():
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        sock = transport.get_extra_info("socket")
        if sock is not None and self._send_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Hand on what came."""
        self._shortcut.receive(data)

    def eof_received(self) -> bool:
        """Let the protocol see the end; the transport closes itself."""
        self._shortcut.end()
        self._protocol.receive_eof()
        self._take()
        return False

    def pause_writing(self) -> None:
        """Note that the server reads too slowly."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Note that the server caught up."""
        self.writing_paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, exactly once."""
        self._shortcut.end()
        self._protocol.receive_eof()
        self._gone.set()
        self._fail_opening(HandshakeFailed(31904, f"connection lost: {exc or 'end of file'}"))
        received = self._protocol.close_rcvd
        broken = self._protocol.parser_exc
        self._on_closed(
            Closed(
                code=received.code if received else None,
                reason=received.reason if received else "",
                clean=received is not None,
                # The end of the stream itself shows up here too, and is no protocol error.
                protocol_error=str(broken) if broken and not isinstance(broken, EOFError) else "",
            )
        )

    def _feed(self, data: bytes) -> None:
        """Feed the protocol and hand on what came out of it."""
        self._protocol.receive_data(data)
        self._take()

    def _take_message(self, data: bytes, is_text: bool) -> bool:
        self._on_message(data, is_text)
        return True

    def _take(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._take_response(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        if self._protocol.handshake_exc is not None:
            self._fail_opening(HandshakeFailed(31920, str(self._protocol.handshake_exc)))
        self._flush()
        # To a close that cannot be answered, nothing is done either.
        closed = self._protocol.close_rcvd and not self._mute
        done = closed or self._protocol.parser_exc or self._opened_badly()
        if self._transport is not None and done:
            self._transport.close()

    def _take_response(self, response: Response) -> None:
        refused = self._protocol.handshake_exc
        if refused is None:
            if not self._opened.done():
                self._opened.set_result(None)
        else:
            self._fail_opening(HandshakeFailed(31920, f"HTTP {response.status_code}: {refused}"))

    def _opened_badly(self) -> bool:
        return self._opened.done() and self._opened.exception() is not None

    def _fail_opening(self, error: HandshakeFailed) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            # Nobody awaits it when TCP itself failed.
            self._opened.exception()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts_are_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._on_message(bytes(frame.data), self._parts_are_text)
                return
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            self._on_message(whole, self._parts_are_text)

    def _send(self, data: bytes, first: int) -> None:
        if self._protocol.state is not OPEN:
            return
        frame = framed(data, first, masked=True)
        if frame is not None:
            self.send_bytes(frame)
            return
        send = self._protocol.send_text if first == FIN_TEXT else self._protocol.send_binary
        send(data)
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if self._mute:
                continue
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                with contextlib.suppress(OSError):
                    self._transport.write_eof()

    def _failed(self, code: int, detail: str) -> HandshakeFailed:
        self.abort()
        return HandshakeFailed(code, detail)
