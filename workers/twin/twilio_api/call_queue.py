"""Twilio's queue of calls that were taken and not dialled yet: first come, first out, at a rate.

Source: Twilio reference, 4.5; twilio.com/docs/voice/api/call-resource (calls per second).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

DAY_S = 86_400


class QueueFull(Exception):
    """More than 24 hours of calls are waiting (twilio.com/docs/api/errors/22005)."""


class CallQueue:
    """Bounded by 24 hours of calls; whoever comes then is refused.

    Args:
        per_second: how many leave in a second of the twin's time; None: all, at once.
        speed: how many seconds of the twin's time pass in one of ``clock``'s.
        clock: seconds.
        later: calls a function after so many of them.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self._per_second = per_second
        self._interval_s = 1 / (per_second * speed) if per_second else 0.0
        self._clock = clock
        self._later = later
        self._next_s = clock()
        self._scheduled = False
        # Those that wait, oldest first; bounded by a day of calls.
        self._waiting: dict[asyncio.Future[None], None] = {}

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waiting)

    def join(self) -> tuple[asyncio.Future[None], int]:
        """Take a place: a future that is done when the call may go, and Twilio's ``queue_time``.

        Cancelling the future gives the place up. ``queue_time`` is in milliseconds of the twin's
        time.

        Raises:
            QueueFull: a day of calls is waiting.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        now = self._clock()
        if self._per_second is None:
            turn.set_result(None)
            return turn, 0
        if not self._waiting and now >= self._next_s:
            self._next_s = now + self._interval_s
            turn.set_result(None)
            return turn, 0
        if len(self._waiting) >= DAY_S * self._per_second:
            raise QueueFull
        self._waiting[turn] = None
        turn.add_done_callback(lambda gone: self._waiting.pop(gone, None))
        self._schedule()
        return turn, round(len(self._waiting) * 1000 / self._per_second)

    def drain(self) -> None:
        """Let those go whose time has come, and see to it that this is called again."""
        self._scheduled = False
        now = self._clock()
        while self._waiting and now >= self._next_s:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                # An absolute schedule: a late timer does not lower the rate.
                self._next_s += self._interval_s
        if self._waiting:
            self._schedule()

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        later = self._later or asyncio.get_running_loop().call_later
        later(max(0.0, self._next_s - self._clock()), self.drain)
