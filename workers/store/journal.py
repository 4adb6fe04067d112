"""What is written of a call that goes on: checkpoints, each with what its journal has gained.

The number is looked up, and the call's row held, before anything is written: whoever claims the
call meanwhile waits, and so finds all of it or, being first, has it refused. SQLite has one writer
at a time; PostgreSQL holds a row by ``FOR SHARE`` ("Explicit Locking", 13.3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import orjson
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    String,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.sql.base import Executable

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord
from workers.store.calls import JournalEntry
from workers.store.prepared import Prepared, Upsert, Values
from workers.store.rows import json_text
from workers.store.schema import call_checkpoints, call_journal, calls
from workers.store.writer import Merging, Refusal


class CheckpointWrite(Merging):
    """A checkpoint on its way to the database.

    Args:
        lose: Told how many of its items cannot be written.
    """

    __slots__ = ("_at", "_call_sid", "_checkpoint", "_entries", "_fence", "_head", "_lose", "_rows")

    def __init__(
        self,
        call_sid: str,
        checkpoint: SessionCheckpoint,
        head: CallRecord,
        entries: Sequence[JournalEntry],
        *,
        fence: int,
        at: datetime,
        lose: Callable[[int], None],
    ) -> None:
        self._call_sid = call_sid
        self._checkpoint = checkpoint
        self._head = head
        self._entries = {(entry.kind, entry.place): entry.item for entry in entries}
        self._fence = fence
        self._at = at
        self._lose = lose
        self._rows: tuple[Values | None, list[Values]] | None = None

    def take_in(self, later: Merging) -> bool:
        """Have the newer checkpoint, and all that either has journalled."""
        if not isinstance(later, CheckpointWrite) or later._fence != self._fence:
            return False
        self._checkpoint, self._head, self._at = later._checkpoint, later._head, later._at
        self._entries |= later._entries
        return True

    @classmethod
    def write(cls, connection: Connection, writes: Sequence[Self]) -> list[Refusal]:
        """Write them, but for those that are refused."""
        known = fences(connection, {one._call_sid for one in writes})
        refused: list[Refusal] = []
        # By what must not come twice in one statement.
        heads: dict[str, Values] = {}
        items: dict[tuple[str, str, int], Values] = {}
        for one in writes:
            if one._fence < known.get(one._call_sid, 0):
                refused.append(Refusal(one._call_sid, one._fence))
                continue
            known[one._call_sid] = one._fence
            head, journalled = one._rendered()
            if head is not None:
                heads[one._call_sid] = head
            for row in journalled:
                items[one._call_sid, row["kind"], row["place"]] = row
        if heads:
            _CHECKPOINTS.run(connection, list(heads.values()))
        if items:
            _ITEMS.run(connection, list(items.values()))
        return refused

    def _rendered(self) -> tuple[Values | None, list[Values]]:
        """Rows for checkpoints and journal. Made once: a write may be tried again."""
        if self._rows is None:
            checkpoint, head = json_text(self._checkpoint), json_text(self._head)
            row: Values | None = None
            if checkpoint is not None and head is not None:
                row = {
                    "call_sid": self._call_sid,
                    "fence": self._fence,
                    "checkpoint": checkpoint,
                    "head": head,
                    "updated_at": self._at,
                }
            items: list[Values] = [
                {"call_sid": self._call_sid, "kind": kind, "place": place, "item": text}
                for (kind, place), item in self._entries.items()
                if (text := json_text(item)) is not None
            ]
            lost = (row is None) + len(self._entries) - len(items)
            if lost:
                self._lose(lost)
            self._rows = row, items
        return self._rows


def fences(connection: Connection, call_sids: Collection[str]) -> dict[str, int]:
    """The fencing numbers of these calls, which stay what they are until the transaction ends.

    A call whose row was never written has that of its checkpoint; one that nothing is known of is
    missing.
    """
    asked = sorted(call_sids)
    rows: list[Any] = list(_FENCES.run(connection, _list(connection, asked)))
    found: dict[str, int] = {sid: max(fence, written or 0) for sid, fence, written in rows}
    missing = [sid for sid in asked if sid not in found]
    if missing:
        rows = list(_CHECKPOINTED.run(connection, _list(connection, missing)))
        found |= {sid: written for sid, written in rows}  # noqa: C416  rows are not tuples to mypy
    return found


def _list(connection: Connection, sids: list[str]) -> Mapping[str, object]:
    return {
        "sids": sids if connection.dialect.name == "postgresql" else orjson.dumps(sids).decode()
    }


def _among(sid: ColumnElement[str], dialect: str) -> ColumnElement[bool]:
    """In the list ``sids``: the same text for any number of them."""
    if dialect == "postgresql":
        return sid == any_(bindparam("sids", type_=ARRAY(String)))
    listed = func.json_each(bindparam("sids", type_=String)).table_valued("value")
    return sid.in_(select(listed.c.value))


def _fences(dialect: str) -> Executable:
    return (
        select(calls.c.call_sid, calls.c.fence, call_checkpoints.c.fence)
        .outerjoin(call_checkpoints, call_checkpoints.c.call_sid == calls.c.call_sid)
        .where(_among(calls.c.call_sid, dialect))
        # In one order, so that two that hold several do not wait for each other.
        .order_by(calls.c.call_sid)
        .with_for_update(read=True, of=calls)
    )


def _checkpointed(dialect: str) -> Executable:
    sid = call_checkpoints.c.call_sid
    return select(sid, call_checkpoints.c.fence).where(_among(sid, dialect))


_FENCES = Prepared(_fences)
_CHECKPOINTED = Prepared(_checkpointed)
_CHECKPOINTS = Upsert(call_checkpoints)
_ITEMS = Upsert(call_journal)
