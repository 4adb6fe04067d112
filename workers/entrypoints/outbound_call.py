"""One call that was dialled, followed to its end on the terminal.

Twilio's status callbacks are taken in by the worker, which stores them; what is read here is the
store, the stream while there is one, and at times Twilio itself, because a callback may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.conversation.record import CallRecord
from telephony.calls.rest import Call, TwilioRest
from telephony.calls.status import CallStatus, advance
from telephony.errors import CarrierError
from workers.dashboard.console import CallConsole
from workers.dashboard.follow import CallFollower
from workers.dashboard.story import end_of
from workers.entrypoints.worker import Worker
from workers.store.calls import StoreUnavailable

POLL_S = 0.2
# A call's time limit (rest.py) and its longest ringing, and then some.
LOSE_SIGHT_S = 4 * 3600 + 120
# For callbacks that do not come.
ASK_EVERY_S = 10.0
# Once we hang up, there may be no callback (twilio.md 4.3), and somebody waits for the prompt.
ASK_EVERY_WHILE_STOPPING_S = 1.0
STOP_WITHIN_S = 20.0
STREAM_ENDS_WITHIN_S = 15.0

_TOLD = {
    CallStatus.INITIATED: "dialling",
    CallStatus.RINGING: "ringing",
}
_UNANSWERED = {
    CallStatus.BUSY: "The line was busy",
    CallStatus.NO_ANSWER: "Nobody answered",
    CallStatus.FAILED: "The call could not be put through",
    CallStatus.CANCELED: "The call was cancelled before anybody answered",
    CallStatus.COMPLETED: "It was answered, but no media stream was opened; `evercall doctor` may "
    "say why",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended; ``record`` is None where there was no conversation."""

    status: CallStatus
    """Not a terminal one where sight of the call was lost."""
    sip_code: int | None
    record: CallRecord | None

    @property
    def in_order(self) -> bool:
        """It was answered, and nothing broke."""
        if self.record is None or self.status is not CallStatus.COMPLETED:
            return False
        return end_of(self.record.end_reason)[0] != "bad"

    @property
    def sentence(self) -> str:
        """How a call without a conversation ended."""
        text = _UNANSWERED.get(self.status)
        if text is None:
            return "Sight of the call was lost: look at Twilio's console whether it still goes on"
        if self.status is CallStatus.FAILED and self.sip_code is not None:
            return f"{text} (SIP code {self.sip_code})"
        return text


class OutboundCall:
    """Follows one call.

    Args:
        call: As Twilio answered the order to dial.
        worker: Serves the call.
        rest: Asks Twilio.
        told: Is told what happens.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        call: Call,
        *,
        worker: Worker,
        rest: TwilioRest,
        told: CallConsole,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sid = call.sid
        self._worker = worker
        self._rest = rest
        self._told = told
        self._clock = clock
        self._follower = CallFollower(told)
        self._status = CallStatus.QUEUED
        self._sip_code: int | None = None
        self._answered = False
        self._hung_up = False
        self._ask_at = clock() + ASK_EVERY_S
        self._until = clock() + LOSE_SIGHT_S

    async def follow(self, stop: asyncio.Event) -> Ending:
        """Tell the call until it is over; ``stop`` hangs it up."""
        stopping = False
        while not self._status.terminal and self._clock() < self._until:
            if stop.is_set() and not stopping:
                stopping = True
                self._told.ring("hanging up")
                self._until = self._clock() + STOP_WITHIN_S
                self._ask_at = self._clock()
            self._tell_stream()
            await self._read_reports()
            if self._clock() >= self._ask_at:
                await self._ask(stopping=stopping)
            await _pause(stop, stopping=stopping)
        return await self._ending()

    def _tell_stream(self) -> None:
        live = self._worker.runner.live.get(self._sid)
        if live is not None:
            self._tell_answered()
            self._follower.update(live.record())

    async def _read_reports(self) -> None:
        try:
            events = await self._worker.store.load_events(self._sid)
        except StoreUnavailable:
            return
        for event in events:
            if event.kind == "status":
                code = event.payload.get("sip_response_code")
                self._sip_code = code if isinstance(code, int) else self._sip_code
                self._note(CallStatus(str(event.payload["status"])))

    async def _ask(self, *, stopping: bool) -> None:
        """Look at the call by REST, and end it if we are ``stopping``."""
        with contextlib.suppress(CarrierError):  # asked again in a moment
            if stopping and not self._hung_up:
                await self._rest.hang_up(self._sid)
                self._hung_up = True
            seen = await self._rest.fetch(self._sid)
            if seen is not None and seen.status is not None:
                self._note(seen.status)
        self._ask_at = self._clock() + (ASK_EVERY_WHILE_STOPPING_S if stopping else ASK_EVERY_S)

    def _note(self, reported: CallStatus) -> None:
        status = advance(self._status, reported)
        if status is self._status:
            return
        self._status = status
        if status is CallStatus.IN_PROGRESS:
            self._tell_answered()
        elif status in _TOLD and not self._answered:
            self._told.ring(_TOLD[status])

    def _tell_answered(self) -> None:
        if not self._answered:
            self._answered = True
            self._told.answered()

    async def _ending(self) -> Ending:
        """Wait for the stream to end and for its record to be stored; tell the rest of it."""
        over = self._clock() + STREAM_ENDS_WITHIN_S
        live = self._worker.runner.live
        while self._sid in live and self._clock() < over:  # noqa: ASYNC110  (a dictionary tells nobody)
            await asyncio.sleep(POLL_S)
        record = None
        with contextlib.suppress(StoreUnavailable):
            await self._worker.store.flush()
            stored = await self._worker.store.load_call(self._sid)
            record = None if stored is None else stored.record
        if record is not None:
            self._follower.update(record, final=True)
            self._told.ended(record.end_reason, record.detail, at_s=record.ended_s)
        ending = Ending(self._status, self._sip_code, record)
        if record is None or not self._status.terminal:
            self._told.unanswered(ending.sentence)
        return ending


async def _pause(stop: asyncio.Event, *, stopping: bool) -> None:
    """Wait for the next look; not a moment longer once somebody wants to stop."""
    if stopping:
        await asyncio.sleep(POLL_S)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(POLL_S):
            await stop.wait()
