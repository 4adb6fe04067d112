"""A TCP balancer before several workers, as one stands before a deployment: the public address.

It reads the head of a connection's first request and then only carries bytes, both ways, with
their FIN and RST: a backend that is killed reaches the far end at once, of one that is stopped
nothing comes any more. Where no backend is ready it asks all of them, as load balancers do
(docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html).
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Self, cast

MAX_HEAD_BYTES = 64 * 1024
CHECK_S = 0.1
# A backend that is stopped takes connections for as long as its backlog lasts, and answers none.
CHECK_TIMEOUT_S = 0.5
CONNECT_TIMEOUT_S = 1.0
_KEEP_ALIVE = re.compile(rb"(?im)^connection:[^\r\n]*")
# On, and no time to linger: a close is a reset (socket(7), SO_LINGER).
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Backend:
    """One worker's address."""

    name: str
    port: int
    host: str = "127.0.0.1"
    ready: bool = False
    """As it said of itself the last time it was asked."""
    pipes: set[Pipe] = field(default_factory=set)
    """The connections it has."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a connection went."""

    at_s: float
    path: str
    """Of its first request, without the query."""
    backend: str


@dataclass(slots=True)
class _Steer:
    backend: str
    path: str
    times: float


class Balancer:
    """Use as an async context manager; on exit every connection is cut and nothing is left.

    Args:
        seed: chooses backends at random; None: one after the other.
        per_request: has every request of a webhook ask for its connection to be closed, so that
            each is decided anew; else a client that keeps connections stays where it is.
        clock: what ``at_s`` counts.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        per_request: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backends: dict[str, Backend] = {}
        self.routed: list[Routed] = []
        """Every connection that was carried, oldest first."""
        self.base_url = ""
        self.per_request = per_request
        self._random = None if seed is None else random.Random(seed)
        self._turn = count()
        self._clock = clock
        self._steers: list[_Steer] = []
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._fronts: set[_Front] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen; ``base_url`` is where."""
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = await loop.create_server(lambda: _Front(self), sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for name in list(self.backends):
            self.remove(name)
        for front in list(self._fronts):
            front.abort()
        # The loop tells protocols of their end in its next turns.
        async with asyncio.timeout(5):
            while self._fronts:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    @property
    def open_connections(self) -> int:
        """Connections of the far end that are up."""
        return len(self._fronts)

    def add(self, name: str, port: int) -> Backend:
        """Take a backend up; it gets connections once it says that it is ready."""
        self.remove(name)
        backend = self.backends[name] = Backend(name, port)
        self._checks[name] = asyncio.create_task(self._watch(backend), name=f"readyz {name}")
        return backend

    def remove(self, name: str) -> None:
        """Give it no more connections; those it has stay."""
        self.backends.pop(name, None)
        check = self._checks.pop(name, None)
        if check is not None:
            check.cancel()

    def only(self, backend: str, path: str = "", *, times: float = float("inf")) -> None:
        """Lead connections whose path begins so to one backend, ready or not, so many times."""
        self._steers.append(_Steer(backend, path, times))

    def first(self, backend: str, path: str = "") -> None:
        """Lead the next connection whose path begins so to one backend, whatever else is said."""
        self._steers.insert(0, _Steer(backend, path, 1))

    def anyone(self) -> None:
        """Forget all ``only``."""
        self._steers.clear()

    def close_idle(self) -> int:
        """Close the connections on which nothing is under way; says how many there were."""
        idle = [front for front in self._fronts if front.idle]
        for front in idle:
            front.close()
        return len(idle)

    def went_to(self, path: str, *, since_s: float = 0.0) -> list[str]:
        """Names of the backends that connections with exactly this path went to, in order."""
        return [to.backend for to in self.routed if to.path == path and to.at_s >= since_s]

    async def dial(self, path: str, front: _Front) -> Pipe | None:
        """Connect to a backend; None where none takes the connection."""
        for backend in self._candidates(path):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    _, pipe = await asyncio.get_running_loop().create_connection(
                        partial(Pipe, backend, front), backend.host, backend.port
                    )
            except (OSError, TimeoutError):
                continue
            self.routed.append(Routed(self._clock(), path, backend.name))
            return pipe
        return None

    def opened(self, front: _Front) -> None:
        """Count a connection in."""
        self._fronts.add(front)

    def closed(self, front: _Front) -> None:
        """Count a connection out."""
        self._fronts.discard(front)

    def _candidates(self, path: str) -> list[Backend]:
        for steer in self._steers:
            if steer.times > 0 and path.startswith(steer.path) and steer.backend in self.backends:
                steer.times -= 1
                return [self.backends[steer.backend]]
        found = [one for one in self.backends.values() if one.ready]
        found = found or list(self.backends.values())
        if self._random is not None:
            self._random.shuffle(found)
        elif found:
            first = next(self._turn) % len(found)
            found = found[first:] + found[:first]
        return found

    async def _watch(self, backend: Backend) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    backend.ready = await _is_ready(backend)
            except (OSError, TimeoutError):
                backend.ready = False
            await asyncio.sleep(CHECK_S)


class _Front(asyncio.Protocol):
    """The far end's side of a connection."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._dialling: asyncio.Task[None] | None = None
        self._pipe: Pipe | None = None
        self.idle = True
        """The last to say something was the backend, or nobody did; a stream is never idle."""
        self.ended = self.lost = False
        """It has said that it says nothing more; it is gone."""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are not derived from it.
        self._transport = cast(asyncio.Transport, transport)
        _without_delay(self._transport)
        self._balancer.opened(self)

    def data_received(self, data: bytes) -> None:
        self.idle = False
        if self._pipe is not None:
            self._pipe.write(data)
            return
        self._head += data
        if self._dialling is not None:
            return
        if b"\r\n\r\n" in self._head:
            self._dialling = asyncio.create_task(self._dial(), name="balancer")
        elif len(self._head) > MAX_HEAD_BYTES:
            self.reset()

    def eof_received(self) -> bool:
        if self._pipe is None:
            return False
        self.ended = True
        self._pipe.write_eof()
        # Else a connection that both have ended would stay.
        return not self._pipe.ended

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._balancer.closed(self)
        if self._dialling is not None:
            self._dialling.cancel()
        if self._pipe is not None:
            self._pipe.other_lost(reset=exc is not None)

    def pause_writing(self) -> None:
        if self._pipe is not None:
            self._pipe.pause(True)

    def resume_writing(self) -> None:
        if self._pipe is not None:
            self._pipe.pause(False)

    def write(self, data: bytes) -> None:
        """Hand on what the backend said."""
        self.idle = not self._upgraded
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Hand on that the backend says nothing more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def pause(self, paused: bool) -> None:
        """Read nothing while the backend takes nothing."""
        _pause(self._transport, paused)

    def close(self) -> None:
        """Close in order."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Break off."""
        _reset(self._transport)

    async def _dial(self) -> None:
        head = bytes(self._head).partition(b"\r\n\r\n")[0]
        self._upgraded = b"upgrade: websocket" in head.lower()
        if self._balancer.per_request and not self._upgraded:
            head = _KEEP_ALIVE.sub(b"connection: close", head)
        path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
        pipe = await self._balancer.dial(path, self)
        if pipe is None:
            self.reset()
            return
        pipe.write(head + b"\r\n\r\n" + bytes(self._head).partition(b"\r\n\r\n")[2])
        self._pipe = pipe


class Pipe(asyncio.Protocol):
    """The backend's side of a connection."""

    def __init__(self, backend: Backend, front: _Front) -> None:
        self.backend = backend
        self._front = front
        self._transport: asyncio.Transport | None = None
        self.ended = False
        """It has said that it says nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are not derived from it.
        self._transport = cast(asyncio.Transport, transport)
        if self._front.lost:
            self._transport.abort()
            return
        _without_delay(self._transport)
        self.backend.pipes.add(self)

    def data_received(self, data: bytes) -> None:
        self._front.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        self._front.write_eof()
        return not self._front.ended

    def connection_lost(self, exc: Exception | None) -> None:
        self.backend.pipes.discard(self)
        if exc is not None:
            self._front.reset()
        else:
            self._front.close()

    def pause_writing(self) -> None:
        self._front.pause(True)

    def resume_writing(self) -> None:
        self._front.pause(False)

    def write(self, data: bytes) -> None:
        """Hand on what the far end said."""
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Hand on that the far end says nothing more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def pause(self, paused: bool) -> None:
        """Read nothing while the far end takes nothing."""
        _pause(self._transport, paused)

    def other_lost(self, *, reset: bool) -> None:
        """The far end is gone."""
        if reset:
            _reset(self._transport)
        elif self._transport is not None:
            self._transport.close()


def _pause(transport: asyncio.Transport | None, paused: bool) -> None:
    if transport is None or transport.is_closing():
        return
    if paused:
        transport.pause_reading()
    else:
        transport.resume_reading()


def _without_delay(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(transport: asyncio.Transport | None) -> None:
    if transport is None or transport.is_closing():
        return
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


async def _is_ready(backend: Backend) -> bool:
    reader, writer = await asyncio.open_connection(backend.host, backend.port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: balancer\r\nconnection: close\r\n\r\n")
        status = await reader.readline()
        await reader.read()
        return b" 200 " in status
    finally:
        writer.close()
