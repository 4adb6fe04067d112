"""20 ms frames out of any number of bytes, silence, and loudness."""

from __future__ import annotations

import math
import warnings

with warnings.catch_warnings():
    # 3.11 and 3.12 announce its removal (PEP 594); audioop-lts stands in from 3.13 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

# Twilio sends 20 ms frames, and RFC 3551, section 4.2, has 20 ms as the default packet.
FRAME_MS = 20

SILENCE_DBFS = -96.0
"""What digital silence measures: the floor of 16 bits."""


class FrameCutter:
    """Cuts a byte stream into frames of equal size and keeps the rest for the next push."""

    __slots__ = ("_frame_bytes", "_rest")

    def __init__(self, frame_bytes: int) -> None:
        if frame_bytes <= 0:
            raise ValueError(f"a frame has at least one byte, not {frame_bytes}")
        self._frame_bytes = frame_bytes
        self._rest = b""

    @property
    def rest_bytes(self) -> int:
        """Bytes waiting for the rest of their frame."""
        return len(self._rest)

    def push(self, data: bytes) -> list[bytes]:
        """The frames that are now whole."""
        size = self._frame_bytes
        if not self._rest and len(data) == size:
            return [data]
        if self._rest:
            data = self._rest + data
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        return [data[start : start + size] for start in range(0, whole, size)]

    def flush(self) -> bytes:
        """The rest, shorter than a frame and perhaps empty; it is forgotten."""
        rest, self._rest = self._rest, b""
        return rest


def pcm_silence(duration_ms: float, *, rate_hz: int) -> bytes:
    """PCM16 silence, to the nearest sample."""
    return bytes(2 * round(duration_ms * rate_hz / 1000))


def peak(pcm: bytes) -> int:
    """The largest magnitude in PCM16, up to 32768."""
    return audioop.max(pcm, 2)


def loudness_dbfs(pcm: bytes) -> float:
    """Root mean square of PCM16 in dB below full scale; ``SILENCE_DBFS`` for silence or nothing."""
    rms = audioop.rms(pcm, 2)
    return max(SILENCE_DBFS, 20 * math.log10(rms / 32768)) if rms else SILENCE_DBFS
