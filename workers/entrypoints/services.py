"""What the web app works with, handed in by whoever starts it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from telephony.calls.twiml import Spoken
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.ticket import TicketBook
from telephony.settings import TwilioSettings
from workers.call.active import ActiveCalls
from workers.call.agents import Agents
from workers.call.campaign_calls import CampaignCalls
from workers.call.entry import CallEntry
from workers.call.takeover import Takeover
from workers.metrics import Metrics
from workers.store.calls import CallStore

RunCall = Callable[[CallEntry, MediaSocket, StartedStream], Awaitable[None]]
"""Serve one stream of a call to its end. Before it returns it has said by the entry's state what
comes next: ``ActiveCalls.finish``, ``apologise``, ``transfer`` or ``hand_over``, or none of them
where the stream was lost. It leaves record and checkpoint in the entry for a stream that may
follow."""


class CallSteering(Protocol):
    """What is asked of Twilio about a call that goes on (``telephony.calls.rest.TwilioRest``)."""

    async def hang_up(self, call_sid: str) -> None:
        """End it; raises ``CarrierError``."""

    async def redirect(self, call_sid: str, document: str) -> None:
        """Replace what it is doing by a TwiML document; raises ``CarrierError``."""


REFUSAL = Spoken("All our lines are busy. Please call again in a few minutes.", "en-US")


@dataclass(frozen=True, slots=True)
class Services:
    """One worker's parts."""

    settings: TwilioSettings
    agents: Agents
    campaigns: CampaignCalls
    rest: CallSteering
    store: CallStore
    active: ActiveCalls
    takeover: Takeover
    tickets: TicketBook
    metrics: Metrics
    run_call: RunCall
    refusal: Spoken = REFUSAL
    prewarm: Callable[[CallEntry], None] = lambda _entry: None
    """Opens the Live connection of a call whose stream is on its way."""
    close_record: Callable[[CallEntry], None] = lambda _entry: None
    """Stores the record of a call that has ended without a stream of ours."""
    on_over: Callable[[CallEntry], None] = lambda _entry: None
    """Counts a call that this process does not know and has ended."""
    wall: Callable[[], float] = time.time
    start_timeout_s: float = 5.0
    """twilio.md 1.5: a socket without ``start`` after about 5 s is closed."""
