"""A caller's script acted out on numbers for time."""

from __future__ import annotations

import audioop

import pytest

from workers.twin import phone_audio, position_code
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Press,
    Record,
    Say,
    Speak,
    Step,
    Tone,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
)
from workers.twin.performer import Doing, KeyPressed, Performer, StepBegun, StepTimedOut
from workers.twin.phone_audio import QUIET, Frame


class Stage:
    """Runs a performer and notes when it did what."""

    def __init__(
        self,
        *steps: Step,
        coded: bool = False,
        noisy: bool = False,
        leaves_after_s: float | None = None,
        speed: float = 1.0,
    ) -> None:
        script = CallerScript.of(*steps, coded=coded, noisy=noisy, leaves_after_s=leaves_after_s)
        self.performer = Performer(script, speed=speed)
        self.performer.answered = True
        self.ticks = 0
        self.did: list[tuple[float, Doing]] = []
        self.frames: list[Frame] = []

    def run(self, seconds: float, *, agent_speaks: bool = False) -> None:
        for _ in range(round(seconds * 50)):
            now = self.ticks / 50
            self.ticks += 1
            self.frames.append(self.performer.tick(now, lambda: agent_speaks))
            for doing in self.performer.take_doings():
                if not isinstance(doing, StepBegun):
                    self.did.append((now, doing))


def test_steps_follow_each_other() -> None:
    """A wait takes its time, a tone its frames, an act none."""
    stage = Stage(WaitSeconds(0.1), Tone(400, 100), HangUp())
    stage.run(0.5)
    assert stage.did == [(0.2, HangUp())]
    voiced = [n for n, frame in enumerate(stage.frames) if frame not in QUIET]
    assert voiced == [5, 6, 7, 8, 9]


def test_faster_time_shortens_waits_and_no_sound() -> None:
    """At speed 10 a wait of five seconds takes half a second; tone and recording take theirs."""
    stage = Stage(WaitSeconds(5), Tone(400, 500), HangUp(), Record(0.3), HangUp(), speed=10)
    stage.run(2)
    assert stage.did == [(1.0, HangUp()), (pytest.approx(1.3, abs=0.021), HangUp())]


def test_nobody_talks_to_a_ringing_phone() -> None:
    """Sounds and keys wait for the answer."""
    stage = Stage(Say("caller_bye"), HangUp())
    stage.performer.answered = False
    stage.run(1)
    assert all(frame in QUIET for frame in stage.frames)
    stage.performer.answered = True
    stage.run(0.1)
    assert stage.frames[-1] not in QUIET


def test_barge_in_comes_after_that_much_speech() -> None:
    """Pauses of the agent do not count."""
    stage = Stage(WaitAgentSpoke(200), HangUp())
    stage.run(0.1, agent_speaks=True)
    stage.run(1)
    assert stage.did == []
    stage.run(0.12, agent_speaks=True)
    assert [doing for _, doing in stage.did] == [HangUp()]


def test_agent_is_done_when_quiet_after_speech() -> None:
    """Quiet alone is not an answer, and a short pause does not end one."""
    stage = Stage(WaitAgentDone(quiet_ms=300), HangUp())
    stage.run(1)
    stage.run(0.2, agent_speaks=True)
    stage.run(0.2)
    stage.run(0.2, agent_speaks=True)
    assert stage.did == []
    stage.run(0.4)
    ((at_s, doing),) = stage.did
    assert doing == HangUp()
    assert abs(at_s - 1.88) < 0.021


def test_each_answer_is_waited_for_afresh() -> None:
    """Speech from before the caller's own words does not count as the answer to them."""
    stage = Stage(WaitAgentStarts(), Tone(400, 40), WaitAgentStarts(), HangUp())
    stage.run(0.04, agent_speaks=True)
    stage.run(1)
    assert stage.did == []
    stage.run(0.1, agent_speaks=True)
    assert [doing for _, doing in stage.did] == [HangUp()]


def test_keys_are_pressed_one_by_one() -> None:
    """A quarter of a second apart; ``w`` waits half a second."""
    stage = Stage(Press("1w2"))
    stage.run(2)
    assert stage.did == [(0.0, KeyPressed("1")), (0.76, KeyPressed("2"))]


def test_vain_wait_ends_in_a_hang_up() -> None:
    """The person gives up, and does nothing of what was to follow."""
    wait = WaitAgentStarts(timeout_s=1)
    stage = Stage(wait, Say("caller_bye"))
    stage.run(3)
    assert [doing for _, doing in stage.did] == [StepTimedOut(wait), HangUp()]
    assert all(frame in QUIET for frame in stage.frames)


def test_coded_voice_numbers_every_frame_from_the_answer() -> None:
    """Ringing has no numbers, and no step makes a hole; only what is spoken is loud."""
    stage = Stage(WaitSeconds(0.1), Speak(100), Press("5"), Speak(30), HangUp(), coded=True)
    stage.performer.answered = False
    stage.run(0.06)
    assert all(frame in QUIET for frame in stage.frames)
    stage.frames.clear()
    stage.performer.answered = True
    stage.run(1)
    found = phone_audio.codes(b"".join(frame.ulaw for frame in stage.frames))
    assert [one.code for one in found] == list(range(50))
    loud = [n for n, frame in enumerate(stage.frames) if phone_audio.is_loud(frame.ulaw)]
    # WaitSeconds ends in tick 5 of the stage: in frame 2 after the answer.
    assert loud == [2, 3, 4, 5, 6, 7, 8]
    assert [doing for _, doing in stage.did] == [KeyPressed("5"), HangUp()]


def test_coded_caller_waits_as_any_other() -> None:
    """The numbers under a wait are no sound of the caller's, and speaking begins a new wait."""
    stage = Stage(WaitAgentStarts(), Speak(40), WaitAgentDone(quiet_ms=100), HangUp(), coded=True)
    stage.run(0.5)
    assert not any(phone_audio.is_loud(frame.ulaw) for frame in stage.frames)
    stage.run(0.04, agent_speaks=True)
    stage.run(1)
    assert sum(phone_audio.is_loud(frame.ulaw) for frame in stage.frames) == 2
    assert stage.did == []
    stage.run(0.06, agent_speaks=True)
    stage.run(0.2)
    assert [doing for _, doing in stage.did] == [HangUp()]


def test_numbers_begin_again_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call longer than the numbers last goes on."""
    monkeypatch.setattr(position_code, "CODES", 30)
    stage = Stage(coded=True)
    stage.run(1)
    found = phone_audio.codes(b"".join(frame.ulaw for frame in stage.frames))
    assert [one.code for one in found] == [*range(30), *range(20)]


def test_a_noisy_line_keeps_its_numbers() -> None:
    """Hiss lies under every frame, and each still says which it is, loud or quiet."""
    stage = Stage(WaitSeconds(1), Speak(500), HangUp(), coded=True, noisy=True)
    stage.run(3)
    found = phone_audio.codes(b"".join(frame.ulaw for frame in stage.frames))
    assert [one.code for one in found] == list(range(150))
    assert sum(phone_audio.is_loud(frame.ulaw) for frame in stage.frames) == 25


def test_a_noisy_line_is_heard_under_words_too() -> None:
    """A script that says lines has the same noise, in pauses as well."""
    stage = Stage(WaitSeconds(1), noisy=True)
    stage.run(1)
    levels = [audioop.rms(phone_audio.to_pcm(frame.ulaw), 2) for frame in stage.frames]
    assert all(abs(level - phone_audio.HISS_RMS) < 8 for level in levels)
    assert len({frame.ulaw for frame in stage.frames}) > 40


def test_who_has_stayed_long_enough_asks_nothing_more() -> None:
    """They hear out what they have asked for, and hang up in place of the next question."""
    steps = (Speak(100), WaitAgentDone(quiet_ms=200)) * 10
    stage = Stage(*steps, coded=True, leaves_after_s=1.0)
    stage.run(0.9)
    stage.run(0.6, agent_speaks=True)
    assert stage.did == []
    stage.run(1)
    assert [doing for _, doing in stage.did] == [HangUp()]
    assert stage.performer.finished


def test_a_stay_counts_from_the_answer() -> None:
    """However long it rang, and at the speed of the twin's time."""
    stage = Stage(*[WaitSeconds(0.2)] * 100, leaves_after_s=4.0, speed=4)
    stage.performer.answered = False
    stage.run(2)
    stage.performer.answered = True
    stage.run(2)
    assert [at for at, _ in stage.did] == [pytest.approx(3.0, abs=0.07)]
