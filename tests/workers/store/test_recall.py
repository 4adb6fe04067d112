"""What another worker finds of a call that goes on, and what a list shows of it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, event, text
from structlog.testing import capture_logs

from tests.workers.store.samples import LEFT, claimed, head, heard, row, spoken, turn, turns
from workers.store import journal_queries
from workers.store.calls import CallStore, ClaimOutcome, JournalEntry
from workers.store.sql import SqlCallStore


@pytest.fixture
async def sql(database: str) -> AsyncIterator[SqlCallStore]:
    store = SqlCallStore(database)
    assert await claimed(store, 1, "w1") is ClaimOutcome.TAKEN
    yield store
    await store.close()


async def test_checkpoint_comes_before_the_row(store: CallStore) -> None:
    """The row may have been lost in an outage: a claim finds what was kept for all that."""
    store.checkpoint("CA1", LEFT, head(), turns(0, 1), fence=4)
    assert await store.flush()
    assert await store.recall("CA1") is None
    claim = await store.claim(row(streams=1), owner="w2", stream=2, at=1.0)
    assert (claim.outcome, claim.call.checkpoint) == (ClaimOutcome.TAKEN, LEFT)
    assert claim.call.row.fence == 5
    store.checkpoint("CA1", replace(LEFT, handle="stale"), head(), turns(2), fence=4)
    assert await store.flush()
    assert await heard(store) == spoken([0, 1])
    assert (store.refused, store.lost) == (1, 0)


async def test_number_of_a_checkpoint_holds_without_a_row(store: CallStore) -> None:
    """Between two that write of a call that nobody has written a row of."""
    store.checkpoint("CA1", LEFT, head(), turns(0), fence=2)
    store.checkpoint("CA1", LEFT, head(), turns(1), fence=1)
    store.save_record("CA1", head(), fence=1, final=True)
    assert await store.flush()
    assert store.refused == 2
    claim = await store.claim(row(), owner="w2", stream=1, at=1.0)
    assert claim.call.record is not None
    assert [found.said for found in claim.call.record.turns] == spoken([0])


async def test_claim_of_what_is_not_there_takes_no_stream_for_served(store: CallStore) -> None:
    """A worker that announced the call has counted its stream already, and written nothing."""
    claim = await store.claim(row(streams=1, owner="w1"), owner="w1", stream=1, at=1.0)
    assert claim.outcome is ClaimOutcome.TAKEN
    assert (claim.call.row.streams, claim.call.row.lost_at) == (1, ())


async def test_first_write_that_is_late_changes_nothing(store: CallStore) -> None:
    """The stream landed elsewhere and was claimed before the announcement was written."""
    announced = row(state="ringing")
    assert await claimed(store, 1, "w2") is ClaimOutcome.TAKEN
    store.save_call(announced)
    assert await store.flush()
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert recalled.row == row(owner="w2", fence=1, streams=1)
    assert store.refused == 1


async def test_losses_are_kept_to_a_number(store: CallStore) -> None:
    """The newest: they are asked how many there were lately."""
    for stream in range(1, 26):
        await claimed(store, stream, "w1", at=float(stream))
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert recalled.row.lost_at == tuple(float(stream) for stream in range(6, 26))


async def test_list_shows_the_head_of_what_goes_on(store: CallStore) -> None:
    """And the whole record where the last word is written."""
    for call_sid in ("CA1", "CA2"):
        store.save_call(row(call_sid, fence=1, streams=1))
        store.checkpoint(call_sid, LEFT, replace(head(), call_sid=call_sid), turns(0), fence=1)
    last = replace(head(), call_sid="CA2", turns=[turn(0)], detail="over")
    store.save_record("CA2", last, fence=1, final=True)
    assert await store.flush()
    ended, going = await store.list_calls()
    assert ended.record == last
    assert going.record is not None
    assert going.record.summary == head().summary


async def test_list_is_one_question(sql: SqlCallStore) -> None:
    """However many calls there are."""
    for number in range(20):
        sql.save_call(row(f"CB{number}", fence=1))
        sql.checkpoint(f"CB{number}", LEFT, head(), turns(0), fence=1)
    assert await sql.flush()
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("SELECT"):
            seen.append(statement)

    event.listen(sql._engine, "before_cursor_execute", note)
    assert len(await sql.list_calls()) == 21
    assert len(seen) == 1


async def test_unreadable_item_costs_itself_alone(sql: SqlCallStore) -> None:
    """One of a later version, say; it is told without its text."""
    entries = [
        *turns(0, 2),
        JournalEntry("turns", 1, {"speaker": "a third one", "said": "my secret"}),
        JournalEntry("wishes", 0, turn(0, "my secret")),
        JournalEntry("agent", 0, turn(0)),
        JournalEntry("context.wishes", 0, turn(0)),
    ]
    sql.checkpoint("CA1", LEFT, head(), entries, fence=1)
    assert await sql.flush()
    with capture_logs() as logs:
        assert await heard(sql) == spoken([0, 2])
    assert sorted(entry["kind"] for entry in logs) == ["agent", "context.wishes", "turns", "wishes"]
    assert "secret" not in json.dumps(logs)


async def test_unreadable_head_leaves_the_last_record(sql: SqlCallStore) -> None:
    """The one of the stream before, and what the session needs."""
    sql.save_record("CA1", replace(head(), detail="first stream"), fence=1)
    sql.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    assert await sql.flush()
    with sql._engine.begin() as connection:
        connection.execute(text("UPDATE call_checkpoints SET head = '{\"old\": 1}'"))
    recalled = await sql.recall("CA1")
    assert recalled is not None
    assert recalled.record == replace(head(), detail="first stream")
    assert recalled.checkpoint == LEFT


async def test_what_is_read_is_of_one_moment(
    sql: SqlCallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that ends while it is read has its turns: in the journal or in the last record."""
    sql.checkpoint("CA1", LEFT, head(), turns(0, 1), fence=1)
    assert await sql.flush()
    reading, ended = threading.Event(), threading.Event()
    fill = journal_queries._fill

    def slow(*arguments: object) -> None:
        reading.set()
        assert ended.wait(10)
        fill(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal_queries, "_fill", slow)

    def end(_connection: Connection) -> None:
        assert reading.wait(10)

    sql._writer.put(end)
    sql.save_record("CA1", replace(head(), turns=[turn(0)]), fence=1, final=True)
    sql._writer.when_written(lambda _written: ended.set())
    assert await heard(sql) == spoken([0, 1])
    assert await heard(sql) == spoken([0])


@pytest.mark.parametrize("query", ["unserved", "live"])
async def test_years_of_calls_are_not_read_through(
    database: str, sql: SqlCallStore, query: str
) -> None:
    """What is asked every second, and what an operator asks, goes by an index."""
    long_ago = datetime.now(UTC) - timedelta(days=30)
    sql.save_call(row("CA0"))
    assert await sql.flush()
    with sql._engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO calls (call_sid, account_sid, direction, from_number, to_number, "
                "state, status, created_at, updated_at, owner, streams) "
                f"SELECT 'CX' || n, 'AC1', 'inbound', '', '', 'finished', 'in-progress', "
                f"'{long_ago.replace(tzinfo=None)}', '{long_ago.replace(tzinfo=None)}', '', 1 "
                "FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s "
                "WHERE n < 20000) SELECT n FROM s) AS numbers"
            )
        )
        connection.execute(text("ANALYZE"))
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN " if sql._engine.dialect.name == "sqlite" else "EXPLAIN "

    def note(
        connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if "FROM calls" in statement and not statement.startswith("EXPLAIN"):
            found = connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
            plans.append("\n".join(str(line) for line in found))

    event.listen(sql._engine, "before_cursor_execute", note)
    if query == "unserved":
        await sql.unserved(["dead"], idle_s=0, over_s=0)
    else:
        await sql.list_calls(live=True)
    event.remove(sql._engine, "before_cursor_execute", note)
    assert len(plans) == (2 if query == "unserved" else 1)
    for plan in plans:
        assert "ix_calls_unfinished" in plan or "ix_calls_owned" in plan, plan
        assert "SCAN calls\n" not in plan, plan
        assert "Seq Scan on calls" not in plan, plan
