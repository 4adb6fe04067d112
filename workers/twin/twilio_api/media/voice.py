"""When a server's audio came on one stream: what shows whether two of them spoke to one call."""

from __future__ import annotations

from workers.twin.phone_audio import FRAME_BYTES

# Audio with no longer pause in it is one stretch.
PAUSE_S = 0.1
# A sentence every other second for an hour; later audio makes the last stretch longer.
MAX_STRETCHES = 2_000


class VoiceLog:
    """Stretches of arriving audio, by the twin's clock, oldest first."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.stretches: list[tuple[float, float]] = []

    @property
    def frames(self) -> int:
        """How many frames of 20 ms came, a begun one included."""
        return -(-self.size_bytes // FRAME_BYTES)

    def add(self, size_bytes: int, at_s: float) -> None:
        """Note audio that has come."""
        self.size_bytes += size_bytes
        if self.stretches:
            from_s, until_s = self.stretches[-1]
            if at_s - until_s <= PAUSE_S or len(self.stretches) >= MAX_STRETCHES:
                self.stretches[-1] = from_s, at_s
                return
        self.stretches.append((at_s, at_s))
