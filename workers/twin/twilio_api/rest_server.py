"""uvicorn inside somebody else's process, with a way to break a connection off unanswered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

START_TIMEOUT_S = 10.0

Peer = tuple[str, int]


class RestServer:
    """Serves an application on one port, from ``start`` to ``stop``."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._transports: dict[Peer, asyncio.WriteTransport] = {}
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, app: ASGIApp) -> str:
        """Listen; return the base URL."""
        # With the protocol named, or asyncio leaves Nagle's algorithm on and answers wait 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        host, port = listener.getsockname()[:2]
        config = uvicorn.Config(
            app,
            http=_protocol(self._transports),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            # Or a header could name another peer than the connection has.
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="rest")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not self._server.started:
                if self._serving.done():
                    self._serving.result()
                await asyncio.sleep(0.005)
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and end what is being served."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=5)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    def break_off(self, peer: Peer) -> None:
        """Break the peer's connection off, as a proxy that dies does."""
        transport = self._transports.get(peer)
        if transport is not None:
            transport.abort()


def _protocol(transports: dict[Peer, asyncio.WriteTransport]) -> type[asyncio.Protocol]:
    """Make a protocol that keeps account of the connections, which ASGI does not show."""

    class Protocol(H11Protocol):
        _peer: Peer | None = None

        # uvloop's is none of asyncio's by name, and has all that one has.
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            peer = transport.get_extra_info("peername")
            if peer:
                self._peer = (peer[0], peer[1])
                transports[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._peer is not None:
                transports.pop(self._peer, None)
            super().connection_lost(exc)

    return Protocol


class _Server(uvicorn.Server):
    """It leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
