"""Touch tones as µ-law audio, because a media stream cannot carry digits towards the caller.

Source: ITU-T Q.23 (pairs of frequencies); ITU-T Q.24 has receivers accept 40 ms, and ETSI
ES 201 235-2 asks senders for 65 ms or more: 100 ms on and 100 ms off, as Twilio's own tones.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Final

from telephony.audio.g711 import RATE_HZ, pcm_to_ulaw, ulaw_silence

TONE_MS = 100
PAUSE_MS = 100

_ROWS_HZ: Final = (697, 770, 852, 941)
_COLUMNS_HZ: Final = (1209, 1336, 1477, 1633)
_KEYS: Final = ("123A", "456B", "789C", "*0#D")
_PAIRS_HZ: Final = {
    key: (row_hz, column_hz)
    for row_hz, keys in zip(_ROWS_HZ, _KEYS, strict=True)
    for column_hz, key in zip(_COLUMNS_HZ, keys, strict=True)
}

# Each tone 12 dB below full scale: loud for any receiver, and the sum stays clear of clipping.
_AMPLITUDE: Final = 32768 * 10 ** (-12 / 20)


@lru_cache(maxsize=16)
def digit_tone(digit: str) -> bytes:
    """One digit, tone and pause, as µ-law.

    Raises:
        ValueError: ``digit`` is not on a telephone's keypad.
    """
    if digit not in _PAIRS_HZ:
        raise ValueError(f"{digit!r} is not a key of a telephone")
    row_hz, column_hz = _PAIRS_HZ[digit]
    steps = [2 * math.pi * n / RATE_HZ for n in range(TONE_MS * RATE_HZ // 1000)]
    samples = [
        round(_AMPLITUDE * (math.sin(row_hz * step) + math.sin(column_hz * step))) for step in steps
    ]
    return pcm_to_ulaw(struct.pack(f"<{len(samples)}h", *samples)) + ulaw_silence(PAUSE_MS)


def dtmf_tones(digits: str) -> bytes:
    """Tones for several digits, each followed by a pause, as µ-law."""
    return b"".join(map(digit_tone, digits))
