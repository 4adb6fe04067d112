"""What another worker needs is stored in time, redacted, and no more often than it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.checkpoint import News, SessionCheckpoint
from agent.conversation.record import (
    CallRecord,
    ContextSample,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
)
from agent.conversation.redaction import Redactor
from agent.spec import Redaction
from tests.fakes.store import MemoryCallStore
from workers.call import journal as journal_module
from workers.call.entry import CallEntry
from workers.call.journal import CallJournal
from workers.call.records import RecordKeeper
from workers.call.ticks import Ticks
from workers.store.calls import JournalEntry

LISTS = ("streams", "turns", "tools", "barge_ins", "digits", "moves")
DEEP = ("samples", "cuts", "summaries", "updates")
WINDOW = 6
CARD = "4111 1111 1111 1111"


class FakeCall:
    """A call whose record is changed by the test."""

    def __init__(self) -> None:
        self.entry = CallEntry("CA1", "AC1", "inbound", "+1", "+2", fence=3)
        self.record = CallRecord("CA1", "bakery", "m")
        self.session = SessionCheckpoint(0.0, "m")

    def counts_before(self) -> dict[str, int]:
        return {}

    def checkpoint(self) -> SessionCheckpoint:
        return self.session

    def parts(self, kept: Mapping[str, int]) -> tuple[CallRecord, dict[str, tuple[int, list[Any]]]]:
        record = self.record
        lists: dict[str, list[Any]] = {name: getattr(record, name) for name in LISTS}
        lists |= {f"context.{name}": getattr(record.context, name) for name in DEEP}
        parts: dict[str, tuple[int, list[Any]]] = {}
        for kind, items in lists.items():
            first = max(0, kept.get(kind, 0) - WINDOW)
            parts[kind] = (first, [replace(item) for item in items[first:]])
        context = replace(record.context, samples=[], cuts=[], summaries=[], updates=[])
        empty: dict[str, Any] = {name: [] for name in LISTS}
        return replace(record, context=context, **empty), parts


class Store(MemoryCallStore):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[SessionCheckpoint, CallRecord, list[JournalEntry], int]] = []
        self.waited = 0

    def checkpoint(self, call_sid, checkpoint, head, entries, *, fence):  # type: ignore[no-untyped-def]
        self.given.append((checkpoint, head, list(entries), fence))

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        self.waited += 1
        return True

    def items(self, kind: str) -> list[tuple[int, Any]]:
        return [
            (entry.place, entry.item)
            for *_, entries, _ in self.given
            for entry in entries
            if entry.kind == kind
        ]


@pytest.fixture
def call() -> FakeCall:
    return FakeCall()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def journal(call: FakeCall, store: Store) -> AsyncIterator[CallJournal]:
    records = RecordKeeper(store, Redactor(Redaction()))
    made = CallJournal(store=store, records=records, ticks=Ticks(records.executor))
    made.attach(call)
    yield made
    records.close()


def turn(said: str, *, speaker: Any = "caller", **fields: Any) -> TurnRecord:
    return TurnRecord(speaker, said, said, 0.0, 1.0, **fields)


async def writes(store: Store, count: int) -> None:
    async with asyncio.timeout(5):
        while len(store.given) < count:  # noqa: ASYNC110  another thread writes
            await asyncio.sleep(0.005)


async def test_change_is_written_at_once_and_the_next_within_a_second(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """No more often than once in a period, whatever happens; nothing is forgotten for it."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    call.record.turns.append(turn("One."))
    journal.changed()
    await writes(store, 1)
    assert loop.time() - started < 0.5
    for number in range(20):
        call.record.turns.append(turn(f"{number}."))
        journal.changed()
        await asyncio.sleep(0.01)
    await writes(store, 2)
    assert 0.9 < loop.time() - started < 2
    assert [place for place, _ in store.items("turns")] == list(range(21))


@pytest.mark.parametrize(("news", "within_s"), [(News.TURN_TAKING, 0.9), (News.FINISHED, 0.4)])
async def test_what_whoever_goes_on_must_know_does_not_wait_for_the_average(
    journal: CallJournal, call: FakeCall, store: Store, news: News, within_s: float
) -> None:
    """Who speaks is written at the next tick, what is finished at once, whatever came before."""
    call.record.turns.append(turn("One."))
    journal.changed()
    await writes(store, 1)
    started = asyncio.get_running_loop().time()
    call.record.turns.append(turn("Two."))
    journal.changed(News.WORDS)
    journal.changed()
    journal.changed(news)
    await writes(store, 2)
    assert asyncio.get_running_loop().time() - started < within_s
    assert [item.said for _, item in store.items("turns")] == ["One.", "Two."]


@pytest.mark.parametrize(("news", "ahead"), [(News.TURN_TAKING, 1), (News.FINISHED, 2)])
async def test_whatever_happens_one_write_a_second_is_the_average(
    journal: CallJournal, call: FakeCall, store: Store, news: News, ahead: int
) -> None:
    """So many are made before their time, not more."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(25):
        call.record.turns.append(turn(f"{number}."))
        journal.changed(news)
        await asyncio.sleep(0.1)
    took_s = loop.time() - started
    assert len(store.given) <= took_s / journal_module.PERIOD_S + 1 + ahead
    await writes(store, 3)
    await journal.close()
    assert [place for place, _ in store.items("turns")] == list(range(25))


async def test_who_speaks_leaves_a_write_for_what_is_finished(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """The caller has asked, the function has run: its result is not to wait for either."""
    loop = asyncio.get_running_loop()
    for news in (News.CHANGED, News.TURN_TAKING):
        call.record.turns.append(turn("One."))
        journal.changed(news)
        await writes(store, len(store.given) + 1)
    started = loop.time()
    call.record.turns.append(turn("Two."))
    journal.changed(News.FINISHED)
    await writes(store, 3)
    assert loop.time() - started < 0.4


async def test_only_what_is_new_is_written(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """An hour's call is not written again with every turn."""
    call.record.turns += [turn(f"{number}.") for number in range(30)]
    call.record.moves.append(
        MoveRecord(MoveCause.AGE, MoveMoment.SAFE_POINT, MoveKind.RESUME, 0, 0, 0)
    )
    await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))
    call.record.turns.append(turn("The last."))
    call.record.context.samples.append(ContextSample(1.0, 100, reported=True))
    await journal.tool_called(ToolRecord("f2", "book", {}, 0, 0, "ok"))
    (_, _, first, _), (_, _, second, fence) = store.given
    assert len(first) == 31
    assert [(entry.kind, entry.place) for entry in second] == [
        ("turns", 30),
        ("context.samples", 0),
    ]
    assert fence == 3


async def test_nothing_is_written_where_nothing_has_changed(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """Time alone, and the estimate of the context, are no news."""
    await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))
    call.session = replace(call.session, at_s=5.0)
    call.record.context.tokens += 500
    await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))
    assert len(store.given) == 1
    call.session = replace(call.session, handle="h2")
    await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))
    assert len(store.given) == 2


async def test_words_are_not_written_one_by_one_as_they_are_heard(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """But that a turn was heard to its end, and where one was cut."""
    said = TurnRecord("agent", "One two three.", "One", 0, 3, said_ms=3_000, heard_ms=1_000)
    call.record.turns = [said]
    tool = ToolRecord("f1", "book", {}, 0, 0, "ok")
    await journal.tool_called(tool)
    call.record.turns = [replace(said, heard="One two", heard_ms=2_000)]
    await journal.tool_called(tool)
    assert len(store.given) == 1
    call.record.turns = [replace(said, heard="One two three.", heard_ms=3_000)]
    await journal.tool_called(tool)
    call.record.turns = [replace(said, heard="One two", heard_ms=2_000, interrupted=True)]
    await journal.tool_called(tool)
    assert len(store.given) == 3


async def test_last_word_of_a_turn_is_written(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """Also where the turn was taken for nearly heard before."""
    said = TurnRecord("agent", "One two.", "One", 0, 3, said_ms=3_000, heard_ms=2_900)
    call.record.turns = [said]
    tool = ToolRecord("f1", "book", {}, 0, 0, "ok")
    await journal.tool_called(tool)
    call.record.turns = [replace(said, heard="One two.", heard_ms=3_000)]
    await journal.tool_called(tool)
    assert [item.heard for _, item in store.items("turns")] == ["One", "One two."]


async def test_card_number_is_not_stored(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """Not in turns, also where it is spread over two; nor in a note, a tool or the summary."""
    call.record.turns.append(turn("My card is 4111 1111"))
    await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))
    call.record.turns.append(turn("1111 1111, please."))
    call.record.tools.append(ToolRecord("f1", "pay", {"card": CARD}, 0, 0, "ok"))
    call.record.summary = SummaryRecord(wants=f"To pay with {CARD}")
    call.session = replace(call.session, notes=(f"Card {CARD}",), handle="h41111111111111111")
    await journal.close()
    kept = dict(store.items("turns"))
    assert "1111" not in kept[0].said
    assert "1111" not in kept[1].said
    assert CARD not in str(store.given[-1])
    assert store.given[-1][0].handle == "h41111111111111111"


async def test_function_is_known_before_it_runs(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """It is waited for, so that a function whose worker dies is not run again."""
    tool = ToolRecord("f1", "book", {"day": "Friday"}, 1.0, 1.0, "ok")
    call.record.tools.append(tool)
    await journal.tool_called(tool)
    assert store.items("tools") == [(0, tool)]
    assert store.waited == 1


async def test_slow_store_does_not_keep_a_function_from_running(
    journal: CallJournal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller waits for it, too."""
    monkeypatch.setattr(journal_module, "SETTLE_S", 0.05)

    async def settled(*, deadline_s: float = 0.5) -> bool:
        await asyncio.sleep(60)
        return False

    monkeypatch.setattr(store, "settled", settled)
    async with asyncio.timeout(2):
        await journal.tool_called(ToolRecord("f1", "book", {}, 0, 0, "ok"))


async def test_last_of_a_stream_is_waited_for_and_nothing_follows_it(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """Twilio asks as soon as the socket is closed."""
    journal.start()
    call.record.turns.append(turn("Bye."))
    await journal.close()
    assert [item.said for _, item in store.items("turns")] == ["Bye."]
    assert store.waited == 1
    call.record.turns.append(turn("Too late."))
    journal.changed()
    await asyncio.sleep(0.1)
    assert len(store.items("turns")) == 1


async def test_call_that_is_over_waits_for_its_state_alone(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """No other stream needs a checkpoint; its record follows."""
    call.record.turns.append(turn("Bye."))
    await journal.close(last=False)
    assert store.given == []
    assert store.waited == 1


@pytest.mark.parametrize("why", ["taken_over", "unclaimed"])
async def test_nothing_is_written_of_a_call_that_is_not_ours(
    journal: CallJournal, call: FakeCall, store: Store, why: str
) -> None:
    """Another worker has its number, or may have."""
    setattr(call.entry, why, True)
    call.record.turns.append(turn("One."))
    journal.changed()
    await asyncio.sleep(0.1)
    await journal.close()
    assert store.given == []


async def test_turn_under_way_is_written_every_second(
    journal: CallJournal, call: FakeCall, store: Store
) -> None:
    """A long answer whose worker dies is known but for its last second."""
    call.session = replace(call.session, generating=True)
    call.record.turns = [turn("One", speaker="agent")]
    journal.start()
    await writes(store, 1)
    call.record.turns = [turn("One two", speaker="agent")]
    await writes(store, 2)
    assert [item.said for _, item in store.items("turns")] == ["One", "One two"]
