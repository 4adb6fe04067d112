"""What every CallStore does: the fake, SQLite and PostgreSQL pass the same tests."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from agent.conversation.record import (
    CallRecord,
    EndReason,
    StreamRecord,
    ToolRecord,
    TurnRecord,
)
from tests.fakes.store import MemoryCallStore
from workers.store.calls import CallRow, CallStore
from workers.store.sql import SqlCallStore


def row(call_sid: str = "CA1", state: str = "in_progress") -> CallRow:
    return CallRow(call_sid, "AC1", "inbound", "+15550100001", "+15550100002", state, "in-progress")


def record() -> CallRecord:
    return CallRecord(
        call_sid="CA1",
        agent="bakery",
        model="gemini-3.8-live",
        ended_s=12.5,
        end_reason=EndReason.AGENT_HUNG_UP,
        streams=[StreamRecord("MZ1", 0.0, 12.5, EndReason.AGENT_HUNG_UP)],
        turns=[TurnRecord("agent", "Grüß Gott", "Grüß", 0.1, 0.9, interrupted=True)],
        tools=[ToolRecord("f1", "order_status", {"number": "7"}, 3.0, 3.1, "ok", {"ready": True})],
        counters={"live_malformed": 1},
    )


async def test_unknown_call_is_none(store: CallStore) -> None:
    """A call that nobody saved is not there."""
    assert await store.flush()
    assert await store.load_call("CA404") is None
    assert await store.list_calls() == []


async def test_call_is_kept_and_brought_up_to_date(store: CallStore) -> None:
    """Saving again replaces the state and keeps the time of the first."""
    store.save_call(row())
    assert await store.flush()
    first = await store.load_call("CA1")
    store.save_call(row(state="finished"))
    assert await store.flush()
    second = await store.load_call("CA1")
    assert first is not None
    assert second is not None
    assert second.row == row(state="finished")
    assert second.created_at == first.created_at
    assert second.updated_at >= first.updated_at
    assert second.created_at.tzinfo is not None


async def test_record_comes_back_equal(store: CallStore) -> None:
    """A record is loaded as it was at the moment of saving."""
    kept = record()
    store.save_call(row())
    store.save_record("CA1", kept)
    kept.turns.clear()
    assert await store.flush()
    loaded = await store.load_call("CA1")
    assert loaded is not None
    assert loaded.record == record()


async def test_record_does_not_need_the_row_first(store: CallStore) -> None:
    """The order of the two does not matter."""
    store.save_record("CA1", record())
    store.save_call(row())
    assert await store.flush()
    loaded = await store.load_call("CA1")
    assert loaded is not None
    assert loaded.record is not None


async def test_events_keep_their_order(store: CallStore) -> None:
    """What happened to a call is told oldest first, and of this call alone."""
    for number in range(3):
        store.add_event("CA1", "status", {"sequence_number": number})
    store.add_event("CA2", "status", {})
    assert await store.flush()
    events = await store.load_events("CA1")
    assert [event.payload["sequence_number"] for event in events] == [0, 1, 2]
    assert {event.kind for event in events} == {"status"}


async def test_newest_calls_come_first(store: CallStore) -> None:
    """The list is what an operator looks at after a call."""
    for number in range(5):
        store.save_call(row(f"CA{number}"))
    assert await store.flush()
    assert [call.row.call_sid for call in await store.list_calls(limit=2)] == ["CA4", "CA3"]


async def test_unwritable_value_costs_itself_alone(store: CallStore) -> None:
    """A lone surrogate cannot be stored; it is counted, never raised, and the rest is written."""
    store.add_event("CA1", "status", {"text": "\ud800"})
    store.save_call(row())
    assert await store.flush()
    assert await store.load_call("CA1") is not None
    if not isinstance(store, MemoryCallStore):
        assert store.lost == 1


async def test_record_of_another_version_leaves_the_row(tmp_path: Path) -> None:
    """A record that cannot be read does not hide the call."""
    url = f"sqlite:///{tmp_path / 'calls.sqlite3'}"
    store = SqlCallStore(url)
    store.save_call(row())
    store.save_record("CA1", record())
    assert await store.flush()
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE call_records SET record = '{\"old\": 1}'"))
    loaded = await store.load_call("CA1")
    assert loaded is not None
    assert loaded.record is None
    await store.close()
