"""A CallStore in memory; ``failing`` makes it lose writes and refuse reads, as in an outage."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord
from workers.store.calls import (
    CallEvent,
    CallRow,
    Claim,
    ClaimOutcome,
    FleetSeen,
    JournalEntry,
    RecalledCall,
    StoredCall,
    StoreUnavailable,
    WorkerRow,
)
from workers.store.messages import (
    MESSAGE_LIFE_S,
    CallMessage,
    MessageKind,
    MessageOutcome,
    MessageState,
)

_OVER = ("finished", "apology", "transfer")
_TERMINAL = ("completed", "busy", "failed", "no-answer", "canceled")


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
        self.waiting = 0
        self.rows: dict[str, tuple[CallRow, datetime, datetime]] = {}
        self.records: dict[str, CallRecord] = {}
        self.events: list[tuple[str, CallEvent]] = []
        self.messages: dict[int, Left] = {}
        self.questions = 0
        """How often messages were asked for."""
        self.on_refused: Callable[[str, int], None] = lambda _sid, _fence: None
        self.refused = 0
        self.checkpoints: dict[str, tuple[SessionCheckpoint, CallRecord]] = {}
        self.journal: dict[str, dict[tuple[str, int], object]] = {}
        self.fences: dict[str, int] = {}
        """Of whoever wrote a call's checkpoint."""
        self.workers: dict[str, WorkerRow] = {}
        self._ticks = 0.0

    @property
    def away(self) -> bool:
        return self.failing

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self._ticks += seconds

    def save_call(self, row: CallRow) -> None:
        if self._write() and self._may_write(row.call_sid, row.fence):
            self._put(row)

    def note_status(self, call_sid: str, status: str) -> None:
        if self._write() and call_sid in self.rows:
            self._put(replace(self.rows[call_sid][0], status=status))

    def checkpoint(
        self,
        call_sid: str,
        checkpoint: SessionCheckpoint,
        head: CallRecord,
        entries: Sequence[JournalEntry],
        *,
        fence: int,
    ) -> None:
        if self._write() and self._may_write(call_sid, fence):
            self.checkpoints[call_sid] = checkpoint, copy.deepcopy(head)
            self.fences[call_sid] = fence
            journal = self.journal.setdefault(call_sid, {})
            for entry in entries:
                journal[entry.kind, entry.place] = copy.deepcopy(entry.item)
            self._touch(call_sid)

    def save_record(
        self, call_sid: str, record: CallRecord, *, fence: int = 0, final: bool = False
    ) -> None:
        if self._write() and self._may_write(call_sid, fence):
            self.records[call_sid] = copy.deepcopy(record)
            if final:
                self.checkpoints.pop(call_sid, None)
                self.fences.pop(call_sid, None)
                self.journal.pop(call_sid, None)

    async def claim(
        self, row: CallRow, *, owner: str, stream: int, at: float, deadline_s: float = 1.0
    ) -> Claim:
        self._read()
        await self._wait(deadline_s)
        # Nobody has claimed a call that is not there.
        new = replace(row, owner="", streams=min(row.streams, stream - 1))
        found = self.rows[row.call_sid][0] if row.call_sid in self.rows else new
        if found.state in _OVER or found.status in _TERMINAL:
            return Claim(ClaimOutcome.OVER, self._recalled(found))
        if found.streams >= stream:
            return Claim(ClaimOutcome.SECOND, self._recalled(found))
        lost = found.state == "in_progress" and found.streams >= 1
        found = replace(
            found,
            owner=owner,
            fence=self._fence(row.call_sid, found) + 1,
            streams=stream,
            state="in_progress",
            lost_at=(*found.lost_at, at)[-20:] if lost else found.lost_at,
        )
        self._put(found)
        return Claim(ClaimOutcome.TAKEN, self._recalled(found))

    async def recall(self, call_sid: str, *, deadline_s: float = 1.0) -> RecalledCall | None:
        self._read()
        await self._wait(deadline_s)
        return self._recalled(self.rows[call_sid][0]) if call_sid in self.rows else None

    async def unserved(
        self,
        dead: Collection[str],
        *,
        idle_s: float,
        over_s: float,
        limit: int = 100,
        deadline_s: float = 2.0,
    ) -> list[StoredCall]:
        self._read()
        now = self._now()
        found = [
            self._stored(sid)
            for sid, (row, _, at) in self.rows.items()
            if (row.owner in dead and (row.state != "finished" or row.status not in _TERMINAL))
            or (
                row.state != "finished"
                and row.owner not in self.workers
                and (row.streams > 0 or row.state == "ringing")
                and (now - at).total_seconds()
                >= (over_s if row.status in _TERMINAL and row.streams else idle_s)
            )
        ]
        return sorted(found, key=lambda call: call.updated_at)[:limit]

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        self._read()
        row = self.rows[call_sid][0] if call_sid in self.rows else None
        if row is None or row.fence != fence:
            return None
        row = replace(row, fence=fence + 1, owner="")
        self._put(row)
        return row

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        self._read()
        self.workers[worker.worker] = worker
        lost = [
            sid
            for sid, fence in serving.items()
            if sid in self.rows and self.rows[sid][0].fence > fence
        ]
        return FleetSeen(tuple(self.workers.values()), tuple(lost))

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        self._read()
        self.workers.pop(worker, None)
        for left in self.messages.values():
            if left.taken_by == worker and left.outcome is None:
                left.outcome = MessageOutcome.FAILED

    async def list_workers(self, *, deadline_s: float = 2.0) -> list[WorkerRow]:
        self._read()
        return list(self.workers.values())

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

    async def list_calls(
        self, *, limit: int = 50, live: bool = False, deadline_s: float = 5.0
    ) -> list[StoredCall]:
        self._read()
        newest = sorted(self.rows, key=lambda sid: self.rows[sid][1], reverse=True)
        if live:
            rows = {sid: self.rows[sid][0] for sid in newest}
            newest = [
                sid
                for sid in newest
                if rows[sid].state != "finished" and rows[sid].status not in _TERMINAL
            ]
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

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        return not self.failing

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        return True

    async def close(self, *, deadline_s: float = 5.0) -> None:
        return None

    def _stored(self, call_sid: str) -> StoredCall:
        row, created_at, updated_at = self.rows[call_sid]
        return StoredCall(row, self._recalled(row).record, created_at, updated_at)

    def _recalled(self, row: CallRow) -> RecalledCall:
        sid = row.call_sid
        at = self.rows[sid][2] if sid in self.rows else self._now()
        if sid not in self.checkpoints:
            return RecalledCall(row, copy.deepcopy(self.records.get(sid)), None, at)
        checkpoint, head = self.checkpoints[sid]
        record = copy.deepcopy(head)
        for (kind, _), item in sorted(self.journal[sid].items(), key=lambda pair: pair[0]):
            place, _, deep = kind.partition(".")
            target = getattr(record, place)
            (getattr(target, deep) if deep else target).append(copy.deepcopy(item))
        return RecalledCall(row, record, checkpoint, at)

    def _may_write(self, call_sid: str, fence: int) -> bool:
        row = self.rows[call_sid][0] if call_sid in self.rows else None
        if fence < self._fence(call_sid, row):
            self.refused += 1
            self.on_refused(call_sid, fence)
            return False
        return True

    def _fence(self, call_sid: str, row: CallRow | None) -> int:
        return max(0 if row is None else row.fence, self.fences.get(call_sid, 0))

    def _put(self, row: CallRow) -> None:
        at = self._now()
        created_at = at
        if row.call_sid in self.rows:
            before, created_at, _ = self.rows[row.call_sid]
            if before.status in _TERMINAL:
                row = replace(row, status=before.status)
        self.rows[row.call_sid] = (row, created_at, at)

    def _touch(self, call_sid: str) -> None:
        if call_sid in self.rows:
            row, created_at, _ = self.rows[call_sid]
            self.rows[call_sid] = (row, created_at, self._now())

    def _write(self) -> bool:
        self.lost += self.failing
        return not self.failing

    def _read(self) -> None:
        if self.failing:
            raise StoreUnavailable("outage")

    async def _wait(self, deadline_s: float) -> None:
        await asyncio.sleep(min(self.read_delay_s, deadline_s))
        if self.read_delay_s > deadline_s:
            raise StoreUnavailable("slow")

    def _now(self) -> datetime:
        # Every look at the clock makes it a moment later, so that what comes later is younger.
        self._ticks += 0.001
        return datetime.fromtimestamp(1_800_000_000 + self._ticks, UTC)
