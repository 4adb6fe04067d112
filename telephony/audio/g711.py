"""G.711 µ-law to linear PCM16 and back.

Source: ITU-T G.711; ``audioop`` is the standard library's up to 3.12 and audioop-lts after it.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # 3.11 and 3.12 announce its removal (PEP 594); audioop-lts stands in from 3.13 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE_HZ = 8000
BYTES_PER_MS = RATE_HZ // 1000

ULAW_SILENCE = 0xFF
"""The byte of digital silence (positive zero)."""


def ulaw_to_pcm(ulaw: bytes) -> bytes:
    """PCM16, little-endian, of as many samples as ``ulaw`` has bytes."""
    return audioop.ulaw2lin(ulaw, 2)


def pcm_to_ulaw(pcm: bytes) -> bytes:
    """One µ-law byte per sample of PCM16; ``pcm`` has an even length."""
    return audioop.lin2ulaw(pcm, 2)


def stereo_to_mono(pcm: bytes) -> bytes:
    """The mean of left and right, PCM16."""
    return audioop.tomono(pcm, 2, 0.5, 0.5)


def ulaw_silence(duration_ms: float) -> bytes:
    """µ-law silence of ``duration_ms``, to the nearest sample."""
    return bytes((ULAW_SILENCE,)) * round(duration_ms * BYTES_PER_MS)
