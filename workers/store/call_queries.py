"""The statements behind calls: each takes a connection and does one thing.

A write under an old fencing number changes nothing and says so. The row of the call is held by
whoever claims it (PostgreSQL: ``FOR UPDATE``; SQLite has one writer), so that two cannot have the
same stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, and_, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from workers.store.calls import CallRow, Claim, ClaimOutcome, RecalledCall, StoredCall
from workers.store.journal import fences
from workers.store.journal_queries import drop, head_of, heads, recalled
from workers.store.rows import call_row, utc
from workers.store.schema import OWNED, UNFINISHED, call_checkpoints, call_records, calls, workers
from workers.store.writer import Refusal, Write

# twilio.com/docs/voice/api/call-resource, Status: nothing follows these.
TERMINAL = ("completed", "busy", "failed", "no-answer", "canceled")
# ``CallState`` of workers.call.entry: what no stream may follow.
DECIDED = ("finished", "apology", "transfer")
LOSSES_KEPT = 20


def save_call(row: CallRow, *, at: datetime) -> Write:
    """Insert a call, or bring it up to date where the number is not older than the one there."""
    values = {**_values(row), "created_at": at, "updated_at": at}

    def write(connection: Connection) -> Refusal | None:
        # Not its ``rowcount``: psycopg has none for an insert that SQLAlchemy may batch.
        done = connection.execute(_upsert_call(connection.dialect.name), values).first()
        return Refusal(row.call_sid, row.fence) if done is None else None

    return write


def note_status(call_sid: str, status: str, *, at: datetime) -> Write:
    """Keep a status, unless a terminal one is there."""

    def write(connection: Connection) -> None:
        connection.execute(
            calls.update()
            .where(calls.c.call_sid == call_sid, calls.c.status.not_in(TERMINAL))
            .values(status=status, updated_at=at)
        )

    return write


def save_record(call_sid: str, record: str, *, fence: int, final: bool) -> Write:
    """Keep a record; a final one takes the place of checkpoint and journal."""

    def write(connection: Connection) -> Refusal | None:
        if fence < fences(connection, (call_sid,)).get(call_sid, 0):
            return Refusal(call_sid, fence)
        values = {"call_sid": call_sid, "record": record}
        connection.execute(_upsert_record(connection.dialect.name), values)
        if final:
            drop(connection, call_sid)
        return None

    return write


def claim(
    row: CallRow, *, owner: str, stream: int, lost_at: float, at: datetime
) -> Callable[[Connection], Claim]:
    """Take a call over for its next stream."""

    def write(connection: Connection) -> Claim:
        # Nobody has claimed a call that is not there.
        new = replace(row, owner="", streams=min(row.streams, stream - 1))
        connection.execute(
            _insert(connection.dialect.name, "call").on_conflict_do_nothing(),
            {**_values(new), "created_at": at, "updated_at": at},
        )
        found = call_row(connection.execute(_lock(row.call_sid)).one())
        if found.state in DECIDED or found.status in TERMINAL:
            return Claim(ClaimOutcome.OVER, recalled(connection, found, at))
        if found.streams >= stream:
            return Claim(ClaimOutcome.SECOND, recalled(connection, found, at))
        lost = found.state == "in_progress" and found.streams >= 1
        taken = replace(
            found,
            owner=owner,
            # Its checkpoint's is higher where the row was never written.
            fence=fences(connection, (row.call_sid,))[row.call_sid] + 1,
            streams=stream,
            state="in_progress",
            lost_at=(*found.lost_at, lost_at)[-LOSSES_KEPT:] if lost else found.lost_at,
        )
        connection.execute(
            calls.update()
            .where(calls.c.call_sid == row.call_sid)
            .values(**_values(taken), updated_at=at)
        )
        return Claim(ClaimOutcome.TAKEN, recalled(connection, taken, at))

    return write


def take_from(call_sid: str, *, fence: int, at: datetime) -> Callable[[Connection], CallRow | None]:
    """Take a call away from its owner."""

    def write(connection: Connection) -> CallRow | None:
        done = connection.execute(
            calls.update()
            .where(calls.c.call_sid == call_sid, calls.c.fence == fence)
            .values(fence=fence + 1, owner="", updated_at=at)
        )
        if not done.rowcount:
            return None
        return call_row(connection.execute(select(calls).where(calls.c.call_sid == call_sid)).one())

    return write


def unserved(
    dead: Collection[str], *, idle_s: float, over_s: float, limit: int, at: datetime
) -> Callable[[Connection], list[StoredCall]]:
    """Read the calls that nobody serves."""
    last_at = func.coalesce(call_checkpoints.c.updated_at, calls.c.updated_at)
    query = heads().order_by(calls.c.updated_at).limit(limit)
    # Of a dead one's also what it had decided: Twilio may still hold its stream open.
    of_dead = query.where(
        OWNED,
        calls.c.owner.in_(sorted(dead)),
        or_(calls.c.status.not_in(TERMINAL), calls.c.state != "finished"),
    )
    # An owner that is not on the list has left, or was lost with what it had still to write. One
    # that is spoken on and has no stream belongs to a worker of a release that did not count them.
    before = at - timedelta(seconds=idle_s)
    over_before = at - timedelta(seconds=over_s)
    idle = query.where(
        UNFINISHED,
        calls.c.owner.not_in(select(workers.c.worker)),
        or_(calls.c.streams > 0, calls.c.state == "ringing"),
        calls.c.updated_at <= over_before,
        or_(
            and_(calls.c.updated_at <= before, last_at <= before),
            and_(calls.c.status.in_(TERMINAL), calls.c.streams > 0, last_at <= over_before),
        ),
    )

    def read(connection: Connection) -> list[StoredCall]:
        # Two queries, each by an index of its own.
        found = [head_of(row) for row in connection.execute(idle)]
        if dead:
            found += [head_of(row) for row in connection.execute(of_dead)]
        oldest = {call.row.call_sid: call for call in found}.values()
        return sorted(oldest, key=lambda call: call.updated_at)[:limit]

    return read


def list_calls(*, limit: int, live: bool) -> Callable[[Connection], list[StoredCall]]:
    """Read the newest calls."""
    query = heads().order_by(calls.c.created_at.desc()).limit(limit)
    if live:
        query = query.where(UNFINISHED, calls.c.status.not_in(TERMINAL))

    def read(connection: Connection) -> list[StoredCall]:
        return [head_of(found) for found in connection.execute(query)]

    return read


def recall(call_sid: str) -> Callable[[Connection], RecalledCall | None]:
    """Read a call with its newest record and checkpoint."""

    def read(connection: Connection) -> RecalledCall | None:
        row = connection.execute(select(calls).where(calls.c.call_sid == call_sid)).one_or_none()
        return None if row is None else recalled(connection, call_row(row), utc(row.updated_at))

    return read


def load_call(call_sid: str) -> Callable[[Connection], StoredCall | None]:
    """Read a call with its newest record."""

    def read(connection: Connection) -> StoredCall | None:
        row = connection.execute(select(calls).where(calls.c.call_sid == call_sid)).one_or_none()
        if row is None:
            return None
        updated_at = utc(row.updated_at)
        record = recalled(connection, call_row(row), updated_at).record
        return StoredCall(call_row(row), record, utc(row.created_at), updated_at)

    return read


def _values(row: CallRow) -> Mapping[str, object]:
    return {
        "call_sid": row.call_sid,
        "account_sid": row.account_sid,
        "direction": row.direction,
        "from_number": row.from_number,
        "to_number": row.to_number,
        "state": row.state,
        "status": row.status,
        "owner": row.owner,
        "fence": row.fence,
        "streams": row.streams,
        "transfer_to": row.transfer_to,
        "last_resort": row.last_resort,
        "lost_at": orjson.dumps(row.lost_at).decode(),
    }


_TABLES = {"call": calls, "record": call_records}


# Built once: making a statement costs more than running it.
@cache
def _insert(dialect: str, table: str) -> Any:
    module: Any = postgresql if dialect == "postgresql" else sqlite
    return module.insert(_TABLES[table])


@cache
def _upsert_call(dialect: str) -> Insert:
    insert = _insert(dialect, "call")
    new = insert.excluded
    changed = {
        column.name: new[column.name]
        for column in calls.c
        if column.name not in ("call_sid", "created_at")
    }
    changed["status"] = case((calls.c.status.in_(TERMINAL), calls.c.status), else_=new.status)
    statement: Insert = insert.on_conflict_do_update(
        index_elements=["call_sid"], set_=changed, where=calls.c.fence <= new.fence
    ).returning(calls.c.fence)
    return statement


@cache
def _upsert_record(dialect: str) -> Insert:
    insert = _insert(dialect, "record")
    statement: Insert = insert.on_conflict_do_update(
        index_elements=["call_sid"], set_={"record": insert.excluded.record}
    )
    return statement


def _lock(call_sid: str) -> Any:
    return select(calls).where(calls.c.call_sid == call_sid).with_for_update()
