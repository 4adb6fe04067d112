"""PCM16 audio with its rate: 16 kHz towards the model, 24 kHz back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

with warnings.catch_warnings():
    # 3.11 and 3.12 announce its removal (PEP 594); audioop-lts stands in from 3.13 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

# ai.google.dev/gemini-api/docs/live-api: input is natively 16 kHz, output always 24 kHz.
INPUT_RATE_HZ = 16_000
OUTPUT_RATE_HZ = 24_000
INPUT_BYTES_PER_MS = INPUT_RATE_HZ * 2 // 1000
"""Of caller audio."""
# -66 dBFS: what arrives below it is not heard on a telephone.
AUDIBLE_RMS = 16


@dataclass(frozen=True, slots=True)
class PcmChunk:
    """PCM16, mono, little-endian, an even number of bytes, with its sample rate."""

    pcm: bytes
    rate_hz: int

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return len(self.pcm) * 500 / self.rate_hz


def loudness(pcm: bytes) -> int:
    """Root mean square of PCM16, 0 to 32,768; 0.3 μs for 20 ms.

    Raises:
        audioop.error: ``pcm`` ends within a sample.
    """
    return audioop.rms(pcm, 2)
