"""What one ear heard, on a clock: µ-law where something was played, silence elsewhere.

Positions count samples (bytes of µ-law) since the call began.
"""

from __future__ import annotations

from workers.twin.phone_audio import RATE_HZ, SILENCE


class Timeline:
    """Audio laid down at instants; one writer at a time."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.audio = bytearray()
        self._spans: list[list[int]] = []

    def position(self, at_s: float) -> int:
        """Translate an instant of the clock into a position."""
        # The small addition undoes the rounding of instants that were made from positions.
        return max(0, int((at_s - self.start_s) * RATE_HZ + 1e-4))

    def instant(self, position: int) -> float:
        """Translate a position into an instant of the clock."""
        return self.start_s + position / RATE_HZ

    def put(self, position: int, ulaw: bytes) -> int:
        """Lay audio down, never before what is there already; return the position of its end."""
        start = max(position, len(self.audio))
        self.audio += SILENCE * (start - len(self.audio)) + ulaw
        end = len(self.audio)
        if self._spans and self._spans[-1][1] == start:
            self._spans[-1][1] = end
        else:
            self._spans.append([start, end])
        return end

    def cut(self, position: int) -> None:
        """Take away what would have been heard from ``position`` on."""
        del self.audio[position:]
        while self._spans and self._spans[-1][0] >= position:
            self._spans.pop()
        if self._spans:
            self._spans[-1][1] = min(self._spans[-1][1], position)

    def before(self, position: int, size: int) -> bytes:
        """Give the ``size`` samples that end at ``position``, silence where there are none."""
        start = max(0, position - size)
        return bytes(self.audio[start:position]).ljust(position - start, SILENCE)

    def until(self, position: int) -> bytes:
        """Give everything up to ``position``, at exactly that length."""
        return bytes(self.audio[:position]).ljust(position, SILENCE)

    def spans_ms(self) -> tuple[tuple[float, float], ...]:
        """Name the stretches in which something was played, whatever it sounded like."""
        ms = RATE_HZ / 1000
        return tuple((start / ms, end / ms) for start, end in self._spans)
