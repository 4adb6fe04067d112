"""An outage costs a running call nothing: what waits is merged, kept in order and written after."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from agent.conversation.record import TurnRecord
from tests.databases import end
from tests.fakes.postgresql import NoPostgresqlError, Postgresql, postgresql
from tests.fakes.store import MemoryCallStore
from tests.workers.store.samples import LEFT, claimed, found, head, heard, row, spoken, turn, turns
from workers.store.calls import CallStore, ClaimOutcome, JournalEntry, StoreUnavailable
from workers.store.database import open_engine
from workers.store.sql import SqlCallStore

SERVED = row(owner="w1", fence=1, streams=1)


class Outage:
    """Makes every transaction of the writer's fail while it lasts."""

    def __init__(self, store: SqlCallStore) -> None:
        self.lasts = False
        self._store = store
        store._writer._retry_s = 0.01
        event.listen(store._engine, "begin", self._begin)

    def _begin(self, _connection: Connection) -> None:
        if self.lasts:
            raise OperationalError("BEGIN", {}, Exception("the server has gone"))

    async def begins(self) -> None:
        """With a write of another call in hand, which has noticed it."""
        self.lasts = True
        self._store.add_event("CA0", "status", {})
        assert not await self._store.settled(deadline_s=5)
        assert self._store.away

    async def ends(self) -> None:
        self.lasts = False
        assert await self._store.flush()
        assert not self._store.away


@pytest.fixture
async def sql(database: str) -> AsyncIterator[SqlCallStore]:
    store = SqlCallStore(database)
    store.save_call(SERVED)
    assert await store.flush()
    yield store
    end(store._asker)
    await store.close()


async def test_checkpoints_that_wait_become_one(sql: SqlCallStore) -> None:
    """Newest session and head, all items, each as it was last; one place in the queue."""
    outage = Outage(sql)
    await outage.begins()
    for number in range(300):
        entries = [*turns(number), JournalEntry("turns", 0, turn(0, f"as of {number}"))]
        session = replace(LEFT, at_s=float(number))
        sql.checkpoint("CA1", session, replace(head(), detail=str(number)), entries, fence=1)
    assert len(sql._writer._queue) == 1
    await outage.ends()
    recalled = await sql.recall("CA1")
    assert recalled is not None
    assert recalled.checkpoint == replace(LEFT, at_s=299.0)
    assert recalled.record is not None
    assert recalled.record.detail == "299"
    assert await heard(sql) == ["as of 299", *spoken(range(1, 300))]
    assert (sql.lost, sql.refused) == (0, 0)


async def test_order_of_a_call_stays(sql: SqlCallStore) -> None:
    """A checkpoint is not merged across another write of its call, only across those of others."""
    outage = Outage(sql)
    await outage.begins()
    sql.checkpoint("CA1", LEFT, head(), turns(0, 1, 2), fence=1)
    sql.save_record("CA1", head(), fence=1, final=True)
    sql.checkpoint("CA2", LEFT, head(), turns(5), fence=1)
    sql.checkpoint("CA1", LEFT, head(), turns(7), fence=1)
    sql.save_call(replace(SERVED, state="handed_over"))
    sql.save_call(replace(SERVED, state="finished"))
    await outage.ends()
    assert await heard(sql) == spoken([7])
    assert (await found(sql)).state == "finished"


async def test_checkpoints_under_two_numbers_are_two(sql: SqlCallStore) -> None:
    """The call came back to this worker: the older one is refused, and does not drag the other."""
    outage = Outage(sql)
    await outage.begins()
    sql.save_call(replace(SERVED, fence=2))
    sql.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    sql.checkpoint("CA1", LEFT, head(), turns(1), fence=2)
    sql.checkpoint("CA1", LEFT, head(), turns(2), fence=1)
    await outage.ends()
    assert await heard(sql) == spoken([1])
    assert (sql.refused, sql.lost) == (2, 0)


async def test_checkpoint_in_hand_does_not_change(sql: SqlCallStore) -> None:
    """One that comes while an earlier one is being written is written after it."""
    outage = Outage(sql)
    outage.lasts = True
    sql.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    assert not await sql.settled(deadline_s=5)
    sql.checkpoint("CA1", LEFT, head(), turns(1), fence=1)
    assert len(sql._writer._queue) == 1
    await outage.ends()
    assert await heard(sql) == spoken([0, 1])


async def test_stale_one_among_many_is_refused_alone(sql: SqlCallStore) -> None:
    """Checkpoints of many calls are written together; one call that was taken harms no other."""
    refused: list[tuple[str, int]] = []
    sql.on_refused = lambda sid, fence: refused.append((sid, fence))
    outage = Outage(sql)
    await outage.begins()
    for number in range(20):
        sql.save_call(replace(SERVED, call_sid=f"CB{number}", fence=2 if number == 7 else 1))
    for number in range(20):
        sql.checkpoint(f"CB{number}", LEFT, head(), turns(0), fence=1)
    await outage.ends()
    assert refused == [("CB7", 1)]
    kept = [await sql.recall(f"CB{number}") for number in range(20)]
    assert [number for number, call in enumerate(kept) if call and not call.checkpoint] == [7]


async def test_listener_that_fails_stops_nothing(sql: SqlCallStore) -> None:
    """Its event loop may have ended."""

    def gone(_sid: str, _fence: int) -> None:
        raise RuntimeError("Event loop is closed")

    sql.on_refused = gone
    sql.save_call(replace(SERVED, fence=0, state="ringing"))
    sql.save_call(replace(SERVED, state="finished"))
    assert (await found(sql)).state == "finished"
    assert (sql.refused, sql.lost) == (1, 0)


async def test_nobody_waits_for_a_database_that_is_away(sql: SqlCallStore) -> None:
    """Neither whoever asks during an outage nor whoever asked before it was noticed."""
    started = time.monotonic()
    outage = Outage(sql)
    await outage.begins()
    assert not await sql.settled(deadline_s=5)
    await outage.ends()
    assert await sql.settled(deadline_s=5)
    outage.lasts = True
    sql.save_call(SERVED)
    assert not await sql.settled(deadline_s=5)
    await outage.ends()
    assert time.monotonic() - started < 3
    assert sql.lost == 0


async def test_settled_tells_what_was_given_up(sql: SqlCallStore) -> None:
    """What is counted as lost is not written."""

    def bad(_connection: Connection) -> None:
        raise ValueError

    sql._writer.put(bad)
    assert not await sql.settled(deadline_s=5)
    assert await sql.settled(deadline_s=5)
    assert sql.lost == 1


async def test_settled_ends_at_its_deadline(sql: SqlCallStore) -> None:
    """A database that is slow is not away, but nobody waits for it for longer."""
    sql._writer.put(lambda _connection: time.sleep(0.5))
    started = time.monotonic()
    assert not await sql.settled(deadline_s=0.1)
    assert time.monotonic() - started < 0.4
    assert await sql.settled(deadline_s=5)


async def test_outage_is_told_by_every_store() -> None:
    """The fake, too: it loses what is written, says that it is away, and lets nobody claim."""
    store = MemoryCallStore()
    store.failing = True
    await _is_away(store)
    store.failing = False
    assert await store.settled()
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN


async def test_unwritable_checkpoint_is_counted(sql: SqlCallStore) -> None:
    """A lone surrogate cannot be stored, wherever it stands; the rest is."""
    said = TurnRecord("caller", "\ud800", "", 0.0, 1.0)
    sql.checkpoint("CA1", LEFT, head(), [*turns(0), JournalEntry("turns", 1, said)], fence=1)
    sql.checkpoint("CA2", replace(LEFT, notes=("\ud800",)), head(), turns(0), fence=1)
    sql.checkpoint("CA3", replace(LEFT, handle="\0"), head(), turns(0), fence=1)
    assert await sql.flush()
    assert sql.lost == 2
    assert await heard(sql) == spoken([0])


async def test_claim_that_nobody_waits_for_is_not_made(sql: SqlCallStore) -> None:
    """Somebody holds the database until its asker has given up: the call stays free."""
    with sql._engine.connect() as other:
        other.exec_driver_sql(
            "BEGIN IMMEDIATE" if other.dialect.name == "sqlite" else "LOCK TABLE calls"
        )
        for _ in range(4):
            with pytest.raises(StoreUnavailable):
                await sql.claim(row("CA9"), owner="w1", stream=1, at=0.0, deadline_s=0.1)
        other.rollback()
    await asyncio.sleep(0.3)
    assert await sql.load_call("CA9", deadline_s=5) is None
    claim = await sql.claim(row("CA9"), owner="w2", stream=1, at=0.0, deadline_s=5)
    assert (claim.outcome, claim.call.row.fence) == (ClaimOutcome.TAKEN, 1)


async def test_questions_of_one_kind_that_hang_leave_threads_to_the_others(
    sql: SqlCallStore,
) -> None:
    """A sign of life that waits for a lock does not keep a stream from being claimed."""
    engine = sql._engine
    lock = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "LOCK TABLE workers, calls"
    with engine.connect() as other:
        other.exec_driver_sql(lock)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await sql.forget_worker("w1", deadline_s=0.05)
        if engine.dialect.name == "sqlite":
            # There, readers wait for nobody.
            assert await sql.recall("CA1", deadline_s=2) is not None
        assert await sql.take_messages(["CA1"], taker="w1", deadline_s=2) == []
        other.rollback()


async def test_sqlite_that_somebody_holds_is_waited_for(tmp_path: Path) -> None:
    """As a backup does, or a worker that was stopped in the middle of a write."""
    file = tmp_path / "calls.sqlite3"
    store = SqlCallStore(f"sqlite:///{file}")
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(30):
        started = time.monotonic()
        store.checkpoint("CA1", LEFT, head(), turns(number), fence=1)
        assert time.monotonic() - started < 0.1
    assert not await store.settled()
    other.execute("COMMIT")
    other.close()
    assert await store.flush(deadline_s=10)
    assert await heard(store) == spoken(range(30))
    assert store.lost == 0
    await store.close()


@pytest.fixture
def cluster() -> Iterator[Postgresql]:
    try:
        with postgresql() as found:
            yield found
    except NoPostgresqlError as error:
        pytest.skip(str(error))


async def test_server_that_is_cut_off_and_comes_back(cluster: Postgresql) -> None:
    """Every connection breaks; nothing that was handed over is missing afterwards."""
    store = SqlCallStore(cluster.url)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    store.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    assert await store.flush()
    await asyncio.to_thread(cluster.stop)
    for number in range(1, 30):
        started = time.monotonic()
        store.checkpoint("CA1", LEFT, head(), turns(number), fence=1)
        assert time.monotonic() - started < 0.1
    await _is_away(store)
    await asyncio.to_thread(cluster.start)
    assert await store.flush(deadline_s=10)
    assert await heard(store) == spoken(range(30))
    assert (store.lost, store.refused, store.away) == (0, 0, False)
    await store.close()


async def test_connections_that_the_server_ends_are_made_anew(cluster: Postgresql) -> None:
    """Between two transactions: neither the next write nor the next question notices."""
    store = SqlCallStore(cluster.url)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    assert await store.recall("CA1", deadline_s=5) is not None
    engine = open_engine(cluster.url)
    for number in range(3):
        with engine.connect() as connection:
            ended = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
            ).all()
        assert ended
        store.checkpoint("CA1", LEFT, head(), turns(number), fence=1)
        assert await store.settled(deadline_s=5)
        assert await heard(store) == spoken(range(number + 1))
    assert (store.lost, store.away) == (0, False)
    engine.dispose()
    await store.close()


async def test_server_that_may_not_be_written_is_waited_for(cluster: Postgresql) -> None:
    """After a failover, until the server is promoted: no write is at fault."""
    admin = open_engine(cluster.url).execution_options(isolation_level="AUTOCOMMIT")
    store = SqlCallStore(cluster.url)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    with admin.connect() as connection:
        for setting in ("on", "off"):
            connection.execute(text(f"ALTER SYSTEM SET default_transaction_read_only = {setting}"))
            connection.execute(text("SELECT pg_reload_conf()"))
            await asyncio.sleep(0.3)
            if setting == "on":
                connection.execute(text("SET default_transaction_read_only = off"))
                store.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
                assert not await store.settled(deadline_s=5)
                assert store.away
    assert await store.flush(deadline_s=10)
    assert await heard(store) == spoken([0])
    assert store.lost == 0
    admin.dispose()
    await store.close()


async def _is_away(store: CallStore) -> None:
    store.save_call(row("CA2"))
    assert not await store.settled()
    assert store.away
    for ask in (
        store.claim(row("CA2"), owner="w1", stream=1, at=0.0),
        store.recall("CA1"),
        store.take_from("CA1", fence=1),
        store.unserved(["w1"], idle_s=0, over_s=0),
        store.list_workers(),
    ):
        with pytest.raises(StoreUnavailable):
            await ask
