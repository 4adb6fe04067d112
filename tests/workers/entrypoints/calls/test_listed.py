"""The list shows who serves which call, in a hundred columns, and no number unless asked."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from agent.conversation.record import MoveCause, MoveMoment, MoveRecord
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from tests.fakes.store import MemoryCallStore
from tests.workers.entrypoints.calls.samples import CALL, NOW, OTHER, call_row, worker_row
from workers.entrypoints.calls.listed import (
    ListedCall,
    ListedWorker,
    lines,
    look,
    print_table,
    takeovers_of,
)


@pytest.fixture
async def store() -> MemoryCallStore:
    """One call at its third stream, one that nobody serves, one that is over; two workers."""
    made = MemoryCallStore()
    made.save_call(call_row("CA" + "9" * 32, owner="", state="finished", status="completed"))
    made.save_call(call_row(OTHER, owner="", streams=0, fence=0))
    made.save_call(call_row(streams=3))
    made.save_record(CALL, shared_record(), fence=1)
    await made.beat(worker_row(FIRST), {})
    await made.beat(worker_row(SECOND, draining=True), {})
    return made


def screen(
    calls: list[ListedCall],
    workers: list[ListedWorker],
    *,
    numbers: bool = False,
    ended_too: bool = False,
    width: int = 100,
) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width)
    print_table(console, calls, workers, now=NOW, numbers=numbers, ended_too=ended_too)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def listed(call_sid: str = CALL, *, owner: str = FIRST, streams: int = 3) -> ListedCall:
    row = call_row(call_sid, owner=owner, streams=streams)
    return ListedCall(row, NOW - timedelta(minutes=4, seconds=5), moves=5, takeovers=2)


async def test_live_calls_are_looked_at(store: MemoryCallStore) -> None:
    """Newest first, with what their newest record says of moves and takeovers."""
    calls, workers = await look(store, ended_too=False, twice=False)
    assert [(call.row.call_sid, call.moves, call.takeovers) for call in calls] == [
        (CALL, 2, 2),
        (OTHER, 0, 0),
    ]
    assert sorted(worker.row.worker for worker in workers) == sorted([FIRST, SECOND])
    assert {worker.state for worker in workers} == {"ready", "draining"}


async def test_calls_that_are_over_are_looked_at_where_asked_for(store: MemoryCallStore) -> None:
    """They come among the others, by when they began."""
    calls, _ = await look(store, ended_too=True, twice=False)
    assert [call.row.call_sid for call in calls] == [CALL, OTHER, "CA" + "9" * 32]


async def test_worker_without_a_sign_of_life_between_two_looks(store: MemoryCallStore) -> None:
    """One look cannot tell: it is told only where there were two."""
    _, workers = await look(store, ended_too=False, twice=False)
    assert {worker.seen for worker in workers} == {None}
    beat = store.list_workers
    looks = 0

    async def beating(*, deadline_s: float = 2.0) -> list[object]:
        nonlocal looks
        looks += 1
        if looks == 2:
            await store.beat(worker_row(SECOND, beats=2, draining=True), {})
        return [*await beat(deadline_s=deadline_s)]

    store.list_workers = beating  # type: ignore[assignment,method-assign]
    _, workers = await look(store, ended_too=False, twice=True, wait_s=0.0)
    states = {worker.row.worker: worker.state for worker in workers}
    assert states == {FIRST: "not seen", SECOND: "draining"}


def test_takeovers_are_the_moves_that_another_stream_caused() -> None:
    """Not those that the Live API did."""
    record = shared_record()
    record.moves.append(MoveRecord(MoveCause.GO_AWAY, MoveMoment.FORCED, None, 1, 1, 1))
    assert takeovers_of(record) == 2


def test_table_fits_a_hundred_columns_and_names_no_number() -> None:
    """The SID can be copied whole; of a worker's name the end is what tells it from others."""
    long_name = "a-host-with-a-very-long-name-in-some-cluster:4711:9f3ac2d1"
    workers = [ListedWorker(worker_row(name)) for name in (long_name, SECOND)]
    found = screen([listed(), listed(OTHER, owner="", streams=0)], workers)
    assert max(map(len, found)) <= 100
    head, first, second, *rest = found
    assert head.split() == ["Call", "State", "Since", "Worker", "Stream", "Moves", "Takeovers"]
    assert first.startswith(f"{CALL} in progress")
    assert "4 min 05 s …-17:4711:9f3ac2d1" in first
    assert first.split()[-3:] == ["3", "5", "2"]
    assert "nobody" in second
    # Below, where it can be copied from, a worker's name is whole.
    assert rest[2].split()[0] + rest[3].split()[0] == long_name
    assert "+1555" not in "\n".join(found)


def test_numbers_are_shown_where_asked_for() -> None:
    """Under the SID, so that the table still fits."""
    found = screen([listed()], [], numbers=True)
    assert found[2].strip() == "+15550100001 → +15550100002"
    assert max(map(len, found)) <= 100


def test_nothing_there_is_said() -> None:
    """An empty screen could be a mistake."""
    assert screen([], []) == ["No live calls.", "", "No workers."]
    assert screen([], [], ended_too=True)[0] == "No calls."


def test_json_is_an_object_to_a_line() -> None:
    """Workers come after calls; a caller's number is no field unless asked for."""
    found = [
        json.loads(line)
        for line in lines(
            [listed(), listed(OTHER, owner="")],
            [ListedWorker(worker_row(), seen=False)],
            now=NOW,
            numbers=False,
        )
    ]
    assert [one["type"] for one in found] == ["call", "call", "worker"]
    assert found[0] == {
        "type": "call",
        "call_sid": CALL,
        "direction": "inbound",
        "state": "in_progress",
        "status": "in-progress",
        "over": False,
        "created_at": "2026-11-27T09:09:55+00:00",
        "since_s": 245.0,
        "worker": FIRST,
        "stream": 3,
        "moves": 5,
        "takeovers": 2,
    }
    assert found[1]["worker"] is None
    assert (found[2]["seen"], found[2]["pid"]) == (False, 4711)
    numbered = json.loads(lines([listed()], [], now=NOW, numbers=True)[0])
    assert numbered["from"] == "+15550100001"
