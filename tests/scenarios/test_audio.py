"""Audio end to end, proved by tones: in both directions, through jitter, and between many calls."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.spec import Vad
from tests.scenarios.rig import bakery, evercall, lost_ms, played_ms, silent_agent
from tests.tone import amplitude_at, strongest_hz
from workers.twin import phone_audio, speech
from workers.twin.caller import (
    HangUp,
    HoldFrames,
    ReorderFrames,
    SkipTime,
    Tone,
    WaitAgentDone,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api.loops import tone as model_tone
from workers.twin.live_api.script import LiveScript, Say
from workers.twin.speech import Speech, Word

PHONE_HZ, MODEL_HZ = 8_000, 16_000
# Of the twins' tones.
CALLER_AMPLITUDE, AGENT_AMPLITUDE = 6_000, 8_000


async def test_tones_pass_both_ways_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Low, middle and high ones, at their level and without a gap, in three calls at once."""
    tones = {
        "+15550100101": (350, 3_100),
        "+15550100102": (1_000, 440),
        "+15550100103": (3_100, 1_200),
    }

    def sing(text: str, rate_hz: int) -> Speech:
        assert rate_hz == speech.AGENT_RATE_HZ
        return Speech(model_tone(int(text), seconds=3), rate_hz, text, (Word(text, 0, 3_000),))

    def model(_number: int, setup: dict[str, Any]) -> LiveScript:
        text = setup["systemInstruction"]["parts"][0]["text"]
        hz = next(agent_hz for number, (_, agent_hz) in tones.items() if number in text)
        return LiveScript(opening=(Say(str(hz)),))

    # As the model's answers are, faster than real time; modes of the twin that sing are not.
    monkeypatch.setattr(speech, "_babble", sing)
    spec = bakery(
        system_instruction="You talk to {{ caller }}.",
        vad=Vad(activity_handling="no_interruption"),
    )
    async with evercall(tmp_path, model, agent=spec) as rig:
        results = await asyncio.gather(
            *(
                rig.call(WaitAgentStarts(), WaitSeconds(0.5), Tone(hz, 1_500), HangUp(), from_=who)
                for who, (hz, _) in tones.items()
            )
        )
        sessions = {
            who: session
            for who in tones
            for session in rig.live.sessions
            if who in session.system_instruction
        }
    for (who, (caller_hz, agent_hz)), (result, record) in zip(tones.items(), results, strict=True):
        # What the model heard of the caller.
        steady = _loud_part(sessions[who].caller_audio, MODEL_HZ)
        assert abs(len(steady) / MODEL_HZ / 2 - 1.5) < 0.06
        _assert_tone(steady, caller_hz, CALLER_AMPLITUDE, rate_hz=MODEL_HZ)
        # What the caller heard of the model, from its first sound to the hang-up.
        steady = _loud_part(phone_audio.to_pcm(result.heard), PHONE_HZ)
        assert len(steady) / PHONE_HZ / 2 > 1.9
        _assert_tone(steady, agent_hz, AGENT_AMPLITUDE, rate_hz=PHONE_HZ)
        assert len(result.played_ms) == 1
        assert lost_ms(record) == 0
        (turn,) = record.turns
        assert abs(turn.heard_ms - played_ms(result, 0)) < 150
        assert turn.heard_ms <= played_ms(result, 0) + 30


async def test_burst_after_congestion_loses_nothing(tmp_path: Path) -> None:
    """Frames that were held up reach the model all at once, in order and whole."""
    sing = Tone(1_000, 1_500)
    async with evercall(tmp_path, LiveScript(mode="parrot"), agent=silent_agent()) as rig:
        results = await asyncio.gather(
            *(
                rig.call(WaitStream(), WaitSeconds(0.7), HoldFrames(ms), sing, HangUp())
                for ms in (400, 1_200)
            )
        )
    for session in rig.live.sessions:
        steady = _loud_part(session.caller_audio, MODEL_HZ)
        assert abs(len(steady) / MODEL_HZ / 2 - 1.5) < 0.06
        _assert_tone(steady, 1_000, CALLER_AMPLITUDE, rate_hz=MODEL_HZ)
    for _, record in results:
        assert lost_ms(record) == 0
        assert "media_gap_ms" not in record.counters
        assert len(record.streams) == 1


async def test_jump_of_timestamps_is_heard_as_silence(tmp_path: Path) -> None:
    """Speech before and after a loss on the phone leg keeps its distance, up to two seconds."""
    async with evercall(tmp_path, LiveScript(mode="parrot"), agent=silent_agent()) as rig:
        _, record = await rig.call(
            WaitStream(),
            WaitSeconds(0.7),
            Tone(1_000, 500),
            SkipTime(800),
            Tone(1_500, 500),
            SkipTime(60_000),
            Tone(700, 500),
            HangUp(),
        )
    audio = rig.live.sessions[0].caller_audio
    spans = _spans(audio, MODEL_HZ)
    lengths = [round(end - start, 2) for start, end in spans]
    assert all(abs(length - 0.5) < 0.05 for length in lengths), lengths
    assert len(spans) == 3
    assert abs(spans[1][0] - spans[0][1] - 0.8) < 0.05
    # A minute is not filled: the model would wait for it.
    assert abs(spans[2][0] - spans[1][1] - 2.0) < 0.05
    assert 60_780 <= record.counters["media_gap_ms"] <= 60_820
    assert 57_980 <= record.counters["media_gap_cut_ms"] <= 58_020
    assert len(record.streams) == 1


async def test_frames_in_wrong_order_lose_no_time(tmp_path: Path) -> None:
    """Every frame that arrives is passed on: the tone is as long as it was sung."""
    async with evercall(tmp_path, LiveScript(mode="parrot"), agent=silent_agent()) as rig:
        _, record = await rig.call(
            WaitStream(), WaitSeconds(0.5), ReorderFrames(5), Tone(1_000, 1_000), HangUp()
        )
    sung_s = sum(end - start for start, end in _spans(rig.live.sessions[0].caller_audio, MODEL_HZ))
    assert abs(sung_s - 1.0) < 0.05
    assert record.counters["media_out_of_order"] == 4


@pytest.mark.alone
async def test_forty_calls_at_once_do_not_cross(tmp_path: Path) -> None:
    """Each sings its own tone and hears that tone come back, and no other's."""
    tones = [400 + 60 * number for number in range(40)]
    async with evercall(tmp_path, LiveScript(mode="parrot"), agent=silent_agent()) as rig:
        results = await asyncio.gather(
            *(
                rig.call(
                    # A starved machine answers late: who hangs up by the clock hears nothing.
                    WaitStream(60), WaitSeconds(0.5), Tone(hz, 2_000), WaitAgentDone(800), HangUp(),
                    timeout_s=120,
                )
                for hz in tones
            )
        )  # fmt: skip
        await rig.until_counted("evercall_call_seconds_count", len(tones))
        assert rig.worker.store.lost == 0
    assert len(rig.live.sessions) == len(tones)
    for own_hz, (result, record) in zip(tones, results, strict=True):
        _assert_no_other_tone(phone_audio.to_pcm(result.heard), own_hz, tones)
        assert lost_ms(record) == 0
        assert record.call_sid == result.sid
        assert len(record.streams) == 1
    assert len({record.streams[0].stream_sid for _, record in results}) == len(tones)


def _blocks(pcm: bytes, rate_hz: int) -> NDArray[np.float64]:
    """Root mean square of every 10 ms."""
    size = rate_hz // 100
    samples = np.frombuffer(pcm, "<i2").astype(float)
    whole = samples[: samples.size - samples.size % size].reshape(-1, size)
    levels: NDArray[np.float64] = np.sqrt(np.mean(whole**2, axis=1))
    return levels


def _spans(pcm: bytes, rate_hz: int) -> list[tuple[float, float]]:
    """Stretches in which something sounds, in seconds; a hole of 30 ms ends one."""
    spans: list[tuple[float, float]] = []
    for at in np.flatnonzero(_blocks(pcm, rate_hz) > 1_000):
        start, end = int(at) / 100, (int(at) + 1) / 100
        if spans and start - spans[-1][1] < 0.03:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _loud_part(pcm: bytes, rate_hz: int) -> bytes:
    """The only stretch in which something sounds, without its first and last 10 ms."""
    ((start, end),) = _spans(pcm, rate_hz)
    return pcm[round((start + 0.01) * rate_hz) * 2 : round((end - 0.01) * rate_hz) * 2]


def _assert_no_other_tone(pcm: bytes, own_hz: int, tones: Sequence[int]) -> None:
    """One tone is heard, and in no 100 ms another one in its place or beside it.

    A starved machine leaves holes and jumps in a tone, whose spectrum then reaches its neighbours.
    But the pieces have no more energy than the whole: where ``own`` of the full amplitude is left,
    no other tone can seem louder than ``sqrt(1 - own**2)``, so both lie in the unit circle. What is
    mixed in leaves it. What stands in place of the tone does not, and is itself whole, while what
    one or two holes or jumps put on a neighbour stays below half.
    """
    own, others = _shares(pcm, own_hz, tones)
    assert abs(20 * math.log10(max(own.max(), 1e-3))) < 2.0
    assert others.max() < 0.5
    assert np.hypot(own, others).max() < 1.05


def _shares(
    pcm: bytes, own_hz: int, tones: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A parrot's own tone and the loudest other one, as parts of the full amplitude.

    In each 100 ms, from every 10 ms on; through the window of ``amplitude_at``, which parts tones
    that are 60 Hz from each other.
    """
    size, step = PHONE_HZ // 10, PHONE_HZ // 100
    samples = np.frombuffer(pcm, "<i2").astype(float)
    pieces = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    window = np.blackman(size)
    phases = np.exp(-2j * np.pi * np.outer(np.arange(size), tones) / PHONE_HZ)
    heard = 2 * np.abs(pieces @ (phases * window[:, None])) / window.sum()
    # The parrot draws straight lines between samples, which costs high tones 0.9 dB.
    heard /= CALLER_AMPLITUDE * np.sinc(own_hz / MODEL_HZ) ** 2
    place = tones.index(own_hz)
    return heard[:, place], np.delete(heard, place, axis=1).max(axis=1)


def _assert_tone(pcm: bytes, hz: float, amplitude: float, *, rate_hz: int) -> None:
    """The tone and nothing else, within 1 dB over all of it and in each 10 ms of it."""
    assert abs(strongest_hz(pcm, rate_hz=rate_hz) - hz) < 3
    level_db = 20 * math.log10(amplitude_at(pcm, hz, rate_hz=rate_hz) / amplitude)
    assert abs(level_db) < 1.0
    levels = _blocks(pcm, rate_hz) * math.sqrt(2) / amplitude
    # 10 ms of a low tone are few waves, so that its level seems to vary a little.
    assert np.all(np.abs(20 * np.log10(levels)) < 1.5), levels
