"""Telling the model something in the middle of a call: at once, or by a move."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.context.budget import START_TOKENS_PER_S
from agent.conversation.prompt import Opening
from agent.conversation.record import MoveCause, MoveKind
from agent.live.leaving import FULL_GRACE_S, SETTLED_S, UPDATE_REFUSED_S
from agent.live.lifecycle import Lifecycle
from agent.live.models import UpdatePath, profile_for
from agent.live.session_events import (
    CaughtUp,
    LeaveWanted,
    Opened,
    SafePointReached,
    Started,
    UpdateWanted,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue
from agent.spec import AgentSpec, Limits
from agent.tools.runner import ToolAnswers
from tests.agent.live.lives import ANSWER, AUDIO, CALL, QUIET, ask, run, serving, speak, take_all
from tests.agent.live.moving import answer, closed, dial, handle_comes, opened, report

NOTE = UpdateWanted(MoveCause.UPDATE, "there is a note for the model")
TOLD = [commands.SendInstruction()]
NEXT_MOVE_ONLY = "gemini-3.1-flash-live-preview"
WINDOW = 131_072


def filled(tokens: int) -> events.UsageReported:
    return events.UsageReported(tokens, 0, tokens)


def test_quiet_model_is_told_at_once() -> None:
    """3.8 takes a new instruction in the middle of a session."""
    life = serving()
    assert life.receive(NOTE, 5.0) == TOLD
    assert life.state is State.SERVING


def test_model_that_speaks_is_told_when_its_turn_is_over() -> None:
    """The update is handled in order with the rest, and must not come into an answer."""
    life = serving()
    life.receive(AUDIO, 5.0)
    assert life.receive(NOTE, 5.1) == []
    assert TOLD[0] in life.receive(events.GenerationCompleted(), 5.2)
    assert TOLD[0] not in life.receive(events.TurnCompleted(), 5.3), "once"


def test_model_that_waits_for_a_function_is_told_after_its_answer() -> None:
    """Whatever is sent while a blocking call is open may close the connection (js-genai#1236)."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    assert life.receive(NOTE, 5.1) == []
    assert TOLD[0] not in life.receive(ToolAnswers((ANSWER,)), 5.2)
    answer(life, 6.0, handle=None)
    life.agent_playing(False, 6.5)
    assert TOLD[0] not in life.receive(events.GoAwayReceived(None), 6.6), "a move will tell it"


def test_caller_who_waits_for_an_answer_gets_it_first() -> None:
    """A new instruction costs the prefix cache: not in the one moment that is measured."""
    life = serving()
    now = ask(life, 5.0)
    assert life.receive(NOTE, now) == []
    assert TOLD[0] not in life.receive(AUDIO, now + 0.5)
    assert TOLD[0] in life.receive(events.GenerationCompleted(), now + 0.6)


def test_go_away_far_ahead_keeps_no_update_back() -> None:
    """Each connection of 3.8 may begin with one (seen: 300 s), and serves for minutes then."""
    life = serving(limits=Limits(idle_s=600))
    answer(life, 1.0)
    life.receive(events.GoAwayReceived(300.0), 2.0)
    assert life.receive(NOTE, 5.0) == TOLD
    life = serving(model=NEXT_MOVE_ONLY, limits=Limits(idle_s=600))
    answer(life, 1.0)
    life.receive(events.GoAwayReceived(300.0), 2.0)
    life.receive(NOTE, 5.0)
    *_, (when, event, _) = run(life, 5.0, SETTLED_S + 1.0)
    assert (when, event) == (SETTLED_S, SafePointReached())


def test_vertex_is_told_in_a_message_with_the_role_system() -> None:
    """Its 2.5 models know no ``contextUpdate``."""
    life = Lifecycle(
        spec=AgentSpec("bakery", "Be kind.", model="gemini-live-2.5-flash-native-audio"),
        opening=Opening("Be kind."),
        profiles=lambda name: profile_for(name, vertexai=True),
        now=0.0,
    )
    for event in (Started(), Opened(1), CaughtUp()):
        life.receive(event, 0.0)
    assert life.receive(NOTE, 5.0) == [commands.SendReminder()]


def test_model_that_takes_nothing_is_left_at_a_safe_point_to_be_told() -> None:
    """The next connection's instruction holds it; a young connection is not left for that."""
    life = serving(model=NEXT_MOVE_ONLY)
    answer(life, 2.0)
    assert life.receive(NOTE, 5.0) == []
    found = run(life, 5.0, SETTLED_S + 1.0)
    assert [(when, type(event)) for when, event, _ in found] == [
        (5.0, LeaveWanted),
        (SETTLED_S, SafePointReached),
    ]
    told = dial(closed(life, SETTLED_S))
    assert told.handle == "h-1"
    moved_to = report(opened(life, told.attempt, SETTLED_S + 0.3))
    assert (moved_to.cause, moved_to.kind, moved_to.gap_ms) == (
        MoveCause.UPDATE,
        MoveKind.RESUME,
        0.0,
    )
    assert run(life, SETTLED_S + 1.0, SETTLED_S + 30.0) == []


def test_update_that_closed_the_connection_is_never_sent_again() -> None:
    """Nobody has reported what the Developer API makes of ``contextUpdate``."""
    life = serving()
    answer(life, 2.0)
    life.receive(NOTE, 5.0)
    life.receive(events.ConnectionLost(1007, "Request contains an invalid argument."), 5.2)
    assert life.update_path is UpdatePath.NEXT_MOVE
    opened(life, dial(closed(life, 5.3)).attempt, 5.6)
    answer(life, 6.0, handle="h-2")
    assert life.receive(NOTE, 7.0) == []
    assert isinstance(run(life, 7.0, 8.0)[0][1], LeaveWanted)


def test_connection_that_was_never_sent_an_update_was_not_closed_for_one() -> None:
    """The one before it was, and is left for another reason."""
    life = serving()
    answer(life, 2.0)
    life.receive(NOTE, 5.0)
    life.receive(AnswerOverdue(8.0), 5.5)
    opened(life, dial(closed(life, 5.6)).attempt, 6.0)
    life.receive(events.ConnectionLost(1011, ""), 7.0)
    assert life.update_path is UpdatePath.CONTEXT_UPDATE


def test_connection_lost_long_after_an_update_was_not_closed_for_it() -> None:
    """The next one is told in the middle of the conversation again."""
    life = serving()
    answer(life, 2.0)
    life.receive(NOTE, 5.0)
    life.receive(events.ConnectionLost(1011, ""), 5.1 + UPDATE_REFUSED_S)
    assert life.update_path is UpdatePath.CONTEXT_UPDATE


def test_update_while_no_connection_serves_is_told_by_the_next() -> None:
    """Its instruction is composed when it is dialled."""
    life = serving()
    answer(life, 2.0)
    life.receive(events.ConnectionLost(1011, ""), 5.0)
    assert life.receive(NOTE, 5.1) == []
    opened(life, dial(closed(life, 5.2)).attempt, 5.5)
    answer(life, 6.0, handle="h-2")
    assert run(life, 6.0, 30.0) == []


def test_words_that_are_said_again_count_again() -> None:
    """The session that is told them has none of what the one before had heard."""
    life = serving()
    answer(life, 2.0)
    now = ask(life, 5.0, 4_000)
    take_all(life)
    life.receive(events.ConnectionLost(1011, ""), now)
    speak(life, now, 8_000, pcm=QUIET)
    told = dial(closed(life, now + 8.0))
    life.budget.connected(instruction="", resumed=True)
    before = life.budget.tokens
    opened(life, told.attempt, now + 8.0)
    said = life.budget.tokens - before
    assert said == pytest.approx(4 * START_TOKENS_PER_S, rel=0.1)


def test_context_that_its_own_instruction_fills_is_not_left_for_another_like_it() -> None:
    """A fresh session would be as full: the call would move for ever."""
    life = serving()
    life.budget.connected(instruction="x" * int(WINDOW * 0.9 * 4), resumed=False)
    answer(life, 30.0)
    life.receive(filled(int(WINDOW * 0.95)), 31.0)
    assert run(life, 31.0, 60.0) == []


def test_context_that_is_nearly_full_is_left_for_a_fresh_session() -> None:
    """With its connection ready first, at a safe point: the caller hears nothing."""
    life = serving()
    answer(life, 30.0)
    life.receive(filled(int(WINDOW * 0.95)), 31.0)
    ((_, event, out),) = run(life, 31.0, 32.0)
    assert isinstance(event, LeaveWanted)
    standby = dial(out)
    assert standby.standby
    life.receive(Opened(standby.attempt), 32.0)
    ((_, event, _),) = run(life, 32.0, 32.1)
    assert event == SafePointReached()
    assert closed(life, 32.1) == [commands.PromoteStandby(standby.attempt)]
    moved_to = report(opened(life, standby.attempt, 32.1))
    assert (moved_to.cause, moved_to.kind) == (MoveCause.CONTEXT, MoveKind.STANDBY)
    assert moved_to.detail.startswith("the context holds 124,")
    assert moved_to.gap_ms == 0.0


def test_full_context_is_left_before_it_overflows_safe_point_or_not() -> None:
    """The server would close it with 1007, or answer nothing."""
    life = serving()
    answer(life, 30.0)
    life.receive(filled(int(WINDOW * 0.95)), 31.0)
    life.receive(events.ToolCallsRequested((CALL,)), 31.1)
    found = run(life, 31.1, 31.1 + 2 * FULL_GRACE_S)
    assert life.state is State.MOVING
    assert found[-1][0] <= 31.1 + FULL_GRACE_S + 0.1


def test_context_that_stays_full_does_not_chase_the_session_from_move_to_move() -> None:
    """An instruction that fills the window by itself is not mended by another session."""
    life = serving()
    answer(life, 30.0)
    life.receive(filled(int(WINDOW * 0.95)), 31.0)
    found = run(life, 31.0, 32.0)
    standby = dial(found[0][2])
    life.receive(Opened(standby.attempt), 32.0)
    run(life, 32.0, 32.1)
    closed(life, 32.1)
    opened(life, standby.attempt, 32.1)
    answer(life, 33.0, handle="h-2")
    life.receive(filled(int(WINDOW * 0.95)), 33.0)
    assert run(life, 33.0, 33.0 + SETTLED_S / 2) == []


def test_wish_to_tell_does_not_hide_that_a_session_forgot() -> None:
    """A better instruction for the same session is no help to one without memory."""
    life = serving(model=NEXT_MOVE_ONLY)
    answer(life, 2.0)
    life.receive(events.UsageReported(2_758, 0, 2_758), 2.0)
    handle_comes(life, 2.0)
    life.receive(events.GoAwayReceived(50.0), 9.0)
    run(life, 9.0, 9.1)
    opened(life, dial(closed(life, 9.2)).attempt, 9.5)
    life.budget.connected(instruction="Be kind.", resumed=True)
    handle_comes(life, 9.6, "h-2")
    life.receive(NOTE, 10.0)
    life.receive(events.UsageReported(351, 0, 351), 10.1)
    ((_, event, out),) = run(life, 10.1, 10.2)
    assert isinstance(event, LeaveWanted)
    assert event.departure.cause is MoveCause.FORGOT
    assert dial(out).standby
