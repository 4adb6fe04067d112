"""Messages for the agent: left once, taken once, settled once, by every kind of store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from tests.databases import end
from tests.workers.store.conftest import Wall
from workers.store import message_queries
from workers.store.calls import CallStore, StoreUnavailable
from workers.store.database import open_engine
from workers.store.messages import (
    MESSAGE_LIFE_S,
    MessageKind,
    MessageOutcome,
    MessageState,
)
from workers.store.sql import SqlCallStore


async def leave(store: CallStore, words: str = "be brief", call_sid: str = "CA1") -> int:
    return await store.leave_message(call_sid, MessageKind.CONTEXT, words)


async def take(store: CallStore, *call_sids: str, taker: str = "worker 1") -> list[str]:
    return [m.text for m in await store.take_messages(call_sids or ("CA1",), taker=taker)]


async def test_message_comes_as_it_was_left(store: CallStore) -> None:
    """Call, kind and text, every letter of it."""
    words = "Grüß Gott, 'quoted'; \"twice\" — and ✓"
    number = await store.leave_message("CA1", MessageKind.INSTRUCTION, words)
    (message,) = await store.take_messages({"CA1"}, taker="worker 1")
    assert (message.id, message.call_sid) == (number, "CA1")
    assert (message.kind, message.text) == (MessageKind.INSTRUCTION, words)


async def test_messages_of_all_calls_come_together_oldest_first(store: CallStore) -> None:
    """One question is asked for all calls; those of other workers' calls are left alone."""
    for words, call_sid in (("a", "CA1"), ("b", "CA2"), ("c", "CA3"), ("d", "CA1")):
        await leave(store, words, call_sid)
    assert await take(store, "CA2", "CA1") == ["a", "b", "d"]
    assert await take(store, "CA3") == ["c"]


async def test_nothing_is_taken_for_no_call(store: CallStore) -> None:
    """Nor for one that nobody wrote to."""
    await leave(store)
    assert await store.take_messages((), taker="worker 1") == []
    assert await take(store, "CA9") == []


async def test_first_taker_has_a_message_for_good(store: CallStore) -> None:
    """Two workers that both know of a call do not both tell its agent."""
    await leave(store)
    assert await take(store, taker="worker 1") == ["be brief"]
    assert await take(store, taker="worker 2") == []


async def test_taker_gets_a_message_again_until_it_settles_it(store: CallStore) -> None:
    """The answer to a question may be lost on its way; the message must not be."""
    number = await leave(store)
    assert await take(store) == ["be brief"]
    assert await take(store) == ["be brief"]
    store.settle_message(number, MessageOutcome.NEXT_MOVE)
    assert await store.flush()
    assert await take(store) == []


async def test_state_follows_what_happens(store: CallStore) -> None:
    """Whoever left a message can see how far it has got, to the end."""
    number = await leave(store)
    assert await store.message_state(number) == MessageState(taken=False)
    await take(store)
    assert await store.message_state(number) == MessageState(taken=True)
    for outcome, detail in ((MessageOutcome.NEXT_MOVE, ""), (MessageOutcome.TOLD, "at last")):
        store.settle_message(number, outcome, detail)
        assert await store.flush()
        state = await store.message_state(number)
        assert state == MessageState(taken=True, outcome=outcome, detail=detail)


async def test_final_outcome_stays(store: CallStore) -> None:
    """A call that ends after the agent was told does not untell it."""
    number = await leave(store)
    store.settle_message(number, MessageOutcome.TOLD)
    store.settle_message(number, MessageOutcome.OVER)
    assert await store.flush()
    state = await store.message_state(number)
    assert state is not None
    assert state.outcome is MessageOutcome.TOLD


async def test_unknown_message_has_no_state(store: CallStore) -> None:
    """A number that was never given out."""
    assert await store.message_state(404) is None


async def test_withdrawn_message_is_not_taken(store: CallStore) -> None:
    """What is no longer waited for does not arrive."""
    number = await leave(store)
    assert await store.withdraw_message(number)
    assert await take(store) == []
    state = await store.message_state(number)
    assert state == MessageState(taken=False, outcome=MessageOutcome.WITHDRAWN)


async def test_taken_message_cannot_be_withdrawn(store: CallStore) -> None:
    """By then the agent may have been told."""
    number = await leave(store)
    await take(store)
    assert not await store.withdraw_message(number)
    assert await store.message_state(number) == MessageState(taken=True)


async def test_old_message_is_void(store: CallStore, later: Callable[[float], None]) -> None:
    """Also where whoever left it was killed before they could withdraw it."""
    await leave(store)
    later(MESSAGE_LIFE_S - 1)
    assert await take(store, "CA9") == []
    later(2)
    assert await take(store) == []
    await leave(store, "now")
    assert await take(store) == ["now"]


async def test_message_taken_in_time_does_not_grow_old(
    store: CallStore, later: Callable[[float], None]
) -> None:
    """Its taker may be slow to settle it; it is the taker's."""
    await leave(store)
    await take(store)
    later(MESSAGE_LIFE_S * 2)
    assert await take(store) == ["be brief"]


async def test_text_is_kept_no_longer_than_it_may_be_taken(database: str, wall: Wall) -> None:
    """Handed on, withdrawn or too old: it may hold what the agent's file wants redacted."""
    store = SqlCallStore(database, now=wall.now)
    assert await store.flush()
    told, waits, withdrawn, void = [await leave(store) for _ in range(4)]
    store.settle_message(told, MessageOutcome.TOLD)
    store.settle_message(waits, MessageOutcome.NEXT_MOVE)
    assert await store.withdraw_message(withdrawn)
    assert await store.flush()
    assert kept(database) == {told: "", waits: "", withdrawn: "", void: "be brief"}
    wall.later(MESSAGE_LIFE_S + 1)
    new = await leave(store)
    assert kept(database) == {told: "", waits: "", withdrawn: "", void: "", new: "be brief"}
    await store.close()


def kept(database: str) -> dict[int, str]:
    """The texts in the database."""
    engine = open_engine(database)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, text FROM call_messages")).all()
    engine.dispose()
    return {row.id: row.text for row in found}


async def test_rivals_never_take_the_same(database: str) -> None:
    """Four workers on one database, asking at once and again: every message is taken by one."""
    stores = [SqlCallStore(database) for _ in range(4)]
    try:
        for store in stores:
            assert await store.flush()
        taken: list[list[int]] = [[] for _ in stores]

        async def rival(index: int) -> None:
            while sum(map(len, taken)) < 120:
                found = await stores[index].take_messages(
                    ("CA1", "CA2"), taker=f"worker {index}", deadline_s=20
                )
                for message in found:
                    taken[index].append(message.id)
                    stores[index].settle_message(message.id, MessageOutcome.TOLD)
                assert await stores[index].flush()

        async def writer() -> None:
            for number in range(120):
                await leave(stores[number % 4], str(number), f"CA{1 + number % 2}")

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(writer())
            for index in range(4):
                tasks.create_task(rival(index))
        everything = [number for mine in taken for number in mine]
        assert len(everything) == len(set(everything)) == 120
    finally:
        for store in stores:
            await store.close()


async def test_row_that_another_changes_is_passed_over(database: str) -> None:
    """Nobody waits for it: two that waited for each other's rows would both lose."""
    if database.startswith("sqlite"):
        pytest.skip("one writer at a time")
    store = SqlCallStore(database)
    assert await store.flush()
    try:
        held = await leave(store, "held")
        await leave(store, "free")
        with store._engine.begin() as connection:
            connection.execute(
                text("SELECT id FROM call_messages WHERE id = :id FOR UPDATE"), {"id": held}
            )
            assert await take(store) == ["free"]
        assert await take(store) == ["held", "free"]
    finally:
        await store.close()


async def test_idle_question_is_one_read(database: str) -> None:
    """A poll that finds nothing, the usual one, is a single SELECT however many calls there are."""
    store = SqlCallStore(database)
    assert await store.flush()
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement.split(None, 1)[0])

    event.listen(store._engine, "before_cursor_execute", note)
    assert await store.take_messages([f"CA{n}" for n in range(500)], taker="worker 1") == []
    assert seen == ["SELECT"]
    await store.close()


async def test_kind_of_another_version_is_left_alone(database: str) -> None:
    """It does not stand in the way of those that are known."""
    store = SqlCallStore(database)
    assert await store.flush()
    await leave(store, "?")
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE call_messages SET kind = 'telepathy'"))
    await leave(store)
    assert await take(store) == ["be brief"]
    await store.close()


async def test_message_that_could_not_be_left_in_time_is_not_left(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was told that it is not written must not be surprised by it."""
    store = SqlCallStore(database)
    assert await store.flush()
    go_on, done = threading.Event(), threading.Event()
    leave_now = message_queries.leave("CA1", MessageKind.CONTEXT, "late", at=store._now())

    def slow(*_: object, **__: object) -> Callable[[Connection], int]:
        def write(connection: Connection) -> int:
            try:
                return leave_now(connection) if go_on.wait(10) else 0
            finally:
                done.set()

        return write

    monkeypatch.setattr(message_queries, "leave", slow)
    with pytest.raises(StoreUnavailable, match="no answer within"):
        await store.leave_message("CA1", MessageKind.CONTEXT, "late", deadline_s=0.2)
    go_on.set()
    assert await asyncio.to_thread(done.wait, 5)
    # The thread is free again when it has rolled back.
    assert await take(store) == []
    await store.close()


async def test_question_that_hangs_takes_one_thread_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages are asked for every second; what else is read must still find a thread."""
    store = SqlCallStore(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    assert await store.flush()
    go_on = threading.Event()
    monkeypatch.setattr(message_queries, "take", lambda *_, **__: lambda _c: go_on.wait(10))
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            await store.take_messages(("CA1",), taker="worker 1", deadline_s=0.05)
    started = time.monotonic()
    assert await store.load_call("CA1", deadline_s=5) is None
    assert time.monotonic() - started < 2
    go_on.set()
    end(store._asker)
    await store.close()
