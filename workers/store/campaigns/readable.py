"""Contacts row by row: one that cannot be read is told of, and keeps nobody else from being read.

What is stored may be damaged, or be of another version. SQLite keeps whatever it is given, so that
a time may be any text there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from workers.campaign.model import Contact
from workers.store.campaign_schema import contacts
from workers.store.campaigns.rows import contact_of

READ_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a row may raise; what the database itself says is none of them."""


@dataclass(frozen=True, slots=True)
class ReadContact:
    """A contact, with what its row holds beside it."""

    contact: Contact
    consent: bool
    """Whether there is evidence of it."""
    not_placed: int
    """Attempts that Twilio never had; they count among ``contact.attempts``."""


@dataclass(frozen=True, slots=True)
class UnreadableContact:
    """A contact whose row nobody can work with."""

    contact_id: int
    fault: str
    """The kind of error: its text may hold what was stored, and that a phone number."""


def read_contacts(
    connection: Connection, wanted: Select[Any]
) -> list[ReadContact | UnreadableContact]:
    """Every contact that a statement finds, in its order.

    Args:
        connection: Within a transaction.
        wanted: Selects whole rows of ``contacts``; with its locks.

    Raises:
        SQLAlchemyError: the database is not there.
    """
    try:
        rows = list(connection.execute(wanted))
    except READ_FAULTS:
        # A time that is none spoils the whole answer.
        return list(_one_by_one(connection, wanted))
    return [_read(row) for row in rows]


def _one_by_one(
    connection: Connection, wanted: Select[Any]
) -> Iterator[ReadContact | UnreadableContact]:
    for contact_id in connection.scalars(wanted.with_only_columns(contacts.c.id)).all():
        one = select(contacts).where(contacts.c.id == contact_id)
        try:
            row = connection.execute(one).one()
        except READ_FAULTS as fault:
            yield UnreadableContact(contact_id, type(fault).__name__)
        else:
            yield _read(row)


def _read(row: Row[Any]) -> ReadContact | UnreadableContact:
    try:
        return ReadContact(contact_of(row), bool(row.consent), int(row.not_placed))
    except READ_FAULTS as fault:
        return UnreadableContact(row.id, type(fault).__name__)
