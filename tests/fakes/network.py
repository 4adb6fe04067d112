"""A network between a client and a server that can fail: TCP is relayed until it is cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Self, cast
from urllib.parse import urlsplit, urlunsplit

_LINGER_0 = struct.pack("ii", 1, 0)  # socket(7): close() sends RST and drops what is unsent.


class Network:
    """Relays from an address of its own to ``leads_to``; TLS passes through it unseen.

    What is on its way when a connection is cut is bounded by the sockets' own buffers.
    """

    def __init__(self) -> None:
        self._target = ("", 0)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Link(self), "127.0.0.1", 0
        )
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def leads_to(self, url: str) -> str:
        """Set where connections go, and return the URL to be used in place of ``url``."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        return urlunsplit(parts._replace(netloc=f"127.0.0.1:{self._port}"))

    def cut(self) -> int:
        """Reset every connection at this moment, towards both ends; how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def opened(self, link: _Link) -> None:
        """A client has come."""
        self._links.add(link)
        task = asyncio.create_task(self._connect(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, link: _Link) -> None:
        """A client or its server has gone."""
        self._links.discard(link)

    async def _connect(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _FarEnd(link), *self._target)
        except OSError:
            link.reset()


class _Link(asyncio.Protocol):
    """One connection: its client's end, and the other end once it is there."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._early: list[bytes] = []
        self.near: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self.is_cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none by type.
        self.near = cast(asyncio.Transport, transport)
        self._network.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.far is None:
            self._early.append(data)
        else:
            self.far.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._network.closed(self)
        if self.far is not None:
            self.far.close()

    def far_end_made(self, transport: asyncio.Transport) -> None:
        """The server's end is there: pass on what came before it."""
        self.far = transport
        if self.is_cut or self.near is None or self.near.is_closing():
            _abort(transport)
            return
        for data in self._early:
            transport.write(data)
        self._early.clear()

    def reset(self) -> None:
        """Break both ends with RST."""
        self.is_cut = True
        for transport in (self.far, self.near):
            if transport is not None:
                _abort(transport)


class _FarEnd(asyncio.Protocol):
    def __init__(self, link: _Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.far_end_made(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        if self._link.near is not None:
            self._link.near.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._link.near is not None:
            self._link.near.close()


def _abort(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    transport.abort()
