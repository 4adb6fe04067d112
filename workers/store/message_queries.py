"""The statements behind messages for the agent: each takes a connection and does one thing.

A message is taken by whoever locks its row first: SQLite has one writer, and on PostgreSQL rivals
pass over rows that somebody has locked ("The Locking Clause", SELECT). They do not wait for them:
two that change several rows find them in orders of their own, and would wait for each other.

A text stays no longer than it may be taken: whoever leaves it does not know what the agent's file
wants redacted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, or_, select

from workers.store.messages import (
    MESSAGE_LIFE_S,
    CallMessage,
    MessageKind,
    MessageOutcome,
    MessageState,
)
from workers.store.schema import call_messages as messages
from workers.store.writer import Write

_GONE = ""


def leave(
    call_sid: str, kind: MessageKind, text: str, *, at: datetime
) -> Callable[[Connection], int]:
    """Insert a message; gives its number. What nobody can take any more loses its text."""
    values = {"call_sid": call_sid, "kind": kind.value, "text": text, "created_at": at}
    void = (
        messages.c.taken_by.is_(None),
        messages.c.text != _GONE,
        messages.c.created_at <= at - timedelta(seconds=MESSAGE_LIFE_S),
    )

    def write(connection: Connection) -> int:
        connection.execute(messages.update().where(_free(*void)).values(text=_GONE))
        done = connection.execute(messages.insert().values(values))
        assert done.inserted_primary_key is not None
        return int(done.inserted_primary_key[0])

    return write


def take(
    call_sids: Sequence[str], *, taker: str, at: datetime
) -> Callable[[Connection], list[CallMessage]]:
    """Mark what waits for these calls as the taker's, and give all that it has not settled."""
    mine = (
        messages.c.outcome.is_(None),
        or_(messages.c.taken_by.is_(None), messages.c.taken_by == taker),
    )
    # Reads alone where nothing waits, which is nearly always: no lock, no write-ahead log.
    waiting = select(messages.c.id).where(
        messages.c.call_sid.in_(call_sids),
        # One that a later version writes is left to a worker that knows it.
        messages.c.kind.in_([kind.value for kind in MessageKind]),
        *mine,
        or_(
            messages.c.taken_by == taker,
            messages.c.created_at > at - timedelta(seconds=MESSAGE_LIFE_S),
        ),
    )

    def write(connection: Connection) -> list[CallMessage]:
        found = connection.execute(waiting).scalars().all()
        if not found:
            return []
        # A transaction of its own: SQLite does not let one that has read go on to write where
        # somebody else has written meanwhile (sqlite.org/isolation.html).
        connection.rollback()
        taken = connection.execute(
            messages.update()
            .where(_free(messages.c.id.in_(found), *mine))
            .values(taken_by=taker, taken_at=at)
            .returning(messages.c.id, messages.c.call_sid, messages.c.kind, messages.c.text)
        ).all()
        connection.commit()
        return sorted(
            (CallMessage(row.id, row.call_sid, MessageKind(row.kind), row.text) for row in taken),
            key=lambda message: message.id,
        )

    return write


def _free(*wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """Those of the wanted that nobody else is changing just now."""
    rows = select(messages.c.id).where(*wanted).with_for_update(skip_locked=True)
    return messages.c.id.in_(rows)


def settle(number: int, outcome: MessageOutcome, detail: str, *, at: datetime) -> Write:
    """Write down what has become of a message, unless that is known for good."""
    open_outcomes = [known.value for known in MessageOutcome if not known.final]

    def write(connection: Connection) -> None:
        connection.execute(
            messages.update()
            .where(
                messages.c.id == number,
                or_(messages.c.outcome.is_(None), messages.c.outcome.in_(open_outcomes)),
            )
            .values(outcome=outcome.value, outcome_at=at, detail=detail, text=_GONE)
        )

    return write


def state(number: int) -> Callable[[Connection], MessageState | None]:
    """Read how far a message has got."""
    query = select(messages.c.taken_by, messages.c.outcome, messages.c.detail).where(
        messages.c.id == number
    )

    def read(connection: Connection) -> MessageState | None:
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        outcome = None if row.outcome is None else MessageOutcome(row.outcome)
        return MessageState(row.taken_by is not None, outcome, row.detail)

    return read


def withdraw(number: int, *, at: datetime) -> Callable[[Connection], bool]:
    """Take a message back where nobody has taken it; gives whether it was."""

    def write(connection: Connection) -> bool:
        done = connection.execute(
            messages.update()
            .where(
                messages.c.id == number,
                messages.c.taken_by.is_(None),
                messages.c.outcome.is_(None),
            )
            .values(outcome=MessageOutcome.WITHDRAWN.value, outcome_at=at, text=_GONE)
        )
        return done.rowcount == 1

    return write
