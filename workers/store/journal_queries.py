"""Checkpoints and journals: written in pieces, read as one record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, Select, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord, ContextRecord
from workers.store.calls import CallRow, JournalEntry, RecalledCall, StoredCall
from workers.store.rows import call_row, json_text, utc
from workers.store.schema import call_checkpoints, call_journal, call_records, calls

_RECORD = TypeAdapter(CallRecord)
_CHECKPOINT = TypeAdapter(SessionCheckpoint)
_DEEP = "context."

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Kept:
    """A checkpoint with what has been journalled since the last one that was written."""

    call_sid: str
    checkpoint: SessionCheckpoint
    head: CallRecord
    entries: dict[tuple[str, int], object] = field(default_factory=dict)
    fence: int = 0

    def later(self, newer: Kept) -> None:
        """Take in a later one, in place of two writes."""
        self.checkpoint, self.head, self.fence = newer.checkpoint, newer.head, newer.fence
        self.entries |= newer.entries


def kept(
    call_sid: str,
    checkpoint: SessionCheckpoint,
    head: CallRecord,
    entries: Sequence[JournalEntry],
    *,
    fence: int,
) -> Kept:
    """What is to be written of a call."""
    items = {(entry.kind, entry.place): entry.item for entry in entries}
    return Kept(call_sid, checkpoint, head, items, fence)


def write_checkpoint(connection: Connection, one: Kept) -> int:
    """Write a checkpoint and its journal; returns how many items could not be rendered."""
    checkpoint, head = json_text(one.checkpoint), json_text(one.head)
    dialect = connection.dialect.name
    lost = 0
    if checkpoint is None or head is None:
        lost += 1
    else:
        values = {"call_sid": one.call_sid, "checkpoint": checkpoint, "head": head}
        connection.execute(_upsert_checkpoint(dialect), values)
    rows = [
        {"call_sid": one.call_sid, "kind": kind, "place": place, "item": text}
        for (kind, place), item in one.entries.items()
        if (text := json_text(item)) is not None
    ]
    if rows:
        connection.execute(_upsert_item(dialect), rows)
    return lost + len(one.entries) - len(rows)


def recalled(connection: Connection, row: CallRow, at: datetime) -> RecalledCall:
    """A call with its newest record and checkpoint."""
    sid = {"sid": row.call_sid}
    found = connection.execute(_CHECKPOINT_OF, sid).one_or_none()
    if found is None:
        text = connection.execute(_RECORD_OF, sid).scalar_one_or_none()
        return RecalledCall(row, text and _record(row.call_sid, text), None, at)
    record = _record(row.call_sid, found.head)
    if record is not None:
        lists: defaultdict[str, list[Any]] = defaultdict(list)
        for kind, item in connection.execute(_ITEMS_OF, sid):
            if (read := _item(row.call_sid, kind, item)) is not None:
                lists[kind].append(read)
        for kind, items in lists.items():
            if kind.startswith(_DEEP):
                setattr(record.context, kind.removeprefix(_DEEP), items)
            else:
                setattr(record, kind, items)
    return RecalledCall(row, record, _checkpoint(row.call_sid, found.checkpoint), at)


def drop(connection: Connection, call_sid: str) -> None:
    """Drop checkpoint and journal of a call that is over."""
    connection.execute(call_checkpoints.delete().where(call_checkpoints.c.call_sid == call_sid))
    connection.execute(call_journal.delete().where(call_journal.c.call_sid == call_sid))


def heads() -> Select[Any]:
    """Read calls with the heads of their records."""
    return (
        select(calls, call_records.c.record, call_checkpoints.c.head)
        .outerjoin(call_records, calls.c.call_sid == call_records.c.call_sid)
        .outerjoin(call_checkpoints, calls.c.call_sid == call_checkpoints.c.call_sid)
    )


def head_of(row: Row[Any]) -> StoredCall:
    """A call from a row of ``heads``; of one that goes on, its record has no journalled items."""
    text = row.head or row.record
    return StoredCall(
        row=call_row(row),
        record=None if text is None else _record(row.call_sid, text),
        created_at=utc(row.created_at),
        updated_at=utc(row.updated_at),
    )


def _record(call_sid: str, text: str) -> CallRecord | None:
    try:
        return _RECORD.validate_json(text)
    except ValidationError as error:
        # Written by a version whose records looked otherwise; the call's row is still of use.
        _log.warning("store.record_unreadable", call_sid=call_sid, problems=error.error_count())
        return None


def _checkpoint(call_sid: str, text: str) -> SessionCheckpoint | None:
    try:
        return _CHECKPOINT.validate_json(text)
    except ValidationError as error:
        _log.warning("store.checkpoint_unreadable", call_sid=call_sid, problems=error.error_count())
        return None


def _item(call_sid: str, kind: str, text: str) -> Any:
    adapter = _items().get(kind)
    try:
        return None if adapter is None else adapter.validate_json(text)
    except ValidationError as error:
        _log.warning(
            "store.item_unreadable", call_sid=call_sid, kind=kind, problems=error.error_count()
        )
        return None


@cache
def _items() -> dict[str, TypeAdapter[Any]]:
    """What is in the lists of a record, by ``JournalEntry.kind``."""
    found = {
        f"{prefix}{name}": get_args(hint)[0]
        for prefix, owner in (("", CallRecord), (_DEEP, ContextRecord))
        for name, hint in get_type_hints(owner).items()
        if get_origin(hint) is list
    }
    return {kind: TypeAdapter(item) for kind, item in found.items()}


_CHECKPOINT_OF = select(call_checkpoints.c.checkpoint, call_checkpoints.c.head).where(
    call_checkpoints.c.call_sid == bindparam("sid")
)
_RECORD_OF = select(call_records.c.record).where(call_records.c.call_sid == bindparam("sid"))
_ITEMS_OF = (
    select(call_journal.c.kind, call_journal.c.item)
    .where(call_journal.c.call_sid == bindparam("sid"))
    .order_by(call_journal.c.kind, call_journal.c.place)
)


# Built once: making a statement costs more than running it.
@cache
def _upsert_checkpoint(dialect: str) -> Any:
    module: Any = postgresql if dialect == "postgresql" else sqlite
    insert = module.insert(call_checkpoints)
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["call_sid"], set_={"checkpoint": new.checkpoint, "head": new.head}
    )


@cache
def _upsert_item(dialect: str) -> Any:
    module: Any = postgresql if dialect == "postgresql" else sqlite
    insert = module.insert(call_journal)
    return insert.on_conflict_do_update(
        index_elements=["call_sid", "kind", "place"], set_={"item": insert.excluded.item}
    )
