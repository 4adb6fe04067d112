"""What customers' systems are still to be told: put there when a contact is done with.

A row is written in the transaction that finishes its contact, so that nothing is told that did not
happen, and nothing that happened is left out. Whoever delivers claims rows by moving ``next_at``
on: if it dies, they come up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import Connection, and_, select, update

from workers.campaign.model import Webhook
from workers.store.campaign_schema import UNDELIVERED, attempts, campaigns, contacts, outbox
from workers.store.campaigns.inserting import insert_into
from workers.store.campaigns.rows import definition_of, moment
from workers.store.rows import utc
from workers.store.schema import call_records

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""``next_at`` of what was given up; an operator who sets it to now has it tried again."""
EVENT: Final = "contact.finished"


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One that is ours to deliver until the lease ends."""

    outbox_id: int
    campaign_id: int
    message_id: str
    """Of the contact: the same at each try. With the campaign's time of creation in it, so that
    another database, which counts from 1 again, repeats none."""
    webhook: Webhook | None
    """None: a new definition of the campaign has none any more."""
    payload: str
    """JSON."""
    tries: int
    """With this one."""
    written_at: datetime
    """When the contact was done with."""


def put(connection: Connection, campaign_id: int, contact_id: int, *, now: datetime) -> bool:
    """Write down that a contact is done with, as its row tells by now; False: it was before."""
    row = connection.execute(
        select(contacts, campaigns.c.name.label("campaign"))
        .join(campaigns, campaigns.c.id == contacts.c.campaign_id)
        .where(contacts.c.id == contact_id)
    ).one()
    finished_at = moment(row.finished_at) or now
    # The form that standardwebhooks.com recommends: type, timestamp, data.
    payload = {
        "type": EVENT,
        "timestamp": finished_at,
        "data": {
            "campaign": row.campaign,
            "contact_id": contact_id,
            "line": row.line,
            "key": row.key,
            "number": row.number,
            "name": row.name,
            "variables": orjson.loads(row.variables),
            "state": row.state,
            "reason": row.reason,
            "outcome": row.outcome,
            "attempts": row.attempts,
            "report": orjson.loads(row.report) if row.report else None,
            "call": _newest_call(connection, contact_id),
        },
    }
    inserted = connection.scalar(
        insert_into(connection, outbox)
        .values(
            campaign_id=campaign_id,
            contact_id=contact_id,
            payload=orjson.dumps(payload).decode(),
            next_at=now,
        )
        .on_conflict_do_nothing(index_elements=["contact_id"])
        .returning(outbox.c.id)
    )
    return inserted is not None


def _newest_call(connection: Connection, contact_id: int) -> dict[str, object] | None:
    """The last call to a contact, with what it was about as far as its record is kept."""
    row = connection.execute(
        select(
            attempts.c.call_sid,
            attempts.c.answered_at,
            attempts.c.duration_s,
            call_records.c.record,
        )
        .outerjoin(call_records, call_records.c.call_sid == attempts.c.call_sid)
        .where(attempts.c.contact_id == contact_id, attempts.c.call_sid.is_not(None))
        .order_by(attempts.c.ordinal.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return {
        "call_sid": row.call_sid,
        "answered_at": moment(row.answered_at),
        "duration_s": row.duration_s,
        # agent.conversation.record.SummaryRecord: caller, wants, facts, promises, open_points, ...
        "summary": orjson.loads(row.record).get("summary") if row.record else None,
    }


def any_due(connection: Connection, *, now: datetime) -> bool:
    """Whether a claim would find something."""
    due = select(outbox.c.id).where(UNDELIVERED, outbox.c.next_at <= now).limit(1)
    return connection.scalar(due) is not None


def claim_due(
    connection: Connection, *, now: datetime, lease: timedelta, of_each: int
) -> list[DueDelivery]:
    """Take what is due in hand, ``of_each`` campaign at most: one must not wait for another's.

    Each counts as tried from now on, and comes up again after the lease.
    """
    due = and_(UNDELIVERED, outbox.c.next_at <= now)
    claimed: list[DueDelivery] = []
    for campaign_id in connection.scalars(select(outbox.c.campaign_id).where(due).distinct()):
        ids = connection.scalars(
            select(outbox.c.id)
            .where(due, outbox.c.campaign_id == campaign_id)
            .order_by(outbox.c.next_at)
            .limit(of_each)
            .with_for_update(skip_locked=True)
        ).all()
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(ids))
            .values(tries=outbox.c.tries + 1, next_at=now + lease)
        )
        claimed += _taken(connection, ids)
    return claimed


def note_delivered(connection: Connection, outbox_id: int, *, now: datetime) -> None:
    """The customer's system has it."""
    connection.execute(
        update(outbox).where(outbox.c.id == outbox_id).values(delivered_at=now, last_error="")
    )


def note_failed(
    connection: Connection, outbox_id: int, *, error: str, next_at: datetime | None
) -> None:
    """It does not have it; the next try is at ``next_at``, or never."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id, UNDELIVERED)
        .values(next_at=next_at or NEVER, last_error=error)
    )


def _taken(connection: Connection, ids: Sequence[int]) -> list[DueDelivery]:
    rows = connection.execute(
        select(
            outbox,
            campaigns.c.definition,
            campaigns.c.created_at.label("campaign_created_at"),
        )
        .join(campaigns, campaigns.c.id == outbox.c.campaign_id)
        .where(outbox.c.id.in_(ids))
        .order_by(outbox.c.id)
    ).all()
    webhooks: dict[str, Webhook | None] = {}
    return [
        DueDelivery(
            outbox_id=row.id,
            campaign_id=row.campaign_id,
            message_id=f"contact_{int(utc(row.campaign_created_at).timestamp())}_{row.contact_id}",
            webhook=_webhook(webhooks, row.definition),
            payload=row.payload,
            tries=row.tries,
            written_at=_written_at(row.payload),
        )
        for row in rows
    ]


def _webhook(known: dict[str, Webhook | None], definition: str) -> Webhook | None:
    if definition not in known:
        known[definition] = definition_of(definition).webhook
    return known[definition]


def _written_at(payload: str) -> datetime:
    return datetime.fromisoformat(orjson.loads(payload)["timestamp"])
