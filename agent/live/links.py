"""The connections of one session: the one that serves, one in reserve, those being closed.

Each is dialled and read by a task of its own. What they say reaches the session only while they
serve; one that was left is read on, so that it can close in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from google.genai import types

from agent import commands, events
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectFailed, LiveConnectionLost, LiveError
from agent.live.connection import Connection
from agent.live.dialer import Dialer
from agent.live.models import profile_for
from agent.live.recall import Brief, Recall
from agent.live.session_events import (
    ConnectFailed,
    ConnectionClosed,
    Opened,
    SessionEvent,
    StandbyLost,
)
from agent.spec import AgentSpec

MOVE_DIAL_S = 4.0
"""Bound on a dial while a caller waits; what a first dial may take is the agent's to say."""
MOVE_CLOSE_S = 0.5
"""Two slow round trips. A server that does not answer a close by then is not waited for."""

_log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Link:
    """A connection, and what it was told when it was opened."""

    attempt: int
    connection: Connection
    brief: Brief
    resumed: bool = False
    lost: bool = False


class Links:
    """Opens, reads, promotes and closes connections as the lifecycle decides.

    Args:
        spec: The agent.
        opening: How the session is opened.
        dialer: Opens connections.
        declarations: The agent's functions.
        recall: Knows what a connection has to be told.
        receive: Takes what happens.
        hear: Takes the model's audio at once where it can; what it refuses is ``receive``d.
        on_serve: Is told which connection serves from now on, and whether another did before.
        spawn: Runs a task that ends with the session.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        dialer: Dialer,
        declarations: Sequence[types.FunctionDeclaration],
        recall: Recall,
        receive: Callable[[SessionEvent], Awaitable[None]],
        hear: Callable[[events.AudioReceived], bool],
        on_serve: Callable[[Link, bool], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current: Link | None = None
        """The one that serves."""
        self._spec = spec
        self._opening = opening
        self._dialer = dialer
        self._declarations = declarations
        self._recall = recall
        self._receive = receive
        self._hear = hear
        self._on_serve = on_serve
        self._spawn = spawn
        self._clock = clock
        self._standby: Link | None = None
        # The dial whose connection is to be kept in reserve; another's is closed when it comes.
        self._standby_attempt = 0
        self._open_links: set[Link] = set()
        # Beside the connection that serves there is never more than one.
        self._one_standby = asyncio.Lock()

    def open(self, command: commands.OpenConnection) -> None:
        """Dial; what becomes of it is told as ``Opened`` or ``ConnectFailed``."""
        if command.standby:
            self._standby_attempt = command.attempt
        self._spawn(self._dial(command))

    async def promote(self, attempt: int) -> None:
        """Let the stand-by serve."""
        link, self._standby = self._standby, None
        if link is None:
            error = LiveConnectFailed("the connection in reserve has ended")
            await self._receive(ConnectFailed(error, attempt))
            return
        self._serve_from(link, moved=True)
        await self._receive(Opened(attempt))

    def close_standby(self) -> None:
        """Give the stand-by up, also one that is still being dialled."""
        self._standby_attempt = 0
        link, self._standby = self._standby, None
        if link is not None:
            self._spawn(self._close_reserve(link))

    def leave(self) -> None:
        """Hear no more of the connection that serves; ``ConnectionClosed`` says that it is shut."""
        link, self.current = self.current, None
        self._spawn(self._close_left(link))

    async def send(self, sending: Callable[[Connection], Awaitable[None]]) -> bool:
        """Send something on the connection that serves; without one it is not sent.

        Returns:
            Whether it was sent on the connection that serves still.
        """
        link = self.current
        if link is None or link.lost:
            return False
        try:
            await sending(link.connection)
        except LiveConnectionLost as error:
            await self.lost(link, error)
        return link is self.current and not link.lost

    async def lost(self, link: Link, error: LiveConnectionLost) -> None:
        """A connection has ended; of one that serves no more, nobody needs to know."""
        if link.lost or link is not self.current:
            return
        link.lost = True
        _log.warning("live.lost", code=error.code, reason=error.reason)
        await self._receive(events.ConnectionLost(error.code, error.reason))

    async def close_all(self) -> None:
        """Close every connection there is; each is bounded."""
        self.current = self._standby = None
        await asyncio.gather(*(link.connection.close() for link in self._open_links))

    async def _dial(self, command: commands.OpenConnection) -> None:
        """Dial, then read what the connection says until it ends."""
        if command.standby:
            async with self._one_standby:
                pass
        started_s = self._clock()
        brief = Brief(self._opening.system_instruction)
        resumed = command.handle is not None
        if command.moved or self._recall.goes_on:
            profile = profile_for(command.model, vertexai=self._dialer.vertexai)
            brief = self._recall.brief(
                resumed=resumed,
                path=profile.seed,
                cut_off=command.cut_off,
                orphans=command.untold,
            )
        spec = self._spec
        if command.model != spec.model:
            spec = replace(spec, model=command.model)
        try:
            connection = await self._dialer.connect(
                spec,
                Opening(brief.instruction),
                self._declarations,
                handle=command.handle,
                history=brief.turns,
                timeout_s=MOVE_DIAL_S if command.moved else None,
            )
        except LiveError as error:
            _log.warning("live.connect_failed", verdict=error.verdict.value, detail=str(error))
            await self._receive(ConnectFailed(error, command.attempt))
            return
        _log.info(
            "live.connected",
            took_ms=round((self._clock() - started_s) * 1000),
            resumed=resumed,
            standby=command.standby,
        )
        link = Link(command.attempt, connection, brief, resumed)
        self._open_links.add(link)
        if not command.standby:
            self._serve_from(link, moved=command.moved)
        elif command.attempt == self._standby_attempt:
            self._standby = link
        else:
            await self._close(link)
            return
        await self._receive(Opened(command.attempt))
        await self._read(link)

    def _serve_from(self, link: Link, *, moved: bool) -> None:
        self.current = link
        self._on_serve(link, moved)

    async def _read(self, link: Link) -> None:
        link.connection.listen(partial(self._take, link))
        try:
            while True:
                for event in await link.connection.receive():
                    if link is self.current:
                        await self._receive(event)
        except LiveConnectionLost as error:
            if link is self.current:
                await self.lost(link, error)
            elif link is self._standby:
                self._standby = None
                await self._receive(StandbyLost(link.attempt))

    def _take(self, link: Link, event: events.AudioReceived) -> bool:
        """Hear audio right where it comes; False leaves it to ``_read``."""
        if link is not self.current:
            return False
        try:
            return self._hear(event)
        except Exception as error:  # noqa: BLE001  it ends the session, not the socket's reading
            # Once: what comes until then is for nobody.
            self._hear = lambda _event: True
            self._spawn(_fail(error))
            return True

    async def _close_reserve(self, link: Link) -> None:
        async with self._one_standby:
            await self._close(link)

    async def _close_left(self, link: Link | None) -> None:
        if link is not None:
            await self._close(link)
        await self._receive(ConnectionClosed())

    async def _close(self, link: Link) -> None:
        await link.connection.close(timeout_s=MOVE_CLOSE_S)
        self._open_links.discard(link)


async def _fail(error: Exception) -> None:
    raise error
