"""A call told while it goes on."""

from __future__ import annotations

import io

from rich.console import Console

from agent.conversation.record import CallRecord
from tests.fakes.sample_call import sample_moves
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
