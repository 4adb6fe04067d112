from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputDTMFFrame,
    TTSStoppedFrame,
)

from telephony.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from telephony.errors import MediaSocketClosed
from telephony.media_stream import transport as transport_module
from tests.fakes.media_socket import FakeTwilio, media
from tests.telephony.media_stream.pipeline import a_call
from tests.tone import amplitude_at, strongest_hz, tone


def speaking(names: list[str]) -> list[str]:
    return [name.removeprefix("Bot").removesuffix("SpeakingFrame") for name in names]


async def test_tones_arrive_in_both_directions() -> None:
    """400 Hz from the caller and 1 kHz from the agent come out at the other side, and only they."""
    async with a_call() as call:
        caller = pcm_to_ulaw(tone(400, 1_000, rate_hz=8_000))
        agent = tone(1_000, 1_000, rate_hz=24_000)
        for at in range(0, 24_000 * 2, 1_440):
            await call.probe.say(agent[at : at + 1_440], 24_000)
        await call.probe.push_frame(TTSStoppedFrame())
        for at in range(0, 8_000, 160):
            call.twilio.speak(caller[at : at + 160])
        await call.until(lambda: len(call.probe.caller_pcm) >= 32_000)
        await call.until(lambda: len(call.twilio.heard_bytes()) >= 8_000)

        heard_by_model = bytes(call.probe.caller_pcm)
        assert strongest_hz(heard_by_model, rate_hz=16_000) == pytest.approx(400, abs=2)
        assert amplitude_at(heard_by_model, 400, rate_hz=16_000) == pytest.approx(8_000, rel=0.05)
        assert amplitude_at(heard_by_model, 1_000, rate_hz=16_000) < 80

        heard_by_caller = ulaw_to_pcm(call.twilio.heard_bytes())
        assert strongest_hz(heard_by_caller, rate_hz=8_000) == pytest.approx(1_000, abs=2)
        assert amplitude_at(heard_by_caller, 1_000, rate_hz=8_000) == pytest.approx(8_000, rel=0.05)
        assert amplitude_at(heard_by_caller, 400, rate_hz=8_000) < 80


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (24_000, 1), (44_100, 1), (24_000, 2)]
)
async def test_any_rate_is_played_at_its_pitch(rate_hz: int, channels: int) -> None:
    """Audio of any rate, mono or stereo, is played at its pitch, level and length."""
    async with a_call() as call:
        pcm = tone(700, 300, rate_hz=rate_hz)
        if channels == 2:
            pcm = b"".join(pcm[at : at + 2] * 2 for at in range(0, len(pcm), 2))
        await call.probe.say(pcm, rate_hz, channels=channels)
        await call.probe.push_frame(TTSStoppedFrame())
        await call.until(lambda: call.transport.playout.pending_ms() == 0)
        heard = call.twilio.heard_bytes()
        assert 300 * 8 <= len(heard) <= 303 * 8
        assert strongest_hz(ulaw_to_pcm(heard), rate_hz=8_000) == pytest.approx(700, abs=5)


async def test_the_agent_starts_and_stops_to_speak_once_per_utterance() -> None:
    """Started with the first frame, stopped when the caller has heard the last."""
    async with a_call() as call:
        for _ in range(2):
            await call.probe.say(tone(700, 200, rate_hz=24_000), 24_000)
            await call.probe.push_frame(TTSStoppedFrame())
        kinds = (BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
        await call.until(
            lambda: len(call.twilio.heard) and call.transport.playout.pending_ms() == 0
        )
        await asyncio.sleep(0.05)
        assert speaking(call.probe.names(*kinds)) == ["Started", "Stopped"] * 2
        assert call.transport.playout.heard_ms(0, 1e9) == call.transport.playout.offered_ms()


async def test_a_barge_in_clears_twilio_and_leaves_heard_where_it_was() -> None:
    """After ``clear`` only the new generation is sent; heard is what the caller really heard."""
    async with a_call() as call:
        await call.probe.say(tone(700, 3_000, rate_hz=24_000), 24_000)
        await asyncio.sleep(0.5)
        await call.probe.push_frame(InterruptionFrame())
        said = call.transport.playout.heard_ms(0, 3_000)
        await call.probe.say(tone(1_000, 200, rate_hz=8_000), 8_000)
        await call.probe.push_frame(TTSStoppedFrame())
        await call.until(lambda: call.twilio.sent[-1]["event"] == "mark")
        await call.until(lambda: call.transport.playout.pending_ms() == 0)

        events = [message["event"] for message in call.twilio.sent]
        clear = events.index("clear")
        assert events.count("clear") == 1
        assert events[clear + 1 :].count("media") == 10
        names = [m["mark"]["name"] for m in call.twilio.sent[clear:] if m["event"] == "mark"]
        assert all(name.startswith("g1:") for name in names)

        really_ms = len(call.twilio.heard_bytes()) / 8 - 200
        assert said == pytest.approx(really_ms, abs=25)
        assert call.transport.playout.heard_ms(0, 3_000) == said
        assert call.tap.cleared[0] == pytest.approx(call.tap.agent[0][0] + really_ms, abs=25)
        kinds = (BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
        await asyncio.sleep(0.05)
        assert speaking(call.probe.names(*kinds)) == ["Started", "Stopped"] * 2
        assert call.transport.counters["marks_flushed"] >= 1


async def test_a_frame_in_flight_at_a_barge_in_is_cleared_too() -> None:
    """One frame may be stuck in a slow socket; ``clear`` follows it before anything new does."""
    async with a_call() as call:
        call.twilio.takes_messages.clear()
        await call.probe.say(tone(700, 1_000, rate_hz=8_000), 8_000)
        await asyncio.sleep(0.05)
        await call.probe.push_frame(InterruptionFrame())
        await call.probe.say(bytes(320), 8_000)
        await call.probe.push_frame(TTSStoppedFrame())
        call.twilio.takes_messages.set()
        await call.until(lambda: len(call.twilio.sent) >= 4)
        events = [message["event"] for message in call.twilio.sent]
        assert events == ["media", "clear", "media", "mark"]
        assert call.twilio.sent[-1]["mark"]["name"] == "g1:1"
        assert call.transport.playout.heard_ms(0, 1_000) <= 100


async def test_digits_go_both_ways() -> None:
    """Keys pressed become frames; keys to press become tones; the letters of Q.23 are counted."""
    async with a_call() as call:
        for digit in "5#A":
            call.twilio.press(digit)
        await call.until(lambda: call.transport.counters["dtmf_unknown"] == 1)
        pressed = [f.button.value for f in call.probe.frames if isinstance(f, InputDTMFFrame)]
        assert pressed == ["5", "#"]

        await call.probe.push_frame(OutputDTMFFrame.from_string("1"))
        await call.until(lambda: len(call.twilio.heard_bytes()) >= 1_600)
        pcm = ulaw_to_pcm(call.twilio.heard_bytes()[:800])
        assert amplitude_at(pcm, 697, rate_hz=8_000) > 7_000
        assert amplitude_at(pcm, 1_209, rate_hz=8_000) > 7_000


async def test_frames_of_any_size_become_20_ms() -> None:
    """Whatever Twilio sends, the pipeline gets 20 ms at 16 kHz, and nothing is lost."""
    async with a_call() as call:
        speech = pcm_to_ulaw(tone(400, 500, rate_hz=8_000))
        at = 0
        for size in (1, 159, 160, 161, 800, 37, 2_682):
            call.twilio.speak(speech[at : at + size], timestamp=70 + at // 8)
            at += size
        assert at == 4_000
        call.twilio.hang_up()
        assert (await call.ended()).kind == "stop"
        assert len(call.probe.caller_pcm) == 16_000
        assert strongest_hz(bytes(call.probe.caller_pcm), rate_hz=16_000) == pytest.approx(
            400, abs=3
        )


async def test_caller_audio_takes_the_short_cut_it_is_given() -> None:
    """Audio alone goes past Pipecat's way of pushing; digits do not."""
    taken: list[bytes] = []

    async def take(pcm: bytes) -> None:
        taken.append(pcm)

    async with a_call() as call:
        call.transport.input().push_audio = take
        call.twilio.speak(pcm_to_ulaw(tone(400, 40, rate_hz=8_000)))
        call.twilio.press("5")
        await call.until(lambda: call.probe.names(InputDTMFFrame))
        assert [len(pcm) for pcm in taken] == [640] * 2
        assert not call.probe.caller_pcm


async def test_what_is_left_to_be_done_comes_before_what_follows() -> None:
    """Audio that has to wait keeps what comes behind it waiting, the end of the stream too."""
    taken: list[int] = []
    may_go_on = asyncio.Event()

    async def wait(pcm: bytes) -> None:
        await may_go_on.wait()
        taken.append(len(pcm))

    def take(pcm: bytes) -> Coroutine[Any, Any, None] | None:
        if len(taken) in (1, 2):
            return wait(pcm)
        taken.append(len(pcm))
        return None

    async with a_call() as call:
        call.transport.input().push_audio = take
        call.twilio.speak(bytes(160))
        await call.until(lambda: taken == [640])
        for _ in range(3):
            call.twilio.speak(bytes(160))
        call.twilio.press("5")
        call.twilio.hang_up()
        await asyncio.sleep(0.05)
        assert taken == [640]
        assert not call.probe.names(InputDTMFFrame)
        may_go_on.set()
        assert (await call.ended()).kind == "stop"
        assert taken == [640] * 4
        assert call.probe.names(InputDTMFFrame)


@pytest.mark.parametrize("at_once", [True, False])
async def test_stream_ends_with_what_fails_in_it(at_once: bool) -> None:
    """Whether that was done where the message came, or was left for later."""

    async def fail(_pcm: bytes) -> None:
        raise ZeroDivisionError

    def fail_at_once(_pcm: bytes) -> None:
        raise ZeroDivisionError

    async def speak() -> None:
        async with a_call() as call:
            call.transport.input().push_audio = fail_at_once if at_once else fail
            await asyncio.sleep(0.05)
            call.twilio.speak(bytes(160))
            await call.ended()

    with pytest.raises(ExceptionGroup) as caught:
        await speak()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_gap_becomes_silence_and_a_burst_is_caught_up() -> None:
    """A timestamp that jumps gives silence; frames that come at once are pushed at once."""
    async with a_call() as call:
        frame = bytes(160)
        for number in range(50):
            call.twilio.speak(frame, timestamp=number * 20)
        call.twilio.speak(frame, timestamp=50 * 20 + 300)
        await call.until(lambda: len(call.probe.caller_pcm) >= (51 * 20 + 300) * 32)
        assert len(call.probe.caller_pcm) == (51 * 20 + 300) * 32
        assert call.transport.counters["media_gap_ms"] == 300


async def test_garbage_is_counted_and_the_call_goes_on() -> None:
    """Malformed, binary, foreign and repeated messages change nothing."""
    async with a_call() as call:
        call.twilio.speak(bytes(160))
        for garbage in ("nonsense", b"\xff\x00", "{}", '{"event":"weather"}', "x" * 500_000):
            call.twilio.feed(garbage)
        call.twilio.feed(media(bytes(160), 2, 1, 70))
        call.twilio.speak(bytes(160))
        await call.until(lambda: len(call.probe.caller_pcm) == 1280)
        assert call.transport.counters["media_malformed"] == 4
        assert call.transport.counters["media_unrecognised"] == 1
        assert call.transport.counters["media_repeated"] == 1


async def test_stop_ends_the_stream() -> None:
    """A caller who hangs up is a stop; the agent has stopped speaking, and nothing is pending."""
    async with a_call() as call:
        await call.probe.say(tone(700, 3_000, rate_hz=24_000), 24_000)
        await call.until(lambda: call.twilio.heard)
        call.twilio.hang_up()
        assert (await call.ended()).kind == "stop"
        assert call.transport.playout.pending_ms() == 0
        kinds = (BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
        assert speaking(call.probe.names(*kinds)) == ["Started", "Stopped"]
        # Speech that comes too late is on the timeline and never heard.
        await call.probe.say(tone(700, 100, rate_hz=8_000), 8_000)
        assert call.transport.playout.offered_ms() == pytest.approx(3_100, abs=3)
        assert call.transport.playout.pending_ms() == 0


@pytest.mark.parametrize(("code", "kind"), [(1000, "closed"), (1005, "closed"), (1006, "lost")])
async def test_a_socket_may_close_without_stop(code: int, kind: str) -> None:
    """A close frame is an end in order; none at all is a loss."""
    async with a_call() as call:
        call.twilio.feed(MediaSocketClosed(code))
        end = await call.ended()
        assert (end.kind, end.code) == (kind, code)


async def test_a_dead_socket_on_send_is_a_loss_and_no_error() -> None:
    """Nothing is raised into the pipeline; the stream ends as lost."""
    async with a_call() as call:
        call.twilio.send_error = MediaSocketClosed(1006)
        await call.probe.say(tone(700, 500, rate_hz=24_000), 24_000)
        assert (await call.ended()).kind == "lost"
        assert call.transport.counters["sends_failed"] == 1
        await call.probe.say(tone(700, 500, rate_hz=24_000), 24_000)
        assert not any(type(f).__name__ == "ErrorFrame" for f in call.probe.frames)


async def test_a_bug_in_writing_ends_the_stream_and_not_whoever_brought_audio() -> None:
    """It is raised where the stream runs, though audio is written as it comes."""
    async with a_call() as call:
        call.twilio.on_sent = lambda _message: 1 / 0  # type: ignore[method-assign, assignment]
        await call.probe.say(tone(700, 500, rate_hz=24_000), 24_000)
        with pytest.RaisesGroup(ZeroDivisionError):
            await call.ended()


async def test_a_stop_that_is_still_unread_wins_over_a_failed_send() -> None:
    """After a hang-up sends fail first; that is no loss."""
    async with a_call() as call:
        call.twilio.send_error = MediaSocketClosed(1006)
        await call.probe.say(tone(700, 500, rate_hz=24_000), 24_000)
        await asyncio.sleep(0.1)
        call.twilio.hang_up()
        assert (await call.ended()).kind == "stop"


async def test_a_socket_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that blocks ends the stream, and a close that hangs does not hold it up."""
    monkeypatch.setattr(transport_module, "_SEND_S", 0.1)
    monkeypatch.setattr(transport_module, "_WATCH_S", 0.05)
    monkeypatch.setattr(transport_module, "_CLOSE_S", 0.1)
    async with a_call() as call:
        call.twilio.takes_messages.clear()
        call.twilio.close_hangs = True
        await call.probe.say(tone(700, 500, rate_hz=24_000), 24_000)
        end = await call.ended()
        assert (end.kind, end.code) == ("lost", 1006)


async def test_a_socket_that_brings_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio sends frames in silence too: quiet means dead, though TCP does not say so."""
    monkeypatch.setattr(transport_module, "_QUIET_S", 0.2)
    monkeypatch.setattr(transport_module, "_WATCH_S", 0.05)
    async with a_call() as call:
        for _ in range(8):
            call.twilio.speak(bytes(160))
            await asyncio.sleep(0.05)
        assert not call.running.done()
        assert (await call.ended()).kind == "lost"
        assert call.twilio.closed_with is not None


async def test_pipeline_that_holds_audio_up_is_not_a_quiet_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long it takes; then what came meanwhile is told."""
    monkeypatch.setattr(transport_module, "_QUIET_S", 0.2)
    monkeypatch.setattr(transport_module, "_WATCH_S", 0.05)
    async with a_call() as call:
        call.transport.input().push_audio = lambda _pcm: asyncio.sleep(0.6)
        await asyncio.sleep(0.05)
        call.twilio.speak(bytes(160))
        await asyncio.sleep(0.5)
        assert not call.running.done()
        call.twilio.hang_up()
        assert (await call.ended()).kind == "stop"


async def test_end_frame_lets_the_last_words_be_heard() -> None:
    """EndFrame waits for what was said, then nothing goes out or in."""
    async with a_call() as call:
        await call.probe.say(tone(700, 400, rate_hz=24_000), 24_000)
        await call.worker.queue_frame(EndFrame())
        await call.until(lambda: call.worker.has_finished())
        assert len(call.twilio.heard_bytes()) >= 400 * 8
        sent = len(call.twilio.sent)
        heard = len(call.probe.caller_pcm)
        call.twilio.speak(bytes(160))
        await asyncio.sleep(0.05)
        assert len(call.twilio.sent) == sent
        assert len(call.probe.caller_pcm) == heard
        assert not call.running.done()
        await call.transport.close("done")
        assert (await call.ended()).kind == "closed"
        assert call.twilio.closed_with == (1000, "done")


async def test_a_close_ends_the_wait_for_last_words() -> None:
    """EndFrame waits for nobody once the stream is over, though nothing had been sent."""
    async with a_call() as call:
        call.twilio.takes_messages.clear()
        await call.probe.say(tone(700, 400, rate_hz=24_000), 24_000)
        await call.worker.queue_frame(EndFrame())
        await asyncio.sleep(0.05)
        assert not call.worker.has_finished()
        await call.transport.close("done")
        async with asyncio.timeout(1):
            await call.ended()
            await call.until(call.worker.has_finished)


async def test_cancel_frame_stops_at_once() -> None:
    """CancelFrame waits for nothing."""
    async with a_call() as call:
        await call.probe.say(tone(700, 2_000, rate_hz=24_000), 24_000)
        await call.until(lambda: call.twilio.heard)
        await call.worker.queue_frame(CancelFrame())
        await call.until(lambda: call.worker.has_finished())
        assert len(call.twilio.heard_bytes()) < 600 * 8


async def test_nothing_is_left_behind() -> None:
    """When a call is over there is no task more than before."""
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with a_call() as call:
            await call.probe.say(tone(700, 100, rate_hz=24_000), 24_000)
            call.twilio.speak(bytes(160))
            await asyncio.sleep(0.02)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_nothing_the_caller_says_is_lost_before_the_pipeline_runs() -> None:
    """Frames that arrive with ``start`` wait in the socket until the pipeline takes them."""
    twilio = FakeTwilio()
    twilio.say_hello()
    for _ in range(20):
        twilio.speak(bytes(160))
    async with a_call(twilio) as call:
        await call.until(lambda: len(call.probe.caller_pcm) == 20 * 640)
