"""Finds out what became of attempts that nobody has heard of: by listing calls, by fetching them.

``asking`` for too long becomes ``unknown``; an unknown attempt is looked for among the calls to its
number, and only when Twilio has shown none for minutes was there none. A call that was placed and
of which no callback has come for a while is fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from telephony.calls.rest import Call
from telephony.calls.status import CallStatus
from telephony.calls.webhooks import StatusReport
from telephony.errors import CarrierError
from workers.campaign.model import AttemptState, LineOutcome
from workers.dialling.transactions import FAULTS, concerns_one, write
from workers.store.campaigns import attempts
from workers.store.campaigns.rows import AttemptRow

T = TypeVar("T")

NEVER_PLACED_AFTER_S: Final = 300.0
"""Not found for so long after it was asked for, there was no call: the list of calls is behind by
seconds (twilio.com/docs/voice/api/call-resource: eventually consistent), a request may have waited
at Twilio's gate for its own time-out."""
LOOK_AGAIN_S: Final = 30.0
AT_ONCE: Final = 20
"""Attempts looked for in one round; Twilio answers too many requests at once with 429."""
_AT_THE_SAME_TIME: Final = 5
# Their clocks and ours; dates of the API have whole seconds.
_SKEW: Final = timedelta(seconds=60)
_LISTED: Final = 50
# Before it is found out that our clock was ahead.
_AT_MOST: Final = timedelta(hours=1)

_log = structlog.get_logger(__name__)


class Looks(Protocol):
    """What asks Twilio: ``telephony.calls.rest.TwilioRest``."""

    def fetch(self, call_sid: str) -> Awaitable[Call | None]:
        """A call; None where Twilio knows none; raises ``CarrierError``."""

    def list_calls(self, *, to: str | None = None, limit: int = 50) -> Awaitable[list[Call]]:
        """The newest calls to a number; raises ``CarrierError``."""


@dataclass(slots=True)
class Reconciled:
    """What was found out."""

    lost: int = 0
    """Requests whose answer is lost."""
    found: int = 0
    never_placed: int = 0
    fetched: int = 0


async def reconcile(engine: Engine, rest: Looks, *, now: datetime) -> Reconciled:
    """Look for what is due.

    Args:
        engine: Of the database.
        rest: Asks Twilio.
        now: Aware.

    Raises:
        SQLAlchemyError: the database is not there; what was committed stays.
    """
    done = Reconciled()
    done.lost = await _write(engine, lambda connection: _lose(connection, now))
    # Nobody else looks for these meanwhile; should we die over it, somebody does then.
    due = await _write(engine, lambda connection: _claim(connection, now))
    limit = asyncio.Semaphore(_AT_THE_SAME_TIME)

    async def look(row: AttemptRow) -> None:
        async with limit:
            try:
                if row.attempt.state is AttemptState.UNKNOWN:
                    await _look_for(engine, rest, row, now, done)
                else:
                    await _fetch(engine, rest, row, now, done)
            except CarrierError as error:
                _log.warning(
                    "attempt.not_looked_for", attempt=row.attempt.attempt_id, error=str(error)
                )
            except FAULTS as fault:
                if not concerns_one(fault):
                    raise
                _log.exception("attempt.not_looked_for", attempt=row.attempt.attempt_id)

    async with asyncio.TaskGroup() as looking:
        for row in due:
            looking.create_task(look(row))
    return done


def matching(
    calls: Sequence[Call], row: AttemptRow, known: set[str], *, skew: timedelta = _SKEW
) -> Call | None:
    """The call that an attempt has become, if it is among these.

    Args:
        calls: To its number.
        row: The attempt.
        known: Calls that belong to other attempts.
        skew: So far Twilio's clock may be behind the one by which it was asked for.
    """
    asked_at = row.attempt.asked_at
    if asked_at is None:
        return None
    earliest, latest = asked_at - skew, asked_at + timedelta(seconds=NEVER_PLACED_AFTER_S)
    fits = [
        call
        for call in calls
        if call.sid not in known
        and call.to == row.attempt.number
        and call.from_ == row.attempt.caller
        and call.direction.startswith("outbound")
        and call.created_at is not None
        and earliest <= call.created_at <= latest
    ]
    return min(fits, key=lambda call: call.created_at or latest, default=None)


def _lose(connection: Connection, now: datetime) -> int:
    lost = attempts.lost_requests(connection, now=now, limit=AT_ONCE)
    for row in lost:
        attempts.note_unknown(
            connection,
            row.attempt.attempt_id,
            now=now,
            reason="Nobody knows what Twilio answered.",
        )
    return len(lost)


def _claim(connection: Connection, now: datetime) -> list[AttemptRow]:
    due = attempts.to_look_for(connection, now=now, limit=AT_ONCE)
    again_at = now + timedelta(seconds=LOOK_AGAIN_S)
    attempts.look_later(connection, [row.attempt.attempt_id for row in due], at=again_at)
    return due


async def _look_for(
    engine: Engine, rest: Looks, row: AttemptRow, now: datetime, done: Reconciled
) -> None:
    attempt = row.attempt
    asked_at = attempt.asked_at or row.created_at
    calls = await rest.list_calls(to=attempt.number, limit=_LISTED)
    is_ahead = asked_at > now + _SKEW

    def take(connection: Connection) -> Call | None:
        known = attempts.known_calls(connection, [call.sid for call in calls])
        call = matching(calls, row, known, skew=asked_at - now + _AT_MOST if is_ahead else _SKEW)
        if is_ahead:
            # The clock has been set back since: the wait for its call begins now.
            attempts.asked_anew(connection, attempt.attempt_id, at=now)
        if call is not None:
            attempts.note_placed(connection, attempt.attempt_id, call.sid, None, now=now)
            _note(connection, attempt.attempt_id, call, now)
        return call

    found = await _write(engine, take)
    if found is not None:
        done.found += 1
        _log.info("attempt.found", attempt=attempt.attempt_id, call_sid=found.sid)
        return
    if now - asked_at >= timedelta(seconds=NEVER_PLACED_AFTER_S):
        done.never_placed += 1
        _log.info("attempt.never_placed", attempt=attempt.attempt_id)
        await _write(
            engine,
            partial(
                attempts.note_refused,
                attempt_id=attempt.attempt_id,
                outcome=LineOutcome.NOT_PLACED,
                code=0,
                reason="Looked for at Twilio and not found.",
                state=AttemptState.NEVER_PLACED,
            ),
        )


async def _fetch(
    engine: Engine, rest: Looks, row: AttemptRow, now: datetime, done: Reconciled
) -> None:
    attempt = row.attempt
    assert attempt.call_sid is not None  # by its state
    call = await rest.fetch(attempt.call_sid)
    done.fetched += 1
    if call is None:
        # Deleted at Twilio, perhaps; it is not in progress.
        gone = StatusReport(attempt.call_sid, CallStatus.FAILED, None, None, None, None)
        await _write(
            engine,
            lambda connection: attempts.note_status(connection, attempt.attempt_id, gone, now=now),
        )
        return
    await _write(engine, lambda connection: _note(connection, attempt.attempt_id, call, now))


def _note(connection: Connection, attempt_id: int, call: Call, now: datetime) -> None:
    if call.status is None:
        return
    report = StatusReport(
        call_sid=call.sid,
        status=call.status,
        sequence_number=None,
        duration_s=call.duration_s,
        sip_response_code=None,
        answered_by=call.answered_by,
    )
    attempts.note_status(connection, attempt_id, report, now=now)
    if not call.status.terminal:
        again_at = now + timedelta(seconds=2 * LOOK_AGAIN_S)
        attempts.look_later(connection, [attempt_id], at=again_at)


async def _write(engine: Engine, work: Callable[[Connection], T]) -> T:
    return await asyncio.to_thread(write, engine, work)
