"""Who may open a stream, how many at once, and when a call is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from telephony.calls.status import CallStatus
from tests.fakes.clock import Clock
from tests.fakes.store import MemoryCallStore
from workers.call import active as active_module
from workers.call.active import ActiveCalls, StreamRefused
from workers.call.entry import CallEntry, CallState


@pytest.fixture
def store() -> MemoryCallStore:
    return MemoryCallStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(store: MemoryCallStore, clock: Clock) -> ActiveCalls:
    return ActiveCalls(2, store, clock)


def admit(calls: ActiveCalls, call_sid: str = "CA1") -> CallEntry | None:
    return calls.admit(
        call_sid=call_sid, account_sid="AC1", direction="inbound", from_="+1", to="+2"
    )


def admitted(calls: ActiveCalls, call_sid: str = "CA1") -> CallEntry:
    entry = admit(calls, call_sid)
    assert entry is not None
    return entry


def known(calls: ActiveCalls, call_sid: str = "CA1") -> CallEntry:
    entry = calls.get(call_sid)
    assert entry is not None
    return entry


def test_no_more_calls_than_the_limit(calls: ActiveCalls) -> None:
    """Capacity counts from the voice request on, not from the stream."""
    assert admit(calls, "CA1")
    assert admit(calls, "CA2")
    assert admit(calls, "CA3") is None


def test_repeated_request_finds_its_entry(calls: ActiveCalls) -> None:
    """Twilio's retry takes no second place."""
    assert admitted(calls) is admitted(calls)
    assert calls.open_calls == 1


def test_call_whose_stream_never_came_gives_its_place_back(
    calls: ActiveCalls, clock: Clock
) -> None:
    """A slot is not taken for ever by a call that failed before its stream."""
    admit(calls, "CA1")
    admit(calls, "CA2")
    clock.advance(active_module.ANNOUNCED_S)
    assert admit(calls, "CA3")
    clock.advance(active_module.FORGET_AFTER_S)
    calls.sweep()
    assert len(calls) == 0


def test_ending_call_takes_no_place(calls: ActiveCalls) -> None:
    """A call that is finished or being transferred makes room."""
    calls.finish(admitted(calls, "CA1"))
    calls.transfer(admitted(calls, "CA2"), "+15550100009")
    assert calls.open_calls == 0
    assert admit(calls, "CA3")


def test_draining_refuses_new_calls_and_serves_known_ones(calls: ActiveCalls) -> None:
    """A worker that stops still answers for the calls that go on."""
    admit(calls, "CA1")
    calls.draining = True
    assert [admit(calls, sid) is not None for sid in ("CA1", "CA2")] == [True, False]


async def test_second_stream_of_a_call_is_refused(calls: ActiveCalls) -> None:
    """One stream at a time; the first goes on."""
    admit(calls)
    with calls.stream(known(calls, "CA1")) as entry:
        with pytest.raises(StreamRefused, match="second"), calls.stream(known(calls, "CA1")):
            pass
        assert calls.live_streams == 1
    assert calls.live_streams == 0
    with calls.stream(entry):
        assert calls.live_streams == 1


async def test_stream_of_a_finished_call_is_refused(calls: ActiveCalls) -> None:
    """A late socket does not revive a call."""
    calls.finish(admitted(calls))
    with pytest.raises(StreamRefused, match="over"), calls.stream(known(calls, "CA1")):
        pass


async def test_end_of_a_call_is_told_once_whether_stream_or_status_ends_first(
    store: MemoryCallStore,
) -> None:
    """Metrics count every call, also the one that the agent ended before Twilio said so."""
    over: list[str] = []
    calls = ActiveCalls(2, store, Clock(), on_over=lambda entry: over.append(entry.call_sid))
    admit(calls, "CA1")
    with calls.stream(known(calls, "CA1")):
        calls.note_status("CA1", CallStatus.COMPLETED)
    admit(calls, "CA2")
    with calls.stream(known(calls, "CA2")):
        pass
    calls.note_status("CA2", CallStatus.COMPLETED)
    calls.note_status("CA2", CallStatus.COMPLETED)
    assert over == ["CA1", "CA2"]


async def test_terminal_status_forgets_the_call(calls: ActiveCalls) -> None:
    """At once without a stream, else when the stream has ended."""
    admit(calls, "CA1")
    calls.note_status("CA1", CallStatus.COMPLETED)
    assert calls.get("CA1") is None
    admit(calls, "CA2")
    with calls.stream(known(calls, "CA2")) as entry:
        calls.note_status("CA2", CallStatus.COMPLETED)
        assert entry.state is CallState.FINISHED
        assert calls.get("CA2") is entry
    assert len(calls) == 0


async def test_call_between_two_streams_is_not_over(calls: ActiveCalls) -> None:
    """Nor one that was transferred: it may come back to the agent."""
    assert calls.is_over("CA1")
    entry = admitted(calls)
    with calls.stream(known(calls, "CA1")):
        pass
    assert not calls.is_over("CA1")
    calls.transfer(entry, "+15550100009")
    assert not calls.is_over("CA1")
    calls.finish(entry)
    assert calls.is_over("CA1")


async def test_stream_that_outlives_its_call_is_ended(
    calls: ActiveCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ``stop`` never comes, the terminal callback ends the stream after a grace."""
    monkeypatch.setattr(active_module, "STREAM_GRACE_S", 0.01)
    admit(calls)

    async def serve() -> None:
        with calls.stream(known(calls, "CA1")):
            await asyncio.sleep(60)

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    calls.note_status("CA1", CallStatus.COMPLETED)
    with pytest.raises(StreamRefused, match="left"):
        await asyncio.wait_for(task, 5)
    assert not task.cancelled()
    assert len(calls) == 0


async def test_grace_does_not_touch_a_later_stream(
    calls: ActiveCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer set for one stream leaves alone what its task does afterwards."""
    monkeypatch.setattr(active_module, "STREAM_GRACE_S", 0.01)
    admit(calls)
    with calls.stream(known(calls, "CA1")):
        calls.note_status("CA1", CallStatus.COMPLETED)
    await asyncio.sleep(0.05)


async def test_stream_left_by_twilio_makes_way(calls: ActiveCalls) -> None:
    """A half-open socket does not keep the call from going on over a new one."""
    entry = admitted(calls)

    async def serve() -> None:
        with calls.stream(known(calls, "CA1")):
            await asyncio.sleep(60)

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    assert await calls.stream_ended(entry, grace_s=0.02)
    with pytest.raises(StreamRefused, match="left"):
        await task
    with calls.stream(entry):
        assert calls.live_streams == 1


async def test_cancelling_the_server_is_not_swallowed(calls: ActiveCalls) -> None:
    """Only our own cancellation becomes a refusal."""
    admit(calls)

    async def serve() -> None:
        with calls.stream(known(calls, "CA1")):
            await asyncio.sleep(60)

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls.live_streams == 0


async def test_call_with_a_stream_is_awaited(calls: ActiveCalls) -> None:
    """A worker that is being emptied stays for it, and no longer than for that."""
    entry = admitted(calls)
    with calls.stream(entry):
        calls.finish(entry)
        assert calls.awaited
    calls.note_status("CA1", CallStatus.COMPLETED)
    assert not calls.awaited


@pytest.mark.parametrize("state", list(CallState))
def test_what_twilio_is_about_to_ask_is_awaited(
    calls: ActiveCalls, clock: Clock, state: CallState
) -> None:
    """A stream that was announced, or the question what follows one, must find somebody.

    A call that is done asks at once or never, and so does one that another worker may answer for.
    """
    entry = admitted(calls)
    entry.state = state
    assert calls.awaited
    clock.advance(active_module.STREAM_GRACE_S)
    assert calls.awaited is (state not in (CallState.FINISHED, CallState.HANDED_OVER))
    clock.advance(active_module.FORGET_AFTER_S)
    assert not calls.awaited


def test_call_announced_here_whose_stream_went_elsewhere_is_not_waited_for(
    calls: ActiveCalls, clock: Clock
) -> None:
    """Of several processes on a port, each announces calls that the others serve."""
    admitted(calls)
    clock.advance(active_module.ANNOUNCED_S)
    assert not calls.awaited


async def test_call_left_open_is_not_counted_by_whoever_forgets_it(
    store: MemoryCallStore, clock: Clock
) -> None:
    """The fleet's sweeper asks Twilio about it, and counts it."""
    over: list[str] = []
    calls = ActiveCalls(2, store, clock, on_over=lambda entry: over.append(entry.call_sid))
    for sid, state in (("CA1", CallState.IN_PROGRESS), ("CA2", CallState.FINISHED)):
        entry = admitted(calls, sid)
        entry.fence, entry.state = 1, state
    clock.advance(active_module.FORGET_AFTER_S)
    calls.sweep()
    assert len(calls) == 0
    assert over == ["CA2"]


async def test_transferred_call_is_told_to_be_over_once(
    store: MemoryCallStore, clock: Clock
) -> None:
    """The two may speak for long before Twilio asks what is next; the call is not over before."""
    over: list[str] = []
    calls = ActiveCalls(2, store, clock, on_over=lambda entry: over.append(entry.call_sid))
    entry = admitted(calls)
    calls.transfer(entry, "+15550100009")
    clock.advance(4 * 3600)
    calls.sweep()
    assert calls.get("CA1") is entry
    assert over == []
    clock.advance(active_module.FORGET_AFTER_S)
    calls.sweep()
    assert over == ["CA1"]


async def test_repeated_callback_does_not_cut_short_what_is_cleared_away(
    calls: ActiveCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio repeats callbacks; the stream's record is still being written after the first."""
    monkeypatch.setattr(active_module, "STREAM_GRACE_S", 0.01)
    admit(calls)
    kept: list[str] = []

    async def serve() -> None:
        with calls.stream(known(calls, "CA1")):
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.1)
                kept.append("record")

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    calls.note_status("CA1", CallStatus.COMPLETED)
    await asyncio.sleep(0.05)
    calls.note_status("CA1", CallStatus.COMPLETED)
    with pytest.raises(StreamRefused, match="left"):
        await asyncio.wait_for(task, 5)
    assert kept == ["record"]


async def test_every_change_reaches_the_store(calls: ActiveCalls, store: MemoryCallStore) -> None:
    """The store knows the state that decides what comes next."""
    entry = admitted(calls)
    assert store.rows["CA1"][0].state == "ringing"
    with calls.stream(known(calls, "CA1")):
        assert store.rows["CA1"][0].state == "in_progress"
        calls.finish(entry)
        assert store.rows["CA1"][0].state == "finished"
    calls.note_status("CA1", CallStatus.COMPLETED)
    assert store.rows["CA1"][0].status == "completed"


async def test_store_outage_changes_nothing(calls: ActiveCalls, store: MemoryCallStore) -> None:
    """Calls go on; the losses are counted."""
    store.failing = True
    with calls.stream(admitted(calls)) as entry:
        calls.finish(entry)
    assert store.lost > 0


def test_emptied_worker_sends_new_calls_elsewhere(store: MemoryCallStore) -> None:
    """Where another worker is ready the call is answered, and leaves nothing here."""
    calls = ActiveCalls(2, store, Clock())
    calls.elsewhere = lambda: True
    calls.draining = True
    assert admit(calls) is not None
    assert len(calls) == 0
    assert not calls.awaited


async def test_stream_says_whose_it_is(calls: ActiveCalls, store: MemoryCallStore) -> None:
    """The row has an owner while its stream is served, and none afterwards."""
    calls.worker = "w1"
    entry = admitted(calls)
    entry.fence = 1
    with calls.stream(entry):
        assert store.rows["CA1"][0].owner == "w1"
    assert store.rows["CA1"][0].owner == ""


async def served(calls: ActiveCalls, entry: CallEntry) -> None:
    with calls.stream(entry):
        await asyncio.sleep(60)


async def test_call_that_another_worker_has_taken_falls_silent(
    calls: ActiveCalls, store: MemoryCallStore
) -> None:
    """Its task is cancelled at once, nothing more is written, and it is not counted as over."""
    over: list[str] = []
    calls = ActiveCalls(2, store, Clock(), on_over=lambda entry: over.append(entry.call_sid))
    taken: list[bool] = []
    calls.on_taken = lambda: taken.append(True)
    entry = admitted(calls)
    entry.fence = 3
    task = asyncio.create_task(served(calls, entry))
    await asyncio.sleep(0)
    before = store.rows["CA1"][0]
    calls.taken("CA1", 3)
    with pytest.raises(StreamRefused, match="taken"):
        await asyncio.wait_for(task, 5)
    assert store.rows["CA1"][0] == before
    assert calls.get("CA1") is None
    assert taken == [True]
    assert over == []


async def test_end_of_a_stream_that_was_taken_leaves_the_next_one_alone(
    calls: ActiveCalls,
) -> None:
    """The call may have come back to this process while the old stream was cleared away."""
    old = admitted(calls)
    with calls.stream(old):
        calls.drop(old)
        new = admitted(calls)
        old.status = CallStatus.COMPLETED
    assert calls.get("CA1") is new


async def test_refusal_of_an_old_number_does_not_touch_the_new_one(calls: ActiveCalls) -> None:
    """What was written before this process took the call again may be refused late."""
    entry = admitted(calls)
    entry.fence = 3
    task = asyncio.create_task(served(calls, entry))
    await asyncio.sleep(0)
    calls.taken("CA1", 2)
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()


def test_status_of_a_call_served_elsewhere_reaches_the_store(
    calls: ActiveCalls, store: MemoryCallStore
) -> None:
    """A report may come to any worker."""
    store.save_call(CallEntry("CA7", "AC1", "inbound", "+1", "+2").row())
    assert calls.note_status("CA7", CallStatus.COMPLETED) is None
    assert store.rows["CA7"][0].status == "completed"
