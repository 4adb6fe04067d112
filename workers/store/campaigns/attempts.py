"""What is known of one request to dial: what we did, what Twilio answered, what it told later.

Reports come late, twice and out of order, and to several processes at once: each statement locks
the attempt's row, and nothing leads out of a final state.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, or_, select, update

from telephony.calls.status import AnsweredBy, CallStatus, advance
from telephony.calls.webhooks import StatusReport
from workers.campaign.model import AttemptState, ContactState, LineOutcome, advance_attempt
from workers.store.campaign_schema import UNSETTLED, WAITING, attempts, contacts
from workers.store.campaigns.rows import AttemptRow, attempt_row

ASKING_S: Final = 45.0
"""Longer than this no request to dial lasts (``TwilioSettings.rest_timeout_s`` is 10): whoever made
it has died, or its answer is lost."""
NEWS_RINGING_S: Final = 90.0
"""Without news for so long an attempt that was placed is looked for: it rings for some 25 s."""
NEWS_ANSWERED_S: Final = 300.0
"""And one that was answered, whose call may well last."""
ALIVE_S: Final = 2 * NEWS_ANSWERED_S
"""A call of which there is news keeps its slot for so long at least: until there is more news."""
_log = structlog.get_logger(__name__)

_LONGEST_WAIT: Final = timedelta(seconds=2 * NEWS_ANSWERED_S)


def load_attempt(connection: Connection, attempt_id: int) -> AttemptRow | None:
    """An attempt; None where there is none."""
    return _one(connection, attempts.c.id == attempt_id)


def attempt_of_call(connection: Connection, call_sid: str) -> AttemptRow | None:
    """The attempt that a call was placed by; None where none is known."""
    return _one(connection, attempts.c.call_sid == call_sid)


def note_placed(
    connection: Connection,
    attempt_id: int,
    call_sid: str,
    status: CallStatus | None,
    *,
    now: datetime,
) -> bool:
    """Twilio has the call.

    Returns:
        False where the attempt is known by another call already: then there are two.
    """
    row = _taken_up(connection, attempt_id)
    if row is None or row.attempt.call_sid not in (None, call_sid):
        return False
    state = advance_attempt(row.attempt.state, AttemptState.PLACED)
    values: dict[str, Any] = {"call_sid": call_sid, "state": state.value}
    if row.settled_at is None and state is AttemptState.PLACED:
        values["look_at"] = now + timedelta(seconds=NEWS_RINGING_S)
    if not row.status and status is not None and not status.terminal:
        values["status"] = status.value
    _write(connection, attempt_id, values)
    return True


def note_refused(
    connection: Connection,
    attempt_id: int,
    *,
    outcome: LineOutcome,
    code: int,
    reason: str,
    state: AttemptState = AttemptState.REFUSED,
) -> None:
    """There is no call: Twilio said so, or (``NEVER_PLACED``) it was looked for in vain.

    A callback that came first knows better.
    """
    row = _locked(connection, attempt_id)
    if row is None or advance_attempt(row.attempt.state, state) is not state:
        return
    _write(
        connection,
        attempt_id,
        {
            "state": state.value,
            "outcome": outcome.value,
            "error_code": code,
            "reason": reason,
            "look_at": None,
        },
    )


def note_unknown(connection: Connection, attempt_id: int, *, now: datetime, reason: str) -> None:
    """It may be ringing: it is looked for at Twilio before anything else is done."""
    row = _locked(connection, attempt_id)
    if row is None or row.attempt.state is not AttemptState.ASKING:
        return
    _write(
        connection,
        attempt_id,
        {"state": AttemptState.UNKNOWN.value, "look_at": now, "reason": reason},
    )


def note_status(
    connection: Connection, attempt_id: int, report: StatusReport, *, now: datetime
) -> bool:
    """What Twilio says of the call, by a callback or when it was asked.

    Returns:
        False where it is about another call than the one that the attempt is known by.
    """
    row = _taken_up(connection, attempt_id)
    if row is None or row.attempt.call_sid not in (None, report.call_sid):
        return False
    before = CallStatus(row.status) if row.status else CallStatus.QUEUED
    status = advance(before, report.status)
    moved = status is not before or not row.status
    values: dict[str, Any] = {"call_sid": report.call_sid, "status": status.value}
    if moved and report.sequence_number is not None:
        values["sequence"] = report.sequence_number
    if report.answered_by is not None and row.answered_by is None:
        values["answered_by"] = report.answered_by.value
    if status is CallStatus.IN_PROGRESS and row.answered_at is None:
        values["answered_at"] = now
    if status.terminal and moved:
        values |= _ended(row, report, now)
        state = advance_attempt(row.attempt.state, AttemptState.ENDED)
    else:
        state = advance_attempt(row.attempt.state, AttemptState.PLACED)
        if not status.terminal and row.settled_at is None:
            answered = status is CallStatus.IN_PROGRESS
            news_s = NEWS_ANSWERED_S if answered else NEWS_RINGING_S
            values["look_at"] = now + timedelta(seconds=news_s)
            alive_until = now + timedelta(seconds=ALIVE_S)
            values["lease_until"] = max(row.lease_until or alive_until, alive_until)
    values["state"] = state.value
    _write(connection, attempt_id, values)
    return True


def note_answered_by(
    connection: Connection, attempt_id: int, answered_by: AnsweredBy, *, now: datetime
) -> AttemptRow | None:
    """Detection's verdict, which may come after the call's end; the first one stays.

    ``machine_start`` gives way to what is known when the greeting is over.

    Returns:
        The attempt as it was before; None where there is none.
    """
    row = _locked(connection, attempt_id)
    if row is None:
        return None
    if row.answered_by in (None, AnsweredBy.MACHINE_START.value):
        _write(connection, attempt_id, {"answered_by": answered_by.value})
    return row


def note_flags(
    connection: Connection,
    attempt_id: int,
    *,
    message_left: bool = False,
    opted_out: bool = False,
    machine: bool = False,
    abandoned: bool = False,
) -> None:
    """What happened in the call; what was noted before stays.

    Args:
        connection: Within a transaction that may write.
        attempt_id: Of the attempt.
        message_left: A message was spoken after the beep, to its end.
        opted_out: The callee asked not to be called.
        machine: We ended the call as a machine's.
        abandoned: A person answered and heard nobody within 2 s.
    """
    flags = {
        "message_left": message_left,
        "opted_out": opted_out,
        "machine": machine,
        "abandoned": abandoned,
    }
    values = {name: True for name, is_set in flags.items() if is_set}
    if values:
        _write(connection, attempt_id, values)


def lost_requests(connection: Connection, *, now: datetime, limit: int) -> list[AttemptRow]:
    """Attempts whose request has had no answer in time: nobody knows whether they ring."""
    return _due(connection, AttemptState.ASKING, now=now, limit=limit)


def to_look_for(connection: Connection, *, now: datetime, limit: int) -> list[AttemptRow]:
    """Attempts that are to be looked for at Twilio, longest due first."""
    unknown = _due(connection, AttemptState.UNKNOWN, now=now, limit=limit)
    return unknown + _due(
        connection, AttemptState.PLACED, now=now, limit=max(0, limit - len(unknown))
    )


def look_later(connection: Connection, attempt_ids: list[int], *, at: datetime) -> None:
    """Look for these again at ``at``, unless there is news of them before."""
    connection.execute(update(attempts).where(attempts.c.id.in_(attempt_ids)).values(look_at=at))


def asked_anew(connection: Connection, attempt_id: int, *, at: datetime) -> None:
    """Have an attempt count as asked for at ``at``: by a clock that has been set back since."""
    _write(connection, attempt_id, {"asked_at": at})


def known_calls(connection: Connection, call_sids: list[str]) -> set[str]:
    """Which of these calls belong to an attempt already."""
    found = connection.execute(
        select(attempts.c.call_sid).where(attempts.c.call_sid.in_(call_sids))
    )
    return {row.call_sid for row in found}


def _ended(row: AttemptRow, report: StatusReport, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"ended_at": now, "look_at": None}
    if report.duration_s is not None:
        values["duration_s"] = report.duration_s
    if report.sip_response_code is not None:
        values["sip_code"] = report.sip_response_code
    if report.status is CallStatus.COMPLETED and row.answered_at is None:
        # Its callback was lost. Completed calls were answered.
        values["answered_at"] = now - timedelta(seconds=report.duration_s or 0)
    return values


def _due(
    connection: Connection, state: AttemptState, *, now: datetime, limit: int
) -> list[AttemptRow]:
    found = connection.execute(
        select(attempts)
        .where(
            UNSETTLED,
            attempts.c.state == state.value,
            # Nothing waits for longer: the clock has been set back since.
            or_(attempts.c.look_at <= now, attempts.c.look_at > now + _LONGEST_WAIT),
        )
        .order_by(attempts.c.look_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [attempt_row(row) for row in found]


def _taken_up(connection: Connection, attempt_id: int) -> AttemptRow | None:
    """An attempt that there is news of, locked.

    One that was looked for in vain and whose call shows up after all (a request that was on its
    way for longer than anybody thought; another machine's clock) is under way again, if its
    contact can wait for it: else they would be called while it rings.
    """
    row = _locked(connection, attempt_id)
    if row is None or row.attempt.state is not AttemptState.NEVER_PLACED:
        return row
    if row.settled_at is not None:
        taken = connection.execute(
            update(contacts)
            .where(contacts.c.id == row.attempt.contact_id, WAITING, contacts.c.not_placed > 0)
            .values(
                state=ContactState.IN_HAND.value, not_placed=contacts.c.not_placed - 1, reason=""
            )
        )
        if not taken.rowcount:
            return row
    values = {
        "state": AttemptState.UNKNOWN.value,
        "outcome": None,
        "settled_at": None,
        "reason": "",
    }
    _write(connection, attempt_id, values)
    _log.warning("attempt.shown_up", attempt=attempt_id)
    return _locked(connection, attempt_id)


def _locked(connection: Connection, attempt_id: int) -> AttemptRow | None:
    return _one(connection, attempts.c.id == attempt_id, lock=True)


def _one(
    connection: Connection, where: ColumnElement[bool], *, lock: bool = False
) -> AttemptRow | None:
    asked = select(attempts).where(where)
    row = connection.execute(asked.with_for_update() if lock else asked).one_or_none()
    return None if row is None else attempt_row(row)


def _write(connection: Connection, attempt_id: int, values: dict[str, Any]) -> None:
    connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**values))
