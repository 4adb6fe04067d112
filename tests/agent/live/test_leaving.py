"""When a session wants to leave its connection, and until when it waits."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.conversation.prompt import CUT_OFF, Opening
from agent.conversation.record import MoveCause, MoveKind, MoveMoment
from agent.errors import LiveConnectFailed
from agent.live.resumption import EARLY_S, GO_AWAY_MARGIN_S, HANDLE_WAIT_S, LATE_S
from agent.live.session_events import (
    CaughtUp,
    ConnectionClosed,
    LeaveDeadlineReached,
    LeaveWanted,
    Opened,
    SafePointReached,
)
from agent.live.state import State
from agent.spec import Limits, Moves
from tests.agent.live.lives import (
    AUDIO,
    CALL,
    ask,
    run,
    serving,
    speak,
)
from tests.agent.live.moving import (
    LEAVE,
    LOST,
    answer,
    closed,
    dial,
    fail,
    handle_comes,
    opened,
    report,
    texts,
)


def test_go_away_waits_for_the_end_of_the_turn_and_of_its_playout() -> None:
    """The model generates, then the caller hears it, then a handle comes: now nothing is lost."""
    life = serving()
    life.receive(AUDIO, 10.0)
    life.agent_playing(True, 10.0)
    life.receive(events.GoAwayReceived(50.0), 10.1)
    assert life.state is State.LEAVING
    assert run(life, 10.1, 12.0, pending_ms=900) == []
    life.receive(events.GenerationCompleted(), 12.0)
    life.receive(events.TurnCompleted(), 12.0)
    handle_comes(life, 12.1)
    assert run(life, 12.1, 12.3, pending_ms=900) == []
    life.agent_playing(False, 13.0)
    ((when, event, out),) = run(life, 13.0, 13.1)
    assert (when, event, out) == (13.0, SafePointReached(), [LEAVE])
    assert dial(closed(life, 13.2)).handle == "h-1"
    moved_to = report(opened(life, 2, 13.4))
    assert (moved_to.cause, moved_to.moment) == (MoveCause.GO_AWAY, MoveMoment.SAFE_POINT)
    assert moved_to.kind is MoveKind.RESUME
    assert moved_to.wanted_s == pytest.approx(10.1)
    assert moved_to.left_s == pytest.approx(13.0)
    assert moved_to.gap_ms == 0


def test_go_away_in_the_first_second_does_not_cut_the_greeting() -> None:
    """A greeting that was asked for is waited for, and heard out."""
    life = serving(Opening("Be kind.", greeting="Hello."))
    life.receive(events.GoAwayReceived(50.0), 1.0)
    assert run(life, 1.0, 2.0) == []
    life.receive(AUDIO, 2.0)
    life.agent_playing(True, 2.0)
    life.receive(events.GenerationCompleted(), 2.2)
    life.receive(events.TurnCompleted(), 2.2)
    handle_comes(life, 2.2)
    assert run(life, 2.2, 4.0, pending_ms=2_000) == []
    life.agent_playing(False, 4.2)
    assert [type(event) for _, event, _ in run(life, 4.2, 5.0)] == [SafePointReached]


def test_go_away_while_a_kept_greeting_plays_waits_for_its_end() -> None:
    """The server knows nothing of it, we do."""
    greeting = Opening("Be kind.", greeting="Hello.", greeting_audio=AUDIO.audio)
    life = serving(greeting)
    handle_comes(life, 0.1)
    life.agent_playing(True, 0.1)
    life.receive(events.GoAwayReceived(50.0), 1.0)
    assert run(life, 1.0, 2.0, pending_ms=1_000) == []
    life.agent_playing(False, 3.0)
    assert [type(event) for _, event, _ in run(life, 3.0, 3.1)] == [SafePointReached]


@pytest.mark.parametrize("busy", ["caller", "owed", "tool", "keys", "in progress"])
def test_no_point_is_safe_while_something_is_under_way(busy: str) -> None:
    """A caller who speaks or waits, a function that runs, keys being pressed, a model at work."""
    life = serving()
    answer(life, 5.0)
    match busy:
        case "caller":
            speak(life, 9.0, 1_000)
        case "owed":
            ask(life, 8.0)
        case "tool":
            life.receive(events.ToolCallsRequested((CALL,)), 10.0)
        case "keys":
            life.key_pressed("4", 10.0)
        case "in progress":
            life.receive(events.InteractionStatusChanged("IN_PROGRESS"), 10.0)
    handle_comes(life, 10.0)
    life.receive(events.GoAwayReceived(50.0), 10.0)
    assert run(life, 10.0, 10.9) == []
    assert life.state is State.LEAVING


def test_deadline_forces_what_no_safe_point_allowed() -> None:
    """Five seconds before the server closes; the answer under way is asked to go on."""
    life = serving()
    handle_comes(life, 5.0)
    life.receive(events.GoAwayReceived(10.0), 10.0)
    life.receive(AUDIO, 16.0)
    life.agent_playing(True, 16.0)
    found = run(life, 16.0, 20.0, pending_ms=400)
    assert [(when, type(event)) for when, event, _ in found] == [(17.5, LeaveDeadlineReached)]
    # The leftover is still heard.
    assert found[0][2] == [LEAVE]
    assert dial(closed(life, 17.6)).cut_off
    out = life.receive(Opened(2), 18.0)
    assert texts(out) == [CUT_OFF]
    life.agent_playing(False, 18.1)
    life.receive(CaughtUp(), 18.1)
    out = life.receive(AUDIO, 18.9)
    found_report = report(out)
    assert found_report.moment is MoveMoment.FORCED
    assert found_report.gap_ms == pytest.approx(800, abs=1)


def test_go_away_without_time_left_is_given_thirty_seconds() -> None:
    """What others assume; less a margin."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    life.receive(events.GoAwayReceived(None), 10.0)
    ((when, event, _),) = run(life, 10.0, 40.0)
    assert (when, type(event)) == (35.0, LeaveDeadlineReached)


def test_second_go_away_hurries_and_does_not_put_off() -> None:
    """The sooner deadline counts."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    for left_s in (50.0, 8.0, 100.0):
        life.receive(events.GoAwayReceived(left_s), 10.0)
    assert run(life, 10.0, 60.0)[0][0] == 16.0


def test_old_connection_is_left_in_a_pause_without_a_word_from_the_server() -> None:
    """Its age is enough, as the cap is not always announced."""
    life = serving(moves=Moves(max_age_s=30), limits=Limits(idle_s=600))
    answer(life, 10.0)
    found = run(life, 10.0, 40.0)
    assert [(when, type(event)) for when, event, _ in found] == [
        (30.0, LeaveWanted),
        (30.0, SafePointReached),
    ]


def test_old_connection_in_a_lively_call_is_left_in_the_end() -> None:
    """A twelfth of its age is the grace."""
    life = serving(moves=Moves(max_age_s=30), limits=Limits(idle_s=600))
    life.receive(events.ToolCallsRequested((CALL,)), 29.0)
    found = run(life, 29.0, 40.0)
    assert [(when, type(event)) for when, event, _ in found] == [
        (30.0, LeaveWanted),
        (32.5, LeaveDeadlineReached),
    ]


def test_slow_session_is_left_for_a_fresh_one_at_a_safe_point() -> None:
    """A handle would bring the slowness back; the next connection is ready before it is left."""
    life = serving(moves=Moves(latency_drift_s=0.5))
    now = 0.0
    for delay in (0.7, 0.7, 0.7, 1.6, 1.6, 1.6):
        now = ask(life, now + 3.0)
        answer(life, now + delay - 0.62)
    ((_, event, out),) = run(life, now + 2.0, now + 3.0)
    assert isinstance(event, LeaveWanted)
    standby = dial(out)
    assert (standby.handle, standby.standby) == (None, True)
    life.receive(Opened(standby.attempt), now + 3.0)
    ((_, event, _),) = run(life, now + 3.0, now + 3.1)
    assert event == SafePointReached()
    assert closed(life, now + 3.1) == [commands.PromoteStandby(standby.attempt)]
    moved_to = report(opened(life, standby.attempt, now + 3.1))
    assert (moved_to.cause, moved_to.kind) == (MoveCause.LATENCY, MoveKind.STANDBY)
    assert moved_to.detail == "answers have become 900 ms slower"


def test_slow_session_is_not_left_before_its_age_where_no_point_is_safe() -> None:
    """Slow is better than cut, but old is not."""
    life = serving(moves=Moves(latency_drift_s=0.5, max_age_s=120))
    now = 0.0
    for delay in (0.7, 0.7, 0.7, 1.6, 1.6, 1.6):
        now = ask(life, now + 3.0)
        answer(life, now + delay - 0.62)
    life.receive(events.ToolCallsRequested((CALL,)), now + 1.0)
    found = run(life, now + 1.0, 140.0)
    assert [type(event) for _, event, _ in found] == [LeaveWanted, LeaveDeadlineReached]
    assert found[-1][0] == pytest.approx(130.0)


def test_no_handle_is_waited_for_once_time_is_short() -> None:
    """Until then the next turn may bring one; after that a quiet line is left without."""
    life = serving()
    answer(life, 5.0, handle=None)
    life.receive(events.GoAwayReceived(50.0), 10.0)
    ((when, event, _),) = run(life, 10.0, 50.0)
    assert (when, event) == (10.0 + 50.0 - GO_AWAY_MARGIN_S - LATE_S, SafePointReached())


def test_quiet_line_is_left_without_a_handle_where_time_is_short_from_the_start() -> None:
    """Handles come with the end of a turn or not at all."""
    life = serving()
    answer(life, 5.0, handle=None)
    life.receive(events.GoAwayReceived(12.0), 10.0)
    ((when, event, _),) = run(life, 10.0, 20.0)
    assert (when, event) == (10.0 + HANDLE_WAIT_S, SafePointReached())


def test_go_away_far_ahead_is_no_hurry() -> None:
    """Each connection may begin with one: nobody is moved for it before a minute is left."""
    life = serving(limits=Limits(idle_s=600))
    answer(life, 1.0)
    life.receive(events.GoAwayReceived(300.0), 2.0)
    ((when, event, _),) = run(life, 2.0, 245.0)
    assert (when, event) == (2.0 + 300.0 - EARLY_S, SafePointReached())


def test_connections_that_send_us_on_and_on_are_an_outage() -> None:
    """Each says goAway as soon as it is up: tries are spread, and the budget ends them."""
    life = serving(moves=Moves(budget_s=10))
    answer(life, 1.0)
    now, dials = 20.0, 0
    while life.end is None and now < 60.0:
        life.receive(events.GoAwayReceived(0.2), now)
        run(life, now, now + 0.3)
        if life.state is State.MOVING:
            life.receive(ConnectionClosed(), now + 0.3)
            run(life, now + 0.3, now + 5.0)
        now += 5.0
        if life.state is State.MOVING:
            dials += 1
            life.receive(Opened(dials + 1), now)
            life.receive(CaughtUp(), now)
    assert life.end is not None
    assert dials < 10


def test_old_handle_is_used_in_a_pause_although_it_does_not_know_the_last_turn() -> None:
    """What it lacks is told."""
    life = serving()
    answer(life, 5.0)
    answer(life, 8.0, handle=None)
    life.receive(events.GoAwayReceived(12.0), 10.0)
    run(life, 10.0, 12.5)
    assert dial(closed(life, 12.5)).handle == "h-1"


def test_standby_that_waits_for_a_function_that_was_cancelled_is_stale() -> None:
    """It was told that the function runs and not to call it again: it would wait for ever."""
    life = serving(moves=Moves(standby=True))
    answer(life, 2.0)
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    standby = dial(life.receive(events.GoAwayReceived(50.0), 6.0))
    assert standby.untold == {CALL.id}
    life.receive(Opened(standby.attempt), 6.5)
    life.receive(events.ToolCallsCancelled((CALL.id,)), 7.0)
    life.receive(LOST, 7.5)
    by_handle = dial(closed(life, 7.6))
    refused = LiveConnectFailed("the handle was refused", code=1007, setup_sent=True)
    out = fail(life, by_handle.attempt, 8.0, refused)
    assert not any(isinstance(item, commands.PromoteStandby) for item in out)
