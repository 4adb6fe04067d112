from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.media_stream.messages import OutClear, OutMark
from telephony.media_stream.playout import MAX_QUEUED_BYTES, Playout, PlayoutClock
from tests.fakes.playing_twilio import PlayingTwilio

SECOND = 8000


def speech(duration_ms: int, *, seed: int = 0) -> bytes:
    """Bytes of which no two neighbouring stretches are alike."""
    return bytes((seed + index * 7 + index // 251) % 251 for index in range(duration_ms * 8))


def setup(latency_s: float = 0.0, *, echoes: bool = True) -> tuple[Playout, PlayingTwilio]:
    counters: Counter[str] = Counter()
    playout = Playout(counters=counters)
    twilio = PlayingTwilio(playout, counters, latency_s=latency_s, echoes=echoes)
    return playout, twilio


def test_frames_go_out_on_an_absolute_schedule() -> None:
    """The lead goes at once, then a frame each 20 ms to the microsecond, without drift."""
    playout, twilio = setup()
    playout.offer(speech(10_000), twilio.now)
    twilio.run(12)
    times = [at - 100 for at, _ in twilio.media()]
    assert times[:8] == [0.0] * 8
    assert times[8:] == pytest.approx([0.02 * (n + 1) for n in range(492)], abs=0.0011)
    assert twilio.underruns == 0
    assert twilio.really_heard() == speech(10_000)


def test_no_more_than_the_lead_is_queued_at_twilio() -> None:
    """A barge-in at any moment clears at most the lead."""
    playout, twilio = setup()
    playout.offer(speech(3_000), twilio.now)
    for _ in range(200):
        twilio.run(0.013)
        assert playout.timeline.plays_until - twilio.now <= 0.1611


def test_a_stall_is_caught_up() -> None:
    """A loop that stood still for less than the lead is not heard; all that is due goes at once."""
    playout, twilio = setup()
    playout.offer(speech(2_000), twilio.now)
    for _ in range(5):
        twilio.run(0.2)
        twilio.stall(0.139)
    twilio.run(1)
    assert twilio.underruns == 0
    assert twilio.really_heard() == speech(2_000)


def test_after_a_long_stall_the_schedule_starts_anew() -> None:
    """When Twilio has run dry, the next frame plays now, with the lead behind it again."""
    playout, twilio = setup()
    playout.offer(speech(2_000), twilio.now)
    twilio.run(0.5)
    sent = len(twilio.media())
    twilio.stall(1.0)
    twilio.run(0.0)
    assert len(twilio.media()) - sent == 8
    twilio.run(2)
    assert twilio.underruns == 1
    assert twilio.really_heard() == speech(2_000)


def test_marks_are_at_most_100_ms_apart_and_end_each_utterance() -> None:
    """A mark each 100 ms of audio, and one behind the last frame, named by generation."""
    playout, twilio = setup()
    playout.offer(speech(1_010), twilio.now)
    playout.end_utterance()
    twilio.run(2)
    names = [sent.name for _, sent in twilio.sent if isinstance(sent, OutMark)]
    assert names == [f"g0:{n}" for n in range(1, 12)]


@pytest.mark.parametrize("size", [1, 7, 159, 160, 161, 480, 4_001])
def test_audio_of_any_length_is_played_as_it_is(size: int) -> None:
    """Chunks are cut into 20 ms frames; only the last of an utterance is shorter."""
    playout, twilio = setup()
    audio = speech(1_000)
    for begin in range(0, len(audio), size):
        playout.offer(audio[begin : begin + size], twilio.now)
    playout.end_utterance()
    twilio.run(2)
    assert twilio.really_heard() == audio
    assert all(len(frame) == 160 for _, frame in twilio.media()[:-1])


def test_audio_that_stops_without_an_end_is_played_out() -> None:
    """A rest shorter than a frame does not wait for ever for the other bytes of it."""
    playout, twilio = setup()
    playout.offer(speech(33), twilio.now)
    twilio.run(0.2)
    assert twilio.really_heard() == speech(33)
    assert twilio.speech == ["started"]
    twilio.run(4)
    assert twilio.speech == ["started", "stopped"]


def test_speech_stops_when_its_last_mark_is_echoed() -> None:
    """Not when it was sent: the caller hears the end a lead and a network delay later."""
    playout, twilio = setup(latency_s=0.1)
    playout.offer(speech(500), twilio.now)
    playout.end_utterance()
    twilio.run(0.65)
    assert twilio.speech == ["started"]
    twilio.run(0.1)
    assert twilio.speech == ["started", "stopped"]
    assert not playout.unfinished
    assert playout.deadline() is None


def test_utterances_back_to_back_start_and_stop_in_turn() -> None:
    """The second is sent before the first was heard, yet its start waits for the first's stop."""
    playout, twilio = setup(latency_s=0.05)
    for _ in range(3):
        playout.offer(speech(300), twilio.now)
        playout.end_utterance()
    twilio.run(3)
    assert twilio.speech == ["started", "stopped"] * 3


def test_late_audio_after_the_end_is_an_utterance_of_its_own() -> None:
    """A residual frame seconds later starts and stops again."""
    playout, twilio = setup()
    playout.offer(speech(300), twilio.now)
    playout.end_utterance()
    twilio.run(2)
    playout.offer(speech(20), twilio.now)
    playout.end_utterance()
    playout.end_utterance()
    twilio.run(2)
    assert twilio.speech == ["started", "stopped"] * 2


def test_a_barge_in_clears_and_nothing_old_goes_out_after_it() -> None:
    """After ``clear`` come only frames and marks of the new generation."""
    playout, twilio = setup(latency_s=0.05)
    playout.offer(speech(5_000, seed=1), twilio.now)
    twilio.run(1.0)
    playout.clear(twilio.now)
    playout.offer(bytes([255]) * SECOND, twilio.now)
    playout.end_utterance()
    twilio.run(2)
    kinds = [type(sent) for _, sent in twilio.sent]
    after = twilio.sent[kinds.index(OutClear) + 1 :]
    assert kinds.count(OutClear) == 1
    frames = b"".join(frame for at, frame in twilio.media() if at >= 101.0)
    assert frames == bytes([255]) * SECOND
    assert all(sent.name.startswith("g1:") for _, sent in after if isinstance(sent, OutMark))
    assert twilio.speech == ["started", "stopped", "started", "stopped"]


def test_heard_ends_where_the_barge_in_came() -> None:
    """What was heard stays as marks and clock said it, whatever is echoed afterwards."""
    playout, twilio = setup(latency_s=0.05)
    clock = PlayoutClock(playout, lambda: twilio.now)
    playout.offer(speech(5_000), twilio.now)
    twilio.run(1.33)
    playout.clear(twilio.now)
    said = clock.heard_ms(0, 5_000)
    twilio.run(1)
    assert clock.heard_ms(0, 5_000) == said
    assert clock.pending_ms() == 0
    assert clock.offered_ms() == 5_000
    # The clear takes 50 ms to arrive, and an echo 50 ms to come back.
    heard_ms = len(twilio.really_heard()) / 8
    assert heard_ms - 150 <= said <= heard_ms


def test_an_interrupted_turn_can_be_told_from_the_next() -> None:
    """Intervals of the timeline are answered for each on its own, over generations."""
    playout, twilio = setup()
    clock = PlayoutClock(playout, lambda: twilio.now)
    playout.offer(speech(1_000), twilio.now)
    playout.end_utterance()
    twilio.run(2)
    second = clock.offered_ms()
    playout.offer(speech(1_000), twilio.now)
    twilio.run(0.4)
    playout.clear(twilio.now)
    third = clock.offered_ms()
    playout.offer(speech(500), twilio.now)
    playout.end_utterance()
    twilio.run(1)
    assert clock.heard_ms(0, second) == 1_000
    assert clock.heard_ms(second, third) == pytest.approx(400, abs=21)
    assert clock.heard_ms(third, third + 500) == 500
    assert clock.heard_ms(0, third + 500) == pytest.approx(1_900, abs=21)
    assert clock.heard_ms(200, 300) == 100
    assert clock.heard_ms(500, 100) == 0


def test_interruption_of_silence_says_nothing() -> None:
    """With nothing queued at Twilio there is nothing to clear, and nobody stops speaking."""
    playout, twilio = setup()
    playout.clear(twilio.now)
    playout.offer(speech(100), twilio.now)
    playout.end_utterance()
    twilio.run(1)
    playout.clear(twilio.now)
    twilio.run(1)
    assert not any(isinstance(sent, OutClear) for _, sent in twilio.sent)
    assert twilio.speech == ["started", "stopped"]


def test_a_clear_is_sent_although_all_audio_had_been_sent() -> None:
    """What Twilio has queued counts, not what we have."""
    playout, twilio = setup()
    playout.offer(speech(100), twilio.now)
    playout.end_utterance()
    twilio.run(0.01)
    playout.clear(twilio.now)
    twilio.run(0.0)
    assert isinstance(twilio.sent[-2][1], OutClear)
    assert twilio.speech == ["started", "stopped"]


def test_waiting_for_echoes_has_an_end() -> None:
    """Where no echo comes, speech stops two seconds after it should have been heard."""
    playout, twilio = setup(echoes=False)
    clock = PlayoutClock(playout, lambda: twilio.now)
    playout.offer(speech(1_000), twilio.now)
    playout.end_utterance()
    twilio.run(2.9)
    assert twilio.speech == ["started"]
    twilio.run(0.2)
    assert twilio.speech == ["started", "stopped"]
    assert twilio.counters == {"marks_timed_out": 1}
    assert clock.pending_ms() == 0
    # Never beyond the first mark that was not echoed.
    assert clock.heard_ms(0, 1_000) == 100


def test_an_echo_that_comes_late_still_counts() -> None:
    """Giving up the wait is not forgetting the mark."""
    playout, twilio = setup(echoes=False)
    clock = PlayoutClock(playout, lambda: twilio.now)
    playout.offer(speech(100), twilio.now)
    playout.end_utterance()
    twilio.run(4)
    playout.mark_echoed("g0:1", twilio.now)
    assert clock.heard_ms(0, 100) == 100
    assert twilio.speech == ["started", "stopped"]


@pytest.mark.parametrize(
    "name", ["", "g", "g0", "g0:", "g0:2", "g0:0", "g1:1", "0:1", "g0:x", "g0:" + "1" * 9_999]
)
def test_echoes_that_tell_nothing_are_ignored(name: str) -> None:
    """Marks of other generations, unknown, malformed or not set yet."""
    playout, twilio = setup(echoes=False)
    playout.offer(speech(100), twilio.now)
    twilio.run(0.01)
    playout.mark_echoed(name, twilio.now)
    assert playout.timeline.confirmed == 0
    assert twilio.counters == {"marks_flushed": 1}


def test_an_echo_implies_those_before_it() -> None:
    """Marks are played in order: a skipped echo is made good by the next, a repeat ignored."""
    playout, twilio = setup(echoes=False)
    playout.offer(speech(1_000), twilio.now)
    twilio.run(0.5)
    playout.mark_echoed("g0:3", twilio.now)
    assert playout.timeline.confirmed == 300 * 8
    playout.mark_echoed("g0:2", twilio.now)
    assert playout.timeline.confirmed == 300 * 8


def test_a_lost_stream_ends_speech_without_a_message() -> None:
    """Nothing more is heard, nothing waits, and there is nobody to send a clear to."""
    playout, twilio = setup()
    clock = PlayoutClock(playout, lambda: twilio.now)
    playout.offer(speech(1_000), twilio.now)
    twilio.run(0.3)
    before = len(twilio.sent)
    playout.abandon(twilio.now)
    twilio.run(5)
    assert [type(sent).__name__ for _, sent in twilio.sent[before:]] == ["SpeechStopped"]
    assert clock.pending_ms() == 0
    assert clock.heard_ms(0, 1_000) == pytest.approx(300, abs=21)


def test_the_queue_is_bounded() -> None:
    """Ten minutes are queued, more is refused."""
    playout, twilio = setup()
    playout.offer(bytes(MAX_QUEUED_BYTES), twilio.now)
    playout.offer(bytes(80), twilio.now)
    assert playout.timeline.offered == MAX_QUEUED_BYTES
    assert twilio.counters == {"agent_audio_dropped_ms": 10}


def test_real_time_audio_is_not_held_back() -> None:
    """A model that speaks in real time is passed on at once, with a mark each 100 ms."""
    playout, twilio = setup()
    for _ in range(100):
        playout.offer(speech(20), twilio.now)
        twilio.run(0.0)
        assert not playout.queued
        twilio.run(0.02)
    assert sum(isinstance(sent, OutMark) for _, sent in twilio.sent) == 20


def test_a_lead_shorter_than_a_frame_is_refused() -> None:
    """Twilio would run dry between any two frames."""
    with pytest.raises(ValueError, match="lead"):
        Playout(lead_ms=10)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 900)),
        st.tuples(st.just("run"), st.integers(0, 700)),
        st.tuples(st.just("stall"), st.integers(0, 400)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=25,
)


@given(steps=STEPS, latency_ms=st.sampled_from([0, 20, 150]), echoes=st.booleans())
def test_whatever_happens_the_playout_tells_the_truth(
    steps: list[tuple[str, int]], latency_ms: int, echoes: bool
) -> None:
    """Heard never goes back nor exceeds what was played; speech starts and stops in turn."""
    playout, twilio = setup(latency_ms / 1000, echoes=echoes)
    clock = PlayoutClock(playout, lambda: twilio.now)
    heard = [0.0]
    offered = [0.0]
    for step, amount in steps:
        match step:
            case "offer":
                playout.offer(speech(amount), twilio.now)
            case "run":
                twilio.run(amount / 1000)
            case "stall":
                twilio.stall(amount / 1000)
            case "end":
                playout.end_utterance()
            case "clear":
                playout.clear(twilio.now)
        offered.append(clock.offered_ms())
        heard.append(clock.heard_ms(0, clock.offered_ms()))
        # Only the first stretch after silence is estimated by the clock alone, and up to a mark.
        allowed = min(latency_ms, 100) * (1 + sum(s == "clear" for s, _ in steps)) + 1
        stalled = sum(a for s, a in steps if s == "stall")
        if not stalled:
            assert heard[-1] <= len(twilio.really_heard()) / 8 + allowed
        assert 0 <= clock.pending_ms() <= clock.offered_ms() - heard[-1] + 1e-6
    twilio.run(20)
    heard.append(clock.heard_ms(0, clock.offered_ms()))
    assert all(later >= earlier for earlier, later in pairwise(heard))
    assert all(later >= earlier for earlier, later in pairwise(offered))
    assert clock.pending_ms() == 0
    assert not playout.unfinished
    assert playout.deadline() is None
    assert twilio.speech == ["started", "stopped"] * (len(twilio.speech) // 2)
