"""The watchdog: who has been silent for too long."""

from __future__ import annotations

import array

from agent.audio import PcmChunk
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.watchdog import (
    PROOF_S,
    Alarm,
    AnswerOverdue,
    AnswerSlow,
    DurationReached,
    IdleReached,
    Speech,
    Watchdog,
)
from agent.spec import Limits

LIMITS = Limits(max_call_s=600, idle_s=60, answer_timeout_s=10)
AUDIBLE = PcmChunk(array.array("h", [3_000, -3_000] * 240).tobytes(), 24_000)
SILENCE = PcmChunk(bytes(960), 24_000)


def connected(limits: Limits = LIMITS) -> Watchdog:
    dog = Watchdog(limits, started_s=0.0)
    dog.connected(0.0)
    return dog


def speak(dog: Watchdog, start_s: float, ms: int) -> None:
    """Let the caller speak, then pause long enough for it to be over."""
    loud = array.array("h", [3_000, -3_000] * 160).tobytes()
    for at in range(0, ms, 20):
        dog.caller_audio(loud, start_s + (at + 20) / 1000)
    for at in range(ms, ms + 700, 20):
        dog.caller_audio(bytes(640), start_s + (at + 20) / 1000)


def run(dog: Watchdog, until_s: float, *, pending_ms: float = 0.0) -> list[tuple[float, object]]:
    """Tick at each deadline up to a moment and collect what is said."""
    said: list[tuple[float, Alarm | Speech]] = []
    now = 0.0
    while (now := max(now, dog.deadline)) <= until_s:
        while (alarm := dog.tick(now, pending_ms=pending_ms)) is not None:
            said.append((now, alarm))
            if isinstance(alarm, AnswerOverdue | IdleReached | DurationReached):
                return list(said)
        now += 0.001
    return list(said)


def test_greeting_that_never_comes_is_overdue() -> None:
    """A greeting asked for is an answer that is due; nobody nudges it."""
    dog = connected()
    dog.expect_answer(1.0, nudge=False)
    assert run(dog, 30) == [(11.0, AnswerOverdue(10.0))]


def test_late_answer_is_nudged_once_then_overdue() -> None:
    """After the caller stopped speaking the model gets a nudge at four seconds, ten in all."""
    dog = connected()
    speak(dog, 1.0, 1_000)
    said = run(dog, 30)
    assert [type(alarm) for _, alarm in said] == [AnswerSlow, AnswerOverdue]
    assert 6.5 < said[0][0] < 6.8
    assert 12.5 < said[1][0] < 12.8


def test_audible_audio_answers() -> None:
    """Model audio that can be heard ends the wait."""
    dog = connected()
    speak(dog, 1.0, 1_000)
    dog.model_audio(AUDIBLE, 4.0)
    assert run(dog, 30) == []


def test_silent_audio_does_not_answer() -> None:
    """Audio at near-zero loudness is what a broken model sends."""
    dog = connected()
    speak(dog, 1.0, 1_000)
    dog.model_audio(SILENCE, 4.0)
    assert [type(alarm) for _, alarm in run(dog, 30)] == [AnswerSlow, AnswerOverdue]


def test_cough_needs_no_answer() -> None:
    """Speech too short to be a word makes no answer due."""
    dog = connected()
    speak(dog, 1.0, 160)
    assert run(dog, 30) == []


def test_echo_of_the_agent_needs_no_answer() -> None:
    """What is heard from the caller while the agent is played may be the agent's own echo."""
    dog = connected()
    dog.agent_playing(True, 0.5)
    speak(dog, 1.0, 1_000)
    dog.agent_playing(False, 3.0)
    assert run(dog, 30) == []


def test_running_tool_is_not_silence() -> None:
    """While a function runs the model is not late, and its answer is due when it has the result."""
    dog = connected()
    dog.expect_answer(0.0)
    dog.answered(1.0)
    dog.tools_running(True, 1.0)
    assert run(dog, 50) == []
    dog.tools_running(False, 50.0)
    dog.expect_answer(50.0)
    assert [type(alarm) for _, alarm in run(dog, 61)] == [AnswerSlow, AnswerOverdue]


def test_answer_is_not_late_while_the_agent_is_heard() -> None:
    """The wait begins when the caller hears nothing any more."""
    dog = connected()
    dog.agent_playing(True, 0.0)
    dog.expect_answer(1.0)
    assert run(dog, 8) == []
    dog.agent_playing(False, 8.0)
    assert run(dog, 20)[0] == (12.0, AnswerSlow())


def test_caller_who_asks_again_and_again_is_not_left_alone() -> None:
    """Speaking into silence does not put off the end for ever."""
    dog = connected()
    for start in range(1, 24, 3):
        speak(dog, float(start), 600)
        assert not isinstance(dog.tick(start + 1.4, pending_ms=0), AnswerOverdue)
    said = run(dog, 30)
    assert isinstance(said[-1][1], AnswerOverdue)
    assert said[-1][0] < 27


def test_waiting_begins_when_the_model_can_hear() -> None:
    """Before the connection is up nobody is late."""
    dog = Watchdog(LIMITS, started_s=0.0)
    speak(dog, 1.0, 1_000)
    assert run(dog, 40) == []
    dog.connected(40.0)
    assert run(dog, 51)[-1][0] == 50.0


def test_idle_line_ends() -> None:
    """Nobody speaking for the agreed time is the end."""
    dog = connected()
    dog.model_audio(AUDIBLE, 5.0)
    assert run(dog, 100) == [(65.0, IdleReached())]


def test_line_on_which_the_agent_is_still_heard_is_not_idle() -> None:
    """Audio produced faster than it is played is being heard for a while."""
    assert run(connected(), 200, pending_ms=10.0) == []


def test_call_ends_at_its_maximum_whatever_session_it_is_in() -> None:
    """Time spent in earlier sessions of the call counts."""
    dog = Watchdog(Limits(max_call_s=100, idle_s=600), started_s=0.0, elapsed_s=70.0)
    assert run(dog, 200) == [(30.0, DurationReached())]


def test_speech_is_reported_to_whoever_feeds_the_audio() -> None:
    """Starts and ends of caller speech come back from the audio itself."""
    dog = connected()
    loud = array.array("h", [3_000, -3_000] * 1_600).tobytes()
    assert isinstance(dog.caller_audio(loud, 0.2), CallerSpeechStarted)
    assert dog.caller_speaking
    assert isinstance(dog.tick(5.0, pending_ms=0), CallerSpeechEnded)


def test_long_story_with_pauses_is_not_waiting() -> None:
    """A caller who draws breath now and then has waited for nobody; the answer has all its time."""
    dog = connected()
    for start in range(1, 40, 2):
        speak(dog, float(start), 1_300)
        assert dog.tick(start + 1.99, pending_ms=0) is None
    said = run(dog, 60)
    assert [type(alarm) for _, alarm in said] == [AnswerSlow, AnswerOverdue]
    assert said[-1][0] > 49


def test_voice_that_goes_on_after_the_agent_needs_an_answer() -> None:
    """Beginning a little before the agent has ended does not make a question an echo."""
    dog = connected()
    dog.agent_playing(True, 0.0)
    loud = array.array("h", [3_000, -3_000] * 160).tobytes()
    for at in range(2_800, 6_000, 20):
        if at == 3_000:
            dog.agent_playing(False, 3.0)
        dog.caller_audio(loud, at / 1000)
    for at in range(6_000, 6_800, 20):
        dog.caller_audio(bytes(640), at / 1000)
    assert isinstance(run(dog, 30)[-1][1], AnswerOverdue)


def test_line_with_endless_sound_is_idle_in_the_end() -> None:
    """Hold music keeps no line for half an hour."""
    dog = connected()
    loud = array.array("h", [3_000, -3_000] * 1_600).tobytes()
    said: list[object] = []
    for tenth in range(1, 1_300):
        dog.caller_audio(loud, tenth / 10)
        if (alarm := dog.tick(tenth / 10, pending_ms=0)) is not None:
            said.append(alarm)
            break
    assert said == [IdleReached()]


def test_pressed_key_is_not_silence() -> None:
    """A caller who types does not speak, and is there."""
    dog = connected()
    dog.caller_acted(59.0)
    assert run(dog, 200) == [(119.0, IdleReached())]


def test_connection_that_was_moved_to_has_no_more_time_for_a_caller_who_keeps_asking() -> None:
    """A deaf session is told within the bound also where the caller speaks into it again."""
    dog = Watchdog(Limits(answer_timeout_s=10), started_s=0.0)
    dog.connected(0.0, moved=True)
    for start in (1.0, 4.0, 7.0):
        speak(dog, start, 600)
    said = run(dog, 30)
    assert isinstance(said[-1][1], AnswerOverdue)
    assert said[-1][0] < 1.6 + 0.6 + PROOF_S + 3.1


def test_moved_session_has_to_prove_itself_sooner() -> None:
    """Eight seconds for the first answer, then as long as the agent's file says."""
    dog = Watchdog(LIMITS, started_s=0.0)
    dog.connected(0.0, moved=True)
    dog.expect_answer(1.0)
    found = run(dog, 30)
    assert [(round(when, 3), type(alarm)) for when, alarm in found] == [
        (4.2, AnswerSlow),
        (9.0, AnswerOverdue),
    ]
    dog.model_audio(AUDIBLE, 10.0)
    dog.expect_answer(11.0)
    assert [round(when, 3) for when, _ in run(dog, 30)] == [15.0, 21.0]


def test_answer_owed_by_the_connection_before_is_owed_by_the_next_from_its_beginning() -> None:
    """It is nudged and given up in its own time."""
    dog = connected()
    dog.expect_answer(0.0)
    assert isinstance(dog.tick(4.0, pending_ms=0), AnswerSlow)
    dog.disconnected()
    assert dog.tick(9.9, pending_ms=0) is None
    assert dog.tick(15.0, pending_ms=0) is None
    assert dog.answer_due
    dog.connected(20.0, moved=True)
    assert [round(when, 3) for when, _ in run(dog, 40)] == [23.2, 28.0]


def test_turn_that_could_not_be_heard_is_nudged_at_once() -> None:
    """And given up at once where that was tried before."""
    dog = connected()
    dog.expect_answer(1.0)
    dog.hurry()
    assert dog.tick(1.0, pending_ms=0) == AnswerSlow()
    assert dog.tick(5.0, pending_ms=0) is None
    dog.hurry()
    assert isinstance(dog.tick(5.0, pending_ms=0), AnswerOverdue)


def test_hurry_of_one_answer_is_not_that_of_the_next() -> None:
    """What was answered begins anew."""
    dog = connected()
    dog.expect_answer(1.0)
    dog.hurry()
    dog.tick(1.0, pending_ms=0)
    dog.hurry()
    dog.model_audio(AUDIBLE, 2.0)
    dog.expect_answer(3.0)
    assert [round(when, 3) for when, _ in run(dog, 30)] == [7.0, 13.0]


def test_model_that_thinks_is_not_late_but_not_for_ever() -> None:
    """Thoughts put the alarm off, up to twice the time-out from the question."""
    dog = connected()
    dog.expect_answer(0.0)
    alarms: list[tuple[float, object]] = []
    for tenth in range(1, 400):
        dog.model_works(tenth / 10)
        if (alarm := dog.tick(tenth / 10, pending_ms=0)) is not None:
            alarms.append((tenth / 10, alarm))
    assert isinstance(alarms[0][1], AnswerSlow | AnswerOverdue)
    assert 19.9 <= alarms[0][0] <= 24.1
    assert any(isinstance(alarm, AnswerOverdue) and when <= 31 for when, alarm in alarms)


def test_thinking_without_a_question_changes_nothing() -> None:
    """Nothing is due because a model thinks."""
    dog = connected()
    dog.model_works(1.0)
    assert not dog.answer_due
    assert run(dog, 30) == []


def test_answer_that_comes_before_we_know_the_caller_has_ended_is_one() -> None:
    """A server may wait less for the end of a turn than we do."""
    dog = connected()
    loud = array.array("h", [3_000, -3_000] * 160).tobytes()
    for at in range(0, 1_000, 20):
        dog.caller_audio(loud, (at + 20) / 1000)
    for at in range(1_000, 1_700, 20):
        if at == 1_300:
            assert dog.model_audio(AUDIBLE, 1.3)
        dog.caller_audio(bytes(640), (at + 20) / 1000)
    assert not dog.caller_speaking
    assert run(dog, 30) == []


def test_audio_is_looked_at_again_after_a_while() -> None:
    """A voice that fades to nothing is noticed, although not every piece is measured."""
    dog = connected()
    assert dog.model_audio(AUDIBLE, 1.0)
    assert dog.model_audio(SILENCE, 1.1)
    assert not dog.model_audio(SILENCE, 1.3)
    dog.expect_answer(1.4)
    assert not dog.model_audio(SILENCE, 1.4)
    assert dog.answer_due


def test_quiet_line_is_told_from_one_with_sound() -> None:
    """By the newest piece that was louder than the line's noise."""
    dog = connected()
    assert dog.line_quiet(0.0, 1.5)
    dog.caller_audio(array.array("h", [3_000, -3_000] * 160).tobytes(), 1.0)
    assert not dog.line_quiet(2.4, 1.5)
    assert dog.line_quiet(2.6, 1.5)
