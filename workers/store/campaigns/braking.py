"""What the brake sees of a campaign: how far it is from its limits, and which calls offend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Select, and_, or_, select

from workers.campaign.brake import Measured, Sample, measure, sample
from workers.campaign.model import AttemptState, BrakeLimits, LineOutcome
from workers.store.campaign_schema import attempts, contacts
from workers.store.campaigns.rows import moment

SEARCHED: Final = 5_000
"""Where hardly a person answers, looking for as many of them as the limits want would read every
attempt since the start, each second."""
_PEOPLE = (LineOutcome.HUMAN, LineOutcome.OPTED_OUT)


@dataclass(frozen=True, slots=True)
class Offender:
    """An attempt that the brake counts against its campaign, without its number."""

    attempt_id: int
    line: int
    """Of the contact in its source."""
    asked_at: datetime | None
    outcome: LineOutcome | None
    error_code: int
    sip_code: int | None
    call_sid: str | None


def shares(
    connection: Connection, campaign_id: int, limits: BrakeLimits, since: datetime | None
) -> tuple[Measured, ...]:
    """How far the brake is from each of its limits.

    Args:
        connection: Inside the caller's transaction.
        campaign_id: Of the campaign.
        limits: Of its definition.
        since: The newest start or resume; None: it has never been started.
    """
    if since is None:
        return measure((), limits)
    return measure(newest_samples(connection, campaign_id, limits, since), limits)


def newest_samples(
    connection: Connection, campaign_id: int, limits: BrakeLimits, since: datetime
) -> list[Sample]:
    """What ``workers.campaign.brake.judge`` wants: newest first, settled after ``since``.

    As many calls as the limits look at, and as many that a person answered, among the newest
    ``SEARCHED`` attempts (twice as many as the limits look at, if that is more).
    """
    mine = (
        _newest(attempts, max(SEARCHED, 2 * limits.calls))
        .add_columns(attempts.c.state)
        .where(attempts.c.campaign_id == campaign_id, attempts.c.settled_at > since)
        .subquery()
    )
    counts = and_(
        mine.c.outcome.is_not(None),
        mine.c.outcome != LineOutcome.CANCELED,
        # What Twilio only put off (workers.campaign.brake.sample).
        or_(
            mine.c.state != AttemptState.REFUSED,
            mine.c.outcome != LineOutcome.NOT_PLACED,
        ),
    )
    newest = _newest(mine, limits.calls).where(counts)
    people = _newest(mine, limits.calls).where(counts, mine.c.outcome.in_(_PEOPLE))
    rows = {row.id: row for query in (newest, people) for row in connection.execute(query)}
    seen = (
        sample(row.id, LineOutcome(row.outcome), abandoned=bool(row.abandoned))
        for row in sorted(rows.values(), key=lambda row: (row.settled_at, row.id), reverse=True)
    )
    return [one for one in seen if one is not None]


def offenders(connection: Connection, attempt_ids: Sequence[int]) -> list[Offender]:
    """The attempts that a brake names, in their order."""
    found = connection.execute(
        select(
            attempts.c.id,
            contacts.c.line,
            attempts.c.asked_at,
            attempts.c.outcome,
            attempts.c.error_code,
            attempts.c.sip_code,
            attempts.c.call_sid,
        )
        .join(contacts, contacts.c.id == attempts.c.contact_id)
        .where(attempts.c.id.in_(attempt_ids))
    )
    by_id = {
        row.id: Offender(
            attempt_id=row.id,
            line=row.line,
            asked_at=moment(row.asked_at),
            outcome=None if row.outcome is None else LineOutcome(row.outcome),
            error_code=row.error_code,
            sip_code=row.sip_code,
            call_sid=row.call_sid,
        )
        for row in found
    }
    return [by_id[one] for one in attempt_ids if one in by_id]


def _newest(rows: FromClause, most: int) -> Select[Any]:
    return (
        select(rows.c.id, rows.c.outcome, rows.c.abandoned, rows.c.settled_at)
        .order_by(rows.c.settled_at.desc(), rows.c.id.desc())
        .limit(most)
    )
