"""uvicorn around the web app: how it listens, and how it stops without cutting calls off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Self

import structlog
import uvicorn
from starlette.types import ASGIApp

from workers.call.active import ActiveCalls
from workers.entrypoints.http_protocol import HttpProtocol
from workers.entrypoints.media_protocol import MediaProtocol

# Twilio's frames have 300 bytes; its documents promise no size, so there is room for a minute.
MAX_MESSAGE_BYTES = 1024 * 1024
# twilio.md 1.3: Twilio's client answers pings; a vanished peer is found out within 40 s.
PING_S = 20.0
# Longer than any stall of a call that goes on: its sends are given up after 5 s.
STUCK_PEER_MS = 30_000
SHUTDOWN_S = 5.0
DRAIN_S = 300.0

_log = structlog.get_logger(__name__)


class WebServer:
    """The listening web app, as a context manager: it serves from enter to exit."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws=MediaProtocol,
                ws_max_size=MAX_MESSAGE_BYTES,
                # twilio.md 1.1: compression is not documented, and costs 300 kB per socket.
                ws_per_message_deflate=False,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                timeout_graceful_shutdown=int(SHUTDOWN_S),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the system's choice where 0 was asked for."""
        return self._port

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address cannot be had, such as because the port is taken.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=2048)
        # Accepted sockets inherit it. asyncio (not uvloop) sets it only on sockets that name their
        # protocol, and create_server's do not: a mark behind audio then waits 40 ms (observed).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Inherited, too. Closing waits for a peer to take what was sent to it; one that is
            # alive and reads nothing would keep the socket for good (Linux answers for it).
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_PEER_MS)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._port = listener.getsockname()[1]
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, close what is open (1012) and wait for it, bounded."""
        self._server.should_exit = True
        if self._task is not None:
            # uvicorn waits SHUTDOWN_S, then cancels; those tasks then have as long again.
            done, _pending = await asyncio.wait({self._task}, timeout=2 * SHUTDOWN_S)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=1.0)

    async def run(self, active: ActiveCalls, *, drain_s: float = DRAIN_S) -> None:
        """Serve until SIGTERM or SIGINT, then let calls end: up to ``drain_s`` or a second signal.

        Meanwhile the worker is not ready and refuses new calls, but keeps listening, because the
        calls that go on still ask for what is next.
        """
        stop, hurry = asyncio.Event(), asyncio.Event()
        with _signals(stop, hurry):
            await stop.wait()
            active.draining = True
            _log.info("server.draining", live_streams=active.live_streams)
            idle = asyncio.create_task(active.wait_idle(timeout_s=drain_s))
            hurried = asyncio.create_task(hurry.wait())
            await asyncio.wait({idle, hurried}, return_when=asyncio.FIRST_COMPLETED)
            for task in (idle, hurried):
                task.cancel()
            _log.info("server.stopping", live_streams=active.live_streams)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell that it listens."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``WebServer.run``: uvicorn would stop listening at once."""
        yield


@contextlib.contextmanager
def _signals(first: asyncio.Event, second: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def caught() -> None:
        (second if first.is_set() else first).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, caught)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
