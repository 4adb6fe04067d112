"""A call that goes on, as the store's tests write it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    FactRecord,
    SummaryRecord,
    TurnRecord,
)
from workers.store.calls import CallRow, CallStore, ClaimOutcome, JournalEntry

LEFT = SessionCheckpoint(4.0, "m", handle="h1", handle_s=3.0, known_turns=1, notes=("a note",))


def row(call_sid: str = "CA1", **fields: Any) -> CallRow:
    made = CallRow(
        call_sid, "AC1", "inbound", "+15550100001", "+15550100002", "in_progress", "in-progress"
    )
    return replace(made, **fields)


def head() -> CallRecord:
    return CallRecord(
        "CA1",
        "bakery",
        "m",
        started_at="2027-01-15T08:00:00.000+00:00",
        summary=SummaryRecord(caller="Anna", turns=3),
        facts=[FactRecord("name", "Anna", 1.0)],
        context=ContextRecord(window_tokens=1_000),
        counters={"late_audio": 1},
    )


def turn(place: int, said: str | None = None) -> TurnRecord:
    said = said or f"Grüß {place}"
    return TurnRecord("agent", said, said, place, place + 1)


def turns(*places: int) -> list[JournalEntry]:
    return [JournalEntry("turns", place, turn(place)) for place in places]


async def claimed(
    store: CallStore, stream: int, owner: str, at: float = 100.0, deadline_s: float = 5.0
) -> ClaimOutcome:
    claim = await store.claim(row(), owner=owner, stream=stream, at=at, deadline_s=deadline_s)
    return claim.outcome


async def found(store: CallStore) -> CallRow:
    assert await store.flush()
    stored = await store.load_call("CA1")
    assert stored is not None
    return stored.row


async def heard(store: CallStore, call_sid: str = "CA1") -> list[str]:
    """What the turns say that another worker would find."""
    recalled = await store.recall(call_sid, deadline_s=5.0)
    assert recalled is not None
    assert recalled.record is not None
    return [turn.said for turn in recalled.record.turns]


def spoken(places: Iterable[int]) -> list[str]:
    """What ``turns`` say."""
    return [turn(place).said for place in places]
