from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio.g711 import (
    ULAW_SILENCE,
    pcm_to_ulaw,
    stereo_to_mono,
    ulaw_silence,
    ulaw_to_pcm,
)
from tests.tone import amplitude_at, tone


def test_silence_is_ff() -> None:
    """PCM zero is 0xFF and back, as Twilio's outbound silence."""
    assert pcm_to_ulaw(bytes(4)) == bytes([ULAW_SILENCE] * 2)
    assert ulaw_to_pcm(bytes([ULAW_SILENCE])) == bytes(2)
    assert ulaw_silence(20) == bytes([ULAW_SILENCE] * 160)


def test_known_points_of_the_law() -> None:
    """0x00 and 0x80 are the ends of the scale, minus and plus 32124 (G.711, table 2a)."""
    assert np.frombuffer(ulaw_to_pcm(b"\x00\x80\x7e\xfe"), "<i2").tolist() == [-32124, 32124, -8, 8]


@given(st.binary(max_size=400))
def test_decoding_and_encoding_gives_the_same_sound(ulaw: bytes) -> None:
    """µ-law survives PCM; only negative zero (0x7F) becomes positive zero."""
    assert pcm_to_ulaw(ulaw_to_pcm(ulaw)) == ulaw.replace(b"\x7f", b"\xff")


def test_a_tone_keeps_its_level() -> None:
    """A tone through µ-law keeps its level within 0.1 dB."""
    out = ulaw_to_pcm(pcm_to_ulaw(tone(1_000, 200, rate_hz=8_000)))
    assert abs(20 * math.log10(amplitude_at(out, 1_000, rate_hz=8_000) / 8000)) < 0.1


def test_stereo_becomes_the_mean() -> None:
    """Left and right are averaged."""
    assert stereo_to_mono(np.array([100, 300], "<i2").tobytes()) == (
        np.array([200], "<i2").tobytes()
    )
