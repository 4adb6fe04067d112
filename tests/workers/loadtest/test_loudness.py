"""When it is loud is found to 2 ms, whatever is loud."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.loadtest.loudness import (
    FINE_MS,
    holes,
    levels,
    loud_spans,
    loudness_dbfs,
    quiet_in,
)
from workers.twin import phone_audio
from workers.twin.phone_audio import SILENCE


def silence(ms: int) -> bytes:
    return SILENCE * (8 * ms)


def numbered(count: int, *, loud: bool = True, hiss: bool = False) -> bytes:
    frames = (phone_audio.coded(n, loud=loud, hiss=hiss) for n in range(count))
    return b"".join(frame.ulaw for frame in frames)


def spans(ulaw: bytes, *, join_ms: float = 0.0, least_ms: float = 0.0) -> list[tuple[float, float]]:
    rms = levels(ulaw, block_ms=FINE_MS)
    return loud_spans(rms, block_ms=FINE_MS, join_ms=join_ms, least_ms=least_ms)


@given(st.integers(0, 300), st.integers(1, 20))
def test_a_sound_is_found_where_it_is(before_ms: int, count: int) -> None:
    """Numbered frames are loud from their first 2 ms to their last."""
    ((start, end),) = spans(silence(before_ms) + numbered(count) + silence(100))
    assert start == pytest.approx(before_ms, abs=FINE_MS)
    assert end == pytest.approx(before_ms + 20 * count, abs=FINE_MS)


def test_quiet_frames_and_a_noisy_line_are_silence() -> None:
    """Whatever else they carry."""
    assert spans(numbered(20, loud=False)) == []
    assert spans(numbered(20, loud=False, hiss=True)) == []


def test_pauses_and_clicks() -> None:
    """A short pause belongs to the speech around it, a short sound to nobody."""
    ulaw = numbered(5) + silence(100) + numbered(5) + silence(300) + numbered(1)[: 8 * 6]
    assert len(spans(ulaw)) == 3
    assert spans(ulaw, join_ms=100, least_ms=10) == [(0, 300)]


def test_longest_silence() -> None:
    """Of several within a span, to 2 ms; none is empty."""
    ulaw = numbered(5) + silence(30) + numbered(1) + silence(50) + numbered(5)
    rms = levels(ulaw, block_ms=FINE_MS)
    assert quiet_in(rms, (90, 210)) == (150, 200)
    assert quiet_in(rms, (10, 60)) == (10, 10)
    assert quiet_in(rms, (1e6, 2e6)) == (1e6, 1e6)


def test_loudness_is_that_of_speech_alone() -> None:
    """Numbered frames have an RMS of 2500, however much silence is around them."""
    rms = levels(numbered(50) + silence(5000), block_ms=FINE_MS)
    assert loudness_dbfs(rms) == pytest.approx(-22.3, abs=0.1)
    assert loudness_dbfs(levels(silence(100), block_ms=FINE_MS)) is None


def test_long_holes_are_pauses() -> None:
    """Only what starved playout leaves counts."""
    assert holes([(0, 100), (150, 300), (900, 950)], longest_ms=400) == [(100, 150)]
