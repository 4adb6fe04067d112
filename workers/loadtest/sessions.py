"""Gives away what the simulated Live API has kept of a call, once its connections are closed.

Whoever measures a call needs it; the Live API and the callers need not share a process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from workers.loadtest.live_side import connections_of
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import SessionLog

CLOSED_S: Final = 5.0
"""A worker may take so long to close a call's Live connections."""
_POLL_S: Final = 0.05


class Sessions(Protocol):
    """The connections of a simulated Live API."""

    async def take(self, number: int) -> list[SessionLog]:
        """Return the connections of the ``number``-th call, which are forgotten with that."""
        ...


class TwinSessions:
    """Those of a Live API in this process.

    Args:
        live: The Live API.
        clock: Seconds, monotonic.
    """

    def __init__(self, live: LiveTwin, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock = clock

    async def take(self, number: int) -> list[SessionLog]:
        """Return the connections of a call, once they are closed, or ``CLOSED_S`` have passed."""
        deadline_s = self._clock() + CLOSED_S
        while True:
            found = connections_of(self._live.sessions, number)
            if all(not log.open for log in found) or self._clock() >= deadline_s:
                break
            await asyncio.sleep(_POLL_S)
        # One that is still open goes on changing while it is handed to another process.
        closed = [log for log in found if not log.open]
        self._live.forget(closed)
        return closed
