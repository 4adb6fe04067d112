"""From one connection to the next: how, what is said there, and what is reported."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.commands import OpenConnection
from agent.conversation.prompt import CUT_OFF, WAITING, Opening, tool_result
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.errors import LiveConnectFailed, LiveConnectRefused
from agent.live.caller_speech import CallerSpeechEnded
from agent.live.move import FILLER_AFTER_S, ReportMove
from agent.live.session_events import (
    BudgetSpent,
    CaughtUp,
    ConnectionClosed,
    EndRequested,
    FillerDue,
    GoodbyeHeard,
    Opened,
    RetryDue,
    SafePointReached,
    SpokenOver,
    Started,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue
from agent.spec import Moves
from agent.tools.runner import ClosingRequested, ToolAnswers
from tests.agent.live.lives import (
    ANSWER,
    AUDIO,
    CALL,
    LOUD,
    MODEL,
    QUIET,
    ask,
    lifecycle,
    run,
    serving,
    speak,
    take_all,
)
from tests.agent.live.moving import (
    FALLBACK,
    LOST,
    PERSON,
    answer,
    closed,
    dial,
    fail,
    handle_comes,
    moved,
    opened,
    report,
    retried,
    texts,
)


def test_lost_connection_is_resumed_by_its_newest_handle() -> None:
    """Close, dial by handle, say again what nobody answered, serve."""
    life = serving()
    answer(life, 5.0, handle="h-1")
    handle_comes(life, 6.0, "h-2")
    ask(life, 7.0)
    take_all(life)
    assert life.receive(LOST, 9.0) == [commands.LeaveConnection(said_again=True)]
    assert life.tape.held
    assert closed(life, 9.2) == [commands.OpenConnection(2, MODEL, "h-2", moved=True)]
    out = opened(life, 2, 9.5)
    assert texts(out) == []
    found = report(out)
    assert (found.cause, found.moment, found.kind) == (
        MoveCause.LOST,
        MoveMoment.ABRUPT,
        MoveKind.RESUME,
    )
    assert (found.left_s, found.done_s, found.tries) == (9.0, 9.5, 1)
    assert found.replayed_ms == 1_620
    assert found.gap_ms == pytest.approx(500)


def test_handle_that_the_server_refuses_is_followed_by_a_fresh_session_at_once() -> None:
    """One try for each handle."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 9.0)
    closed(life, 9.0)
    error = LiveConnectFailed("closed", code=1007, reason="invalid argument", setup_sent=True)
    assert dial(fail(life, 2, 9.2, error)) == commands.OpenConnection(3, MODEL, moved=True)
    found = report(opened(life, 3, 9.5))
    assert (found.kind, found.tries) == (MoveKind.REFILL, 2)


def test_handle_that_no_server_saw_is_tried_again() -> None:
    """A dial without a socket has not cost it."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 9.0)
    assert dial(closed(life, 9.0)).handle == "h-1"
    assert fail(life, 2, 9.2) == []
    when, again = retried(life, 9.2)
    assert when == pytest.approx(9.45)
    assert again.handle == "h-1"
    fail(life, 3, 9.5)
    assert retried(life, 9.5)[1].handle == "h-1"


def test_connection_without_a_handle_is_filled_anew() -> None:
    """A session in which the model never spoke may have none."""
    life = serving()
    found = report(moved(life, 9.0))
    assert found.kind is MoveKind.REFILL


def test_resumed_connection_that_dies_at_once_is_not_resumed_again() -> None:
    """Even by a handle of its own."""
    life = serving()
    answer(life, 5.0)
    moved(life, 9.0)
    handle_comes(life, 9.5, "h-2")
    life.receive(events.ConnectionLost(1007, "Request contains an invalid argument."), 10.0)
    assert closed(life, 10.0) == []
    assert retried(life, 10.0)[1].handle is None


def test_ill_model_is_left_for_the_fallback() -> None:
    """After three failures in a row; another model cannot resume."""
    life = serving(moves=Moves(fallback_models=(FALLBACK,)))
    answer(life, 5.0)
    life.receive(events.ConnectionLost(1011, "The service is currently unavailable."), 9.0)
    closed(life, 9.0)
    ill = LiveConnectFailed("HTTP 503", code=503)
    fail(life, 2, 9.1, ill)
    dials = [retried(life, 9.1)[1]]
    dials.append(dial(fail(life, 3, 9.5, ill)))
    assert [(item.model, item.handle) for item in dials] == [(MODEL, "h-1"), (FALLBACK, None)]
    found = report(opened(life, 4, 10.0))
    assert (found.model, found.kind, found.tries) == (FALLBACK, MoveKind.REFILL, 3)


def test_caller_hears_a_person_when_the_budget_is_spent() -> None:
    """A call never ends in silence."""
    life = serving(moves=Moves(person="the owner", budget_s=20), transfer=PERSON)
    life.receive(LOST, 9.0)
    closed(life, 9.0)
    assert run(life, 9.0, 40.0)[-1][:2] == (29.0, BudgetSpent())
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.LIVE_LOST, "+15550100009")


def test_budget_without_a_person_is_the_apologys() -> None:
    """The detail says how long was tried, and what the last try met; the report says no kind."""
    life = serving()
    life.receive(LOST, 9.0)
    closed(life, 9.0)
    fail(life, 2, 9.5)
    out = run(life, 9.5, 40.0)[-1][2]
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.LIVE_LOST, None)
    assert life.end.detail == "no Live connection for 20 s; the last try: no route"
    assert report(out).kind is None
    assert report(out).done_s == 29.0


def test_budget_counts_from_the_beginning_of_the_trouble() -> None:
    """A connection that comes up and dies without a word has not ended it."""
    life = serving()
    life.receive(LOST, 10.0)
    opened(life, dial(closed(life, 10.0)).attempt, 18.0)
    life.receive(LOST, 20.0)
    closed(life, 20.0)
    assert run(life, 20.0, 50.0)[-1][:2] == (30.0, BudgetSpent())


def test_connection_that_stays_up_ends_the_trouble() -> None:
    """Ten seconds are enough where nobody had anything to say."""
    life = serving()
    moved(life, 10.0)
    run(life, 10.0, 22.0)
    life.receive(LOST, 25.0)
    closed(life, 25.0)
    assert run(life, 25.0, 50.0)[-1][:2] == (45.0, BudgetSpent())


def test_refusal_in_the_middle_of_a_call_is_tried_once_more_then_ends() -> None:
    """A key may be refused in passing, not twice."""
    life = serving()
    answer(life, 5.0, handle=None)
    life.receive(LOST, 9.0)
    closed(life, 9.0)
    refused = LiveConnectRefused("GOOGLE_API_KEY", "was refused")
    assert fail(life, 2, 9.1, refused) == []
    assert [event for _, event, _ in run(life, 9.1, 9.7)] == [RetryDue()]
    fail(life, 3, 9.8, refused)
    assert life.end is not None
    assert "GOOGLE_API_KEY" in life.end.detail


def test_filler_is_heard_once_in_a_gap() -> None:
    """After a second and a half in which the caller waits for nothing to be heard."""
    life = serving()
    ask(life, 5.0)
    life.receive(LOST, 7.0)
    closed(life, 7.0)
    found = [(when, event) for when, event, _ in run(life, 7.0, 26.0) if event == FillerDue()]
    assert found == [(7.0 + FILLER_AFTER_S, FillerDue())]


def test_caller_who_waits_for_nothing_hears_no_filler() -> None:
    """Silence is natural where nobody owes anything."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 9.0)
    closed(life, 9.0)
    assert [type(event) for _, event, _ in run(life, 9.0, 26.0)] == []


def test_callers_own_words_are_said_again_rather_than_asked_for() -> None:
    """Audio wakes the model by itself; a text beside it would be a second question."""
    life = serving()
    answer(life, 2.0)
    ask(life, 5.0)
    take_all(life)
    assert texts(moved(life, 7.0)) == []


def test_answer_that_is_owed_without_words_is_asked_for() -> None:
    """The model was told a result, and its connection died before it spoke."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    life.receive(ToolAnswers((ANSWER,)), 6.0)
    assert texts(moved(life, 6.5)) == [WAITING]


def test_texts_that_nobody_answered_are_said_again() -> None:
    """The request for the greeting as an opening, keys in their own words; in one message."""
    life = serving(Opening("Be kind.", greeting="Hello."))
    life.key_pressed("#", 1.0)
    run(life, 1.0, 1.1)
    out = moved(life, 2.0)
    (told,) = (item for item in out if isinstance(item, commands.SendText))
    assert told.opening
    assert "Hello." in told.text
    assert "pressed #" in told.text
    again = moved(life, 3.0)
    assert texts(again) == [told.text]


def test_text_that_was_answered_is_not_said_again() -> None:
    """Nothing is greeted or pressed twice."""
    life = serving(Opening("Be kind.", greeting="Hello."))
    answer(life, 1.0)
    assert texts(moved(life, 5.0)) == []


def test_keys_pressed_during_the_move_are_told_after_it() -> None:
    """Nothing the caller pressed is lost."""
    life = serving()
    answer(life, 1.0)
    life.receive(LOST, 5.0)
    life.key_pressed("#", 5.1)
    run(life, 5.1, 5.2)
    closed(life, 5.3)
    assert texts(opened(life, 2, 5.5)) == ["The caller pressed # on the phone's keypad."]


def test_function_that_ends_during_the_move_is_told_in_words() -> None:
    """The new connection does not know its id."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    life.receive(LOST, 6.0)
    assert dial(closed(life, 6.0)).untold == {"id-1"}
    assert life.receive(ToolAnswers((ANSWER,)), 6.5) == []
    out = opened(life, 2, 7.0)
    assert texts(out) == [tool_result("order_status", {"output": "ready"})]
    assert not [item for item in out if isinstance(item, commands.SendToolResponses)]


def test_function_that_ends_after_the_move_is_told_in_words_once() -> None:
    """Nobody is late while it runs."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    assert texts(moved(life, 6.0)) == []
    assert [event for _, event, _ in run(life, 6.0, 30.0) if isinstance(event, AnswerOverdue)] == []
    out = life.receive(ToolAnswers((ANSWER,)), 30.0)
    assert out == [commands.SendText(tool_result("order_status", {"output": "ready"}))]
    assert life.receive(ToolAnswers((ANSWER,)), 30.1) == []


def test_function_the_new_connection_asks_for_again_does_not_run_twice() -> None:
    """It is given the running one's result under its own id."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    moved(life, 6.0)
    again = events.FunctionCall("id-2", CALL.name, CALL.args)
    assert life.receive(events.ToolCallsRequested((again,)), 6.5) == []
    (sent,) = life.receive(ToolAnswers((ANSWER,)), 7.0)
    assert sent == commands.SendToolResponses(
        (commands.ToolResponse("id-2", "order_status", {"output": "ready"}),)
    )


def test_result_of_an_orphan_waits_for_calls_of_the_new_connection() -> None:
    """Text while calls are pending closes some connections."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    moved(life, 6.0)
    other = events.FunctionCall("id-2", "opening_hours", {})
    life.receive(events.ToolCallsRequested((other,)), 6.5)
    assert life.receive(ToolAnswers((ANSWER,)), 7.0) == []
    done = commands.ToolResponse("id-2", "opening_hours", {"output": "seven"})
    out = life.receive(ToolAnswers((done,)), 8.0)
    assert [type(item) for item in out] == [commands.SendToolResponses, commands.SendText]


def test_leftover_is_cut_when_the_caller_speaks_over_it() -> None:
    """No server can interrupt what the connection before has said; a "hm" does not."""
    life = serving()
    life.receive(AUDIO, 5.0)
    life.agent_playing(True, 5.0)
    life.receive(LOST, 5.2)
    assert speak(life, 5.3, 400)[1:] == []
    shown = speak(life, 5.7, 300)
    assert SpokenOver() in shown
    assert SpokenOver() not in speak(life, 6.0, 500)


def test_words_over_the_leftover_cut_it_too() -> None:
    """The new server has understood something."""
    life = serving()
    life.receive(AUDIO, 5.0)
    life.agent_playing(True, 5.0)
    moved(life, 5.2)
    out = life.receive(events.InputTranscribed("Stop"), 5.5)
    assert out == [commands.ClearPlayout(leftover=True)]


def test_goodbye_asked_for_during_the_move_is_said_after_it() -> None:
    """``end_call`` ran while there was no connection: the caller still hears a goodbye."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    life.receive(LOST, 5.5)
    life.receive(ToolAnswers((ANSWER,)), 5.6)
    life.receive(ClosingRequested("end_call"), 5.6)
    closed(life, 5.7)
    opened(life, 2, 6.0)
    assert life.state is State.CLOSING
    answer(life, 7.0)
    assert life.tick(7.0, pending_ms=0) == GoodbyeHeard()


def test_goodbye_asked_for_during_a_move_that_fails_is_the_end_that_was_wanted() -> None:
    """A caller who was to be put through is put through."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 5.0)
    life.receive(LOST, 5.5)
    life.receive(ClosingRequested("end_call"), 5.6)
    life.receive(ClosingRequested("transfer_call", "+15550100009"), 5.7)
    closed(life, 5.8)
    run(life, 5.8, 40.0)
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.TRANSFERRED, "+15550100009")


def test_first_connection_is_no_move() -> None:
    """However many tries it took."""
    life = lifecycle()
    life.receive(Started(), 0.0)
    fail(life, 1, 0.5)
    out = opened(life, 2, 1.0)
    assert not [item for item in out if isinstance(item, ReportMove)]


def test_connection_lost_before_it_had_caught_up_is_reported() -> None:
    """The first one, too."""
    life = lifecycle()
    life.receive(Started(), 0.0)
    life.receive(Opened(1), 0.5)
    life.receive(events.ConnectionLost(1011, "Internal error encountered."), 0.6)
    closed(life, 0.6)
    found = report(opened(life, 2, 1.0))
    assert "Internal error" in found.detail
    assert found.left_s == 0.6


def test_move_under_way_is_reported_when_the_caller_hangs_up() -> None:
    """It is the worst of all moves."""
    life = serving()
    ask(life, 5.0)
    life.receive(LOST, 7.0)
    out = life.receive(EndRequested(EndReason.CALLER_HUNG_UP), 9.5)
    found = report(out)
    assert (found.kind, found.done_s) == (None, 9.5)
    assert found.gap_ms == pytest.approx(2_500)


def test_what_the_caller_said_during_the_move_is_held_and_counted() -> None:
    """And it is no gap while they speak."""
    life = serving()
    answer(life, 5.0)
    life.receive(LOST, 9.0)
    speak(life, 9.0, 1_000)
    closed(life, 9.2)
    out = life.receive(Opened(2), 10.0)
    assert take_all(life)[-640:] != QUIET
    found = report([*out, *life.receive(CaughtUp(), 10.1)])
    assert found.held_ms == 1_000
    assert found.gap_ms == 0


def test_loss_after_a_go_away_says_both() -> None:
    """The server announced it, and was faster."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    life.receive(events.GoAwayReceived(50.0), 10.0)
    life.receive(events.ConnectionLost(1008, "The operation was aborted."), 12.0)
    closed(life, 12.0)
    found = report(opened(life, 2, 12.5))
    assert found.detail == (
        "goAway, 50 s left; then the Live connection closed with code 1008: "
        "The operation was aborted."
    )


def test_answer_whose_rest_does_not_come_is_asked_for() -> None:
    """Half an answer and then nothing: the model is told, and left if that does not help."""
    life = serving()
    ask(life, 1.0)
    life.receive(AUDIO, 3.0)
    life.agent_playing(True, 3.0)
    life.agent_playing(False, 7.0)
    found = run(life, 7.0, 30.0)
    assert found[0][2] == [commands.SendText(CUT_OFF)]
    assert isinstance(found[1][1], AnswerOverdue)
    assert life.state is State.MOVING


def test_first_words_of_an_answer_do_not_end_an_outage() -> None:
    """A server that drops every answer in its middle is left when the budget is spent."""
    life = serving(moves=Moves(budget_s=10))
    now, dials = 5.0, 0
    while life.end is None and now < 60.0:
        life.receive(AUDIO, now)
        life.receive(LOST, now + 0.2)
        out = life.receive(ConnectionClosed(), now + 0.2)
        brought = run(life, now + 0.2, now + 6.0)
        dialled = [OpenConnection in map(type, out), *(RetryDue() == one for _, one, _ in brought)]
        now += 6.0 if True in dialled[1:] else 0.5
        if life.end is None:
            dials += 1
            life.receive(Opened(dials + 1), now)
            life.receive(CaughtUp(), now)
    assert life.end is not None
    assert dials < 8


def test_session_that_is_to_be_left_for_a_fresh_one_is_not_resumed_after_a_drop() -> None:
    """What was wrong with it would come along."""
    life = serving()
    answer(life, 5.0)
    life.receive(events.UsageReported(2_758, 0, 2_758), 5.0)
    moved(life, 9.0)
    life.receive(events.UsageReported(351, 0, 351), 10.0)
    handle_comes(life, 10.0, "h-forgetful")
    life.receive(LOST, 10.1)
    closed(life, 10.1)
    ((_, _, out),) = run(life, 10.1, 11.0)
    assert dial(out).handle is None


def test_onset_of_speech_at_a_safe_point_reaches_the_next_connection() -> None:
    """Speech is known a tenth of a second after it began: by then its beginning was sent away."""
    life = serving()
    answer(life, 5.0)
    speak(life, 5.0, 500, pcm=QUIET)
    life.receive(events.GoAwayReceived(50.0), 5.5)
    speak(life, 5.5, 80)
    take_all(life)
    life.receive(SafePointReached(), 5.6)
    speak(life, 5.6, 500)
    closed(life, 5.9)
    life.receive(Opened(2), 6.2)
    assert take_all(life).count(LOUD) == 29


def test_caller_who_speaks_over_what_is_left_of_a_lost_answer_is_answered() -> None:
    """No server can say that it was a barge-in; the model is not asked to go on instead."""
    life = serving()
    ask(life, 1.0)
    take_all(life)
    life.receive(AUDIO, 3.0)
    life.agent_playing(True, 3.0)
    life.receive(LOST, 4.0)
    closed(life, 4.0)
    speak(life, 4.2, 500)
    life.agent_playing(False, 4.7)
    speak(life, 4.7, 620, pcm=QUIET)
    told = life.receive(Opened(2), 6.0)
    assert not [command for command in told if isinstance(command, commands.SendText)]
    assert take_all(life).count(LOUD) == 25


def test_greeting_that_is_asked_for_again_is_no_second_one() -> None:
    """It was not heard the first time."""
    life = serving(Opening("Be kind.", greeting="Hello, this is the bakery."))
    handle_comes(life, 0.5)
    moved(life, 1.0)
    assert life.receive(AUDIO, 2.0) == []


def test_voice_from_before_the_loss_is_not_spoken_over_what_is_left() -> None:
    """The question whose answer was cut off ended a moment ago; it is no barge-in."""
    life = serving()
    speak(life, 1.0, 800)
    speak(life, 1.8, 400, pcm=QUIET)
    take_all(life)
    life.receive(AUDIO, 2.2)
    life.agent_playing(True, 2.2)
    life.receive(LOST, 2.3)
    closed(life, 2.3)
    assert [type(event) for event in speak(life, 2.3, 700, pcm=QUIET)] == [CallerSpeechEnded]
    assert commands.SendText(CUT_OFF) in life.receive(Opened(2), 3.0)
