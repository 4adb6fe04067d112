"""uvicorn around the web app: how it listens, and how it stops without cutting calls off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.entrypoints.accepting import TakingTurns
from workers.entrypoints.http_protocol import HttpProtocol
from workers.entrypoints.listener import BACKLOG, listen
from workers.entrypoints.media_protocol import MediaProtocol
from workers.entrypoints.stream_counts import StreamCounts

# Twilio's frames have 300 bytes; its documents promise no size, so there is room for a minute.
MAX_MESSAGE_BYTES = 1024 * 1024
# twilio.md 1.3: Twilio's client answers pings; a vanished peer is found out within 40 s.
PING_S = 20.0
SHUTDOWN_S = 5.0

Drain = Callable[[asyncio.Event], Awaitable[None]]
"""Lets calls end, or leave; in a hurry once the event it is given is set."""

_log = structlog.get_logger(__name__)


class WebServer:
    """The listening web app, as a context manager: it serves from enter to exit.

    Args:
        app: What is served.
        host: Address to listen on.
        port: Port to listen on; 0 is the system's choice.
        listener: A socket that listens already, in place of both: a parent's, which its processes
            accept from in common (see ``listener.listen``). It is closed here at the end, which
            does not close it elsewhere.
        counts: The streams of the processes that have ``listener`` in common; they share new ones
            out by it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        listener: socket.socket | None = None,
        counts: StreamCounts | None = None,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._listener = listener
        self._accepting = True
        self._counts = counts
        self._server = _Server(
            uvicorn.Config(
                self._serve,
                # It would take a method for ASGI 2.
                interface="asgi3",
                backlog=BACKLOG,
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
            ),
            counts,
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
        listener = self._listener or listen(self._host, self._port)
        self._count(0)
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

    def stop_accepting(self) -> None:
        """Leave new connections to the other processes that have the listening socket.

        What is open goes on: streams, and connections between two requests, whose next answer says
        that it is the last. Where nobody else has the socket, new connections are refused.
        """
        if not self._accepting:
            return
        self._accepting = False
        if self._counts is not None:
            self._counts.hand_on()
        for server in self._server.servers:
            server.close()

    async def run(
        self,
        drain: Drain,
        *,
        stop: asyncio.Event | None = None,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT, then until ``drain`` is done; another signal hurries it.

        ``stop`` and ``hurry`` are set by the signals, and may be by others. What is open at the end
        is closed on exit.
        """
        stop, hurry = stop or asyncio.Event(), hurry or asyncio.Event()
        with _signals(stop, hurry):
            await stop.wait()
            await drain(hurry)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self._count(1)
            try:
                await self._app(scope, receive, send)
            finally:
                self._count(-1)
            return
        if self._accepting:
            await self._app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_last)

    def _count(self, streams: int) -> None:
        if self._counts is not None:
            self._counts.add(streams)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, counts: StreamCounts | None) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._counts = counts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, in turn with others where there are some, and tell so."""
        if self._counts is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            # uvicorn closes them and waits for them, and that is all.
            self.servers = [
                TakingTurns(each, self._protocol, self._counts)  # type: ignore[misc]
                for each in sockets or ()
            ]
        self.ready.set()

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn's ``startup`` makes it."""
        return HttpProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``WebServer.run``: uvicorn would stop listening at once."""
        yield


@contextlib.contextmanager
def _signals(first: asyncio.Event, second: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    caught = 0

    def catch() -> None:
        # Counted: where others set the first event as well, a signal may mean the same (systemd
        # signals a parent and its children alike), and must not hurry.
        nonlocal caught
        caught += 1
        (first if caught == 1 else second).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, catch)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
