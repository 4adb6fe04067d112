"""Empties a worker that leaves, as ``Drain`` decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from workers.fleet.drain import Drain, DrainingCall, Exit, HandOver

STEP_S = 0.1
TELL_S = 10.0

_log = structlog.get_logger(__name__)


class Entry(Protocol):
    """A call of this process (``workers.call.entry.CallEntry``)."""

    @property
    def call_sid(self) -> str:
        """Twilio's name of it."""

    @property
    def stream_live(self) -> bool:
        """Whether a stream of it is open here."""

    @property
    def streams(self) -> int:
        """The number of its newest stream."""


class Drainer:
    """Empties one worker.

    Args:
        drain_s: How long it may take until all is handed over by force.
        active: The calls of this process, as they are at any moment.
        awaited: Whether Twilio is about to ask something about a call.
        others_ready: How many workers would take the calls.
        hand_over: Has a call go on elsewhere, within seconds.
        settle_s: Before the first call is handed over; see ``Drain``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        drain_s: float,
        *,
        active: Iterable[Entry],
        awaited: Callable[[], bool],
        others_ready: Callable[[], int],
        hand_over: Callable[[str, float], None],
        settle_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drain_s = drain_s
        self._active = active
        self._awaited = awaited
        self._others_ready = others_ready
        self._hand_over = hand_over
        self._settle_s = settle_s
        self._clock = clock

    async def run(self, hurry: asyncio.Event) -> int:
        """Return when the worker may exit, with how many streams are open still.

        Args:
            hurry: Is set when there is no time any more.
        """
        began_at = told_at = self._clock()
        drain = Drain(self._drain_s, now=began_at, settle_s=self._settle_s)
        _log.info(
            "drain.started",
            live=len(self._calls()),
            others_ready=self._others_ready(),
            limit_s=self._drain_s,
        )
        while True:
            now, calls = self._clock(), self._calls()
            for command in drain.step(
                calls,
                others_ready=self._others_ready(),
                awaited=self._awaited(),
                hurry=hurry.is_set(),
                now=now,
            ):
                match command:
                    case HandOver(call_sid, limit_s):
                        self._order(call_sid, limit_s)
                    case Exit(left):
                        took_s = round(now - began_at, 1)
                        _log.info(
                            "drain.done", took_s=took_s, handed_over=drain.handed_over, left=left
                        )
                        return left
            if now - told_at >= TELL_S:
                told_at = now
                _log.info("drain.waiting", waits_for=drain.waits_for, live=len(calls))
            await asyncio.sleep(STEP_S)

    def _calls(self) -> list[DrainingCall]:
        return [
            DrainingCall(entry.call_sid, entry.streams)
            for entry in self._active
            if entry.stream_live
        ]

    def _order(self, call_sid: str, limit_s: float) -> None:
        _log.info("drain.handing_over", call_sid=call_sid, limit_s=round(limit_s, 1))
        try:
            self._hand_over(call_sid, limit_s)
        except Exception:  # noqa: BLE001  one call must not keep the others here
            _log.exception("drain.hand_over_failed", call_sid=call_sid)
