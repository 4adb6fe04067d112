"""The statements behind workers: each takes a connection and does one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from workers.store.calls import FleetSeen, WorkerRow
from workers.store.messages import MessageOutcome
from workers.store.rows import worker_row
from workers.store.schema import call_messages, calls, workers


def beat(worker: WorkerRow, serving: Mapping[str, int]) -> Callable[[Connection], FleetSeen]:
    """Say that a worker lives; read who else does, and which of its calls have another number."""
    values = {
        "worker": worker.worker,
        "beats": worker.beats,
        "draining": worker.draining,
        "calls": worker.calls,
        "host": worker.host,
        "pid": worker.pid,
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
        "capacity": worker.capacity,
    }
    numbers = dict(serving)

    def write(connection: Connection) -> FleetSeen:
        connection.execute(_upsert_worker(connection.dialect.name), values)
        found = connection.execute(select(workers).order_by(workers.c.worker))
        others = tuple(worker_row(row) for row in found)
        if not numbers:
            return FleetSeen(others, ())
        known = connection.execute(
            select(calls.c.call_sid, calls.c.fence).where(calls.c.call_sid.in_(sorted(numbers)))
        )
        # A lower one is ours, not written yet.
        lost = tuple(sid for sid, fence in known if fence > numbers[sid])
        return FleetSeen(others, lost)

    return write


def list_workers(connection: Connection) -> list[WorkerRow]:
    """Read the workers there are."""
    return [worker_row(row) for row in connection.execute(select(workers).order_by("worker"))]


def forget(worker: str, *, at: datetime) -> Callable[[Connection], None]:
    """Take a worker off the list; what it had taken to tell and has not told is gone with it."""

    def write(connection: Connection) -> None:
        connection.execute(workers.delete().where(workers.c.worker == worker))
        connection.execute(
            call_messages.update()
            .where(call_messages.c.taken_by == worker, call_messages.c.outcome.is_(None))
            .values(
                outcome=MessageOutcome.FAILED.value,
                outcome_at=at,
                detail="its worker was lost",
                text="",
            )
        )

    return write


@cache
def _upsert_worker(dialect: str) -> Any:
    module: Any = postgresql if dialect == "postgresql" else sqlite
    insert = module.insert(workers)
    changed = {
        column.name: insert.excluded[column.name] for column in workers.c if not column.primary_key
    }
    return insert.on_conflict_do_update(index_elements=["worker"], set_=changed)
