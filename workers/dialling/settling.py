"""What an attempt that is over means for its contact: done, again at, or never again.

A call that was answered is settled a little after its end: the verdict of answering machine
detection and what the agent did may come later than that. Settling twice changes nothing: whoever
locks the row first settles it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, and_, or_, select, update

from telephony.calls.status import AnsweredBy, CallStatus
from workers.campaign.compliance import Reason
from workers.campaign.model import AttemptState, CampaignState, ContactState, LineOutcome
from workers.campaign.outcomes import Again, Done, Exhausted, Never, after, line_outcome
from workers.campaign.pacing import SKEW_S
from workers.dialling.finishing import finish, finish_unreadable
from workers.dialling.transactions import FAULTS, concerns_one, write
from workers.store.campaign_schema import UNSETTLED, attempts, contacts
from workers.store.campaigns import claims
from workers.store.campaigns.readable import UnreadableContact, read_contacts
from workers.store.campaigns.rows import AttemptRow, CampaignRow, attempt_row
from workers.store.campaigns.suppressions import suppress

GRACE_S: Final = 8.0
"""For what comes after the end of a call that was answered: callbacks overtake each other by some
seconds (field), records are closed when the stream has ended."""
_AT_ONCE: Final = 20
_SKEW: Final = timedelta(seconds=SKEW_S)
# Whoever noted that somebody opted out may have died before it was on the list.
_SUPPRESSED: Final = {
    LineOutcome.BAD_NUMBER: ("The number cannot be called.", "carrier"),
    LineOutcome.OPTED_OUT: ("They asked not to be called.", "agent"),
}

_FINAL: Final = {
    Done: ContactState.DONE,
    Never: ContactState.NEVER,
    Exhausted: ContactState.EXHAUSTED,
}
_log = structlog.get_logger(__name__)


def settle(engine: Engine, *, now: datetime) -> int:
    """Settle every attempt that is over.

    Args:
        engine: Of the database.
        now: Aware.

    Returns:
        How many there were.

    Raises:
        SQLAlchemyError: the database is not there; what was committed stays.
    """
    settled = 0
    behind: int | None = 0
    while behind is not None:
        # Each time behind those before: one that cannot be settled keeps nobody waiting.
        count, behind = write(engine, partial(_settle_some, now=now, behind=behind))
        settled += count
    return settled


def _settle_some(connection: Connection, *, now: datetime, behind: int) -> tuple[int, int | None]:
    """Settle some; how many, and the contact to go on behind, None: that was all."""
    grace = now - timedelta(seconds=GRACE_S)
    over = or_(
        attempts.c.state.in_([AttemptState.REFUSED.value, AttemptState.NEVER_PLACED.value]),
        and_(
            attempts.c.state == AttemptState.ENDED.value,
            or_(
                attempts.c.answered_at.is_(None),
                attempts.c.ended_at <= grace,
                # The clock has been set back since.
                attempts.c.ended_at > now + _SKEW,
            ),
        ),
    )
    found = connection.execute(
        select(attempts)
        .where(UNSETTLED, over, attempts.c.contact_id > behind)
        .order_by(attempts.c.contact_id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    known: dict[int, CampaignRow] = {}
    settled = 0
    for one in found:
        try:
            with connection.begin_nested():
                _settle_one(connection, known, attempt_row(one), now)
            settled += 1
        except FAULTS as fault:
            if not concerns_one(fault):
                raise
            _log.exception("attempt.not_settled", attempt=one.id)
    return settled, found[-1].contact_id if len(found) == _AT_ONCE else None


def _settle_one(
    connection: Connection, known: dict[int, CampaignRow], row: AttemptRow, now: datetime
) -> None:
    attempt = row.attempt
    campaign = known.get(attempt.campaign_id)
    if campaign is None:
        campaign = claims.lock_campaign(connection, attempt.campaign_id)
        if campaign is None:
            return
        known[attempt.campaign_id] = campaign
    outcome = attempt.outcome or _outcome(row)
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt.attempt_id)
        .values(outcome=outcome.value, settled_at=now)
    )
    (found,) = read_contacts(
        connection,
        select(contacts).where(contacts.c.id == attempt.contact_id).with_for_update(),
    )
    if isinstance(found, UnreadableContact):
        _suppress_if_asked(connection, row, outcome, now)
        state = select(contacts.c.state).where(contacts.c.id == found.contact_id)
        if connection.scalar(state) == ContactState.IN_HAND:
            finish_unreadable(connection, campaign, found, now=now)
        return
    contact = found.contact
    not_placed = outcome is LineOutcome.NOT_PLACED
    before = found.not_placed
    if before + not_placed > contact.attempts:
        # They do not add up: fewer calls than allowed rather than more.
        before = 0
    connection.execute(
        update(contacts)
        .where(contacts.c.id == contact.contact_id)
        .values(outcome=outcome.value, not_placed=contacts.c.not_placed + int(not_placed))
    )
    comes_next = after(
        contact,
        outcome,
        campaign.definition.attempts,
        now,
        not_placed_before=before,
    )
    _suppress_if_asked(connection, row, outcome, now)
    if contact.state is not ContactState.IN_HAND:
        # Set aside, or cancelled, while the call was under way.
        return
    _log.info("attempt.settled", attempt=attempt.attempt_id, outcome=outcome.value)
    if isinstance(comes_next, Again) and campaign.state is CampaignState.CANCELLED:
        why = Reason.CAMPAIGN_CANCELLED.sentence
        gone = ContactState.CANCELLED
        finish(connection, campaign, [contact.contact_id], gone, reason=why, now=now)
        return
    if isinstance(comes_next, Again):
        connection.execute(
            update(contacts)
            .where(contacts.c.id == contact.contact_id)
            .values(
                state=ContactState.WAITING.value,
                not_before=comes_next.at,
                due_at=comes_next.at,
                reason="",
            )
        )
        return
    finish(
        connection,
        campaign,
        [contact.contact_id],
        _FINAL[type(comes_next)],
        reason=comes_next.reason,
        now=now,
    )


def _suppress_if_asked(
    connection: Connection, row: AttemptRow, outcome: LineOutcome, now: datetime
) -> None:
    """Put a number on the suppression list that nobody may call after this outcome."""
    if (listed := _SUPPRESSED.get(outcome)) is not None:
        reason, source = listed
        suppress(
            connection,
            row.attempt.number,
            reason=row.reason or reason,
            source=source,
            now=now,
            call_sid=row.attempt.call_sid,
        )


def _outcome(row: AttemptRow) -> LineOutcome:
    return line_outcome(
        CallStatus(row.status),
        None if row.answered_by is None else AnsweredBy(row.answered_by),
        sip_code=row.sip_code,
        error_code=row.attempt.code,
        message_left=row.message_left,
        opted_out=row.opted_out,
        over_as_machine=row.machine,
    )
