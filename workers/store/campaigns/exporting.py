"""Every contact of a campaign with its attempts, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from workers.store.campaign_schema import attempts
from workers.store.campaigns.contacts import StoredContact, page
from workers.store.campaigns.rows import AttemptRow, attempt_row

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Exported:
    """A contact with its attempts, oldest first."""

    contact: StoredContact
    attempts: tuple[AttemptRow, ...]


def most_attempts(connection: Connection, campaign_id: int) -> int:
    """The most that any contact of a campaign has had."""
    return (
        connection.execute(
            select(func.max(attempts.c.ordinal)).where(attempts.c.campaign_id == campaign_id)
        ).scalar_one()
        or 0
    )


def exported(
    connection: Connection, campaign_id: int, *, page_size: int = PAGE
) -> Iterator[Exported]:
    """All contacts in the order in which they came; never more than a page is in memory.

    In one transaction (``reading``) they are as of one moment. PostgreSQL ends one that asks for
    nothing for some seconds (``workers.store.database``): take them as fast as a file does.
    """
    after = 0
    while found := page(connection, campaign_id, after_id=after, most=page_size):
        numbers = [one.contact.contact_id for one in found]
        after = numbers[-1]
        by_contact: dict[int, list[AttemptRow]] = {}
        # By their ids alone: with the campaign's, SQLite reads all its attempts for each page.
        rows = connection.execute(
            select(attempts)
            .where(attempts.c.contact_id.in_(numbers))
            .order_by(attempts.c.contact_id, attempts.c.ordinal)
        )
        for row in map(attempt_row, rows):
            by_contact.setdefault(row.attempt.contact_id, []).append(row)
        for contact in found:
            yield Exported(contact, tuple(by_contact.get(contact.contact.contact_id, ())))
