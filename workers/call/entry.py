"""One call in memory: who it is, what is to become of it, and what is known of it so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.checkpoint import SessionCheckpoint
from agent.context.notes import Notes
from agent.conversation.record import CallRecord
from telephony.calls.status import AnsweredBy, CallStatus
from workers.campaign.brief import Brief
from workers.store.calls import CallRow

if TYPE_CHECKING:
    from workers.call.loaded_agent import LoadedAgent


class CallState(StrEnum):
    """What is to become of a call when its stream ends."""

    RINGING = "ringing"
    """Announced by the voice request; no stream yet."""
    IN_PROGRESS = "in_progress"
    """A stream has started; if it ends now, it was lost, and the call is unfinished."""
    HANDED_OVER = "handed_over"
    """Its worker has let go of it in order; another one is to go on."""
    FINISHED = "finished"
    """Nothing more to do: hang up."""
    APOLOGY = "apology"
    """We cannot go on: say so and hang up."""
    TRANSFER = "transfer"
    """To be connected to ``transfer_to``."""


@dataclass(slots=True, eq=False)
class CallEntry:
    """One call in memory."""

    call_sid: str
    account_sid: str
    direction: str
    from_: str
    to: str
    state: CallState = CallState.RINGING
    status: CallStatus = CallStatus.RINGING
    owner: str = ""
    """The worker that serves its stream; empty where none does."""
    fence: int = 0
    """The fencing number under which this process knows the call; 0 before its first stream."""
    streams: int = 0
    """The number of its newest stream, counted from 1."""
    lost_at: tuple[float, ...] = ()
    """When streams were lost under the caller, by the Unix clock."""
    unserved: bool = False
    """Its newest stream has ended without having been served; that is counted in ``lost_at``."""
    unclaimed: bool = False
    """Its stream is being served before the store has said that it may be; nothing is written."""
    notice: str | None = None
    """What a continued session is told first, such as that nobody answered a transfer."""
    transfer_to: str | None = None
    last_resort: bool = False
    """The transfer stands in for an agent that cannot go on: there is nothing to come back to."""
    briefed: bool = False
    """It is known whether a campaign has to do with it."""
    brief: Brief | None = None
    """What its campaign has it know; None: there is none."""
    agent: LoadedAgent | None = None
    """Its campaign's; None: the worker's own."""
    answered_at: float | None = None
    """When Twilio asked what to do with it, answered, by the Unix clock."""
    answered_by: AnsweredBy | None = None
    """Detection's verdict, where it came to this process."""
    abandonment_judged: bool = False
    notes: Notes = field(default_factory=Notes)
    """What operators and functions have its model know."""
    briefing: str | None = None
    """What whoever takes over hears before they are connected; never stored."""
    record: CallRecord | None = None
    checkpoint: SessionCheckpoint | None = None
    """Of the session of the stream before, for the next one to go on with."""
    stream_ended_at: float | None = None
    """When Twilio said that the stream before had ended, by the Unix clock."""
    stream_live: bool = False
    taken_over: bool = False
    """Another worker has its number: this one is to fall silent and to write nothing more."""
    touched_at: float = 0.0
    task: asyncio.Task[object] | None = None
    """Serves its stream."""
    ousted: bool = False
    """That task was cancelled by us."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def undecided(self) -> bool:
        """No stream has said yet what is to become of the call."""
        return self.state in (CallState.RINGING, CallState.IN_PROGRESS, CallState.HANDED_OVER)

    def row(self) -> CallRow:
        """What the store keeps of it."""
        return CallRow(
            call_sid=self.call_sid,
            account_sid=self.account_sid,
            direction=self.direction,
            from_number=self.from_,
            to_number=self.to,
            state=self.state.value,
            status=self.status.value,
            owner=self.owner,
            fence=self.fence,
            streams=self.streams,
            transfer_to=self.transfer_to,
            last_resort=self.last_resort,
            lost_at=self.lost_at,
        )
