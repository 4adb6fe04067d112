"""The simulated Live API in the same process and loop, without a network.

Our side is all real: ``LiveDialer``, the SDK's own conversion of the setup, ``DirectConnection``
and its codec. The other side is the twin's own ``Session``, with its handles, refusals and faults.
Only the WebSocket between them is replaced, by two queues. So it runs under a virtual clock, and
what the model holds is the twin's truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import cast
from unittest.mock import patch

import google.genai.live
from google import genai
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
)
from websockets.frames import Close
from websockets.http11 import Response
from websockets.protocol import State

from agent.live.dialer import LiveDialer
from agent.live.settings import LiveSettings
from workers.twin.live_api.connection import Connection
from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.faults import NO_CLOSE_FRAME, Fault
from workers.twin.live_api.handles import HandleBook
from workers.twin.live_api.profiles import VERTEX_PATH
from workers.twin.live_api.script import ScriptSource
from workers.twin.live_api.session import Session, Surroundings
from workers.twin.live_api.session_log import Keep, SessionLog
from workers.twin.live_api.understanding import Understanding
from workers.twin.live_api.usage import RATES, Rates

_BASE_URL = "https://twin.invalid"
_PATH = re.compile(r"wss://[^/]+(/[^?]*)")
_OPEN_S = 0.1
"""TCP, TLS and the upgrade: three round trips to a data centre that is near."""
_ROUND_TRIP_S = 0.03


class TwinInProcess:
    """A Live API of one's own; use it in the loop that it is used from.

    Args:
        script: What the model hears and says.
        faults: What goes wrong; connections are counted from 1, refused ones included.
        setup_delay_s: From the setup message to ``setupComplete``.
        resume_delay_s: The same where the setup names a handle.
        rates: What a second of audio counts.
        seed: Chooses everything random but the handles.
        keep: How much the logs keep of each connection.
    """

    def __init__(
        self,
        script: ScriptSource,
        *,
        faults: Iterable[Fault] = (),
        setup_delay_s: float = 0.5,
        resume_delay_s: float = 0.3,
        rates: Rates = RATES,
        seed: int = 0,
        keep: Keep | None = None,
    ) -> None:
        self.sessions: list[SessionLog] = []
        """Every connection that was opened, in order."""
        self._faults = tuple(faults)
        self._keep = keep or Keep(audio_s=0)
        self._links: dict[int, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._surroundings = Surroundings(
            script=script,
            only=None,
            speed=None,
            setup_delay_s=setup_delay_s,
            resume_delay_s=resume_delay_s,
            time_scale=1.0,
            seed=seed,
            turn_complete_after_interrupted=True,
            handles=HandleBook(),
            understanding=Understanding(),
            is_open=self._is_open,
            clock=self._clock,
            rates=rates,
        )

    def dialer(self, *, vertexai: bool = False) -> LiveDialer:
        """Return a dialer whose connections come here, while ``reached`` is entered."""
        return _TwinDialer(LiveSettings(api_key="test-key", vertexai=vertexai, base_url=_BASE_URL))

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Let the SDK's WebSockets lead here in place of the network."""
        with patch.object(google.genai.live, "ws_connect", self._connect):
            yield

    async def stop(self) -> None:
        """Close what is open.

        Raises:
            ExceptionGroup: the twin's own code failed.
        """
        for link in self._links.values():
            link.close(1001, "", by="server")
        await asyncio.gather(*self._tasks)
        if self._failures:
            raise ExceptionGroup("the simulated server failed", self._failures)

    @property
    def serving(self) -> SessionLog | None:
        """The newest connection that is up and has been set up."""
        up = (log for log in reversed(self.sessions) if log.ready_at is not None and log.open)
        return next(up, None)

    def drop(self, *, code: int = NO_CLOSE_FRAME, reason: str = "") -> None:
        """End the connection that serves at this moment; 1006 is a reset."""
        assert self.serving is not None
        self._links[self.serving.number].close(code, reason, by="server")

    @contextlib.asynccontextmanager
    async def _connect(self, uri: str, **_options: object) -> AsyncIterator[_ClientEnd]:
        """Open a WebSocket, as ``websockets.connect`` does."""
        await asyncio.sleep(_OPEN_S)
        found = _PATH.match(uri)
        assert found is not None, uri
        number = len(self.sessions) + 1
        plan = FaultPlan(self._faults, number)
        log = SessionLog(number, found[1], {}, self._clock(), self._keep)
        self.sessions.append(log)
        if plan.refusal is not None:
            log.closed_at, log.close_code = self._clock(), NO_CLOSE_FRAME
            status = http.HTTPStatus(plan.refusal)
            raise InvalidStatus(Response(status.value, status.phrase, Headers()))
        link = self._links[number] = _Link(log, plan)
        task = asyncio.create_task(self._serve(link), name=f"twin {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            yield link.client
        finally:
            await link.client.close()

    async def _serve(self, link: _Link) -> None:
        session = Session(cast(Connection, link.server), link.log, self._surroundings)
        try:
            await session.run()
        except Exception as error:  # noqa: BLE001  # the edge of a task: told when the twin stops
            self._failures.append(error)
        finally:
            link.log.close_code, link.log.close_reason = link.code, link.reason
            link.log.closed_by, link.log.closed_at = link.closed_by, self._clock()

    def _is_open(self, number: int) -> bool:
        link = self._links[number]
        lingers_s = link.plan.lingers_s if link.closed_s is not None else math.inf
        return self._clock() < (link.closed_s or 0.0) + lingers_s

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


class _TwinDialer(LiveDialer):
    """The real dialer, its client built without a thread."""

    async def _ready_client(self) -> genai.Client:
        if self._client is None:
            self._client = self._build_client()
        return self._client


class _Link:
    """One WebSocket: two ends, and how it was closed."""

    def __init__(self, log: SessionLog, plan: FaultPlan) -> None:
        self.log = log
        self.plan = plan
        self.closed = asyncio.Event()
        self.closed_s: float | None = None
        self.code = 0
        self.reason = ""
        self.closed_by = ""
        self.client = _ClientEnd(self)
        self.server = _ServerEnd(self)

    def close(self, code: int, reason: str, *, by: str) -> None:
        """Close once; what was sent before is still read, except after a reset."""
        if self.closed.is_set():
            return
        self.code, self.reason, self.closed_by = code, reason, by
        self.closed_s = asyncio.get_running_loop().time()
        self.closed.set()
        for end in (self.client, self.server):
            if code == NO_CLOSE_FRAME:
                end.frames.clear()
            end.changed.set()

    def error(self, *, end: str) -> ConnectionClosed:
        """Return what ``end`` gets to see of the close."""
        if self.code == NO_CLOSE_FRAME:
            return ConnectionClosedError(None, None)
        close = Close(self.code, self.reason)
        kind = ConnectionClosedOK if self.code in (1000, 1001) else ConnectionClosedError
        return kind(close, close, rcvd_then_sent=self.closed_by != end)


class _End:
    """What both ends of a WebSocket can do."""

    name = ""

    def __init__(self, link: _Link) -> None:
        self.frames: deque[bytes | str] = deque()
        """Sent by the other end and not read yet; read as fast as they come."""
        self.changed = asyncio.Event()
        self._link = link

    @property
    def state(self) -> State:
        return State.CLOSED if self._link.closed.is_set() else State.OPEN

    async def recv(self, decode: bool | None = None) -> bytes | str:
        """Return the next frame; text is text, as ``decode`` None means to websockets."""
        while not self.frames:
            if self._link.closed.is_set():
                raise self._link.error(end=self.name)
            self.changed.clear()
            await self.changed.wait()
        frame = self.frames.popleft()
        return frame.encode() if decode is False and isinstance(frame, str) else frame

    async def wait_closed(self) -> None:
        await self._link.closed.wait()

    def _give(self, other: _End, frame: bytes | str) -> None:
        if self._link.closed.is_set():
            raise self._link.error(end=self.name)
        other.frames.append(frame)
        other.changed.set()


class _ClientEnd(_End):
    """What the SDK and ``DirectConnection`` take for a WebSocket."""

    name = "client"

    def __init__(self, link: _Link) -> None:
        super().__init__(link)
        self.transport = _Transport(link)

    async def send(self, message: bytes | str, text: bool | None = None) -> None:
        if self._link.server.half_open:
            return
        if text and isinstance(message, bytes):
            message = message.decode()
        self._give(self._link.server, message)

    async def close(self) -> None:
        """Close as websockets does: the other end has to answer."""
        if self._link.closed.is_set():
            return
        await asyncio.sleep(_ROUND_TRIP_S / 2)
        if self._link.server.half_open:
            await self._link.closed.wait()
        self._link.close(1000, "", by="client")
        await asyncio.sleep(_ROUND_TRIP_S / 2)


class _Transport:
    def __init__(self, link: _Link) -> None:
        self._link = link

    def get_write_buffer_size(self) -> int:
        """Nothing waits: frames are taken at once."""
        return 0

    def abort(self) -> None:
        self._link.close(NO_CLOSE_FRAME, "", by="client")


class _ServerEnd(_End):
    """What the twin's ``Session`` takes for its ``Connection``."""

    name = "server"

    def __init__(self, link: _Link) -> None:
        super().__init__(link)
        self.number = link.log.number
        self.path = link.log.path
        self.plan = link.plan
        self.vertex = VERTEX_PATH.fullmatch(link.log.path) is not None
        self.half_open = False
        self.on_message: Callable[[bytes], bool] = lambda _message: False
        """Would get messages before ``recv`` does; here all come by that."""

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield frames until the end; a close that is an error raises."""
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def send(self, message: bytes | str) -> None:
        if not self.half_open:
            self._give(self._link.client, message)

    async def send_message(self, content: bytes) -> None:
        await self.send(content)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._link.close(code, reason, by="server")

    async def reset(self) -> None:
        self._link.close(NO_CLOSE_FRAME, "", by="server")

    async def go_half_open(self) -> None:
        """Hear and send nothing more until the client has left."""
        self.half_open = True
        self.frames.clear()
        await self._link.closed.wait()
