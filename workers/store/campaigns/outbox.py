"""What customers' systems are still to be told: put there when a contact is done with.

A row is written in the transaction that finishes its contact, so that nothing is told that did not
happen, and nothing that happened is left out. What changes later takes its place, with the next
number for a revision. Whoever delivers claims rows by moving ``next_at`` on: if it dies, they come
up again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from workers.campaign.model import Webhook
from workers.store.campaign_schema import UNDELIVERED, campaigns, outbox
from workers.store.campaigns.inserting import insert_into
from workers.store.campaigns.rows import definition_of
from workers.store.campaigns.telling import Heading, Message, heading_of, messages
from workers.store.rows import utc

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""``next_at`` of what was given up; an operator who sets it to now has it tried again."""
# SQLite takes 32,766 values in one statement (sqlite.org/limits.html).
_PIECE: Final = 2_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One that is ours to deliver until the lease ends."""

    outbox_id: int
    campaign_id: int
    message_id: str
    """Of the contact and the revision: the same at each try. With the campaign's time of creation,
    so that another database, which counts from 1 again, repeats none."""
    webhook: Webhook | None
    """None: a new definition of the campaign has none any more."""
    payload: str
    """JSON."""
    tries: int
    """With this one."""
    written_at: datetime
    """When the contact was done with, or what was told of it changed."""


def hold_campaigns(connection: Connection, which: ColumnElement[bool]) -> None:
    """Keep campaigns as they are, some of whose contacts are about to be finished, until the end.

    What is put refers to them, and so waits for whoever has them alone. That one may wait for the
    contacts: campaigns are locked before contacts by everybody.
    """
    connection.execute(
        select(campaigns.c.id)
        .where(which)
        .order_by(campaigns.c.id)
        .with_for_update(read=True, key_share=True)
    )


def put(connection: Connection, contact_ids: Collection[int], *, now: datetime) -> int:
    """Write down that contacts are done with, as their rows tell by now.

    Where their campaign has no webhook nobody is to be told; nor is anybody twice.

    Args:
        connection: Within the transaction that finishes them, which holds their campaigns and
            them locked.
        contact_ids: However many.
        now: When they are told of for the first time.

    Returns:
        How many are new there.
    """
    ids = sorted(contact_ids)
    return sum(
        _put(connection, messages(connection, ids[at : at + _PIECE], now=now), now)
        for at in range(0, len(ids), _PIECE)
    )


def put_again(connection: Connection, contact_id: int, *, now: datetime) -> None:
    """Have a contact that is done with told of anew, as its row tells by now.

    If the customer's system has been told already, it gets the next revision; one that is still to
    be told gets that in place of what was waiting. It is tried for as long as the first.

    Args:
        connection: Within a transaction that holds its campaign and it locked.
        contact_id: Of a contact in a final state.
        now: When that changed which it is told of for.
    """
    waiting = connection.execute(
        select(outbox.c.id, outbox.c.payload)
        .where(outbox.c.contact_id == contact_id)
        .with_for_update()
    ).one_or_none()
    if waiting is None:
        first = Heading(now, 1)
        _put(connection, messages(connection, [contact_id], now=now, heading=first), now)
        return
    before = _heading(waiting.payload, now)
    # Whoever sorts by time must not take the older for the newer, whatever clocks did.
    heading = Heading(max(now, before.at), before.revision + 1)
    for message in messages(connection, [contact_id], now=now, heading=heading):
        connection.execute(
            update(outbox)
            .where(outbox.c.id == waiting.id)
            .values(payload=message.payload, tries=0, next_at=now, delivered_at=None, last_error="")
        )


def _put(connection: Connection, found: Sequence[Message], now: datetime) -> int:
    if not found:
        return 0
    statement = insert_into(connection, outbox).on_conflict_do_nothing(
        index_elements=["contact_id"]
    )
    values = [
        {
            "campaign_id": one.campaign_id,
            "contact_id": one.contact_id,
            "payload": one.payload,
            "next_at": now,
        }
        for one in found
    ]
    return connection.execute(
        statement, values, execution_options={"preserve_rowcount": True}
    ).rowcount


def _heading(payload: str, now: datetime) -> Heading:
    try:
        return heading_of(payload)
    except (AttributeError, LookupError, TypeError, ValueError):
        # Damaged, and so never told: what takes its place is the first.
        return Heading(now, 0)


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


def note_delivered(connection: Connection, one: DueDelivery, *, now: datetime) -> None:
    """The customer's system has it; a revision that has come meanwhile it has not."""
    connection.execute(update(outbox).where(*_still(one)).values(delivered_at=now, last_error=""))


def note_failed(
    connection: Connection, one: DueDelivery, *, error: str, next_at: datetime | None
) -> None:
    """It does not have it; the next try is at ``next_at``, or never."""
    connection.execute(
        update(outbox)
        .where(*_still(one), UNDELIVERED)
        .values(next_at=next_at or NEVER, last_error=error)
    )


def _still(one: DueDelivery) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return outbox.c.id == one.outbox_id, outbox.c.payload == one.payload


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
    return list(_readable(rows))


def _readable(rows: Sequence[Row[Any]]) -> Iterator[DueDelivery]:
    webhooks: dict[str, Webhook | None] = {}
    for row in rows:
        try:
            yield _due(row, _webhook(webhooks, row.definition))
        except (AttributeError, LookupError, TypeError, ValueError) as fault:
            # Damaged, or its campaign of another version: it comes up again after the lease, and
            # nobody waits for it. What the error says may hold a phone number.
            _log.error("delivery.unreadable", outbox_id=row.id, fault=type(fault).__name__)


def _due(row: Row[Any], webhook: Webhook | None) -> DueDelivery:
    told = heading_of(row.payload)
    message_id = f"contact_{int(utc(row.campaign_created_at).timestamp())}_{row.contact_id}"
    return DueDelivery(
        outbox_id=row.id,
        campaign_id=row.campaign_id,
        # A receiver that drops what it has must not drop what is new.
        message_id=message_id if told.revision == 1 else f"{message_id}_{told.revision}",
        webhook=webhook,
        payload=row.payload,
        tries=row.tries,
        written_at=told.at,
    )


def _webhook(known: dict[str, Webhook | None], definition: str) -> Webhook | None:
    if definition not in known:
        known[definition] = definition_of(definition).webhook
    return known[definition]
