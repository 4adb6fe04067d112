"""Dial tones, there and back."""

from __future__ import annotations

import random

import pytest

from workers.twin import dtmf, phone_audio


@pytest.mark.parametrize("tone_ms", [60, 100])
def test_every_key_is_found_again(tone_ms: int) -> None:
    """All sixteen, repeated ones too, wherever the windows fall."""
    keys = "0123456789*#ABCD55"
    ulaw = b"\xff" * 57 + dtmf.keys(keys, tone_ms=tone_ms, gap_ms=60)
    assert dtmf.find_keys(ulaw) == keys


def test_pauses_are_silence() -> None:
    """``w`` lasts half a second."""
    assert len(dtmf.keys("w")) == 4000
    assert dtmf.find_keys(dtmf.keys("1w1")) == "11"


@pytest.mark.parametrize("line", ["agent_hours", "caller_hours", "agent_order", "caller_barge"])
def test_speech_is_no_key(line: str) -> None:
    """Recorded speech must not be taken for tones."""
    assert dtmf.find_keys(phone_audio.said(line).ulaw()) == ""


def test_tones_are_found_under_noise() -> None:
    """Line noise 30 dB down does not hide a key."""
    noise = random.Random(1)
    ulaw = bytes(
        byte if noise.random() < 0.97 else byte ^ 1 for byte in dtmf.keys("42", tone_ms=100)
    )
    assert dtmf.find_keys(ulaw) == "42"
