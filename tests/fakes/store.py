"""A CallStore in memory; ``failing`` makes it lose writes and refuse reads, as in an outage."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.conversation.record import CallRecord
from workers.store.calls import CallEvent, CallRow, StoredCall, StoreUnavailable


class MemoryCallStore:
    def __init__(self) -> None:
        self.failing = False
        self.read_delay_s = 0.0
        self.lost = 0
        self.rows: dict[str, tuple[CallRow, datetime, datetime]] = {}
        self.records: dict[str, CallRecord] = {}
        self.events: list[tuple[str, CallEvent]] = []
        self._ticks = 0

    def save_call(self, row: CallRow) -> None:
        if self._write():
            at = self._now()
            created_at = self.rows[row.call_sid][1] if row.call_sid in self.rows else at
            self.rows[row.call_sid] = (row, created_at, at)

    def save_record(self, call_sid: str, record: CallRecord) -> None:
        if self._write():
            self.records[call_sid] = copy.deepcopy(record)

    def add_event(self, call_sid: str, kind: str, payload: Mapping[str, object]) -> None:
        if self._write():
            self.events.append((call_sid, CallEvent(self._now(), kind, dict(payload))))

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        self._read()
        await asyncio.sleep(self.read_delay_s)
        return self._stored(call_sid) if call_sid in self.rows else None

    async def load_events(self, call_sid: str, *, deadline_s: float = 2.0) -> list[CallEvent]:
        self._read()
        return [event for sid, event in self.events if sid == call_sid]

    async def list_calls(self, *, limit: int = 50, deadline_s: float = 5.0) -> list[StoredCall]:
        self._read()
        newest = sorted(self.rows, key=lambda sid: self.rows[sid][1], reverse=True)
        return [self._stored(sid) for sid in newest[:limit]]

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        return True

    async def close(self, *, deadline_s: float = 5.0) -> None:
        return None

    def _stored(self, call_sid: str) -> StoredCall:
        row, created_at, updated_at = self.rows[call_sid]
        return StoredCall(row, self.records.get(call_sid), created_at, updated_at)

    def _write(self) -> bool:
        self.lost += self.failing
        return not self.failing

    def _read(self) -> None:
        if self.failing:
            raise StoreUnavailable("outage")

    def _now(self) -> datetime:
        self._ticks += 1
        return datetime.fromtimestamp(1_800_000_000 + self._ticks, UTC)
