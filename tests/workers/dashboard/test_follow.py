"""A call told while it goes on."""

from __future__ import annotations

import io

from rich.console import Console

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    CutRecord,
    FactRecord,
    SummaryMade,
    ToolRecord,
    UpdateRecord,
)
from tests.fakes.sample_call import sample_moves
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.console import CallConsole
from workers.dashboard.follow import CallFollower


def test_each_move_is_told_once_and_at_once() -> None:
    """A move is over when it is on the record; the same record again tells nothing."""
    screen = io.StringIO()
    follower = CallFollower(CallConsole(Console(file=screen, width=110)))
    moves = sample_moves()
    record = CallRecord("CA0", "a", "m", ended_s=21.6, moves=moves[:1])
    follower.update(record)
    follower.update(record)
    assert screen.getvalue().count("go_away at a safe point") == 1
    record.moves = moves[:2]
    follower.update(record, final=True)
    assert screen.getvalue().count("move ") == 2
    assert "  0:27.4 move " in screen.getvalue()


def test_what_is_done_for_the_memory_is_told_once_and_a_changed_fact_again() -> None:
    """A fact that a tool pinned is told by it; its newest value is news."""
    screen = io.StringIO()
    follower = CallFollower(CallConsole(Console(file=screen, width=110)))
    args = {"key": "name", "value": "Ann"}
    record = CallRecord(
        "CA0",
        "a",
        "m",
        ended_s=9.0,
        tools=[ToolRecord("1", "remember", args, 1.0, 1.1, "ok", {"output": "done"})],
        facts=[FactRecord("name", "Ann", 1.05), FactRecord("order", "7", 2.0)],
        context=ContextRecord(
            cuts=[CutRecord(3.0, 900, 400)],
            summaries=[SummaryMade(4.0, 1.0, "ok", 6, "extract")],
            updates=[UpdateRecord(5.0, "context", "next_move")],
        ),
    )
    follower.update(record)
    record.context.updates[0].done_s = 8.0
    follower.update(record)
    lines = [line[9:] for line in screen.getvalue().splitlines()]
    assert [line.split()[0] for line in lines] == ["fact", "fact", "cut", "summary", "update"]
    record.facts[1] = FactRecord("order", "8", 8.0)
    follower.update(record, final=True)
    assert screen.getvalue().splitlines()[5:] == [
        "  0:08.0 fact       remembers order: 8".ljust(110)
    ]


def test_call_that_goes_on_at_another_worker_is_told_with_its_time() -> None:
    """Why it did, where it went and how long that took; the time of the call goes on."""
    screen = io.StringIO()
    follower = CallFollower(CallConsole(Console(file=screen, width=110)))
    follower.update(shared_record())
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert [line for line in lines if line[9:].startswith("stream")] == [
        f"  0:19.6 stream     Its worker died or fell silent; stream 2 at {SECOND}",
        f"  0:42.5 stream     Handed over to another worker; stream 3 at {FIRST} after 1.2 s",
    ]


def test_function_whose_worker_died_is_settled() -> None:
    """No answer will come; what is known is said in its place, and nothing behind it waits."""
    screen = io.StringIO()
    follower = CallFollower(CallConsole(Console(file=screen, width=110)))
    record = shared_record()
    follower.update(record)
    line = next(line for line in screen.getvalue().splitlines() if "book_table" in line)
    assert line.rstrip().endswith("→ unknown: its worker died; it may have been")
    assert "0 ms" not in line
    assert "Today there is a plum" in screen.getvalue()
