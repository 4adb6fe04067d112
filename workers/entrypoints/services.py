"""What the web app works with, handed in by whoever starts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from telephony.calls.rest import TwilioRest
from telephony.calls.twiml import Spoken
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.ticket import TicketBook
from telephony.settings import TwilioSettings
from workers.call.active import ActiveCalls, CallEntry
from workers.metrics import Metrics
from workers.store.calls import CallStore

RunCall = Callable[[CallEntry, MediaSocket, StartedStream], Awaitable[None]]
"""Serve one stream of a call to its end. Before it returns it has said by the entry's state what
comes next: ``ActiveCalls.finish``, ``apologise`` or ``transfer``, or none of them where the call
is unfinished. It adds the turns to ``entry.history`` for a stream that may follow."""

REFUSAL = Spoken("All our lines are busy. Please call again in a few minutes.", "en-US")


@dataclass(frozen=True, slots=True)
class Services:
    """One worker's parts."""

    settings: TwilioSettings
    store: CallStore
    active: ActiveCalls
    tickets: TicketBook
    metrics: Metrics
    run_call: RunCall
    apology: Spoken
    refusal: Spoken = REFUSAL
    announcement: Spoken | None = None
    """Said before the stream is opened, such as that the call is recorded."""
    rest: TwilioRest | None = None
    start_timeout_s: float = 5.0
    """twilio.md 1.5: a socket without ``start`` after about 5 s is closed."""
