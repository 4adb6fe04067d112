"""The contacts of a campaign: taken in by the batch, counted, read page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from workers.campaign import contacts as source
from workers.campaign.model import Contact, ContactState, LineOutcome
from workers.store.campaign_schema import contact_errors, contacts
from workers.store.campaigns.among import among
from workers.store.campaigns.bulk import insert_rows
from workers.store.campaigns.outbox import put
from workers.store.campaigns.readable import READ_FAULTS
from workers.store.campaigns.rows import contact_of, moment, report_of
from workers.store.campaigns.suppressions import reasons_for, sentence
from workers.store.rows import utc


@dataclass(frozen=True, slots=True)
class Added:
    """What a batch of rows came to."""

    new: int = 0
    """Contacts that had not been there; those suppressed are among them."""
    known: int = 0
    """Imported before, or twice in this file."""
    suppressed: int = 0
    """Of the new: never to be called."""


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A contact with all that is kept of it."""

    contact: Contact
    line: int
    key: str
    consent: str
    due_at: datetime
    not_placed: int
    outcome: LineOutcome | None
    report: Mapping[str, Any] | None
    finished_at: datetime | None


def add_contacts(
    connection: Connection, campaign_id: int, rows: Sequence[source.Row], *, now: datetime
) -> Added:
    """Take in those that are not there yet; what is known of the others stays.

    Numbers on the suppression list are taken in, too, and set aside with the reason, and customers
    are told of them. There may be ``suppressions.MOST`` rows; one that equals another is folded.

    Raises:
        UnicodeEncodeError: a row has half a surrogate pair; nothing is added.
    """
    if not rows:
        return Added()
    suppressed = reasons_for(connection, (row.number for row in rows))
    waiting = [row for row in rows if row.number not in suppressed]
    new = insert_rows(
        connection, campaign_id, waiting, [""] * len(waiting), ContactState.WAITING, now=now
    )
    aside = [row for row in rows if row.number in suppressed]
    reasons = [sentence(suppressed[row.number]) for row in aside]
    never = insert_rows(connection, campaign_id, aside, reasons, ContactState.NEVER, now=now)
    if never:
        _tell(connection, campaign_id, aside, now)
    return Added(new + never, len(rows) - new - never, never)


def _tell(
    connection: Connection, campaign_id: int, aside: Sequence[source.Row], now: datetime
) -> None:
    """Tell customers of contacts that have come in and are done with; not of those there before."""
    identities = [source.identity(row) for row in aside]
    fresh = select(contacts.c.id).where(
        contacts.c.campaign_id == campaign_id,
        among(connection, contacts.c.identity, identities),
        contacts.c.state == ContactState.NEVER.value,
        contacts.c.finished_at == now,
    )
    put(connection, connection.scalars(fresh).all(), now=now)


def clear_errors(connection: Connection, campaign_id: int) -> None:
    """Forget the rows that an earlier import kept aside."""
    connection.execute(delete(contact_errors).where(contact_errors.c.campaign_id == campaign_id))


def keep_errors(
    connection: Connection, campaign_id: int, errors: Sequence[source.RowError]
) -> None:
    """Keep rows that cannot be called, as they were given."""
    if errors:
        connection.execute(
            insert(contact_errors),
            [
                {
                    "campaign_id": campaign_id,
                    "line": error.line,
                    "field": _storable(error.field),
                    "message": _storable(error.message),
                    "raw": _storable(error.raw),
                }
                for error in errors
            ],
        )


def errors_page(
    connection: Connection, campaign_id: int, *, after_id: int = 0, most: int = 1_000
) -> tuple[list[source.RowError], int]:
    """Rows that were kept aside, in the file's order, and the id to go on behind."""
    found = connection.execute(
        select(contact_errors)
        .where(contact_errors.c.campaign_id == campaign_id, contact_errors.c.id > after_id)
        .order_by(contact_errors.c.id)
        .limit(most)
    ).all()
    errors = [source.RowError(row.line, row.field, row.message, row.raw) for row in found]
    return errors, found[-1].id if found else after_id


def count_errors(connection: Connection, campaign_id: int) -> int:
    """How many rows the last import kept aside."""
    return connection.execute(
        select(func.count())
        .select_from(contact_errors)
        .where(contact_errors.c.campaign_id == campaign_id)
    ).scalar_one()


def counts(connection: Connection, campaign_id: int) -> dict[ContactState, int]:
    """How many contacts are in which state; a state without any has 0."""
    found = connection.execute(
        select(contacts.c.state, func.count())
        .where(contacts.c.campaign_id == campaign_id)
        .group_by(contacts.c.state)
    )
    return dict.fromkeys(ContactState, 0) | {ContactState(state): many for state, many in found}


def page(
    connection: Connection, campaign_id: int, *, after_id: int = 0, most: int = 1_000
) -> list[StoredContact]:
    """Contacts in the order in which they came, from behind an id on."""
    # A sum has no index: with that of the campaign, SQLite reads and sorts all that are left, for
    # each page.
    found = connection.execute(
        select(contacts)
        .where(contacts.c.campaign_id + 0 == campaign_id, contacts.c.id > after_id)
        .order_by(contacts.c.id)
        .limit(most)
    )
    return [_stored(row) for row in found]


def _stored(row: Row[Any]) -> StoredContact:
    try:
        contact = contact_of(row)
    except READ_FAULTS:
        # Whoever looks for what became of them finds the reason, and all the others.
        contact = contact_of(row, variables={})
    return StoredContact(
        contact=contact,
        line=row.line,
        key=row.key,
        consent=row.consent,
        due_at=utc(row.due_at),
        not_placed=row.not_placed,
        outcome=None if row.outcome is None else LineOutcome(row.outcome),
        report=report_of(row.report),
        finished_at=moment(row.finished_at),
    )


def _storable(text: str) -> str:
    """As both databases take it: PostgreSQL has no NUL, neither has half a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
