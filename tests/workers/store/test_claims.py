"""One owner at a time: what every CallStore does about claims, numbers, checkpoints and workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.conversation.record import (
    ContextRecord,
    ContextSample,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    ToolRecord,
)
from tests.workers.store.samples import LEFT, claimed, found, head, row, turn, turns
from workers.store.calls import (
    CallStore,
    ClaimOutcome,
    JournalEntry,
    StoredCall,
    WorkerRow,
)
from workers.store.messages import MessageKind, MessageOutcome
from workers.store.sql import SqlCallStore


async def test_claim_of_an_unknown_call_takes_it(store: CallStore) -> None:
    """The worker that announced it may not have written it yet, or never will."""
    claim = await store.claim(row(state="ringing"), owner="w1", stream=1, at=100.0)
    assert claim.outcome is ClaimOutcome.TAKEN
    assert claim.call.record is None
    assert claim.call.row == row(owner="w1", fence=1, streams=1)
    assert await found(store) == claim.call.row


async def test_each_stream_takes_the_next_number_and_losses_are_noted(store: CallStore) -> None:
    """A stream that follows one that was lost says so; a handed-over call lost nothing."""
    await claimed(store, 1, "w1", at=100.0)
    await claimed(store, 2, "w2", at=200.0)
    store.save_call(row(state="handed_over", fence=2, streams=2, lost_at=(200.0,)))
    assert await store.flush()
    await claimed(store, 3, "w3", at=300.0)
    assert await found(store) == row(owner="w3", fence=3, streams=3, lost_at=(200.0,))


async def test_one_stream_is_claimed_once(store: CallStore) -> None:
    """By whomever, and later ones do not give it back."""
    assert await claimed(store, 2, "w1") is ClaimOutcome.TAKEN
    assert await claimed(store, 2, "w2") is ClaimOutcome.SECOND
    assert await claimed(store, 1, "w2") is ClaimOutcome.SECOND
    assert (await found(store)).owner == "w1"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("finished", "in-progress"),
        ("apology", "in-progress"),
        ("transfer", "in-progress"),
        ("in_progress", "completed"),
    ],
)
async def test_call_that_is_decided_is_not_claimed(
    store: CallStore, state: str, status: str
) -> None:
    """A late socket does not revive it."""
    store.save_call(row(state=state, status=status, fence=1, streams=1))
    assert await store.flush()
    assert await claimed(store, 2, "w2") is ClaimOutcome.OVER
    assert (await found(store)).fence == 1


async def test_of_many_that_claim_at_once_one_has_it(database: str) -> None:
    """Each over a connection of its own, as from processes of their own."""
    stores = [SqlCallStore(database) for _ in range(4)]
    try:
        for store in stores:
            assert await store.flush()
        for stream in range(1, 6):
            outcomes = await asyncio.gather(
                *(
                    claimed(store, stream, f"w{n}{again}")
                    for n, store in enumerate(stores)
                    for again in range(2)
                )
            )
            assert outcomes.count(ClaimOutcome.TAKEN) == 1
            assert outcomes.count(ClaimOutcome.SECOND) == 7
        assert (await found(stores[0])).fence == 5
    finally:
        for store in stores:
            await store.close()


async def test_write_under_an_old_number_is_refused(store: CallStore) -> None:
    """Whatever it is, it changes nothing, and whoever made it is told; it is no loss."""
    refused: list[tuple[str, int]] = []
    store.on_refused = lambda sid, fence: refused.append((sid, fence))
    await claimed(store, 1, "w1")
    await claimed(store, 2, "w2")
    store.save_call(row(state="finished", owner="w1", fence=1, streams=1))
    store.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    store.save_record("CA1", head(), fence=1, final=True)
    assert await store.flush()
    assert refused == [("CA1", 1)] * 3
    assert store.lost == 0
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert (recalled.row.owner, recalled.row.state) == ("w2", "in_progress")
    assert (recalled.record, recalled.checkpoint) == (None, None)


async def test_write_under_the_own_number_counts(store: CallStore) -> None:
    """Also one that was announced late, under none."""
    await claimed(store, 1, "w1")
    store.save_call(row(state="ringing"))
    store.save_call(row(state="transfer", owner="w1", fence=1, streams=1, transfer_to="+1"))
    assert await store.flush()
    assert await found(store) == row(
        state="transfer", owner="w1", fence=1, streams=1, transfer_to="+1"
    )


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
async def test_terminal_status_stays(store: CallStore, status: str) -> None:
    """Reports overtake each other, and the worker that serves the call hears of them late."""
    await claimed(store, 1, "w1")
    store.note_status("CA1", status)
    store.note_status("CA1", "ringing")
    store.save_call(row(fence=1, streams=1))
    assert (await found(store)).status == status


async def test_status_of_an_unknown_call_is_nothing(store: CallStore) -> None:
    """A report alone makes no call."""
    store.note_status("CA1", "completed")
    assert await store.flush()
    assert await store.load_call("CA1") is None


async def test_checkpoint_comes_back_with_its_journal(store: CallStore) -> None:
    """As one record, in the order of places; what was written again is as it was last."""
    await claimed(store, 1, "w1")
    tool = ToolRecord("f1", "book", {"day": "Friday"}, 1.0, 1.0, "ok")
    move = MoveRecord(MoveCause.AGE, MoveMoment.SAFE_POINT, MoveKind.RESUME, 1, 2, 3)
    store.checkpoint(
        "CA1",
        LEFT,
        head(),
        [
            *turns(*range(11)),
            JournalEntry("tools", 0, tool),
            JournalEntry("moves", 0, move),
            JournalEntry("streams", 0, StreamRecord("MZ1", 0.0, worker="w1")),
            JournalEntry("context.samples", 0, ContextSample(1.0, 100, reported=True)),
        ],
        fence=1,
    )
    assert await store.flush()
    done = replace(tool, response={"output": "booked"}, ended_s=2.0)
    newer = replace(LEFT, handle="h2")
    store.checkpoint("CA1", newer, head(), [*turns(11), JournalEntry("tools", 0, done)], fence=1)
    assert await store.flush()
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert recalled.checkpoint == newer
    expected = replace(
        head(),
        turns=[turn(place) for place in range(12)],
        tools=[done],
        moves=[move],
        streams=[StreamRecord("MZ1", 0.0, worker="w1")],
        context=ContextRecord(1_000, samples=[ContextSample(1.0, 100, reported=True)]),
    )
    assert recalled.record == expected
    claim = await store.claim(row(), owner="w2", stream=2, at=200.0)
    assert claim.call.record == expected
    assert claim.call.checkpoint == newer


async def test_final_record_takes_the_place_of_the_journal(store: CallStore) -> None:
    """Nothing is kept twice of a call that is over."""
    await claimed(store, 1, "w1")
    store.checkpoint("CA1", LEFT, head(), turns(0, 1), fence=1)
    store.save_record("CA1", replace(head(), turns=[turn(0)]), fence=1)
    assert await store.flush()
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert recalled.record is not None
    assert len(recalled.record.turns) == 2
    last = replace(
        head(), turns=[turn(place) for place in range(12)], end_reason=EndReason.CALLER_HUNG_UP
    )
    store.save_record("CA1", last, fence=1, final=True)
    assert await store.flush()
    recalled = await store.recall("CA1")
    assert recalled is not None
    assert (recalled.record, recalled.checkpoint) == (last, None)


async def test_call_that_goes_on_is_listed_with_what_it_is_about(store: CallStore) -> None:
    """Without its turns; what is over is left out where only live ones are wanted."""
    await claimed(store, 1, "w1")
    store.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    store.save_call(row("CA2", state="finished"))
    store.save_call(row("CA3", status="completed"))
    assert await store.flush()
    (live,) = await store.list_calls(live=True)
    assert live.record is not None
    assert live.record.summary == head().summary
    assert len(await store.list_calls()) == 3


async def test_calls_that_nobody_serves_are_found(
    store: CallStore, later: Callable[[float], None]
) -> None:
    """Those of dead workers at once, those without an owner when they have been left for long."""
    rows: dict[str, dict[str, Any]] = {
        "CA1": {"owner": "dead"},
        "CA2": {"owner": "alive"},
        "CA3": {"owner": ""},
        "CA4": {"owner": "", "state": "finished"},
        # It was over before anybody could close its books.
        "CA5": {"owner": "dead", "status": "completed"},
        "CA6": {"owner": "gone"},
        # A worker that hangs has decided, and its stream is still open.
        "CA7": {"owner": "dead", "state": "finished"},
        "CA8": {"owner": "dead", "state": "finished", "status": "completed"},
        "CA9": {"owner": "", "state": "handed_over", "status": "completed"},
        # Hung up before there was a stream.
        "CA12": {"owner": "", "fence": 0, "streams": 0, "state": "ringing", "status": "completed"},
        # A worker of the release before this one serves it, and has not claimed it.
        "CA10": {"owner": "", "fence": 0, "streams": 0},
        "CA11": {"owner": "", "fence": 0, "streams": 0, "state": "ringing"},
    }
    for call_sid, fields in rows.items():
        store.save_call(row(call_sid, **{"fence": 1, "streams": 1, **fields}))
    for name in ("alive", "dead"):
        await store.beat(worker(name), {})
    assert await store.flush()
    found = await store.unserved(["dead"], idle_s=60, over_s=5)
    assert sids(found) == ["CA1", "CA5", "CA7"]
    assert await store.unserved([], idle_s=60, over_s=5) == []
    later(6)
    # Its worker has heard nothing of its end: somebody else was told of it.
    assert sids(await store.unserved([], idle_s=60, over_s=5)) == ["CA9"]
    later(55)
    found = await store.unserved(["dead"], idle_s=60, over_s=5)
    assert sids(found) == ["CA1", "CA11", "CA12", "CA3", "CA5", "CA6", "CA7", "CA9"]
    assert len(await store.unserved(["dead"], idle_s=60, over_s=5, limit=2)) == 2


async def test_checkpoint_shows_that_a_call_goes_on(
    store: CallStore, later: Callable[[float], None]
) -> None:
    """A worker may be missing on the list while it serves."""
    await claimed(store, 1, "w1")
    later(50)
    store.checkpoint("CA1", LEFT, head(), turns(0), fence=1)
    assert await store.flush()
    later(50)
    assert await store.unserved([], idle_s=60, over_s=5) == []
    later(11)
    assert sids(await store.unserved([], idle_s=60, over_s=5)) == ["CA1"]


def sids(found: list[StoredCall]) -> list[str]:
    return sorted(call.row.call_sid for call in found)


async def test_call_is_taken_from_its_owner_once(store: CallStore) -> None:
    """What the owner still writes is refused."""
    await claimed(store, 1, "w1")
    taken = await store.take_from("CA1", fence=1)
    assert taken == row(owner="", fence=2, streams=1)
    assert await store.take_from("CA1", fence=1) is None
    assert await store.take_from("CA404", fence=1) is None
    store.save_call(row(state="finished", owner="w1", fence=1, streams=1))
    assert (await found(store)).state == "in_progress"


def worker(name: str, beats: int = 1) -> WorkerRow:
    started = datetime(2027, 1, 15, tzinfo=UTC)
    return WorkerRow(name, beats, False, 3, "host", 7, started)


async def test_worker_sees_the_others_and_what_it_has_lost(store: CallStore) -> None:
    """A call whose row was never written is not lost."""
    await claimed(store, 1, "w1")
    first = await store.beat(worker("w1"), {"CA1": 1, "CA9": 1})
    assert first.lost == ()
    await claimed(store, 2, "w2")
    await store.beat(worker("w2"), {"CA1": 2})
    second = await store.beat(worker("w1", 2), {"CA1": 1, "CA9": 1})
    assert second.lost == ("CA1",)
    assert second.workers == (worker("w1", 2), worker("w2"))
    assert await store.list_workers() == [worker("w1", 2), worker("w2")]


async def test_forgotten_worker_leaves_no_text_behind(store: CallStore) -> None:
    """What it had taken to tell an agent and has not told is gone with it."""
    await store.beat(worker("w1"), {})
    number = await store.leave_message("CA1", MessageKind.CONTEXT, "The parcel has arrived.")
    await store.take_messages(["CA1"], taker="w1")
    await store.forget_worker("w1")
    assert await store.list_workers() == []
    state = await store.message_state(number)
    assert state is not None
    assert state.outcome is MessageOutcome.FAILED


async def test_settled_means_written(store: CallStore) -> None:
    """Twilio asks any worker as soon as a socket is closed."""
    store.save_call(row(state="finished"))
    assert await store.settled(deadline_s=5)
    stored = await store.load_call("CA1")
    assert stored is not None
    assert stored.row.state == "finished"
