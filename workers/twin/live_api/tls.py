"""The server's end of TLS, over a plain TCP transport.

An event loop's own TLS reads into 256 KiB that it asks the system for and gives back, and then once
more to be told that nothing is left: with uvloop 60 µs for a message of 1 KB, where TCP alone takes
20 and this takes 28 (12 to 16 connections, 50 messages a second each). That was a sixth of what a
simulated call costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final

# Records are not larger (RFC 8446, section 5.1), so that each is read as a whole.
_RECORD_BYTES: Final = 16 * 1024
HANDSHAKE_S: Final = 10.0
SHUTDOWN_S: Final = 1.0
"""How long the peer may take, as websockets has it for a server."""


class TlsTransport(asyncio.Transport):
    """What the protocol above writes to; whoever gets the bytes of TCP calls ``receive``.

    Args:
        tcp: The transport below.
        context: The server's.
        on_ready: Called when the handshake is done.
        on_data: Called with what the peer wrote.
        on_eof: Called when the peer has said that it will write no more.
    """

    def __init__(
        self,
        tcp: asyncio.Transport,
        context: ssl.SSLContext,
        *,
        on_ready: Callable[[], None],
        on_data: Callable[[bytes], None],
        on_eof: Callable[[], None],
    ) -> None:
        super().__init__()
        self._tcp = tcp
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._on_ready = on_ready
        self._on_data = on_data
        self._on_eof = on_eof
        self._closing = False
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, tcp.abort)
        self.ready = False
        """Whether the handshake is done."""

    def receive(self, data: bytes) -> None:
        """Take in what TCP delivers."""
        self._incoming.write(data)
        try:
            if not self.ready:
                self._shake_hands()
            # Asked only while there is something: to be told that there is not is an exception.
            while self._incoming.pending:
                plain = self._tls.read(_RECORD_BYTES)
                if not plain:
                    self._ended()
                    break
                if not self._closing:
                    self._on_data(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended()
        except ssl.SSLError:
            # What is wrong is told to the peer; nothing more can be read.
            self._flush()
            self._tcp.close()
            return
        self._flush()

    def lost(self) -> None:
        """TCP is over."""
        self._closing = True
        self._timer.cancel()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send bytes."""
        if self._closing:
            return
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        self._flush()

    def close(self) -> None:
        """Say that nothing more is written, and close TCP when the peer has said the same."""
        if self._closing:
            return
        self._closing = True
        if not self.ready:
            self._tcp.close()
            return
        # Always: the peer has not answered yet.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._timer = asyncio.get_running_loop().call_later(SHUTDOWN_S, self._tcp.abort)

    def abort(self) -> None:
        """Break TCP off."""
        self._closing = True
        self._tcp.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closing or self._tcp.is_closing()

    def can_write_eof(self) -> bool:
        """No: TLS ends in both directions."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the connection below."""
        return self._tcp.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Take in nothing more."""
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Take in again."""
        self._tcp.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say when the protocol is told to pause."""
        self._tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have not been sent yet."""
        return self._tcp.get_write_buffer_size()

    def _shake_hands(self) -> None:
        self._tls.do_handshake()
        self._timer.cancel()
        self.ready = True
        self._flush()
        self._on_ready()

    def _ended(self) -> None:
        """The peer writes no more."""
        if self._closing:
            self._tcp.close()
            return
        self._on_eof()
        self.close()
        self._tcp.close()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._tcp.is_closing():
            self._tcp.write(self._outgoing.read())
