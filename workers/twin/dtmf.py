"""Dial tones: made for a phone's ear, and found again in what a caller heard.

Source: ITU-T Q.23 (frequencies), Q.24 (at least 40 ms of tone; 50 ms is safe).
"""

from __future__ import annotations

import audioop
import math
from array import array
from operator import mul

from workers.twin.phone_audio import RATE_HZ, SILENCE, to_pcm

_LOW_HZ = (697, 770, 852, 941)
_HIGH_HZ = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")

_WINDOW = 160
_WAVES = {
    hz: (
        [math.cos(math.tau * hz * n / RATE_HZ) for n in range(_WINDOW)],
        [math.sin(math.tau * hz * n / RATE_HZ) for n in range(_WINDOW)],
    )
    for hz in (*_LOW_HZ, *_HIGH_HZ)
}
_LOUD_RMS = 200
# Both tones of a key hold nearly all the power; speech spreads it.
_PURITY = 0.7
_WINDOWS_PER_KEY = 2


def keys(digits: str, *, tone_ms: int = 100, gap_ms: int = 100) -> bytes:
    """Make the tones of ``digits`` as µ-law; ``w`` is a pause of half a second, ``W`` of one."""
    ulaw = b""
    for digit in digits:
        if digit in "wW":
            ulaw += SILENCE * (RATE_HZ // (2 if digit == "w" else 1))
        else:
            ulaw += _key(digit.upper(), tone_ms) + SILENCE * (RATE_HZ * gap_ms // 1000)
    return ulaw


def find_keys(ulaw: bytes) -> str:
    """Name the keys whose tones are in ``ulaw``, in order."""
    found = ""
    current, run = "", 0
    pcm = to_pcm(ulaw)
    for at in range(0, len(pcm) - 2 * _WINDOW + 1, 2 * _WINDOW):
        key = _key_in(pcm[at : at + 2 * _WINDOW])
        run = run + 1 if key == current else 1
        current = key
        if key and run == _WINDOWS_PER_KEY:
            found += key
    return found


def _key(digit: str, ms: int) -> bytes:
    for low_hz, row in zip(_LOW_HZ, _KEYS, strict=True):
        if digit in row:
            high_hz = _HIGH_HZ[row.index(digit)]
            samples = array(
                "h",
                [
                    round(
                        5000 * math.sin(math.tau * low_hz * n / RATE_HZ)
                        + 6000 * math.sin(math.tau * high_hz * n / RATE_HZ)
                    )
                    for n in range(RATE_HZ * ms // 1000)
                ],
            )
            return audioop.lin2ulaw(samples.tobytes(), 2)
    raise ValueError(f"{digit!r} is no key of a phone")


def _key_in(pcm: bytes) -> str:
    if audioop.rms(pcm, 2) < _LOUD_RMS:
        return ""
    samples = array("h", pcm).tolist()
    power = {hz: _power(samples, *waves) for hz, waves in _WAVES.items()}
    low_hz = max(_LOW_HZ, key=power.__getitem__)
    high_hz = max(_HIGH_HZ, key=power.__getitem__)
    # Parseval: a pure tone of amplitude a has sum of squares N·a²/2 and |X|² = (N·a/2)².
    total = sum(sample * sample for sample in samples) * _WINDOW / 2
    if power[low_hz] + power[high_hz] < _PURITY * total:
        return ""
    if min(power[low_hz], power[high_hz]) < 0.05 * max(power[low_hz], power[high_hz]):
        return ""
    return _KEYS[_LOW_HZ.index(low_hz)][_HIGH_HZ.index(high_hz)]


def _power(samples: list[int], cosine: list[float], sine: list[float]) -> float:
    real: float = sum(map(mul, samples, cosine))
    imaginary: float = sum(map(mul, samples, sine))
    return real * real + imaginary * imaginary
