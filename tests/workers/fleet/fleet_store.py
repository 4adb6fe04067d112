"""A store that fails and is slow as tests want it, and what stands in it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from tests.fakes.store import MemoryCallStore
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


class FleetStore(MemoryCallStore):
    """``failing``: nothing answers; nor within a deadline where ``delay_s`` is longer.

    ``take_unanswered``: the next call is taken without an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.take_unanswered = False
        self.delay_s = 0.0
        self.beating = 0
        self.most_beating = 0

    def add(self, *rows: CallRow) -> None:
        for row in rows:
            self.save_call(row)

    def leave_idle(self, row: CallRow) -> None:
        """Nothing is written of a call for longer than a minute."""
        self.save_call(row)
        self.later(61)

    def row(self, call_sid: str) -> CallRow:
        return self.rows[call_sid][0]

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        self.beating += 1
        self.most_beating = max(self.most_beating, self.beating)
        try:
            await self._answer(deadline_s)
        finally:
            self.beating -= 1
        return await super().beat(worker, serving)

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        await self._answer(deadline_s)
        await super().forget_worker(worker)

    async def unserved(
        self,
        dead: Collection[str],
        *,
        idle_s: float,
        over_s: float,
        limit: int = 100,
        deadline_s: float = 2.0,
    ) -> list[StoredCall]:
        await self._answer(deadline_s)
        return await super().unserved(dead, idle_s=idle_s, over_s=over_s, limit=limit)

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        await self._answer(deadline_s)
        taken = await super().take_from(call_sid, fence=fence)
        if self.take_unanswered:
            self.take_unanswered = False
            raise StoreUnavailable("no answer")
        return taken

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        await self._answer(deadline_s)
        return await super().load_call(call_sid)

    async def _answer(self, deadline_s: float) -> None:
        await asyncio.sleep(min(self.delay_s, deadline_s))
        if self.failing or self.delay_s > deadline_s:
            raise StoreUnavailable("outage")
