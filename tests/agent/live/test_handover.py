"""Letting go of a call for another worker: at a safe point, or by force; and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent import commands, events
from agent.conversation.record import EndReason, MoveCause
from agent.live.lifecycle import Lifecycle
from agent.live.resumption import Departure
from agent.live.session_events import (
    GoodbyeHeard,
    HandOverWanted,
    LeaveDeadlineReached,
    LeaveWanted,
    Opened,
    SafePointReached,
    SessionEnd,
    Started,
)
from agent.live.state import State
from agent.spec import Moves
from agent.tools.runner import ClosingRequested, ToolAnswers
from tests.agent.live.lives import (
    ANSWER,
    AUDIO,
    CALL,
    MODEL,
    ask,
    lifecycle,
    run,
    serving,
    speak,
)
from tests.agent.live.moving import (
    LOST,
    answer,
    closed,
    dial,
    fail,
    handle_comes,
    opened,
    report,
)

SAFE = SessionEnd(EndReason.HANDED_OVER, "at a safe point")
TRANSFER = ClosingRequested("transfer_call", "+15550100009")


def forced(why: str) -> SessionEnd:
    return SessionEnd(EndReason.HANDED_OVER, f"by force: {why}")


def ends(life: Lifecycle, now: float, until: float) -> float:
    """Let time pass, and return when the session ended."""
    brought = run(life, now, until)
    assert life.end is not None
    return brought[-1][0]


# -- while a connection serves ---------------------------------------------------------------------


def test_call_is_handed_over_at_once_where_the_line_is_quiet() -> None:
    """Nobody notices; the handle is the one that knows all that was said."""
    life = serving()
    answer(life, 5.0)
    assert life.receive(HandOverWanted(30.0), 8.0) == []
    assert [event for _, event, _ in run(life, 8.0, 9.0)] == [SafePointReached()]
    assert life.end == SAFE
    assert life.state is State.ENDED
    assert (life.standing.handle, life.standing.handle_s) == ("h-1", 5.0)


def test_answer_is_heard_out_before_the_call_is_handed_over() -> None:
    """And the handle that knows it is waited for."""
    life = serving()
    answer(life, 3.0)
    life.receive(AUDIO, 7.9)
    life.agent_playing(True, 7.9)
    life.receive(HandOverWanted(30.0), 8.0)
    life.receive(events.GenerationCompleted(), 8.5)
    life.receive(events.TurnCompleted(), 8.5)
    assert run(life, 8.5, 10.0, pending_ms=2_000) == []
    life.agent_playing(False, 10.0)
    assert run(life, 10.0, 11.0) == []
    handle_comes(life, 11.0, "h-2")
    assert ends(life, 11.0, 12.0) == pytest.approx(11.0)
    assert (life.end, life.standing.handle) == (SAFE, "h-2")


def test_limit_ends_the_wait() -> None:
    """Whatever is being said."""
    life = serving()
    answer(life, 5.0)
    life.receive(HandOverWanted(10.0), 8.0)
    life.receive(AUDIO, 8.1)
    life.agent_playing(True, 8.1)
    ((when, event, _),) = run(life, 8.1, 20.0, pending_ms=60_000)
    assert event == LeaveDeadlineReached()
    assert when == pytest.approx(18.0)
    assert life.end == forced("the agent was speaking")


@pytest.mark.parametrize(
    ("busy", "why"),
    [
        ("generating", "the agent was speaking"),
        ("playing", "the agent was speaking"),
        ("caller", "the caller was speaking"),
        ("tool", "a function was running"),
        ("owed", "the caller was waiting for an answer"),
        ("keys", "something was still to be told to the model"),
        ("old handle", "the newest handle did not know the last turn"),
    ],
)
def test_hand_over_at_once_says_what_it_cuts(busy: str, why: str) -> None:
    """For the operator, who may have asked for it too soon."""
    life = serving()
    answer(life, 5.0, handle=None if busy == "old handle" else "h-1")
    match busy:
        case "generating":
            life.receive(AUDIO, 9.0)
        case "playing":
            life.agent_playing(True, 9.0)
        case "caller":
            speak(life, 9.0, 1_000)
        case "owed":
            ask(life, 8.0)
        case "tool":
            life.receive(events.ToolCallsRequested((CALL,)), 10.0)
        case "keys":
            life.key_pressed("4", 10.0)
    life.receive(HandOverWanted(0.0), 10.0)
    assert life.end == forced(why)


def test_hand_over_at_once_at_a_quiet_moment_is_at_a_safe_point() -> None:
    """Nothing is cut."""
    life = serving()
    answer(life, 5.0)
    life.receive(HandOverWanted(0.0), 8.0)
    assert life.end == SAFE


def test_speech_that_nobody_answered_is_counted_as_lost() -> None:
    """The other worker's model will never hear it."""
    life = serving()
    answer(life, 5.0)
    now = ask(life, 8.0, ms=1_000)
    while life.tape.take(100):
        pass
    life.receive(HandOverWanted(0.0), now)
    assert 1_000 <= life.tape.lost_ms <= 1_700


def test_nothing_is_lost_at_a_safe_point() -> None:
    """What the caller said was answered."""
    life = serving()
    now = ask(life, 1.0)
    while life.tape.take(100):
        pass
    answer(life, now + 0.5)
    life.receive(HandOverWanted(30.0), now + 1)
    ends(life, now + 1, now + 3)
    assert (life.end, life.tape.lost_ms) == (SAFE, 0)


def test_asking_twice_shortens_the_limit() -> None:
    """And never makes it longer."""
    life = serving()
    answer(life, 5.0)
    speak(life, 7.9, 100)
    life.receive(AUDIO, 8.0)
    for limit_s in (30.0, 4.0, 60.0):
        life.receive(HandOverWanted(limit_s), 8.0)
    assert ends(life, 8.0, 40.0) == pytest.approx(12.0)


def test_no_stand_by_is_opened_for_a_hand_over() -> None:
    """There will be no next connection; one that was in reserve is given up."""
    life = serving(moves=Moves(standby=True))
    answer(life, 5.0)
    life.receive(AUDIO, 6.0)
    reserve = dial(life.receive(events.GoAwayReceived(50.0), 7.0))
    life.receive(Opened(reserve.attempt), 7.5)
    assert life.receive(HandOverWanted(30.0), 8.0) == [commands.CloseStandby()]
    life.receive(events.GenerationCompleted(), 8.5)
    out = life.receive(events.TurnCompleted(), 8.5)
    assert not any(isinstance(command, commands.OpenConnection) for command in out)


def test_dial_of_a_reserve_that_was_given_up_is_nobodys() -> None:
    """It fails while the old connection, lost meanwhile, is still being closed."""
    life = serving(moves=Moves(standby=True))
    answer(life, 5.0)
    reserve = dial(life.receive(events.GoAwayReceived(300.0), 7.0))
    speak(life, 7.0, 1_000)
    life.receive(HandOverWanted(30.0), 8.0)
    life.receive(LOST, 8.1)
    assert fail(life, reserve.attempt, 8.2) == []
    assert dial(closed(life, 8.3)).handle == "h-1"


def test_go_away_and_age_while_it_waits_end_in_the_same_hand_over() -> None:
    """The connection is left anyway: once is enough."""
    life = serving(moves=Moves(max_age_s=60))
    answer(life, 5.0)
    life.receive(HandOverWanted(300.0), 8.0)
    life.receive(AUDIO, 8.0)
    life.agent_playing(True, 8.0)
    life.receive(events.GoAwayReceived(10.0), 9.0)
    assert run(life, 9.0, 16.0, pending_ms=60_000) == []
    assert [type(event) for _, event, _ in run(life, 16.0, 20.0, pending_ms=60_000)] == [
        LeaveDeadlineReached
    ]
    assert life.end == forced("the agent was speaking")


def test_hand_over_joins_a_move_that_is_already_wanted() -> None:
    """A ``goAway`` far ahead is no reason to wait."""
    life = serving()
    answer(life, 5.0)
    life.receive(events.GoAwayReceived(300.0), 6.0)
    assert life.state is State.LEAVING
    life.receive(HandOverWanted(30.0), 8.0)
    assert ends(life, 8.0, 9.0) == pytest.approx(8.0)
    assert life.end == SAFE


def test_session_that_is_to_be_given_up_leaves_no_handle() -> None:
    """Another worker would resume what is wrong with it."""
    life = serving()
    answer(life, 5.0)
    forgot = Departure(MoveCause.FORGOT, 6.0, 16.0, fresh_session=True)
    handles = [life.standing.handle]
    life.receive(LeaveWanted(forgot), 6.0)
    handles.append(life.standing.handle)
    life.receive(HandOverWanted(0.0), 8.0)
    assert [*handles, life.standing.handle] == ["h-1", None, None]


# -- while none serves -----------------------------------------------------------------------------


def test_connection_that_is_lost_is_replaced_first() -> None:
    """So that what the caller has just said is heard by somebody; then comes the safe point."""
    life = serving()
    answer(life, 5.0)
    ask(life, 6.0)
    life.receive(HandOverWanted(30.0), 8.0)
    life.receive(LOST, 8.1)
    attempt = dial(closed(life, 8.2)).attempt
    assert report(opened(life, attempt, 8.5)).cause is MoveCause.LOST
    assert life.state is State.LEAVING
    answer(life, 9.0, handle="h-2")
    assert ends(life, 9.0, 12.0) < 10
    assert (life.end, life.standing.handle) == (SAFE, "h-2")


def test_hand_over_wanted_while_a_connection_is_looked_for_waits_for_it() -> None:
    """Also for the first one."""
    life = lifecycle()
    life.receive(Started(), 0.0)
    life.receive(HandOverWanted(30.0), 0.5)
    assert life.end is None
    opened(life, 1, 1.0)
    assert life.state is State.LEAVING
    handle_comes(life, 1.1)
    ends(life, 1.1, 6.0)
    assert life.end == SAFE


@pytest.mark.parametrize("limit_s", [0.0, 3.0])
def test_limit_counts_where_no_connection_comes(limit_s: float) -> None:
    """The other worker may have better luck; nothing that was said is lost unseen."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 8.0)
    closed(life, 8.1)
    life.receive(HandOverWanted(limit_s), 8.5)
    if limit_s:
        assert ends(life, 8.5, 20.0) == pytest.approx(11.5)
    assert life.end == forced("there was no Live connection")
    assert life.standing.handle is None, "it is being tried"


def test_handle_that_no_server_has_seen_is_left_to_the_other_worker() -> None:
    """The dial by it never got so far."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 8.0)
    fail(life, dial(closed(life, 8.1)).attempt, 8.3)
    life.receive(HandOverWanted(0.0), 8.4)
    assert life.standing.handle == "h-1"


def test_goodbye_that_waits_for_a_connection_is_not_handed_over() -> None:
    """The call was to be transferred: that is done."""
    life = serving()
    answer(life, 5.0)
    life.receive(events.ToolCallsRequested((CALL,)), 7.0)
    life.receive(LOST, 8.0)
    life.receive(ToolAnswers((ANSWER,)), 8.1)
    life.receive(TRANSFER, 8.1)
    life.receive(HandOverWanted(0.0), 8.2)
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.TRANSFERRED, "+15550100009")


@pytest.mark.parametrize("limit_s", [0.0, 30.0])
def test_goodbye_goes_on(limit_s: float) -> None:
    """It is bounded by itself, and what it leads to is the end of the call."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 1.0)
    life.receive(ToolAnswers((ANSWER,)), 1.0)
    life.receive(TRANSFER, 1.0)
    assert life.receive(HandOverWanted(limit_s), 1.1) == []
    assert life.state is State.CLOSING
    assert [type(event) for _, event, _ in run(life, 1.1, 10.0)] == [GoodbyeHeard]
    assert life.end is not None
    assert life.end.reason is EndReason.TRANSFERRED


def test_goodbye_that_begins_while_it_waits_goes_on() -> None:
    """The model has hung up before a safe point came."""
    life = serving()
    answer(life, 5.0)
    life.receive(events.ToolCallsRequested((CALL,)), 7.0)
    life.receive(HandOverWanted(2.0), 7.5)
    life.receive(ToolAnswers((ANSWER,)), 8.0)
    life.receive(ClosingRequested("end_call"), 8.0)
    run(life, 8.0, 30.0)
    assert life.end is not None
    assert life.end.reason is EndReason.AGENT_HUNG_UP


# -- what is left to the other worker --------------------------------------------------------------


def test_standing_tells_who_was_speaking() -> None:
    """Of the caller by energy, of the model by what it has sent."""
    life = serving()
    answer(life, 1.0)
    speaking = [life.standing.caller_speaking]
    speak(life, 4.0, 500)
    assert [*speaking, life.standing.caller_speaking] == [False, True]
    ask(life, 4.5)
    assert (life.standing.caller_speaking, life.standing.answer_due) == (False, True)
    life.receive(AUDIO, 6.5)
    assert (life.standing.generating, life.standing.answer_due) == (True, False)
    life.receive(events.GenerationCompleted(), 7.0)
    assert life.standing == replace(life.standing, generating=False, answer_due=False)


def test_function_that_runs_leaves_an_answer_due() -> None:
    """The caller waits for what comes of it."""
    life = serving()
    answer(life, 1.0)
    life.receive(events.ToolCallsRequested((CALL,)), 2.0)
    assert life.standing.answer_due
    life.receive(ToolAnswers((ANSWER,)), 2.5)
    assert life.standing.answer_due
    answer(life, 3.0)
    assert not life.standing.answer_due


def test_keys_that_the_model_was_not_told_leave_an_answer_due() -> None:
    """The caller has asked by pressing them."""
    life = serving()
    answer(life, 1.0)
    life.key_pressed("4", 2.0)
    assert life.standing.answer_due


def test_rest_of_an_answer_is_owed_until_it_goes_on() -> None:
    """Also by a worker that is lost while it looks for the next connection."""
    life = serving()
    answer(life, 1.0)
    life.receive(AUDIO, 2.0)
    life.receive(LOST, 2.1)
    assert life.standing.generating
    opened(life, dial(closed(life, 2.2)).attempt, 2.5)
    assert life.standing.generating
    answer(life, 3.0)
    assert not life.standing.generating


def test_standing_names_the_model_that_served_last() -> None:
    """Its handle is of no use to another one."""
    fallback = "gemini-3.1-flash-live-preview"
    life = serving(moves=Moves(fallback_models=(fallback,)))
    assert life.standing.model == MODEL
    life.receive(events.ConnectionLost(1011, "You exceeded your current quota"), 20.0)
    attempt = dial(closed(life, 20.1))
    assert (attempt.model, life.standing.model) == (fallback, MODEL)
    opened(life, attempt.attempt, 20.5)
    assert life.standing.model == fallback
