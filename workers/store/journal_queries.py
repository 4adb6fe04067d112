"""Reads what ``workers.store.journal`` has written: checkpoint and journal, as one record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, Select, bindparam, select

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord, ContextRecord
from workers.store.calls import CallRow, RecalledCall, StoredCall
from workers.store.rows import call_row, utc
from workers.store.schema import call_checkpoints, call_journal, call_records, calls

_RECORD = TypeAdapter(CallRecord)
_CHECKPOINT = TypeAdapter(SessionCheckpoint)
_DEEP = "context."

_log = structlog.get_logger(__name__)


def recalled(connection: Connection, row: CallRow, at: datetime) -> RecalledCall:
    """A call with its newest record and checkpoint."""
    sid = {"sid": row.call_sid}
    found = connection.execute(_CHECKPOINT_OF, sid).one_or_none()
    record = checkpoint = None
    if found is not None:
        at = max(at, utc(found.updated_at))
        checkpoint = _checkpoint(row.call_sid, found.checkpoint)
        record = _record(row.call_sid, found.head)
    if record is not None:
        _fill(record, connection, sid)
    elif (text := connection.execute(_RECORD_OF, sid).scalar_one_or_none()) is not None:
        record = _record(row.call_sid, text)
    return RecalledCall(row, record, checkpoint, at)


def _fill(record: CallRecord, connection: Connection, sid: Mapping[str, str]) -> None:
    """Put what was journalled into a record's lists."""
    lists: defaultdict[str, list[Any]] = defaultdict(list)
    for kind, text in connection.execute(_ITEMS_OF, sid):
        if (item := _item(sid["sid"], kind, text)) is not None:
            lists[kind].append(item)
    for kind, items in lists.items():
        if kind.startswith(_DEEP):
            setattr(record.context, kind.removeprefix(_DEEP), items)
        else:
            setattr(record, kind, items)


def drop(connection: Connection, call_sid: str) -> None:
    """Drop checkpoint and journal of a call that is over."""
    connection.execute(call_checkpoints.delete().where(call_checkpoints.c.call_sid == call_sid))
    connection.execute(call_journal.delete().where(call_journal.c.call_sid == call_sid))


def heads() -> Select[Any]:
    """Read calls with the heads of their records."""
    return (
        select(
            calls,
            call_records.c.record,
            call_checkpoints.c.head,
            call_checkpoints.c.updated_at.label("checkpointed_at"),
        )
        .outerjoin(call_records, calls.c.call_sid == call_records.c.call_sid)
        .outerjoin(call_checkpoints, calls.c.call_sid == call_checkpoints.c.call_sid)
    )


def head_of(row: Row[Any]) -> StoredCall:
    """A call from a row of ``heads``; of one that goes on, its record has no journalled items."""
    text = row.head or row.record
    updated_at = utc(row.updated_at)
    if row.checkpointed_at is not None:
        updated_at = max(updated_at, utc(row.checkpointed_at))
    return StoredCall(
        row=call_row(row),
        record=None if text is None else _record(row.call_sid, text),
        created_at=utc(row.created_at),
        updated_at=updated_at,
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
    if adapter is None:
        _log.warning("store.item_unknown", call_sid=call_sid, kind=kind)
        return None
    try:
        return adapter.validate_json(text)
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


_CHECKPOINT_OF = select(
    call_checkpoints.c.checkpoint, call_checkpoints.c.head, call_checkpoints.c.updated_at
).where(call_checkpoints.c.call_sid == bindparam("sid"))
_RECORD_OF = select(call_records.c.record).where(call_records.c.call_sid == bindparam("sid"))
_ITEMS_OF = (
    select(call_journal.c.kind, call_journal.c.item)
    .where(call_journal.c.call_sid == bindparam("sid"))
    .order_by(call_journal.c.kind, call_journal.c.place)
)
