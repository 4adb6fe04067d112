"""The generator is honest: what a bridge does to a call is what its caller's seat tells of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.workers.loadtest.bridged import (
    LINE,
    LIVE_FRAME_BYTES,
    NUMBER,
    RANG_AT,
    Bridge,
    Made,
    make_call,
    session_log,
)
from workers.loadtest.measured import CallMeasured, Ending, FramesCounted
from workers.loadtest.plan import Persona
from workers.loadtest.seat import measure
from workers.twin.twilio_api.result import TwinEvent
from workers.twin.twilio_api.voices import Heard, Voice

THREE = ((2.0, 3.0), (7.0, 8.0), (12.0, 13.0))


def seat(made: Made, **changes: object) -> CallMeasured:
    given: dict[str, object] = {
        "number": NUMBER,
        "persona": Persona.TALK,
        "began_s": 1.0,
        "calls_at_once": 2,
        "rang_at": RANG_AT,
        "sessions": made.sessions,
        "model_lines": (LINE,),
    }
    return measure(made.result, **(given | changes))  # type: ignore[arg-type]


def added_ms(call: CallMeasured) -> list[float]:
    return [one.delay_ms - (one.model_ms or 0.0) for one in call.answers]


# -- delays ------------------------------------------------------------------------------------


def test_delay_of_an_answer() -> None:
    """It counts from the last loud frame to the first sound; the model's share is its own word."""
    call = seat(make_call(Bridge(uplink_s=0.02, downlink_s=0.03), speaks=THREE, lasts_s=17))
    assert [one.asked_s for one in call.answers] == pytest.approx([2.98, 7.98, 12.98])
    assert [one.delay_ms for one in call.answers] == pytest.approx([650] * 3, abs=5)
    assert [one.model_ms for one in call.answers] == pytest.approx([600] * 3, abs=0.01)
    assert call.unanswered == 0
    assert call.first_word_ms == pytest.approx(3650 - 520, abs=5)


@pytest.mark.parametrize("where", ["uplink_s", "downlink_s"])
@pytest.mark.parametrize("shift_ms", [0, 7])
def test_planted_delay_of_50_ms(where: str, shift_ms: int) -> None:
    """Whichever way it is on, it is found within 5 ms, and taken for the bridge's."""
    sound = Bridge(shift_ms=shift_ms)
    slow = replace(sound, **{where: getattr(sound, where) + 0.05})
    before = added_ms(seat(make_call(sound, speaks=THREE, lasts_s=17)))
    after = added_ms(seat(make_call(slow, speaks=THREE, lasts_s=17)))
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([50] * 3, abs=5)


def test_slow_model_is_not_the_bridges_fault() -> None:
    """The caller waits longer; what was added stays."""
    quick, slow = (
        seat(make_call(Bridge(), speaks=THREE, lasts_s=17, model_s=model_s))
        for model_s in (0.4, 1.4)
    )
    assert slow.answers[0].delay_ms - quick.answers[0].delay_ms == pytest.approx(1000, abs=5)
    assert added_ms(slow) == pytest.approx(added_ms(quick), abs=5)


def test_model_nobody_can_ask() -> None:
    """Without its connections the caller's delay is all there is."""
    call = seat(make_call(Bridge()), sessions=[session_log(None), session_log(NUMBER + 1)])
    assert call.answers[0].model_ms is None
    assert call.answers[0].delay_ms == pytest.approx(650, abs=5)
    assert call.caller_frames == FramesCounted()
    assert call.agent_frames.sent == 100


def test_question_without_an_answer() -> None:
    """It counts, unless it was the last one of a test that was broken off."""
    made = make_call(Bridge(), speaks=((2.0, 3.0), (3.4, 4.0)), lasts_s=4.3, model_s=5.0)
    assert seat(made).unanswered == 2
    made.result = replace(made.result, script_finished=False, events=())
    stopped = seat(made, stopped=True)
    assert (stopped.unanswered, stopped.ending) == (1, Ending.STOPPED)


# -- barge-in ----------------------------------------------------------------------------------


def test_barge_in() -> None:
    """From the first loud frame into an answer to the last that is heard of it."""
    made = make_call(
        Bridge(goes_on_s=0.14), speaks=((2.0, 3.0), (4.6, 5.4)), lasts_s=10, model_s=0.5
    )
    call = seat(made)
    (barge_in,) = call.barge_ins
    assert barge_in.began_s == pytest.approx(4.6)
    assert barge_in.stop_ms == pytest.approx(140, abs=5)
    assert len(call.answers) == 2
    assert call.agent_frames.lost == 0


def test_frames_a_barge_in_cut_off_are_not_lost() -> None:
    """Not even if some that were on their way are heard after others were thrown away."""
    cut = range(66, 70)  # The caller speaks from the 53rd frame on; the agent goes on for 500 ms.
    made = make_call(
        Bridge(goes_on_s=0.5, loses_down=cut), speaks=((2.0, 3.0), (4.6, 5.4)), model_s=0.5
    )
    assert seat(made).agent_frames.lost == 0
    assert seat(made).gaps == ()


# -- gaps and frames ---------------------------------------------------------------------------


@pytest.mark.parametrize("shift_ms", [0, 2, 10, 15])
def test_planted_gap_of_100_ms(shift_ms: int) -> None:
    """It is found within 10 ms, also where it cuts a frame of the model in two."""
    call = seat(make_call(Bridge(shift_ms=shift_ms, stalls=((40, 0.1),))))
    (gap,) = call.gaps
    assert gap.ms == pytest.approx(100, abs=10)
    assert gap.at_s == pytest.approx(3.63 + 40 * 0.02, abs=0.01)
    assert call.agent_frames.lost == 0
    assert call.agent_frames.sent == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("deaf", "lost"),
    [(range(9), 0), (range(100), 92), (range(300, 475), 126), (range(475), 418), (range(1), 0)],
)
def test_bridge_that_is_deaf_at_an_end_of_the_call(deaf: range, lost: int) -> None:
    """But for what was sent before it could be, or shortly before the end."""
    found = seat(make_call(Bridge(loses_up=deaf))).caller_frames
    assert found.lost == pytest.approx(lost, abs=1)
    assert found.sent >= found.lost


def test_pauses_between_answers_are_no_gaps() -> None:
    """The same line said again is another utterance, however soon."""
    call = seat(make_call(Bridge(), speaks=THREE, lasts_s=17))
    assert call.gaps == ()
    assert call.agent_frames == FramesCounted(300, 0, 0)


@pytest.mark.parametrize("shift_ms", [0, 2, 10])
def test_planted_loss_of_1_per_cent_to_the_caller(shift_ms: int) -> None:
    """It is found within 0.1 per cent."""
    line = range(500, 2500)
    frames = random.Random(1)
    inner = range(5, 1995)
    lost = set(frames.sample(inner, 20))
    made = make_call(Bridge(shift_ms=shift_ms, loses_down=lost), line=line, lasts_s=50)
    call = seat(made, model_lines=(line,))
    assert call.agent_frames.sent == pytest.approx(2000, abs=1)
    assert call.agent_frames.lost / call.agent_frames.sent == pytest.approx(0.01, abs=0.001)


def test_planted_loss_of_1_per_cent_to_the_model() -> None:
    """It is found within 0.1 per cent, quiet frames counted as well."""
    frames = random.Random(2)
    lost = set(frames.sample(range(5, 2395), 24)) - {124}
    call = seat(make_call(Bridge(loses_up=lost), lasts_s=48.5))
    assert call.caller_frames.sent == 2400
    assert call.caller_frames.lost / 2400 == pytest.approx(0.01, abs=0.001)


def test_gap_and_loss_together() -> None:
    """Frames that never came leave silence: both are told."""
    call = seat(make_call(Bridge(loses_down=range(40, 45))))
    assert call.agent_frames == FramesCounted(100, 5, 0)
    assert [gap.ms for gap in call.gaps] == pytest.approx([100], abs=10)


def test_frames_between_two_streams_were_never_to_be_sent() -> None:
    """Nobody could have sent them: a worker had died, and the next stream was not up."""
    made = make_call(Bridge(loses_up=range(300, 350)), lasts_s=10)
    first = Voice("MZ1", 1, 0.5, 6.48, Heard(), Heard(), 0.0)
    second = Voice("MZ2", 2, 7.44, 10.0, Heard(), Heard(), 0.0)
    made.result = replace(made.result, voices=(first, second))
    assert seat(made).caller_frames == FramesCounted(425, 0, 0)


def test_codes_that_begin_again() -> None:
    """A call longer than 327 s is counted on."""
    call = seat(make_call(Bridge(), speaks=((330.0, 331.0),), lasts_s=335))
    assert call.caller_frames == FramesCounted(round(334.5 * 50), 0, 0)
    assert added_ms(call) == pytest.approx([50], abs=5)


def test_two_connections_of_one_call() -> None:
    """What was replayed to the next came twice, and nothing was lost."""
    made = make_call(Bridge(), lasts_s=10)
    other = session_log(NUMBER)
    size = LIVE_FRAME_BYTES
    whole = made.log.caller_audio
    for index in range(200, 475):
        other.audio(whole[index * size : (index + 1) * size], 16_000, RANG_AT + 0.52 + index * 0.02)
    first = session_log(NUMBER)
    for index in range(210):
        first.audio(whole[index * size : (index + 1) * size], 16_000, RANG_AT + 0.52 + index * 0.02)
    first.said = made.log.said
    call = seat(made, sessions=[first, other])
    assert call.caller_frames == FramesCounted(475, 0, 10)


def test_gap_of_a_caller_who_did_not_read() -> None:
    """It is their own, as is an answer that they took in late; another one is the bridge's."""
    made = make_call(Bridge(stalls=((20, 0.3), (70, 0.08))))
    reads = TwinEvent(4.0, "script", {"doing": "ReadSlowly(ms=300)"})
    made.result = replace(made.result, events=(reads, *made.result.events))
    assert [gap.ms for gap in seat(made).gaps] == pytest.approx([80], abs=10)
    late = TwinEvent(3.4, "script", {"doing": "ReadSlowly(ms=220)"})
    made.result = replace(made.result, events=(late, *made.result.events))
    assert (seat(made).answers, seat(made).unanswered) == ((), 0)


# -- the rest ----------------------------------------------------------------------------------


def test_what_is_passed_on() -> None:
    """Who called, how it sounded, and when who spoke."""
    call = seat(make_call(Bridge()), late_frames=4, reset_gaps_ms=(12.0,))
    assert (call.number, call.persona, call.ending) == (NUMBER, Persona.TALK, Ending.COMPLETED)
    assert (call.late_frames, call.reset_gaps_ms) == (4, (12.0,))
    assert call.loudness_dbfs == pytest.approx(-22.3, abs=0.2)
    assert call.caller_spoke == ((2.0, 3.0),)
    ((start, end),) = call.agent_spoke
    assert (start, end) == pytest.approx((3.63, 5.63), abs=0.005)


def test_real_model() -> None:
    """Nothing is numbered then: gaps are holes in the playout, and frames are not counted."""
    call = seat(make_call(Bridge(stalls=((40, 0.1),))), model_lines=(), sessions=())
    assert [gap.ms for gap in call.gaps] == pytest.approx([100], abs=1)
    assert call.agent_frames == call.caller_frames == FramesCounted()
    assert call.answers[0].delay_ms == pytest.approx(650, abs=5)


def test_call_that_was_never_answered() -> None:
    """It has no times, and breaks nothing."""
    made = make_call(Bridge())
    made.result = replace(
        made.result,
        status="failed",
        answered_at_s=None,
        heard=b"",
        spoken=b"",
        played_ms=(),
        events=(),
        voices=(),
        warnings=((11200, "HTTP retrieval failure: connection refused"),),
    )
    call = seat(made, sessions=[])
    assert call.ending is Ending.REFUSED
    assert call.reason == "HTTP retrieval failure: connection refused"
    assert (call.first_word_ms, call.answers, call.loudness_dbfs) == (None, (), None)
