"""A recording measured: peaks, loudness, both sides."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.sample_call import wav_of
from workers.dashboard.call_page.waveform import RecordingUnreadable, read_recording, waveform


def stereo(caller: int, agent: int, samples: int) -> bytes:
    return array("h", [caller, agent] * samples).tobytes()


def test_caller_is_left_and_agent_right() -> None:
    """Each side has its own samples, unchanged."""
    recording = read_recording(wav_of(stereo(1000, -2000, 800)))
    assert recording.side(agent=False) == array("h", [1000] * 800).tobytes()
    assert recording.side(agent=True) == array("h", [-2000] * 800).tobytes()
    assert recording.duration_s == pytest.approx(0.1)


def test_steps_are_20_ms_until_there_are_too_many() -> None:
    """Every 20 ms is a point; a long side has longer steps, its peaks kept."""
    side = array("h", [0] * 8000)
    side[4000], side[4001] = 16384, -8192
    wave = waveform(side.tobytes(), rate_hz=8000)
    assert len(wave.rms) == len(wave.high) == len(wave.low) == 50
    assert (wave.high[25], wave.low[25]) == (0.5, -0.25)
    few = waveform(side.tobytes(), rate_hz=8000, max_points=7)
    assert len(few.rms) == 7
    assert (max(few.high), min(few.low)) == (0.5, -0.25)


def test_loudness_is_that_of_speech_not_of_pauses() -> None:
    """Silence between words does not make a side quiet, and a silent side is silent."""
    speech = array("h", [0] * 14_400 + [3277, -3277] * 800)
    assert waveform(speech.tobytes(), rate_hz=8000).speech_dbfs == pytest.approx(-20, abs=0.1)
    assert waveform(bytes(16_000), rate_hz=8000).speech_dbfs == -96
    assert waveform(b"", rate_hz=8000).rms == []


def test_a_file_cut_short_gives_what_it_has() -> None:
    """A WAV whose end is missing is read up to there, in whole samples of both sides."""
    recording = read_recording(wav_of(stereo(1, 2, 800))[:-3])
    assert len(recording.pcm) == 799 * 4


@pytest.mark.parametrize("wav", [b"", b"RIFF", b"no sound", wav_of(bytes(320), channels=1)])
def test_other_files_are_declared_unreadable(wav: bytes) -> None:
    """What is not a stereo PCM16 WAV has one error of its own."""
    with pytest.raises(RecordingUnreadable):
        read_recording(wav)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_read_or_declared_unreadable(garbage: bytes, keep: int) -> None:
    """Garbage, also behind a good beginning, raises nothing else."""
    try:
        recording = read_recording(wav_of(b"")[:keep] + garbage)
    except RecordingUnreadable:
        return
    assert len(recording.pcm) % 4 == 0
