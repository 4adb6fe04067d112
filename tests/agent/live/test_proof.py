"""A connection that was moved to has to prove that it works."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason, MoveCause, MoveKind
from agent.live.session_events import (
    BudgetSpent,
    GreetsAgain,
    LeaveWanted,
    Opened,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue
from agent.spec import Moves
from tests.agent.live.lives import (
    AUDIO,
    ask,
    run,
    serving,
)
from tests.agent.live.moving import (
    PERSON,
    answer,
    closed,
    dial,
    handle_comes,
    moved,
    opened,
    report,
)


def test_resumed_session_that_hears_and_never_speaks_is_filled_anew() -> None:
    """Eight seconds after the caller spoke, sooner than a model that has proved itself."""
    life = serving()
    answer(life, 5.0)
    moved(life, 9.0)
    run(life, 9.0, 20.0)
    said = ask(life, 20.0)
    found = run(life, said, 30.0)
    overdue = [when for when, event, _ in found if isinstance(event, AnswerOverdue)]
    assert overdue == [pytest.approx(said + 8.0, abs=0.05)]
    assert dial(closed(life, 30.0)).handle is None
    moved_to = report(opened(life, 3, 30.5))
    assert (moved_to.cause, moved_to.kind) == (MoveCause.DEAF, MoveKind.REFILL)


def test_deaf_session_right_after_a_loss_is_not_the_end() -> None:
    """The loss was one trouble, the silence is another."""
    life = serving()
    answer(life, 5.0)
    ask(life, 6.0)
    moved(life, 8.0)
    run(life, 8.0, 17.0)
    assert life.state is State.MOVING


def test_deaf_session_with_a_talkative_caller_is_filled_anew() -> None:
    """However much the caller says into it, the budget leaves time for the dial."""
    life = serving()
    answer(life, 5.0)
    moved(life, 9.0)
    now = 12.0
    while life.state is State.SERVING:
        now = ask(life, now, 600) + 3.2
        run(life, now - 3.2, now)
        assert now < 40.0
    assert life.end is None
    assert dial(closed(life, now)).handle is None
    assert [event for _, event, _ in run(life, now, now + 3.9) if event == BudgetSpent()] == []


def test_two_silences_in_a_row_end_the_call() -> None:
    """A person where there is one, else the apology; never a third session."""
    life = serving(moves=Moves(person="the owner"), transfer=PERSON)
    said = ask(life, 5.0)
    run(life, said, 30.0)
    assert life.state is State.MOVING
    opened(life, dial(closed(life, 20.0)).attempt, 20.0)
    run(life, 20.0, 40.0)
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.MODEL_SILENT, "+15550100009")


def test_silence_after_an_answer_is_a_first_one() -> None:
    """The session that came after the first silence has proved itself."""
    life = serving()
    for start in (5.0, 50.0):
        said = ask(life, start)
        run(life, said, start + 20.0)
        assert life.state is State.MOVING
        opened(life, dial(closed(life, start + 20.0)).attempt, start + 20.0)
        answer(life, start + 21.0)
    assert life.end is None


def test_session_that_forgot_is_left_for_a_fresh_one() -> None:
    """Its prompt has collapsed; what it says is nonsense, so it is left soon."""
    life = serving()
    answer(life, 5.0)
    life.receive(events.UsageReported(2_758, 0, 2_758), 5.0)
    handle_comes(life, 5.0)
    moved(life, 9.0)
    life.budget.connected(instruction="Be kind.", resumed=True)
    life.receive(events.UsageReported(351, 0, 351), 10.0)
    ((_, event, out),) = run(life, 10.0, 10.1)
    assert isinstance(event, LeaveWanted)
    standby = dial(out)
    assert (standby.handle, standby.standby) == (None, True)
    life.receive(Opened(standby.attempt), 10.6)
    run(life, 10.6, 11.0)
    closed(life, 11.0)
    ((_, _, out),) = run(life, 11.0, 12.0)
    assert out == [commands.PromoteStandby(standby.attempt)]
    assert report(opened(life, standby.attempt, 12.0)).cause is MoveCause.FORGOT


def test_session_that_greets_again_is_left_before_that_is_heard() -> None:
    """Words come before their audio; audio that comes first is kept back a moment."""
    life = serving(Opening("Be kind.", greeting="Hello, this is the bakery."))
    answer(life, 5.0)
    moved(life, 9.0)
    assert life.receive(AUDIO, 10.0) == [commands.DropAudio("kept back")]
    life.receive(events.OutputTranscribed("Hello, this is the"), 10.0)
    ((_, event, out),) = run(life, 10.0, 10.1)
    assert event == GreetsAgain()
    assert isinstance(out[0], commands.LeaveConnection)
    assert dial(closed(life, 10.1)).handle is None


def test_first_answer_of_a_resumed_session_is_heard_when_it_is_no_greeting() -> None:
    """What was kept back is played then, and whatever follows at once."""
    life = serving(Opening("Be kind.", greeting="Hello, this is the bakery."))
    answer(life, 5.0)
    moved(life, 9.0)
    life.receive(AUDIO, 10.0)
    out = life.receive(events.OutputTranscribed("We open"), 10.0)
    assert out == [commands.PlayAudio((AUDIO,))]
    assert life.receive(AUDIO, 10.1) == []
