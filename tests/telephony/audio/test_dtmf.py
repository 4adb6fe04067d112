from __future__ import annotations

import pytest

from telephony.audio.dtmf import digit_tone, dtmf_tones
from telephony.audio.g711 import ulaw_silence, ulaw_to_pcm
from tests.tone import amplitude_at

PAIRS = {"1": (697, 1209), "5": (770, 1336), "9": (852, 1477), "0": (941, 1336), "#": (941, 1477)}


@pytest.mark.parametrize(("digit", "pair"), PAIRS.items())
def test_a_digit_is_its_two_frequencies(digit: str, pair: tuple[int, int]) -> None:
    """Each digit sounds the row and column of ITU-T Q.23 at equal level, and no other."""
    pcm = ulaw_to_pcm(digit_tone(digit)[:800])
    level = {hz: amplitude_at(pcm, hz, rate_hz=8_000) for hz in (697, 770, 852, 941, 1209, 1336)}
    level[1477] = amplitude_at(pcm, 1477, rate_hz=8_000)
    for hz, amplitude in level.items():
        assert (amplitude > 7_000) == (hz in pair), (hz, amplitude)


def test_digits_are_100_ms_on_and_100_ms_off() -> None:
    """Two digits last 400 ms, each ending in silence."""
    tones = dtmf_tones("12")
    assert len(tones) == 3200
    assert tones[800:1600] == tones[2400:] == ulaw_silence(100)


@pytest.mark.parametrize("wrong", ["", "x", "12", "w"])
def test_what_is_not_a_key_is_refused(wrong: str) -> None:
    """A pause or a letter is not a tone."""
    with pytest.raises(ValueError, match="not a key"):
        digit_tone(wrong)
