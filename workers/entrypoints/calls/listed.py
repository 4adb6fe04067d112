"""``evercall calls list``: which calls there are, who serves each, and which workers there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.conversation.record import CallRecord, MoveCause
from workers.dashboard.story import one_line
from workers.dashboard.streams import shortened
from workers.entrypoints.calls.find import DEADLINE_S, MOST_LIVE, is_over, state_words
from workers.entrypoints.calls.words import NOBODY, age
from workers.store.calls import CallRow, CallStore, WorkerRow

NEWEST = 50
# Workers give a sign of life every second: one whose count stands still for longer is ill or gone.
LOOK_TWICE_S = 1.5
# As many as the store answers at once.
_AT_ONCE = 2
_SID_LETTERS, _WORKER_LETTERS = 34, 18
_STATES = {"ready": "green", "draining": "yellow", "not seen": "bold red"}


@dataclass(frozen=True, slots=True)
class ListedCall:
    """One call as the list shows it."""

    row: CallRow
    created_at: datetime
    moves: int
    takeovers: int


@dataclass(frozen=True, slots=True)
class ListedWorker:
    """One worker as the list shows it; ``seen`` is None where there was one look only."""

    row: WorkerRow
    seen: bool | None = None

    @property
    def state(self) -> str:
        """``ready``, ``draining``, or that it gave no sign of life between two looks."""
        if self.seen is False:
            return "not seen"
        return "draining" if self.row.draining else "ready"


async def look(
    store: CallStore, *, ended_too: bool, twice: bool, wait_s: float = LOOK_TWICE_S
) -> tuple[list[ListedCall], list[ListedWorker]]:
    """The calls that are not over, or with ``ended_too`` the newest ones; and all workers.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    before = await store.list_workers(deadline_s=DEADLINE_S)
    stored = await store.list_calls(
        limit=NEWEST if ended_too else MOST_LIVE, live=not ended_too, deadline_s=DEADLINE_S
    )
    gate = asyncio.Semaphore(_AT_ONCE)

    async def newest(call_sid: str) -> CallRecord | None:
        async with gate:
            recalled = await store.recall(call_sid, deadline_s=DEADLINE_S)
        return None if recalled is None else recalled.record

    # What has happened since its last stream ended is not in the stored record yet.
    records = await asyncio.gather(
        *(
            _given(call.record) if is_over(call.row) else newest(call.row.call_sid)
            for call in stored
        )
    )
    calls = [
        ListedCall(call.row, call.created_at, *_moved(record))
        for call, record in zip(stored, records, strict=True)
    ]
    if not twice:
        return calls, [ListedWorker(row) for row in before]
    await asyncio.sleep(wait_s)
    beats = {row.worker: row.beats for row in before}
    # One that was not there at the first look has just come.
    workers = [
        ListedWorker(row, seen=beats.get(row.worker) != row.beats)
        for row in await store.list_workers(deadline_s=DEADLINE_S)
    ]
    return calls, workers


def takeovers_of(record: CallRecord) -> int:
    """How often a call went on at another worker or stream."""
    return sum(move.cause is MoveCause.TAKEOVER for move in record.moves)


def print_table(
    console: Console,
    calls: Sequence[ListedCall],
    workers: Sequence[ListedWorker],
    *,
    now: datetime,
    numbers: bool,
    ended_too: bool,
) -> None:
    """Print the calls, newest first, and below them the workers; at most 100 columns wide."""
    if calls:
        console.print(_calls_table(calls, now, numbers=numbers))
    else:
        console.print("No calls." if ended_too else "No live calls.")
    console.print()
    if workers:
        console.print(_workers_table(workers, now))
    else:
        console.print("No workers.")


def lines(
    calls: Sequence[ListedCall], workers: Sequence[ListedWorker], *, now: datetime, numbers: bool
) -> list[str]:
    """One JSON object for each call, then for each worker."""
    objects = [_call_object(call, now, numbers=numbers) for call in calls]
    objects += [_worker_object(worker) for worker in workers]
    return [json.dumps(found, ensure_ascii=False) for found in objects]


def _calls_table(calls: Sequence[ListedCall], now: datetime, *, numbers: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Call", min_width=_SID_LETTERS, overflow="fold")
    table.add_column("State", no_wrap=True)
    table.add_column("Since", no_wrap=True, justify="right")
    table.add_column("Worker", no_wrap=True)
    for name in ("Stream", "Moves", "Takeovers"):
        table.add_column(name, no_wrap=True, justify="right")
    for call in calls:
        row, over = call.row, is_over(call.row)
        who = Text(one_line(row.call_sid))
        if numbers:
            who.append(f"\n  {one_line(row.from_number)} → {one_line(row.to_number)}", "dim")
        worker = Text(one_line(shortened(row.owner, _WORKER_LETTERS)))
        if not row.owner:
            worker = Text("–", "dim") if over else Text(NOBODY, "bold yellow")
        table.add_row(
            who,
            Text(state_words(row), "dim" if over else ""),
            age((now - call.created_at).total_seconds()),
            worker,
            str(row.streams) if row.streams else "–",
            str(call.moves),
            Text(str(call.takeovers), "yellow" if call.takeovers else ""),
        )
    return table


def _workers_table(workers: Sequence[ListedWorker], now: datetime) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Worker", overflow="fold")
    table.add_column("Host", overflow="fold")
    table.add_column("PID", no_wrap=True, justify="right")
    table.add_column("State", no_wrap=True)
    table.add_column("Calls", no_wrap=True, justify="right")
    table.add_column("Up for", no_wrap=True, justify="right")
    for worker in workers:
        row = worker.row
        began = row.started_at
        table.add_row(
            Text(one_line(row.worker)),
            Text(one_line(row.host)),
            str(row.pid),
            Text(worker.state, _STATES[worker.state]),
            str(row.calls),
            "–" if began is None else age((now - began).total_seconds()),
        )
    return table


def _call_object(call: ListedCall, now: datetime, *, numbers: bool) -> dict[str, Any]:
    row = call.row
    found: dict[str, Any] = {
        "type": "call",
        "call_sid": row.call_sid,
        "direction": row.direction,
        "state": row.state,
        "status": row.status,
        "over": is_over(row),
        "created_at": call.created_at.isoformat(),
        "since_s": round((now - call.created_at).total_seconds(), 1),
        "worker": row.owner or None,
        "stream": row.streams,
        "moves": call.moves,
        "takeovers": call.takeovers,
    }
    if numbers:
        found |= {"from": row.from_number, "to": row.to_number}
    return found


def _worker_object(worker: ListedWorker) -> dict[str, Any]:
    row = worker.row
    return {
        "type": "worker",
        "worker": row.worker,
        "host": row.host,
        "pid": row.pid,
        "draining": row.draining,
        "calls": row.calls,
        "beats": row.beats,
        "seen": worker.seen,
        "started_at": None if row.started_at is None else row.started_at.isoformat(),
    }


def _moved(record: CallRecord | None) -> tuple[int, int]:
    return (0, 0) if record is None else (len(record.moves), takeovers_of(record))


async def _given(record: CallRecord | None) -> CallRecord | None:
    return record
