"""Whose a call is, and what its next session has to know."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import (
    CallRecord,
    EndReason,
    StreamRecord,
    ToolRecord,
    TurnRecord,
)
from telephony.calls.status import CallStatus
from telephony.calls.webhooks import CallRequest
from telephony.media_stream.ticket import Ticket
from tests.fakes.store import MemoryCallStore
from workers.call.active import ActiveCalls, StreamRefused
from workers.call.entry import CallEntry, CallState
from workers.call.steering import NOBODY_ANSWERED
from workers.call.takeover import TRANSFER_FAILED, Takeover, said_before, taken_up
from workers.store.calls import Claim, StoreUnavailable

WALL = 1_800_000_000.0
ASKED = CallRequest("CA1", "AC1", "inbound", "+1", "+2", CallStatus.IN_PROGRESS, None)


class Worker:
    """One of several over the same store."""

    def __init__(self, name: str, store: MemoryCallStore) -> None:
        self.active = ActiveCalls(10, store, worker=name)
        self.takeover = Takeover(self.active, store, wall=lambda: WALL)

    def announce(self) -> CallEntry:
        entry = self.active.admit(
            call_sid="CA1", account_sid="AC1", direction="inbound", from_="+1", to="+2"
        )
        assert entry is not None
        return entry


@pytest.fixture
def store() -> MemoryCallStore:
    return MemoryCallStore()


@pytest.fixture
def here(store: MemoryCallStore) -> Worker:
    return Worker("here", store)


@pytest.fixture
def there(store: MemoryCallStore) -> Worker:
    return Worker("there", store)


def ticket(stream: int = 1, **fields: Any) -> Ticket:
    return Ticket("AC1", "CA1", stream, "inbound", "+1", "+2", issued_at=WALL, **fields)


async def served(worker: Worker, entry: CallEntry) -> None:
    with worker.active.stream(entry):
        await asyncio.sleep(60)


async def test_fresh_call_is_served_without_asking_the_store(
    here: Worker, store: MemoryCallStore
) -> None:
    """A database that is away does not keep a new caller waiting."""
    here.announce()
    store.failing = True
    entry = await here.takeover.started(ticket())
    assert (entry.fence, entry.streams, entry.unclaimed) == (0, 1, True)
    store.failing = False
    with here.active.stream(entry):
        assert await here.takeover.claim_later(entry) is not None
    assert (entry.fence, entry.unclaimed) == (1, False)


async def served_first(worker: Worker) -> CallEntry:
    """The call's first stream, announced and claimed by one worker."""
    worker.announce()
    entry = await worker.takeover.started(ticket())
    with worker.active.stream(entry):
        await worker.takeover.claim_later(entry)
    return entry


async def test_stream_that_lands_elsewhere_is_claimed_there(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """The worker that announced the call has nothing to do with it any more."""
    here.announce()
    entry = await there.takeover.started(ticket())
    with there.active.stream(entry):
        row = store.rows["CA1"][0]
        assert (row.owner, row.fence, row.streams) == ("there", 1, 1)
        asked = await here.takeover.asked(ASKED, ended=1)
        assert asked.fence == 1


async def test_one_stream_number_is_served_once(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """Whatever Twilio repeats, and wherever it lands."""
    here.announce()
    await there.takeover.started(ticket())
    with pytest.raises(StreamRefused, match="second"):
        await Worker("third", store).takeover.started(ticket())
    # The worker that announced it has begun to speak when it learns that another one does.
    entry = await here.takeover.started(ticket())
    task = asyncio.create_task(served(here, entry))
    await asyncio.sleep(0)
    assert await here.takeover.claim_later(entry) is None
    with pytest.raises(StreamRefused, match="taken"):
        await asyncio.wait_for(task, 5)


async def test_next_stream_takes_the_number_and_what_was_left(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """The dead worker's checkpoint and record are the next one's; the loss is counted."""
    entry = await served_first(here)
    with here.active.stream(entry):
        head = CallRecord("CA1", "bakery", "m", started_at="2027-01-15T08:00:00.000+00:00")
        left = SessionCheckpoint(1.0, "m", handle="h1", notes=("a note",))
        store.checkpoint("CA1", left, head, [], fence=1)
        found = await there.takeover.started(ticket(2))
    assert (found.fence, found.streams, found.lost_at) == (2, 2, (WALL,))
    assert found.checkpoint is not None
    assert found.checkpoint.handle == "h1"
    assert found.notes.texts == ["a note"]
    assert found.stream_ended_at == WALL


async def test_same_worker_goes_on_with_what_it_remembers(
    here: Worker, store: MemoryCallStore
) -> None:
    """Nobody has served the call since: its memory is newer than the store's, and not redacted."""
    entry = await served_first(here)
    with here.active.stream(entry):
        entry.record = CallRecord("CA1", "bakery", "m")
    again = await here.takeover.started(ticket(2))
    assert again is entry
    assert (again.fence, again.streams) == (2, 2)


async def test_worker_that_comes_back_to_a_call_forgets_its_old_memory(
    here: Worker, there: Worker
) -> None:
    """Another one has served it meanwhile and knows more."""
    entry = await served_first(here)
    with here.active.stream(entry):
        entry.record = CallRecord("CA1", "bakery", "m")
    with there.active.stream(await there.takeover.started(ticket(2))):
        pass
    again = await here.takeover.started(ticket(3))
    assert again is not entry
    assert again.fence == 3


async def test_stream_that_twilio_has_left_makes_way_in_the_same_worker(here: Worker) -> None:
    """A half-open socket does not keep the call from going on over a new one."""
    here.announce()
    entry = await here.takeover.started(ticket())
    task = asyncio.create_task(served(here, entry))
    await asyncio.sleep(0)
    with pytest.raises(StreamRefused, match="second"):
        await here.takeover.started(ticket(1))
    again = await here.takeover.started(ticket(2))
    assert again.streams == 2
    with pytest.raises(StreamRefused, match="left"):
        await task


async def test_foreign_account_has_no_stream(here: Worker) -> None:
    """Two accounts of one deployment do not get at each other's calls."""
    here.announce()
    with pytest.raises(StreamRefused, match="unknown"):
        await here.takeover.started(Ticket("AC9", "CA1"))


async def test_call_goes_on_while_the_store_is_away(here: Worker, store: MemoryCallStore) -> None:
    """Without its memory, and nothing is written under a number that may be another's."""
    store.failing = True
    entry = await here.takeover.started(ticket(2))
    assert entry.unclaimed
    store.failing = False
    with here.active.stream(entry):
        assert store.rows == {}
        found = await here.takeover.claim_later(entry)
        assert found is not None
        assert (entry.fence, entry.unclaimed) == (1, False)
    assert store.rows["CA1"][0].streams == 2


async def test_call_claimed_late_is_given_up_where_another_has_it(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """Two streams were open: the later one keeps the call."""
    store.failing = True
    entry = await here.takeover.started(ticket(2))
    store.failing = False
    task = asyncio.create_task(served(here, entry))
    await asyncio.sleep(0)
    await there.takeover.started(ticket(3))
    assert await here.takeover.claim_later(entry) is None
    with pytest.raises(StreamRefused, match="taken"):
        await asyncio.wait_for(task, 5)


async def test_failed_transfer_is_told_by_the_ticket(here: Worker) -> None:
    """The worker that heard of it need not be the one that gets the stream."""
    entry = await here.takeover.started(ticket(2, notice=TRANSFER_FAILED))
    assert entry.notice == NOBODY_ANSWERED


async def test_unknown_word_in_a_ticket_is_no_notice(here: Worker) -> None:
    """A later version may have more of them."""
    assert (await here.takeover.started(ticket(2, notice="of_tomorrow"))).notice is None


async def test_question_about_an_unknown_call_is_answered(
    here: Worker, store: MemoryCallStore
) -> None:
    """With the store away, too: doubt costs the memory, not the call."""
    store.failing = True
    entry = await here.takeover.asked(ASKED, ended=4)
    assert (entry.state, entry.streams) == (CallState.IN_PROGRESS, 4)
    assert here.active.get("CA1") is None


START = datetime.fromtimestamp(WALL, UTC)


def record(**fields: object) -> CallRecord:
    made = CallRecord("CA1", "bakery", "m", started_at=START.isoformat())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_call_whose_worker_died_is_cut_to_what_was_heard() -> None:
    """The agent had said more than the caller can have heard until Twilio noticed."""
    said = "one two three four five six seven eight nine ten"
    turns = [TurnRecord("agent", said, said, 10.0, 20.0, said_ms=10_000, heard_ms=10_000)]
    tool = ToolRecord("f1", "book", {}, 11.0, 11.0, "ok", None)
    left = record(streams=[StreamRecord("MZ1", 0.0)], turns=turns, tools=[tool])
    later = START + timedelta(seconds=16)
    found = taken_up(left, ended_at=WALL + 15, now=later)
    assert found.turns[0].heard_ms == pytest.approx(5_000, abs=500)
    assert "one two three" in found.turns[0].heard
    assert "ten" not in found.turns[0].heard
    assert found.tools[0].outcome == "unknown"
    (stream,) = found.streams
    assert (stream.ended_s, stream.end_reason) == (15.0, EndReason.STREAM_LOST)
    assert left.turns[0].heard == said


def test_call_that_was_handed_over_is_taken_as_it_is() -> None:
    """Its worker has noted what was heard."""
    turns = [TurnRecord("agent", "Good day", "Good", 10.0, 20.0, said_ms=9_000, heard_ms=200)]
    stream = StreamRecord("MZ1", 0.0, 10.2, EndReason.HANDED_OVER)
    left = record(streams=[stream], turns=turns)
    assert taken_up(left, ended_at=WALL + 30, now=START + timedelta(seconds=31)) == left


def test_model_that_had_no_memory_is_told_what_was_said() -> None:
    """As one note, the newest words where not all fit."""
    turns = [
        TurnRecord("caller", f"Number {n}, please", f"Number {n}, please", n, n + 1)
        for n in range(200)
    ]
    text = said_before(record(turns=turns))
    assert "Number 199" in text
    assert "Number 1," not in text
    assert len(text) <= 2_000
    with pytest.raises(ValueError, match="nothing"):
        said_before(record())


async def test_transfer_that_another_worker_brought_back_is_not_begun_again(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """Who remembers the transfer, and gets the stream that follows it, serves that stream."""
    entry = await served_first(here)
    here.active.transfer(entry, "+3")
    there.active.resume(await there.takeover.asked(ASKED, ended=None))
    found = await here.takeover.started(ticket(2, notice=TRANSFER_FAILED))
    with here.active.stream(found):
        row = store.rows["CA1"][0]
        assert (row.state, row.owner, row.transfer_to) == ("in_progress", "here", None)


async def test_transfer_that_another_worker_brought_back_is_over_for_all(
    here: Worker, there: Worker
) -> None:
    """Also where the stream that was to follow has reached nobody."""
    entry = await served_first(here)
    here.active.transfer(entry, "+3")
    there.active.resume(await there.takeover.asked(ASKED, ended=None))
    asked = await here.takeover.asked(ASKED, ended=2)
    assert (asked.undecided, asked.transfer_to) == (True, None)


class _AnswerLost(MemoryCallStore):
    """Carries the first claim out, and its answer comes too late."""

    late = True

    async def claim(self, *args: Any, **options: Any) -> Claim:
        claim = await super().claim(*args, **options)
        if self.late:
            self.late = False
            raise StoreUnavailable("late")
        return claim


async def test_claim_whose_answer_was_lost_is_ours() -> None:
    """The call is not cut off for having asked twice."""
    worker = Worker("w", _AnswerLost())
    entry = await worker.takeover.started(ticket(2))
    assert entry.unclaimed
    with worker.active.stream(entry):
        assert await worker.takeover.claim_later(entry) is not None
        assert (entry.fence, entry.unclaimed, entry.taken_over) == (1, False, False)


async def test_stream_after_one_that_crashed_before_it_was_claimed_is_claimed_once(
    here: Worker, store: MemoryCallStore
) -> None:
    """A second claim of it would be refused, and the call cut off."""
    here.announce()
    with here.active.stream(await here.takeover.started(ticket())):
        pass
    entry = await here.takeover.started(ticket(2))
    assert not entry.unclaimed
    with here.active.stream(entry):
        assert store.rows["CA1"][0].state == "in_progress"


async def test_two_streams_while_the_store_is_away_are_not_both_served(
    here: Worker, store: MemoryCallStore
) -> None:
    """The same number twice, at the same moment: one voice."""
    store.failing = True
    held = asyncio.Event()

    async def wait(*_: object, **__: object) -> Claim:
        await held.wait()
        raise StoreUnavailable("away")

    store.claim = wait  # type: ignore[method-assign]
    both = [asyncio.create_task(here.takeover.started(ticket(2))) for _ in range(2)]
    await asyncio.sleep(0)
    held.set()

    async def serve(started: asyncio.Task[CallEntry]) -> None:
        with here.active.stream(await started):
            await asyncio.sleep(0.05)

    ended = await asyncio.gather(*map(serve, both), return_exceptions=True)
    assert sorted(str(end) for end in ended) == ["None", "stream refused: second"]


async def test_of_two_streams_claimed_here_at_once_the_later_one_speaks(
    here: Worker, store: MemoryCallStore
) -> None:
    """A worker that was stopped finds both at its door when it goes on."""
    await served_first(here)
    store.read_delay_s = 0.01
    tasks: list[asyncio.Task[None]] = []
    for stream in (2, 3):

        async def serve(number: int = stream) -> None:
            await served(here, await here.takeover.started(ticket(number)))

        tasks.append(asyncio.create_task(serve()))
    await asyncio.sleep(0.1)
    entry = here.active.get("CA1")
    assert entry is not None
    assert (entry.streams, entry.stream_live, here.active.live_streams) == (3, True, 1)
    with pytest.raises(StreamRefused, match="taken"):
        await tasks[0]
    tasks[1].cancel()


async def test_call_that_is_lost_to_a_later_stream_of_this_worker_leaves_that_one_alone(
    here: Worker, store: MemoryCallStore
) -> None:
    """The earlier one was begun before the store had said that it may be."""
    here.announce()
    first = await here.takeover.started(ticket())
    task = asyncio.create_task(served(here, first))
    await asyncio.sleep(0)
    other = Worker("there", store)
    await other.takeover.started(ticket(2))
    third = await here.takeover.started(ticket(3))
    assert third is not first
    with pytest.raises(StreamRefused, match=r"taken|left"):
        await asyncio.wait_for(task, 5)
    with here.active.stream(third):
        assert await here.takeover.claim_later(first) is None
        assert here.active.get("CA1") is third


async def test_question_about_a_call_that_went_on_elsewhere_silences_the_stream_served_here(
    here: Worker, there: Worker
) -> None:
    """Twilio has left it unnoticed; forgotten only, it would be told by nobody and speak on."""
    await served_first(here)
    task = asyncio.create_task(served(here, await here.takeover.started(ticket(2))))
    await asyncio.sleep(0)
    with there.active.stream(await there.takeover.started(ticket(3))):
        pass
    asked = await here.takeover.asked(ASKED, ended=3)
    assert (asked.fence, asked.streams, asked.stream_live) == (3, 3, False)
    with pytest.raises(StreamRefused, match="taken"):
        await asyncio.wait_for(task, 5)
    assert here.active.live_streams == 0


async def test_question_about_an_earlier_stream_leaves_one_that_is_still_to_be_claimed_alone(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """It began while the store was asked; without a number, it is older than nothing stored."""
    with there.active.stream(await there.takeover.started(ticket(2))):
        pass
    store.read_delay_s = 0.01
    asking = asyncio.create_task(here.takeover.asked(ASKED, ended=2))
    await asyncio.sleep(0)
    store.failing = True
    entry = await here.takeover.started(ticket(3))
    with here.active.stream(entry):
        store.failing = False
        assert await asking is entry
        assert here.active.get("CA1") is entry
        assert await here.takeover.claim_later(entry) is not None
        assert here.active.serving == {"CA1": 2}


async def test_stream_that_begins_while_the_call_is_lost_and_the_store_away_is_written_later(
    here: Worker, there: Worker, store: MemoryCallStore
) -> None:
    """It goes on without the memory that was found to be old, under which nothing is written."""
    known = await served_first(here)
    with there.active.stream(await there.takeover.started(ticket(2))):
        pass
    store.read_delay_s = 2.0
    starting = asyncio.create_task(here.takeover.started(ticket(3)))
    await asyncio.sleep(0)
    store.read_delay_s = 0.0
    await here.takeover.asked(ASKED, ended=2)
    assert known.taken_over
    store.read_delay_s = 2.0
    entry = await starting
    store.read_delay_s = 0.0
    with here.active.stream(entry):
        assert await here.takeover.claim_later(entry) is not None
        here.active.finish(entry)
    assert (store.rows["CA1"][0].state, store.rows["CA1"][0].fence) == ("finished", 3)
