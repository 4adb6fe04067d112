"""What the caller says, on its way to the connection that serves.

As a rule each piece is sent at once, right where it is heard. What a connection could not be sent,
because it was not there or its network was slow, is held on the tape and sent by a task of its own,
faster than the caller speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.errors import LiveConnectionLost
from agent.live.lifecycle import Lifecycle
from agent.live.links import Link, Links
from agent.live.session_events import CaughtUp, SessionEvent

# ai.google.dev/gemini-api/docs/live: chunks of 20-100 ms.
_REPLAY_MS = 100.0


class Sending:
    """Sends what is on a session's tape.

    Args:
        lifecycle: Hears the caller; its tape is what is sent.
        links: The connections.
        receive: Takes what happens.
        spawn: Runs a task that ends with the session.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        links: Links,
        receive: Callable[[SessionEvent], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Callable[[], float],
    ) -> None:
        self._lifecycle = lifecycle
        self._tape = lifecycle.tape
        self._links = links
        self._receive = receive
        self._spawn = spawn
        self._clock = clock
        self._catching_up = False

    def hear(self, pcm: bytes) -> Coroutine[Any, Any, object] | None:
        """Pass on what the caller says, PCM16 at 16 kHz; never waits for the network.

        Returns:
            What is left to be done, before anything else is heard; None, as nearly always: nothing.
        """
        if self._lifecycle.end is not None:
            return None
        event = self._lifecycle.hear(pcm, self._clock())
        return self._send() if event is None else self._send_after(event)

    def catch_up(self) -> None:
        """Send what is held, in a task of its own, faster than the caller speaks."""
        if not self._catching_up:
            self._catching_up = True
            self._spawn(self._send_held())

    async def _send_after(self, event: SessionEvent) -> None:
        await self._receive(event)
        rest = self._send()
        if rest is not None:
            await rest

    def _send(self) -> Coroutine[Any, Any, object] | None:
        """Send what has just been heard, at once where the connection takes it."""
        link = self._links.current
        if link is None or link.lost or self._catching_up or self._tape.held:
            return None
        if link.connection.congested:
            self.catch_up()
            return None
        piece = self._tape.take(_REPLAY_MS)
        if not piece or link.connection.write_audio(piece):
            return None
        return self._send_piece(link, piece)

    async def _send_piece(self, link: Link, piece: bytes) -> bool:
        """Send it, and say whether it was."""
        try:
            await link.connection.send_audio(piece)
        except LiveConnectionLost as error:
            await self._links.lost(link, error)
            return False
        return True

    async def _send_held(self) -> None:
        """Send until nothing is left; say once that only what has just been said is left."""
        told: Link | None = None
        try:
            # Whichever connection serves by then: one may be left while a send to it is stuck.
            while (link := self._links.current) is not None and not link.lost:
                piece = self._tape.take(_REPLAY_MS)
                if piece and not await self._send_piece(link, piece):
                    continue
                if self._tape.held:
                    break
                if told is not link and self._tape.unsent_ms < _REPLAY_MS:
                    told = link
                    await self._receive(CaughtUp())
                if not piece:
                    break
                # Faster than real time, but not at the expense of other calls.
                await asyncio.sleep(0)
        finally:
            self._catching_up = False
