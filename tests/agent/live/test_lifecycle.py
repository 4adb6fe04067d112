"""The state table: events in, commands out, time is a number."""

from __future__ import annotations

import pytest

from agent import commands, events
from agent.conversation.prompt import CUT_OFF, WAITING, Opening, ask_for_greeting
from agent.conversation.record import EndReason, MoveCause
from agent.errors import LiveConnectFailed, LiveConnectRefused, LocalProtocolError
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.goodbye import CLOSING_MAX_S, STARVED_S, WAIT_S
from agent.live.lifecycle import Lifecycle
from agent.live.move import ReportMove
from agent.live.session_events import (
    BudgetSpent,
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    EndRequested,
    GoodbyeHeard,
    KeysPressed,
    Opened,
    SessionEnd,
    Started,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue, AnswerSlow, DurationReached, IdleReached
from agent.spec import Moves
from agent.tools.runner import ClosingRequested, ToolAnswers
from tests.agent.live.lives import (
    ANSWER,
    AUDIO,
    CALL,
    GREETING,
    LOUD,
    MODEL,
    QUIET,
    lifecycle,
    run,
    serving,
    speak,
    take_all,
)

DIAL = commands.OpenConnection(1, MODEL)


def closing(now: float = 1.0, transfer_to: str | None = None) -> Lifecycle:
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), now)
    life.receive(ToolAnswers((ANSWER,)), now)
    kind = ClosingRequested("end_call")
    if transfer_to is not None:
        kind = ClosingRequested("transfer_call", transfer_to)
    life.receive(kind, now)
    assert life.state is State.CLOSING
    return life


def test_start_dials() -> None:
    """A session begins by opening a connection; without a kept greeting nothing else happens."""
    assert lifecycle().receive(Started(), 0.0) == [DIAL]


def test_kept_greeting_does_not_wait_for_the_connection() -> None:
    """The caller hears a kept greeting at once, and the model is not asked for it again."""
    life = lifecycle(Opening("Be kind.", greeting="Hello.", greeting_audio=GREETING))
    assert life.receive(Started(), 0.0) == [DIAL, commands.PlayGreeting()]
    assert life.receive(Opened(1), 1.0) == [commands.ReleaseCallerAudio()]


def test_greeting_is_asked_for_before_caller_audio() -> None:
    """The request for the greeting goes out first, then what the caller said meanwhile."""
    life = lifecycle(Opening("Be kind.", greeting="Hello."))
    life.receive(Started(), 0.0)
    assert life.receive(Opened(1), 1.0) == [
        commands.SendText(ask_for_greeting("Hello."), opening=True),
        commands.ReleaseCallerAudio(),
    ]


def test_continued_call_is_nudged() -> None:
    """In a call that goes on the model speaks first."""
    life = lifecycle(Opening("Be kind.", nudge="Go on."))
    life.receive(Started(), 0.0)
    assert life.receive(Opened(1), 1.0)[0] == commands.SendText("Go on.", opening=True)


def test_refusal_and_failure_end_differently() -> None:
    """What another try would not mend is a refusal; the rest is tried until the budget is spent."""
    refused, failed = lifecycle(), lifecycle()
    for life in (refused, failed):
        life.receive(Started(), 0.0)
    refused.receive(ConnectFailed(LiveConnectRefused("voice", "is not known"), 1), 1.0)
    assert refused.end == SessionEnd(EndReason.LIVE_REFUSED, "voice: is not known")
    failed.receive(ConnectFailed(LiveConnectFailed("no route"), 1), 1.0)
    assert run(failed, 1.0, 30.0)[-1][:2] == (20.0, BudgetSpent())
    assert failed.end == SessionEnd(
        EndReason.LIVE_LOST, "no Live connection for 20 s; the last try: no route"
    )


def test_lost_connection_is_left_and_reported_with_its_code() -> None:
    """The close code and reason are what an operator needs."""
    life = serving()
    left = life.receive(events.ConnectionLost(1011, "Internal error encountered."), 5.0)
    assert left == [commands.LeaveConnection(said_again=False)]
    assert life.state is State.MOVING
    out = life.receive(EndRequested(EndReason.CALLER_HUNG_UP), 6.0)
    (report,) = (item.record for item in out if isinstance(item, ReportMove))
    assert (report.cause, report.kind) == (MoveCause.LOST, None)
    assert report.detail == "the Live connection closed with code 1011: Internal error encountered."


def test_keys_pressed_before_the_connection_are_told_after_it() -> None:
    """Nothing the caller pressed is lost."""
    life = lifecycle()
    life.receive(Started(), 0.0)
    life.key_pressed("7", 0.1)
    event = life.tick(5.0, pending_ms=0)
    assert event == KeysPressed("7")
    assert life.receive(event, 5.0) == []
    (told, released) = life.receive(Opened(1), 6.0)
    assert isinstance(told, commands.SendText)
    assert "7" in told.text
    assert released == commands.ReleaseCallerAudio()


def test_tool_is_run_answered_once_and_then_forgotten() -> None:
    """A call asked for twice runs once, an answer given twice is sent once."""
    life = serving()
    request = events.ToolCallsRequested((CALL,))
    assert life.receive(request, 1.0) == [commands.RunTools((CALL,))]
    assert life.receive(request, 1.1) == []
    assert life.tools_pending == {"id-1"}
    answers = ToolAnswers((ANSWER,))
    assert life.receive(answers, 2.0) == [commands.SendToolResponses((ANSWER,))]
    assert life.receive(answers, 2.1) == []


def test_cancelled_tool_is_not_answered() -> None:
    """A result that comes after the cancellation stays here."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 1.0)
    cancelled = life.receive(events.ToolCallsCancelled(("id-1", "unknown")), 1.5)
    assert cancelled == [commands.CancelTools(("id-1",))]
    assert life.receive(ToolAnswers((ANSWER,)), 2.0) == []


def test_keys_wait_for_a_pending_tool() -> None:
    """Text during a pending call closes some models' connections."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 1.0)
    assert life.receive(KeysPressed("1"), 1.5) == []
    sent = life.receive(ToolAnswers((ANSWER,)), 2.0)
    assert [type(command) for command in sent] == [commands.SendToolResponses, commands.SendText]


def test_caller_audio_waits_for_a_pending_tool_on_2_5() -> None:
    """2.5 closes on audio during a call, so it is held and released."""
    life = serving(model="gemini-2.5-flash-native-audio-latest")
    asked = life.receive(events.ToolCallsRequested((CALL,)), 1.0)
    assert asked == [commands.RunTools((CALL,))]
    life.hear(LOUD, 1.02)
    assert life.tape.held
    assert take_all(life) == b""
    answered = life.receive(ToolAnswers((ANSWER,)), 2.0)
    assert answered == [commands.SendToolResponses((ANSWER,)), commands.ReleaseCallerAudio()]
    assert take_all(life) == LOUD


def test_model_that_waits_for_a_function_is_not_nudged() -> None:
    """It is we who are slow."""
    life = serving()
    life.receive(events.ToolCallsRequested((CALL,)), 1.0)
    assert life.receive(AnswerSlow(), 4.0) == []


def test_barge_in_clears_the_playout() -> None:
    """``interrupted`` alone is enough; no turn end needs to follow."""
    life = serving()
    speak(life, 0.5, 500)
    assert life.receive(events.Interrupted(), 1.2) == [commands.ClearPlayout()]


def test_interruption_by_nobody_clears_nothing() -> None:
    """What there is of the answer is worth hearing, and its rest is asked for at once."""
    life = serving()
    life.receive(AUDIO, 3.0)
    assert life.receive(events.Interrupted(), 3.5) == []
    assert life.tick(3.5, pending_ms=0) == AnswerSlow()


def test_first_answer_cuts_a_kept_greeting_once() -> None:
    """The server cannot interrupt what it does not know to be playing."""
    opening = Opening("Be kind.", greeting="Hello.", greeting_audio=GREETING)
    life = serving(opening)
    assert life.receive(events.InputTranscribed(" "), 1.0) == []
    assert life.receive(AUDIO, 1.0) == [commands.ClearPlayout()]
    assert life.receive(AUDIO, 1.1) == []


def test_heard_greeting_is_not_cut() -> None:
    """Once it has been played there is nothing left to cut."""
    life = serving(Opening("Be kind.", greeting="Hello.", greeting_audio=GREETING))
    life.agent_playing(False, 1.0)
    assert life.receive(AUDIO, 1.5) == []


def test_silent_model_is_nudged_and_then_left() -> None:
    """The alarms of the watchdog become a text, then a fresh session."""
    life = serving()
    assert life.receive(AnswerSlow(), 4.0) == [commands.SendText(WAITING)]
    life.receive(AnswerOverdue(10.0), 10.0)
    assert life.state is State.MOVING
    assert life.end is None


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (IdleReached(), EndReason.IDLE),
        (DurationReached(), EndReason.MAX_DURATION),
        (EndRequested(EndReason.CALLER_HUNG_UP), EndReason.CALLER_HUNG_UP),
    ],
)
def test_other_ends_say_why(
    event: IdleReached | DurationReached | EndRequested, reason: EndReason
) -> None:
    """Every end has its own reason, and nothing happens after it."""
    life = serving()
    life.receive(event, 5.0)
    assert life.end is not None
    assert life.end.reason is reason
    assert life.receive(AUDIO, 6.0) == []
    assert life.tick(99.0, pending_ms=0) is None


def test_goodbye_is_heard_before_the_end() -> None:
    """The turn with the goodbye is over, and then its playout."""
    life = closing()
    life.receive(AUDIO, 2.0)
    life.receive(events.GenerationCompleted(), 2.1)
    assert life.tick(2.1, pending_ms=1_500) is None
    assert life.deadline == pytest.approx(3.6)
    event = life.tick(3.6, pending_ms=0)
    assert event == GoodbyeHeard()
    life.receive(event, 3.6)
    assert life.end == SessionEnd(EndReason.AGENT_HUNG_UP, "the agent ended the call")


def test_acknowledgement_without_audio_is_no_goodbye() -> None:
    """A tool's own ``turnComplete`` does not end the call before the goodbye."""
    life = closing(now=1.0)
    life.receive(events.TurnCompleted(), 1.2)
    assert life.tick(1.2, pending_ms=0) is None
    assert life.tick(1.0 + WAIT_S - 0.1, pending_ms=0) is None


def test_goodbye_said_before_the_tool_is_not_waited_for() -> None:
    """A model that has nothing more to say is not waited for long."""
    life = closing(now=1.0)
    assert life.tick(1.0 + WAIT_S, pending_ms=0) == GoodbyeHeard()


def test_goodbye_that_is_cut_short_by_the_server_ends() -> None:
    """Audio that stops without an end of the turn is taken for all of it."""
    life = closing()
    life.receive(AUDIO, 2.0)
    assert life.tick(2.5, pending_ms=0) is None
    assert life.tick(2.0 + STARVED_S, pending_ms=0) == GoodbyeHeard()


def test_connection_lost_after_the_goodbye_is_no_loss() -> None:
    """What was produced is played, and the call ends as intended."""
    life = closing(transfer_to="+15550100009")
    life.receive(AUDIO, 2.0)
    life.receive(events.ConnectionLost(1000, ""), 2.1)
    assert life.tick(2.1, pending_ms=800) is None
    event = life.tick(2.9, pending_ms=0)
    assert event == GoodbyeHeard()
    life.receive(event, 2.9)
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.TRANSFERRED, "+15550100009")


def test_barge_in_into_the_goodbye_gives_another_chance() -> None:
    """The model may answer what the caller said into its goodbye."""
    life = closing()
    life.receive(AUDIO, 2.0)
    assert life.receive(events.Interrupted(), 2.5) == [commands.ClearPlayout()]
    life.receive(events.TurnCompleted(), 2.5)
    assert life.tick(3.0, pending_ms=0) is None
    assert life.tick(2.5 + WAIT_S, pending_ms=0) == GoodbyeHeard()


def test_goodbye_is_bounded() -> None:
    """A model that does not stop talking does not keep the line."""
    life = closing(now=1.0)
    life.receive(AUDIO, 1.0 + CLOSING_MAX_S)
    assert life.tick(1.0 + CLOSING_MAX_S, pending_ms=60_000) == GoodbyeHeard()


def test_person_asked_for_during_the_goodbye_is_rung() -> None:
    """A transfer takes the place of a hang-up, as the model was told; never the other way round."""
    life = closing()
    life.receive(ClosingRequested("transfer_call", "+15550100009"), 2.0)
    life.receive(ClosingRequested("end_call"), 2.5)
    life.receive(GoodbyeHeard(), 6.0)
    assert life.end is not None
    assert (life.end.reason, life.end.transfer_to) == (EndReason.TRANSFERRED, "+15550100009")


def test_caller_who_speaks_into_the_goodbye_is_heard_out() -> None:
    """Nobody is hung up on in the middle of a sentence."""
    life = closing()
    life.receive(AUDIO, 2.0)
    life.receive(CallerSpeechStarted(2.3), 2.4)
    life.receive(events.Interrupted(), 2.5)
    assert life.tick(2.5 + WAIT_S + 1, pending_ms=0) is None
    life.receive(CallerSpeechEnded(7.0, 4_700.0), 7.6)
    assert life.tick(7.6 + WAIT_S, pending_ms=0) == GoodbyeHeard()


def test_pressed_keys_need_an_answer() -> None:
    """A model that does nothing about a key is noticed like one that does not answer a word."""
    life = serving()
    life.receive(KeysPressed("7"), 5.0)
    assert life.tick(15.0, pending_ms=0) == AnswerOverdue(10.0)


def test_caller_who_hangs_up_during_the_goodbye_hung_up() -> None:
    """Whoever is first is in the record."""
    life = closing()
    life.receive(EndRequested(EndReason.CALLER_HUNG_UP), 2.0)
    assert life.end == SessionEnd(EndReason.CALLER_HUNG_UP)


def test_event_that_makes_no_sense_raises() -> None:
    """The table knows what may happen; the rest is a bug of ours."""
    with pytest.raises(LocalProtocolError, match="AudioReceived while connecting"):
        lifecycle().receive(AUDIO, 0.0)
    with pytest.raises(LocalProtocolError, match="GoodbyeHeard while serving"):
        serving().receive(GoodbyeHeard(), 0.0)


def test_answer_cut_off_right_after_the_last_word_is_gone_on_with() -> None:
    """Servers notice the end of a turn sooner than we do; what is cut off then is an answer."""
    life = serving()
    speak(life, 1.0, 440)
    speak(life, 1.44, 300, pcm=QUIET)
    take_all(life)
    life.receive(AUDIO, 1.76)
    speak(life, 1.76, 120, pcm=QUIET)
    life.receive(events.ConnectionLost(1006, ""), 1.88)
    life.receive(ConnectionClosed(), 1.88)
    speak(life, 1.88, 620, pcm=QUIET)
    told = life.receive(Opened(2), 2.5)
    assert commands.SendText(CUT_OFF) in told


def test_speech_that_goes_on_over_an_answer_is_said_again() -> None:
    """The caller had only paused: what follows the pause is what the next connection answers."""
    life = serving()
    speak(life, 1.0, 440)
    speak(life, 1.44, 300, pcm=QUIET)
    take_all(life)
    life.receive(AUDIO, 1.76)
    speak(life, 1.76, 600)
    take_all(life)
    life.receive(events.ConnectionLost(1006, ""), 2.4)
    life.receive(ConnectionClosed(), 2.4)
    told = life.receive(Opened(2), 2.7)
    assert not [command for command in told if isinstance(command, commands.SendText)]
    assert take_all(life).count(LOUD) == 30


def test_audio_held_for_a_connection_that_never_comes_is_lost() -> None:
    """What no session will ever hear is counted, whether the budget was spent or the line left."""
    life = serving(moves=Moves(budget_s=5))
    life.receive(events.ConnectionLost(1006, ""), 2.0)
    life.receive(ConnectionClosed(), 2.0)
    speak(life, 2.0, 3_000, pcm=QUIET)
    (report,) = life.receive(EndRequested(EndReason.CALLER_HUNG_UP), 5.0)
    assert isinstance(report, ReportMove)
    assert report.record.kind is None
    assert report.record.lost_ms == 3_000
    assert life.tape.lost_ms == 3_000


def test_silence_after_a_loss_is_given_the_time_for_a_dial() -> None:
    """A deaf session is left for a fresh one even where the loss before was a budget ago."""
    life = serving(moves=Moves(budget_s=5))
    life.receive(events.ConnectionLost(1006, ""), 2.0)
    life.receive(ConnectionClosed(), 2.0)
    life.receive(Opened(2), 2.3)
    life.receive(CaughtUp(), 2.3)
    life.receive(AnswerOverdue(8.0), 12.0)
    assert life.receive(ConnectionClosed(), 12.0)
    assert life.tick(12.1, pending_ms=0) is None
    assert life.state is State.MOVING
