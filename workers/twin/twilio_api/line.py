"""One leg of a call: the phone at its end, its status, and the webhooks that tell of it.

Verbs work on a line; ``call`` decides which verb that is. A leg that ``<Dial>`` makes is a line
without a program.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any

from workers.twin.caller import CallerScript
from workers.twin.performer import Doing
from workers.twin.twilio_api import states
from workers.twin.twilio_api.callback_faults import (
    CallbackFaults,
    CallbackPost,
    ScriptedCallbacks,
)
from workers.twin.twilio_api.delivery import Answer
from workers.twin.twilio_api.desk import Desk
from workers.twin.twilio_api.journal import Journal
from workers.twin.twilio_api.media.stream import (
    MediaStream,
    MediaTap,
    StreamFaults,
    StreamTiming,
)
from workers.twin.twilio_api.order import StatusCallback
from workers.twin.twilio_api.party import Party
from workers.twin.twilio_api.resources import API_VERSION, CallFacts
from workers.twin.twilio_api.signing import Signing

_PLACES = ("City", "State", "Zip", "Country")


@dataclass(frozen=True, slots=True)
class CallFaults:
    """What goes wrong in a call from its beginning; ``streams`` one by one, the rest are good."""

    webhook_signing: Signing = "good"
    streams: tuple[StreamFaults, ...] = ()
    timing: StreamTiming = field(default_factory=StreamTiming)
    callbacks: CallbackFaults = field(default_factory=ScriptedCallbacks)


class Line:
    """The state that verbs read and change."""

    def __init__(
        self,
        desk: Desk,
        facts: CallFacts,
        script: CallerScript,
        *,
        on_doing: Callable[[Doing], None],
        status_callback: StatusCallback | None = None,
        faults: CallFaults | None = None,
        tap: MediaTap | None = None,
    ) -> None:
        self.desk = desk
        self.facts = facts
        self.faults = faults or CallFaults()
        self.tap = tap
        self.journal = Journal(desk.clock, marks=desk.keep_marks)
        self.party = Party(script, clock=desk.clock, on_doing=on_doing, speed=desk.speed)
        self.streams_opened = 0
        self.streams: list[MediaStream] = []
        self.stream: MediaStream | None = None
        self.stream_request: tuple[str, Mapping[str, str]] | None = None
        self.on_key: Callable[[str], None] | None = None
        self.legs: list[Line] = []
        """Those that were dialled from here."""
        self.callbacks: set[asyncio.Task[None]] = set()
        self._status_callback = status_callback or StatusCallback()
        self._post = CallbackPost(self.faults.callbacks, self.journal.note)
        self._sequence = 0
        self.answered_at_s: float | None = None
        self.ended_at_s: float | None = None
        self.recorded_from_s: float | None = None
        self.recorded_until_s: float | None = None
        desk.record(facts)

    def enter(self, state: str, *, silently: bool = False) -> None:
        """Move to another state, and tell who subscribed to that.

        Raises:
            RuntimeError: the table knows no such move; a fault of the twin.
        """
        if state not in states.MOVES[self.facts.state]:
            raise RuntimeError(f"a call cannot go from {self.facts.state} to {state}")
        self.facts.state = state
        now = self.desk.wall()
        self.desk.ledger.enter(self.facts.sid, state, now.timestamp())
        if state == states.IN_PROGRESS:
            self.facts.answered_at = now
            self.answered_at_s = self.journal.now_s()
            self.party.performer.answered = True
        if state in states.TERMINAL:
            self.facts.ended_at = now
            self.ended_at_s = self.journal.now_s()
            self.party.stop()
        self.journal.note("status", status=state)
        event = states.event_of(state)
        callback = self._status_callback
        if callback.url and event in callback.events and not silently:
            params = self._progress_params()
            self.post_later(f"status {event}", callback.url, params, method=callback.method)

    def restart(self) -> None:
        """Let the call's time begin now: it has left the queue."""
        self.journal.start_s = self.party.heard.start_s = self.desk.clock()

    def answer(self) -> None:
        """Answer, unless that has been done."""
        if self.facts.state == states.RINGING:
            self.enter(states.IN_PROGRESS)

    def params(self) -> dict[str, str]:
        """Give the parameters of every voice request (Twilio reference, 3.1)."""
        facts = self.facts
        params = {
            "AccountSid": facts.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": facts.sid,
            "CallStatus": facts.state,
            "Direction": facts.direction,
            "From": facts.from_,
            "Caller": facts.from_,
            "To": facts.to,
            "Called": facts.to,
        }
        for who in ("From", "Caller", "To", "Called"):
            params |= {f"{who}{place}": "" for place in _PLACES}
        if facts.parent_call_sid:
            params["ParentCallSid"] = facts.parent_call_sid
        return params

    async def post(self, kind: str, url: str, params: Mapping[str, str], *, method: str) -> Answer:
        """Send a signed request and record it with its answer."""
        webhook = self.journal.webhook(kind, url, method, params)
        answer = await self.desk.deliverer.deliver(
            url, params, method=method, signature=self.faults.webhook_signing
        )
        webhook.answered_at_s = self.journal.now_s()
        webhook.status, webhook.body = answer.status, answer.body
        webhook.attempts = answer.attempts
        webhook.error = f"{answer.code} {answer.detail}" if answer.code else ""
        return answer

    def post_later(self, kind: str, url: str, params: Mapping[str, str], *, method: str) -> None:
        """Send a callback in a task of its own: nothing in the call waits for it."""
        self.spawn(self.post_callback(kind, url, params, method=method), kind)

    async def post_callback(
        self, kind: str, url: str, params: Mapping[str, str], *, method: str
    ) -> None:
        """Send a callback by the way that the call's faults lead it.

        ``kind`` ends with the event's name, by which they know it.
        """

        async def send() -> None:
            answer = await self.post(kind, url, params, method=method)
            if answer.code:
                self.journal.warn(15003, f"{kind}: {answer.code} {answer.detail}")

        await self._post.carry(kind.rpartition(" ")[2], send)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work beside the call; its end is waited for before the result is given."""
        task = self.desk.spawn(work, f"{self.facts.sid} {name}")
        self.callbacks.add(task)
        task.add_done_callback(self.callbacks.discard)
        return task

    async def play(self, ulaw: bytes) -> None:
        """Let the party hear this; if it is cut short, the rest is never heard."""
        heard = self.party.heard
        clock = self.desk.clock
        end = heard.put(heard.position(clock()), ulaw)
        try:
            await asyncio.sleep(max(0.0, heard.instant(end) - clock()))
        finally:
            if heard.position(clock()) < end:
                heard.cut(heard.position(clock()))

    def recorded(self) -> bytes:
        """Give what a voicemail at this end has recorded, up to now or its end."""
        if self.recorded_from_s is None:
            return b""
        heard = self.party.heard
        until_s = self.recorded_until_s
        if until_s is None:
            until_s = self.journal.now_s() if self.ended_at_s is None else self.ended_at_s
        end = heard.position(heard.start_s + until_s)
        return heard.until(end)[heard.position(heard.start_s + self.recorded_from_s) :]

    def _progress_params(self) -> dict[str, str]:
        params = self.params() | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
            "Timestamp": format_datetime(self.desk.wall()),
        }
        self._sequence += 1
        facts = self.facts
        if facts.state in states.TERMINAL:
            # CallDuration in seconds, Duration in minutes, rounded up (Twilio reference, 5.1).
            params["CallDuration"] = str(facts.duration_s)
            params["Duration"] = str(math.ceil(facts.duration_s / 60))
            if facts.direction == "outbound-api" and facts.sip_response_code:
                params["SipResponseCode"] = str(facts.sip_response_code)
            if facts.answered_by:
                params["AnsweredBy"] = facts.answered_by
        return params
