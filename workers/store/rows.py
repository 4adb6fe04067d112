"""From rows of the database to what the port speaks of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Row

from workers.store.calls import CallRow, WorkerRow


def call_row(row: Row[Any]) -> CallRow:
    """A call."""
    return CallRow(
        call_sid=row.call_sid,
        account_sid=row.account_sid,
        direction=row.direction,
        from_number=row.from_number,
        to_number=row.to_number,
        state=row.state,
        status=row.status,
        owner=row.owner,
        fence=row.fence,
        streams=row.streams,
        transfer_to=row.transfer_to,
        last_resort=bool(row.last_resort),
        lost_at=tuple(orjson.loads(row.lost_at)),
    )


def worker_row(row: Row[Any]) -> WorkerRow:
    """A worker."""
    return WorkerRow(
        worker=row.worker,
        beats=row.beats,
        draining=bool(row.draining),
        calls=row.calls,
        host=row.host,
        pid=row.pid,
        started_at=None if row.started_at is None else utc(row.started_at),
        seen_at=None if row.seen_at is None else utc(row.seen_at),
        capacity=row.capacity,
    )


def utc(at: datetime) -> datetime:
    """A time with its zone: SQLite keeps none, and what is stored is always UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def json_text(value: object) -> str | None:
    """JSON text; None where it cannot be (a lone surrogate in a string, say)."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return None
