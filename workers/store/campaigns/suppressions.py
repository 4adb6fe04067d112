"""Whom nobody may call, over all campaigns.

A number that is taken on it takes its waiting contacts with it, and customers are told of them. One
that is imported as a contact at the same moment may slip past that; it is found here when its turn
comes, and again right before it would be dialled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import orjson
from sqlalchemy import Connection, bindparam, delete, select, text, update

from workers.campaign.compliance import Never, Reason, explain
from workers.campaign.model import ContactState
from workers.store.campaign_schema import WAITING, campaigns, contacts, suppressions
from workers.store.campaigns.inserting import insert_into
from workers.store.campaigns.outbox import hold_campaigns, put
from workers.store.rows import utc

MOST: int = 2_000
"""Numbers in one statement: SQLite takes 32,766 values, PostgreSQL 65,535."""

_REASON_FOR = select(suppressions.c.reason).where(suppressions.c.number == bindparam("wanted"))
# One value, because thousands cost more to put into a statement than to look up.
_REASONS = select(suppressions.c.number, suppressions.c.reason)
_REASONS_FOR = {
    "sqlite": _REASONS.where(text("number IN (SELECT value FROM json_each(:given))")),
    "postgresql": _REASONS.where(
        text("number IN (SELECT json_array_elements_text(CAST(:given AS json)))")
    ),
}


@dataclass(frozen=True, slots=True)
class Suppression:
    """One number of the list."""

    number: str
    """E.164."""
    reason: str
    source: str
    """Who wrote it: ``import``, ``agent``, ``keypad``, ``operator``, ``carrier``."""
    created_at: datetime
    call_sid: str | None = None
    """Where it was said."""


def suppress(
    connection: Connection,
    number: str,
    *,
    reason: str,
    source: str,
    now: datetime,
    call_sid: str | None = None,
) -> bool:
    """Put a number on the list, and set its waiting contacts aside.

    Returns:
        Whether it is new there; the first reason stays.
    """
    batch = [Suppression(number, reason, source, now, call_sid)]
    return suppress_all(connection, batch, now=now) == 1


def suppress_all(connection: Connection, batch: Sequence[Suppression], *, now: datetime) -> int:
    """The same for at most ``MOST`` numbers, each listed since its own time.

    Returns:
        How many of them are new on the list.
    """
    if not batch:
        return 0
    insert = insert_into(connection, suppressions).on_conflict_do_nothing()
    values = [
        {
            "number": each.number,
            "reason": each.reason,
            "source": each.source,
            "call_sid": each.call_sid,
            "created_at": each.created_at,
        }
        for each in batch
    ]
    added = connection.execute(
        insert, values, execution_options={"preserve_rowcount": True}
    ).rowcount
    # Also for those that were there: an import that ran beside the first may have missed it.
    _set_aside(connection, [each.number for each in batch], now)
    return added


def unsuppress(connection: Connection, number: str) -> bool:
    """Take a number off the list; contacts that were set aside stay so. False: it was not there."""
    return bool(
        connection.execute(delete(suppressions).where(suppressions.c.number == number)).rowcount
    )


def reason_for(connection: Connection, number: str) -> str | None:
    """Why a number is on the list, which may be empty; None: it is not there."""
    reason: str | None = connection.execute(_REASON_FOR, {"wanted": number}).scalar_one_or_none()
    return reason


def reasons_for(connection: Connection, numbers: Iterable[str]) -> dict[str, str]:
    """Those that are on the list, with why."""
    given = orjson.dumps(list(numbers)).decode()
    found = connection.execute(_REASONS_FOR[connection.dialect.name], {"given": given})
    return {row.number: row.reason for row in found}


def import_batches(rows: Iterable[Suppression]) -> Iterator[list[Suppression]]:
    """In pieces for ``suppress_all``, each of which may be a transaction."""
    rows = iter(rows)
    while batch := list(islice(rows, MOST)):
        yield batch


def page(connection: Connection, *, after: str = "", most: int = 10_000) -> list[Suppression]:
    """The list by number, from behind ``after`` on."""
    found = connection.execute(
        select(suppressions)
        .where(suppressions.c.number > after)
        .order_by(suppressions.c.number)
        .limit(most)
    )
    return [
        Suppression(row.number, row.reason, row.source, utc(row.created_at), row.call_sid)
        for row in found
    ]


def sentence(reason: str) -> str:
    """What a contact is told to be set aside for."""
    return explain(Never(Reason.SUPPRESSED, reason))


def _set_aside(connection: Connection, numbers: list[str], now: datetime) -> None:
    theirs = WAITING, contacts.c.number.in_(numbers)
    campaign_ids = connection.scalars(
        select(contacts.c.campaign_id).where(*theirs).distinct()
    ).all()
    if not campaign_ids:
        return
    hold_campaigns(connection, campaigns.c.id.in_(campaign_ids))
    # In the order of their ids, as everybody locks them: else two could wait for each other.
    found = connection.execute(
        select(contacts.c.id, contacts.c.number)
        .where(*theirs, contacts.c.campaign_id.in_(campaign_ids))
        .order_by(contacts.c.id)
        .with_for_update()
    ).all()
    if not found:
        return
    reasons = reasons_for(connection, (row.number for row in found))
    connection.execute(
        update(contacts)
        .where(contacts.c.id == bindparam("wanted"))
        .values(state=ContactState.NEVER, reason=bindparam("why"), finished_at=now),
        [{"wanted": row.id, "why": sentence(reasons.get(row.number, ""))} for row in found],
    )
    put(connection, [row.id for row in found], now=now)
