"""Leaving a connection and moving to the next: when, how, what is said, and what is reported."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.commands import Command, OpenConnection
from agent.conversation.prompt import CUT_OFF, WAITING, Opening, tool_result
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment, MoveRecord
from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError
from agent.live.caller_speech import CallerSpeechEnded
from agent.live.lifecycle import Lifecycle
from agent.live.move import FILLER_AFTER_S, ReportMove
from agent.live.resumption import EARLY_S, GO_AWAY_MARGIN_S, HANDLE_WAIT_S, LATE_S
from agent.live.session_events import (
    BudgetSpent,
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    EndRequested,
    FillerDue,
    GoodbyeHeard,
    GreetsAgain,
    LeaveDeadlineReached,
    LeaveWanted,
    Opened,
    RetryDue,
    SafePointReached,
    SessionEvent,
    SpokenOver,
    StandbyLost,
    Started,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue
from agent.spec import Limits, Moves
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

LOST = events.ConnectionLost(1006, "")
FALLBACK = "gemini-2.5-flash-native-audio-latest"
PERSON = {"the owner": "+15550100009"}
LEAVE = commands.LeaveConnection(said_again=False)
Out = list[Command | ReportMove]


def handle_comes(life: Lifecycle, now: float, handle: str = "h-1") -> None:
    life.receive(events.ResumptionUpdated(handle, True), now)


def answer(life: Lifecycle, now: float, *, handle: str | None = "h-1") -> None:
    """A whole turn of the model, which the caller hears at once."""
    for event in (AUDIO, events.GenerationCompleted(), events.TurnCompleted()):
        life.receive(event, now)
    if handle is not None:
        handle_comes(life, now, handle)


def fail(life: Lifecycle, attempt: int, now: float, error: LiveError | None = None) -> Out:
    return life.receive(ConnectFailed(error or LiveConnectFailed("no route"), attempt), now)


def closed(life: Lifecycle, now: float) -> Out:
    assert life.state is State.MOVING
    return life.receive(ConnectionClosed(), now)


def opened(life: Lifecycle, attempt: int, now: float) -> Out:
    """The next connection is up and has got what was held."""
    out = life.receive(Opened(attempt), now)
    take_all(life)
    return [*out, *life.receive(CaughtUp(), now)]


def report(out: Out) -> MoveRecord:
    (found,) = (item.record for item in out if isinstance(item, ReportMove))
    return found


def dial(out: Out) -> OpenConnection:
    (found,) = (item for item in out if isinstance(item, OpenConnection))
    return found


def retried(life: Lifecycle, now: float) -> tuple[float, OpenConnection]:
    """The dial that is due after a delay, and when."""
    for when, event, out in run(life, now, now + 5.0):
        if event == RetryDue():
            return when, dial(out)
    raise AssertionError("no dial is due")


def texts(out: Out) -> list[str]:
    return [item.text for item in out if isinstance(item, commands.SendText)]


def moved(life: Lifecycle, now: float, *, by: SessionEvent = LOST) -> Out:
    """Lose the connection and come up on the next one at once; what was commanded then."""
    life.receive(by, now)
    out = closed(life, now)
    if not out:
        now, again = retried(life, now)
        return opened(life, again.attempt, now)
    return opened(life, dial(out).attempt, now)


# -- when to leave ---------------------------------------------------------------------------------


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
    """A handle would bring the slowness back."""
    life = serving(moves=Moves(latency_drift_s=0.5))
    now = 0.0
    for delay in (0.7, 0.7, 0.7, 1.6, 1.6, 1.6):
        now = ask(life, now + 3.0)
        answer(life, now + delay - 0.62)
    found = run(life, now + 2.0, now + 3.0)
    assert [type(event) for _, event, _ in found] == [LeaveWanted, SafePointReached]
    assert dial(closed(life, now + 3.0)).handle is None
    moved_to = report(opened(life, 2, now + 3.2))
    assert (moved_to.cause, moved_to.kind) == (MoveCause.LATENCY, MoveKind.REFILL)
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


# -- the way to the next connection ----------------------------------------------------------------


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


# -- what the next connection is given -------------------------------------------------------------


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


# -- proof that it worked --------------------------------------------------------------------------


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
    moved(life, 9.0)
    life.receive(events.UsageReported(351, 0, 351), 10.0)
    found = run(life, 10.0, 25.0)
    assert isinstance(found[0][1], LeaveWanted)
    closed(life, 20.0)
    ((_, _, out),) = run(life, 20.0, 21.0)
    assert dial(out).handle is None
    assert report(opened(life, 3, 21.0)).cause is MoveCause.FORGOT


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


# -- the connection in reserve ---------------------------------------------------------------------

STANDBY = Moves(standby=True)


def leaving_with_standby(*, ready: bool = True) -> Lifecycle:
    """A session that is to be left while a function runs; its standby is dial 2."""
    life = serving(moves=STANDBY)
    answer(life, 5.0)
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    out = life.receive(events.GoAwayReceived(50.0), 10.0)
    # The function runs: what it brings is to be told by whoever promotes the connection.
    untold = frozenset({CALL.id})
    assert out == [commands.OpenConnection(2, MODEL, moved=True, standby=True, untold=untold)]
    if ready:
        life.receive(Opened(2), 10.5)
    return life


def test_refused_handle_is_followed_by_the_standby() -> None:
    """A failed resume costs no second dial."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    assert dial(closed(life, 11.0)).handle == "h-1"
    error = LiveConnectFailed("closed", code=1007, setup_sent=True)
    assert fail(life, 3, 11.5, error) == [commands.PromoteStandby(2)]
    found = report(opened(life, 2, 11.5))
    assert (found.kind, found.tries) == (MoveKind.STANDBY, 1)


def test_standby_that_a_turn_has_passed_by_is_not_promoted() -> None:
    """It does not know what was said since; a newer one takes its place."""
    life = leaving_with_standby()
    life.receive(ToolAnswers((ANSWER,)), 11.0)
    life.receive(AUDIO, 11.5)
    out = life.receive(events.TurnCompleted(), 12.0)
    assert out == [
        commands.CloseStandby(),
        commands.OpenConnection(3, MODEL, moved=True, standby=True),
    ]
    life.receive(Opened(2), 12.1)
    life.receive(LOST, 12.5)
    closed(life, 12.5)
    error = LiveConnectFailed("closed", code=1007, setup_sent=True)
    out = fail(life, 4, 13.0, error)
    assert out[0] == commands.CloseStandby()
    assert dial(out).attempt == 5
    assert report(opened(life, 5, 13.5)).kind is MoveKind.REFILL


def test_standby_that_a_barge_in_has_passed_by_is_not_promoted() -> None:
    """An interrupted turn is one that it does not know, either."""
    life = leaving_with_standby()
    life.receive(ToolAnswers((ANSWER,)), 11.0)
    life.receive(AUDIO, 11.5)
    speak(life, 11.5, 500)
    life.receive(events.Interrupted(), 12.0)
    life.receive(LOST, 12.1)
    closed(life, 12.1)
    out = fail(life, 3, 12.5, LiveConnectFailed("closed", code=1007, setup_sent=True))
    assert out[0] == commands.CloseStandby()
    assert dial(out).attempt == 4


def test_standby_that_is_lost_is_not_promoted() -> None:
    """Nor one that never came up."""
    for gone in (StandbyLost(2), ConnectFailed(LiveConnectFailed("no route"), 2)):
        life = leaving_with_standby(ready=isinstance(gone, StandbyLost))
        life.receive(gone, 10.8)
        life.receive(LOST, 11.0)
        closed(life, 11.0)
        out = fail(life, 3, 11.5, LiveConnectFailed("closed", code=1007, setup_sent=True))
        assert dial(out).attempt == 4


def test_standby_that_is_not_needed_is_closed() -> None:
    """The handle worked."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    closed(life, 11.0)
    out = life.receive(Opened(3), 11.5)
    assert commands.CloseStandby() in out


def test_standby_of_the_model_before_does_not_serve_as_the_fallback() -> None:
    """The quota of its model is used up, and the profile of the other is not its own."""
    life = serving(moves=Moves(standby=True, fallback_models=(FALLBACK,)))
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    life.receive(events.GoAwayReceived(50.0), 10.0)
    life.receive(Opened(2), 10.5)
    life.receive(events.ConnectionLost(1011, "You exceeded your current quota"), 11.0)
    out = closed(life, 11.0)
    assert out[0] == commands.CloseStandby()
    assert dial(out).model == FALLBACK


def test_standbys_are_few_however_long_leaving_takes() -> None:
    """Each costs a connection; three for one leave, whatever is wished in between."""
    life = leaving_with_standby()
    dials = 1
    for turn in range(8):
        life.receive(events.GoAwayReceived(50.0), 11.0 + turn)
        out = life.receive(events.TurnCompleted(), 11.0 + turn)
        dials += sum(isinstance(item, OpenConnection) for item in out)
    assert dials == 3


def test_agent_without_standbys_opens_none() -> None:
    """Where concurrency is scarce."""
    life = serving()
    assert life.receive(events.GoAwayReceived(50.0), 10.0) == []


# -- reports ---------------------------------------------------------------------------------------


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


# -- what strangers found ----------------------------------------------------------------------


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


def test_ready_standby_serves_at_once_where_the_resume_met_a_quota() -> None:
    """Waiting is for those who have nothing in reserve."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    closed(life, 11.0)
    error = LiveConnectFailed("quota", code=1011, reason="quota", setup_sent=True)
    assert fail(life, 3, 11.5, error) == [commands.PromoteStandby(2)]


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
