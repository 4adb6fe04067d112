"""As much of a store as workers beside each other need; the clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from workers.store.calls import CallRow, FleetSeen, StoredCall, StoreUnavailable, WorkerRow

_EPOCH = datetime(2027, 1, 1, tzinfo=UTC)


def call_row(
    call_sid: str = "CA1",
    *,
    owner: str = "dead",
    fence: int = 1,
    state: str = "in_progress",
    streams: int = 1,
) -> CallRow:
    return CallRow(
        call_sid=call_sid,
        account_sid="AC1",
        direction="inbound",
        from_number="+15550100001",
        to_number="+15550100002",
        state=state,
        status="in-progress",
        owner=owner,
        fence=fence,
        streams=streams,
    )


def worker_row(worker: str, beats: int = 1, *, draining: bool = False) -> WorkerRow:
    return WorkerRow(worker, beats, draining, 0, "host", 1)


def stored(row: CallRow) -> StoredCall:
    return StoredCall(row, None, _EPOCH, _EPOCH)


class FleetStore:
    """``failing``: nothing answers. ``take_unanswered``: taking succeeds without an answer."""

    def __init__(self) -> None:
        self.failing = False
        self.take_unanswered = False
        self.delay_s = 0.0
        self.rows: dict[str, CallRow] = {}
        self.idle: set[str] = set()
        """Calls without an owner of which nothing was written for a minute."""
        self.workers: dict[str, WorkerRow] = {}
        self.lost: tuple[str, ...] = ()
        self.beating = 0
        self.most_beating = 0

    def add(self, *rows: CallRow) -> None:
        self.rows.update({row.call_sid: row for row in rows})

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        self.beating += 1
        self.most_beating = max(self.most_beating, self.beating)
        try:
            await self._answer(deadline_s)
        finally:
            self.beating -= 1
        self.workers[worker.worker] = worker
        return FleetSeen(tuple(self.workers.values()), self.lost)

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        await self._answer(deadline_s)
        self.workers.pop(worker, None)

    async def unserved(
        self, dead: Collection[str], *, idle_s: float, limit: int = 100, deadline_s: float = 2.0
    ) -> list[StoredCall]:
        await self._answer(deadline_s)
        return [
            stored(row)
            for row in self.rows.values()
            if row.owner in dead or (not row.owner and row.call_sid in self.idle)
        ][:limit]

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        await self._answer(deadline_s)
        row = self.rows.get(call_sid)
        if row is None or row.fence != fence:
            return None
        self.rows[call_sid] = row = replace(row, owner="", fence=fence + 1)
        if self.take_unanswered:
            self.take_unanswered = False
            raise StoreUnavailable("no answer")
        return row

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        await self._answer(deadline_s)
        return stored(self.rows[call_sid]) if call_sid in self.rows else None

    async def _answer(self, deadline_s: float) -> None:
        await asyncio.sleep(min(self.delay_s, deadline_s))
        if self.failing or self.delay_s > deadline_s:
            raise StoreUnavailable("outage")
