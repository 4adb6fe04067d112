"""A playout clock moved by hand."""

from __future__ import annotations


class FakePlayout:
    """Plays what is offered when ``play`` is called, and forgets what is pending at ``clear``."""

    def __init__(self) -> None:
        self._offered_ms = 0.0
        self._pieces: list[list[float]] = []
        """[since, until, heard until] of offered audio, in order."""

    def offer(self, duration_ms: float) -> None:
        """Hand in audio."""
        since_ms = self._offered_ms
        self._offered_ms += duration_ms
        self._pieces.append([since_ms, self._offered_ms, since_ms])

    def play(self, duration_ms: float) -> None:
        """Let time pass for the caller."""
        for piece in self._pieces:
            step_ms = min(duration_ms, piece[1] - piece[2])
            piece[2] += step_ms
            duration_ms -= step_ms

    def clear(self) -> None:
        """Throw away what has not been played."""
        for piece in self._pieces:
            piece[1] = piece[2]

    def offered_ms(self) -> float:
        return self._offered_ms

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        return sum(
            max(0.0, min(heard_ms, until_ms) - max(start_ms, since_ms))
            for start_ms, _, heard_ms in self._pieces
        )

    def pending_ms(self) -> float:
        return sum(end_ms - heard_ms for _, end_ms, heard_ms in self._pieces)
