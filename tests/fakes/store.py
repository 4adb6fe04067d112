"""A CallStore in memory; ``failing`` makes it lose writes and refuse reads, as in an outage."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.conversation.record import CallRecord
from workers.store.calls import CallEvent, CallRow, StoredCall, StoreUnavailable
from workers.store.messages import (
    MESSAGE_LIFE_S,
    CallMessage,
    MessageKind,
    MessageOutcome,
    MessageState,
)


@dataclass
class Left:
    """A message as it is kept."""

    message: CallMessage
    left_at: datetime
    taken_by: str | None = None
    outcome: MessageOutcome | None = None
    detail: str = ""


class MemoryCallStore:
    def __init__(self) -> None:
        self.failing = False
        self.read_delay_s = 0.0
        self.lost = 0
        self.rows: dict[str, tuple[CallRow, datetime, datetime]] = {}
        self.records: dict[str, CallRecord] = {}
        self.events: list[tuple[str, CallEvent]] = []
        self.messages: dict[int, Left] = {}
        self.questions = 0
        """How often messages were asked for."""
        self._ticks = 0.0

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self._ticks += seconds

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

    async def leave_message(
        self, call_sid: str, kind: MessageKind, text: str, *, deadline_s: float = 2.0
    ) -> int:
        self._read()
        number = len(self.messages) + 1
        self.messages[number] = Left(CallMessage(number, call_sid, kind, text), self._now())
        return number

    async def take_messages(
        self, call_sids: Collection[str], *, taker: str, deadline_s: float = 2.0
    ) -> list[CallMessage]:
        self.questions += 1
        self._read()
        await asyncio.sleep(self.read_delay_s)
        now, taken = self._now(), []
        for left in self.messages.values():
            age_s = (now - left.left_at).total_seconds()
            free = left.taken_by is None and age_s < MESSAGE_LIFE_S
            if (
                left.message.call_sid in call_sids
                and left.outcome is None
                and (free or left.taken_by == taker)
            ):
                left.taken_by = taker
                taken.append(left.message)
        return taken

    def settle_message(self, number: int, outcome: MessageOutcome, detail: str = "") -> None:
        if self._write():
            left = self.messages[number]
            if left.outcome is None or not left.outcome.final:
                left.outcome, left.detail = outcome, detail

    async def message_state(self, number: int, *, deadline_s: float = 2.0) -> MessageState | None:
        self._read()
        left = self.messages.get(number)
        if left is None:
            return None
        return MessageState(left.taken_by is not None, left.outcome, left.detail)

    async def withdraw_message(self, number: int, *, deadline_s: float = 2.0) -> bool:
        self._read()
        left = self.messages[number]
        if left.taken_by is not None or left.outcome is not None:
            return False
        left.outcome = MessageOutcome.WITHDRAWN
        return True

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
        # Every look at the clock makes it a moment later, so that what comes later is younger.
        self._ticks += 0.001
        return datetime.fromtimestamp(1_800_000_000 + self._ticks, UTC)
