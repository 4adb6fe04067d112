"""In any order of writes by workers that take a call from each other, nothing stale is left."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.fakes.store import MemoryCallStore
from tests.workers.store.samples import LEFT, claimed, head, row, turn
from workers.store import call_queries
from workers.store.calls import CallStore, ClaimOutcome, JournalEntry, RecalledCall
from workers.store.database import writing
from workers.store.journal import CheckpointWrite
from workers.store.schema import metadata
from workers.store.sql import SqlCallStore

SEED = random.SystemRandom().randrange(2**32)
KINDS = ("checkpoint", "save_call", "save_record", "claim", "take_from", "flush")


@dataclass(frozen=True)
class Step:
    """One thing that one of two workers does."""

    worker: int
    kind: str


STEPS = st.lists(st.builds(Step, st.integers(0, 1), st.sampled_from(KINDS)), max_size=25)


class Schedule:
    """Two workers of one call, each over a store of its own, and what must be found at the end.

    What a worker hands over counts at the moment at which it is written, so it is waited for before
    the number changes hands, or is refused: ``flush`` decides which.
    """

    def __init__(self, stores: list[CallStore]) -> None:
        self.stores = stores
        self.refused: list[list[int]] = [[], []]
        for place, store in enumerate(stores):
            told = self.refused[place]
            store.on_refused = lambda _sid, fence, told=told: told.append(fence)  # type: ignore[misc]
        self.fences = [-1, -1]
        """As each worker believes."""
        self.fence = 0
        self.stream = 0
        self.written = 0

    async def run(self, steps: list[Step]) -> None:
        await self.claim(0)
        for step in steps:
            await self.do(step)
        await self.do(Step(0, "flush"))
        await self.do(Step(1, "flush"))
        await self.judge()

    async def do(self, step: Step) -> None:
        store, fence = self.stores[step.worker], self.fences[step.worker]
        self.written += 1
        mark = f"{fence}/{self.written}"
        if step.kind == "flush":
            assert await store.flush(deadline_s=20)
        elif step.kind == "claim":
            await self.claim(step.worker)
        elif step.kind == "take_from":
            # By the other one's word: it has seen the number in the store.
            taken = await store.take_from("CA1", fence=self.fence, deadline_s=20)
            assert taken is not None
            assert (taken.fence, taken.owner) == (self.fence + 1, "")
            self.fence += 1
            self.base = await self._recall()
        elif fence < 0:
            return
        elif step.kind == "checkpoint":
            items = [JournalEntry("turns", self.written, turn(self.written, mark))]
            store.checkpoint(
                "CA1", replace(LEFT, handle=mark), replace(head(), detail=mark), items, fence=fence
            )
        elif step.kind == "save_call":
            store.save_call(
                row(owner=f"w{step.worker}", fence=fence, streams=self.stream, transfer_to=mark)
            )
        elif step.kind == "save_record":
            store.save_record("CA1", replace(head(), detail=mark), fence=fence)

    async def claim(self, worker: int) -> None:
        self.stream += 1
        claim = await self.stores[worker].claim(
            row(), owner=f"w{worker}", stream=self.stream, at=1.0, deadline_s=20
        )
        assert claim.outcome is ClaimOutcome.TAKEN
        self.fence += 1
        assert claim.call.row.fence == self.fence
        self.fences[worker] = self.fence
        # From here on nothing older may come: what is there now is what the new owner builds upon.
        self.base = claim.call

    async def judge(self) -> None:
        recalled = await self._recall()
        assert recalled.row.fence == self.fence
        for mark in _marks(recalled) - _marks(self.base):
            assert int(mark.split("/")[0]) == self.fence
        assert [store.lost for store in self.stores] == [0, 0]
        assert all(fence < self.fence for told in self.refused for fence in told)

    async def _recall(self) -> RecalledCall:
        recalled = await self.stores[0].recall("CA1", deadline_s=20)
        assert recalled is not None
        return recalled


def _marks(call: RecalledCall) -> set[str]:
    """By whom, and when, what is there was written."""
    found = {call.row.transfer_to or ""}
    if call.checkpoint is not None:
        found.add(call.checkpoint.handle or "")
    if call.record is not None:
        found |= {call.record.detail, *(turn.said for turn in call.record.turns)}
    return found - {""}


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
def test_nothing_stale_is_left(kind: str, request: pytest.FixtureRequest) -> None:
    """Whatever two workers write, and whenever the call changes hands."""
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""

    @settings(
        max_examples=60 if kind == "memory" else 15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(STEPS)
    def rule(steps: list[Step]) -> None:
        note(f"seed {SEED}")

        async def whole() -> None:
            async with _stores(kind, url) as stores:
                await Schedule(stores).run(steps)

        asyncio.run(whole())

    print(f"seed {SEED}")
    seed(SEED)(rule)()


@asynccontextmanager
async def _stores(kind: str, url: str) -> AsyncIterator[list[CallStore]]:
    if kind == "memory":
        # Two that share what they keep.
        first, second = MemoryCallStore(), MemoryCallStore()
        for name in ("rows", "records", "checkpoints", "journal", "fences"):
            setattr(second, name, getattr(first, name))
        yield [first, second]
        return
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/calls.sqlite3"
        opened = [SqlCallStore(url), SqlCallStore(url)]
        for store in opened:
            assert await store.flush(deadline_s=20)
        if kind == "postgresql":
            with opened[0]._engine.begin() as connection:
                for table in metadata.tables:
                    connection.execute(text(f"DELETE FROM {table}"))
        yield list(opened)
        for store in opened:
            await store.close()


def _claim_all(url: str, owner: str, streams: int) -> list[int]:
    """In a process of its own: the streams that are its."""

    async def whole() -> list[int]:
        store = SqlCallStore(url)
        mine = []
        for stream in range(1, streams + 1):
            # Those that lag behind find it served.
            outcome = await claimed(store, stream, owner, deadline_s=20)
            if outcome is ClaimOutcome.TAKEN:
                mine.append(stream)
        await store.close()
        return mine

    return asyncio.run(whole())


async def test_processes_never_have_the_same_stream(database: str) -> None:
    """Three that claim the same streams at once: none is served twice, and each has a number."""
    store = SqlCallStore(database)
    assert await store.flush()
    claim: Callable[..., list[int]] = _claim_all
    with ProcessPoolExecutor(3, get_context("spawn")) as processes:
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(loop.run_in_executor(processes, claim, database, f"w{n}", 30) for n in range(3))
        )
    served = [stream for mine in found for stream in mine]
    assert len(served) == len(set(served))
    assert max(served) == 30
    call = await store.recall("CA1", deadline_s=5)
    assert call is not None
    assert call.row.fence == len(served)
    await store.close()


async def test_claim_waits_for_what_is_being_written(database: str) -> None:
    """It must find it: what is written after it has looked would be nobody's."""
    store = SqlCallStore(database)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    with writing(store._engine) as other:
        write = CheckpointWrite(
            "CA1",
            LEFT,
            head(),
            [JournalEntry("turns", 0, turn(0))],
            fence=1,
            at=datetime.now(UTC),
            lose=lambda _count: None,
        )
        assert CheckpointWrite.write(other, [write]) == []
        claim = asyncio.create_task(store.claim(row(), owner="w2", stream=2, at=1.0, deadline_s=10))
        await asyncio.sleep(0.3)
        assert not claim.done()
    found = await claim
    assert found.call.checkpoint == LEFT
    assert found.call.record is not None
    assert len(found.call.record.turns) == 1
    await store.close()


async def test_what_is_written_waits_for_a_claim(database: str) -> None:
    """And is refused then."""
    store = SqlCallStore(database)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    with writing(store._engine) as other:
        take = call_queries.claim(row(), owner="w2", stream=2, lost_at=1.0, at=datetime.now(UTC))
        assert take(other).outcome is ClaimOutcome.TAKEN
        store.checkpoint("CA1", LEFT, head(), [JournalEntry("turns", 0, turn(0))], fence=1)
        store.save_record("CA1", head(), fence=1, final=True)
        store.save_call(row(owner="w1", fence=1, streams=1, state="finished"))
        assert not await store.settled(deadline_s=0.3)
    assert await store.flush()
    recalled = await store.recall("CA1", deadline_s=5)
    assert recalled is not None
    assert (recalled.row.owner, recalled.record, recalled.checkpoint) == ("w2", None, None)
    assert (store.refused, store.lost) == (3, 0)
    await store.close()
