"""Going on with a call: whose it is now, and what its next session has to know.

A stream is served by whoever it reaches. It is claimed in the store, which brings what the last
owner has left and makes sure that a stream number is served once, whatever Twilio repeats and
whoever is slow. A fresh call that was announced in this process is claimed while it is being served
already; where the store is away the call goes on without its memory, and is claimed when it is
back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from agent.context.notes import MAX_NOTE_CHARS, Notes
from agent.conversation.played import heard_until
from agent.conversation.prompt import join_newest, turn_line
from agent.conversation.record import CallRecord, EndReason, StreamRecord
from agent.tools.earlier import unfinished
from telephony.calls.status import CallStatus, advance
from telephony.calls.webhooks import CallRequest
from telephony.media_stream.ticket import Ticket
from workers.call.active import ActiveCalls, StreamRefused
from workers.call.entry import CallEntry, CallState
from workers.call.live_call import utc_now
from workers.call.steering import NOBODY_ANSWERED
from workers.store.calls import (
    CallRow,
    CallStore,
    Claim,
    ClaimOutcome,
    RecalledCall,
    StoreUnavailable,
)

# Twilio waits 15 s for TwiML, and the caller hears nothing meanwhile.
RECALL_DEADLINE_S = 1.0
CLAIM_DEADLINE_S = 1.0
TRANSFER_FAILED = "transfer_failed"
"""In a ticket: nobody has answered a transfer."""
_SAID_BEFORE = "What was said on this call before the line was cut:"
_UNDER_THE_CALLER = (None, EndReason.STREAM_LOST, EndReason.HANDED_OVER, EndReason.TAKEN_OVER)
_NOTICES = {TRANSFER_FAILED: NOBODY_ANSWERED}

_log = structlog.get_logger(__name__)


class Takeover:
    """Finds the entry of a call, here or in the store.

    Args:
        active: The calls of this process.
        store: What is kept of all.
        wall: The Unix clock.
        on_lost: Told when a call goes on here whose stream was lost.
    """

    def __init__(
        self,
        active: ActiveCalls,
        store: CallStore,
        *,
        wall: Callable[[], float] = time.time,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_lost = on_lost
        self._active = active
        self._store = store
        self._wall = wall

    async def asked(self, request: CallRequest, *, ended: int | None) -> CallEntry:
        """The entry of a call about which Twilio asks what is next.

        The store decides, since any worker may have served the call meanwhile; what this process
        knows counts where it has the newest number, or the store does not answer.

        Args:
            request: Twilio's.
            ended: The number of the stream that has ended, where Twilio says so.
        """
        active = self._active
        known = active.get(request.call_sid)
        if known is None or not _is_open(known, ended):
            recalled = await self._recall(request.call_sid)
            known = self._newer(known, recalled, request, ended)
        if ended is not None and known.streams < ended:
            # It was refused, or could not be opened, or its worker could not say that it served it.
            known.streams = ended
            if known.undecided:
                known.state = CallState.IN_PROGRESS
                known.lost_at = (*known.lost_at, self._wall())
                known.unserved = True
        known.status = advance(known.status, request.status)
        known.touched_at = active.now()
        return known

    async def started(self, ticket: Ticket) -> CallEntry:
        """The entry of the call whose stream has just started, as ours.

        Raises:
            StreamRefused: it is over, or this stream has been served before.
        """
        active = self._active
        known = active.get(ticket.call_sid)
        if known is not None and known.account_sid != ticket.account_sid:
            raise StreamRefused("unknown")
        # The ticket of a later stream says that Twilio has left the one that is open here.
        if (
            known is not None
            and known.stream_live
            and (ticket.stream <= known.streams or not await active.stream_ended(known))
        ):
            raise StreamRefused("second")
        if known is not None and known.streams == 0 and ticket.stream == 1:
            # Announced a moment ago: it is claimed while it is served, so that a caller never waits
            # for a database.
            known.streams = 1
            known.unclaimed = True
            return known
        return await self._claimed(ticket, known)

    async def claim_later(self, entry: CallEntry) -> RecalledCall | None:
        """Claim a call that is being served unclaimed.

        Returns:
            What the store knows of the call; None where it is another's, or over.

        Raises:
            StoreUnavailable: the store is still away.
        """
        row = replace(entry.row(), streams=entry.streams - 1)
        claim = await self._claim(row, stream=entry.streams, at=self._wall())
        if not entry.unclaimed or not entry.stream_live:
            return None
        entry.unclaimed = False
        row = claim.call.row
        # One that was carried out, and whose answer was lost, is found again.
        ours = (row.owner, row.streams) == (self._active.worker, entry.streams)
        if claim.outcome is not ClaimOutcome.TAKEN and not (
            claim.outcome is ClaimOutcome.SECOND and ours
        ):
            self._active.lose(entry)
            return None
        entry.fence, entry.lost_at = row.fence, row.lost_at
        return claim.call

    async def _claimed(self, ticket: Ticket, known: CallEntry | None) -> CallEntry:
        row = _announced(ticket) if known is None else known.row()
        try:
            at = self._wall()
            claim = await self._claim(row, stream=ticket.stream, at=at)
        except StoreUnavailable as error:
            return self._unclaimed(ticket, known, str(error))
        if claim.outcome is not ClaimOutcome.TAKEN:
            raise StreamRefused(claim.outcome.value)
        call = claim.call
        if call.row.lost_at and call.row.lost_at[-1] == at:
            self._on_lost()
        current = self._active.get(ticket.call_sid)
        if current is not None and current.fence > call.row.fence:
            # Two streams were claimed here at once, and the later one's answer came first.
            raise StreamRefused("second")
        if current is not None and current.stream_live:
            self._active.lose(current)
            current = None
        if current is not known:
            known = None
        if known is not None and known.fence == call.row.fence - 1:
            # Nobody has served it since: what is here is the newest, and not redacted.
            known.fence, known.streams = call.row.fence, call.row.streams
            known.lost_at = call.row.lost_at
            known.state, known.transfer_to = CallState(call.row.state), call.row.transfer_to
            known.unclaimed = False
            entry = known
        else:
            entry = entry_of(call)
        entry.owner = self._active.worker
        _log.info(
            "call.claimed",
            fence=entry.fence,
            stream=entry.streams,
            lost=len(entry.lost_at),
            from_memory=entry is known,
        )
        return self._begun(entry, ticket)

    async def _claim(self, row: CallRow, *, stream: int, at: float) -> Claim:
        return await self._store.claim(
            row,
            owner=self._active.worker,
            stream=stream,
            at=at,
            deadline_s=CLAIM_DEADLINE_S,
        )

    def _unclaimed(self, ticket: Ticket, known: CallEntry | None, why: str) -> CallEntry:
        _log.error("call.not_claimed", why=why, known=known is not None, stream=ticket.stream)
        # Meanwhile another stream may have begun.
        known = self._active.get(ticket.call_sid) or known
        if known is not None and known.stream_live:
            raise StreamRefused("second")
        if known is not None and known.taken_over:
            # While the store was asked. Under it nothing would ever be written again.
            known = None
        entry = known or entry_of_row(_announced(ticket))
        if entry.state is CallState.IN_PROGRESS and entry.streams:
            entry.lost_at = (*entry.lost_at, self._wall())
        entry.streams = ticket.stream
        entry.unclaimed = True
        return self._begun(entry, ticket)

    def _begun(self, entry: CallEntry, ticket: Ticket) -> CallEntry:
        """Take a call in for the stream that this ticket is for."""
        entry.stream_ended_at = ticket.issued_at
        entry.notice = _NOTICES.get(ticket.notice)
        return self._active.adopt(entry)

    async def _recall(self, call_sid: str) -> RecalledCall | None:
        try:
            recalled = await self._store.recall(call_sid, deadline_s=RECALL_DEADLINE_S)
        except StoreUnavailable as error:
            _log.warning("call.not_recalled", call_sid=call_sid, why=str(error))
            return None
        _log.info("call.recalled", call_sid=call_sid, stored=recalled is not None)
        return recalled

    def _newer(
        self,
        known: CallEntry | None,
        recalled: RecalledCall | None,
        request: CallRequest,
        ended: int | None,
    ) -> CallEntry:
        # Meanwhile the same question may have been answered, and a stream be open.
        known = self._active.get(request.call_sid) or known
        if recalled is None or (known is not None and recalled.row.fence <= known.fence):
            return known or entry_of_row(_asked(request))
        if known is not None:
            if known.unclaimed and _is_open(known, ended):
                # It has no number yet that could be too old: its claim will tell.
                return known
            # A stream that Twilio has left may be served here still. Were it only forgotten, nobody
            # would find it to tell it that the call is another's, and it would speak on.
            self._active.lose(known)
        return entry_of(recalled)


def _is_open(entry: CallEntry, ended: int | None) -> bool:
    """Whether a stream is served here that Twilio has not left, by the number of one that ended."""
    return entry.stream_live and (ended or 0) <= entry.streams


def entry_of(call: RecalledCall) -> CallEntry:
    """A call as the store has it, for this process to go on with."""
    entry = entry_of_row(call.row)
    entry.record, entry.checkpoint = call.record, call.checkpoint
    if call.checkpoint is not None:
        entry.notes = Notes.restored(call.checkpoint.notes, call.checkpoint.instruction)
    return entry


def entry_of_row(row: CallRow) -> CallEntry:
    """A call of which no more is known than its row."""
    return CallEntry(
        call_sid=row.call_sid,
        account_sid=row.account_sid,
        direction=row.direction,
        from_=row.from_number,
        to=row.to_number,
        state=CallState(row.state),
        status=CallStatus(row.status),
        fence=row.fence,
        streams=row.streams,
        lost_at=row.lost_at,
        transfer_to=row.transfer_to,
        last_resort=row.last_resort,
    )


def taken_up(record: CallRecord, *, ended_at: float | None, now: datetime) -> CallRecord:
    """The record of a call whose last stream may have ended without anybody to say so.

    What the agent was saying is cut to what the caller can have heard, functions without a result
    are of unknown outcome, and the stream is closed.

    Args:
        record: As it was last kept.
        ended_at: When Twilio said that the stream had ended, by the Unix clock; None: now.
        now: The wall clock.
    """
    streams = list(record.streams)
    if not streams or streams[-1].end_reason is not None or not record.started_at:
        return replace(record, tools=unfinished(record.tools))
    until = now.timestamp() if ended_at is None else min(ended_at, now.timestamp())
    until_s = max(0.0, until - datetime.fromisoformat(record.started_at).timestamp())
    streams[-1] = _lost(streams[-1], until_s)
    return replace(
        record,
        streams=streams,
        turns=heard_until(record.turns, until_s, since_s=streams[-1].started_s),
        tools=unfinished(record.tools),
    )


def closed(record: CallRecord, detail: str, *, now: datetime | None = None) -> CallRecord:
    """The record of a call that has ended without a stream of ours to say so.

    Args:
        record: As it was last kept.
        detail: How it ended, where its last stream was lost; else that one's word stands.
        now: The wall clock; None: by now.
    """
    record = taken_up(record, ended_at=None, now=now or utc_now())
    last = record.streams[-1] if record.streams else None
    if last is None or last.end_reason in _UNDER_THE_CALLER:
        return replace(record, end_reason=EndReason.STREAM_LOST, detail=detail)
    ended_s = record.ended_s if record.ended_s is not None else last.ended_s
    return replace(record, ended_s=ended_s, end_reason=last.end_reason, detail=last.detail)


def said_before(record: CallRecord) -> str:
    """What was said on a call, for a model that has begun to go on with it without knowing.

    Raises:
        ValueError: nothing was.
    """
    lines = [line for turn in record.turns if (line := turn_line(turn))]
    if not lines:
        raise ValueError("nothing was said")
    return f"{_SAID_BEFORE} {join_newest(lines, max_chars=MAX_NOTE_CHARS - len(_SAID_BEFORE) - 50)}"


def _lost(stream: StreamRecord, ended_s: float) -> StreamRecord:
    return replace(
        stream,
        ended_s=max(stream.started_s, ended_s),
        end_reason=EndReason.STREAM_LOST,
        detail="its worker was lost",
    )


def _announced(ticket: Ticket) -> CallRow:
    return CallRow(
        ticket.call_sid,
        ticket.account_sid,
        ticket.direction,
        ticket.from_,
        ticket.to,
        CallState.RINGING.value if ticket.stream == 1 else CallState.IN_PROGRESS.value,
        CallStatus.IN_PROGRESS.value,
    )


def _asked(request: CallRequest) -> CallRow:
    return CallRow(
        request.call_sid,
        request.account_sid,
        request.direction,
        request.from_,
        request.to,
        CallState.IN_PROGRESS.value,
        CallStatus.IN_PROGRESS.value,
    )
