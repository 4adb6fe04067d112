from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio.frames import SILENCE_DBFS, FrameCutter, loudness_dbfs, pcm_silence
from tests.tone import tone


@given(st.lists(st.binary(max_size=500)), st.integers(1, 200))
def test_frames_are_whole_and_nothing_is_lost(pushes: list[bytes], size: int) -> None:
    """Every frame has the size asked for; frames and rest are the input again."""
    cutter = FrameCutter(size)
    frames = [frame for data in pushes for frame in cutter.push(data)]
    assert all(len(frame) == size for frame in frames)
    assert cutter.rest_bytes < size
    assert b"".join(frames) + cutter.flush() == b"".join(pushes)
    assert cutter.flush() == b""


def test_a_frame_has_a_size() -> None:
    """Frames of no bytes are a mistake of the caller's."""
    with pytest.raises(ValueError, match="at least one"):
        FrameCutter(0)


def test_silence_lasts_as_asked() -> None:
    """20 ms at 16 kHz are 320 samples."""
    assert pcm_silence(20, rate_hz=16_000) == bytes(640)


def test_loudness_of_a_sine_is_three_db_under_its_peak() -> None:
    """A full-scale sine measures -3 dBFS, silence and nothing the floor."""
    full_scale = tone(1_000, 100, rate_hz=8_000, amplitude=32767)
    assert loudness_dbfs(full_scale) == pytest.approx(-3.01, abs=0.05)
    assert loudness_dbfs(bytes(320)) == SILENCE_DBFS
    assert loudness_dbfs(b"") == SILENCE_DBFS
