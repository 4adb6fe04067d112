"""Caller audio that cannot be sent yet, in order and bounded."""

from __future__ import annotations

from collections import deque

from agent.audio import INPUT_RATE_HZ

MAX_HELD_MS = 30_000.0
_BYTES_PER_MS = INPUT_RATE_HZ * 2 // 1000


class HeldAudio:
    """A queue of PCM16 at 16 kHz.

    Bound: 30 s, as promised per call; the oldest is dropped when full, because the newest is what
    the caller waits for an answer to, and what was dropped is counted.
    """

    def __init__(self, max_ms: float = MAX_HELD_MS) -> None:
        self._max_ms = max_ms
        self._pieces: deque[bytes] = deque()
        self.held_ms = 0.0
        self.lost_ms = 0.0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, pcm: bytes) -> None:
        """Keep a piece behind what is held."""
        self._pieces.append(pcm)
        self.held_ms += len(pcm) / _BYTES_PER_MS
        while self.held_ms > self._max_ms and len(self._pieces) > 1:
            dropped_ms = len(self._pieces.popleft()) / _BYTES_PER_MS
            self.held_ms -= dropped_ms
            self.lost_ms += dropped_ms

    def take(self, max_ms: float) -> bytes:
        """Remove the oldest pieces, about ``max_ms`` of them and at least one."""
        taken: list[bytes] = []
        size_ms = 0.0
        while self._pieces and size_ms < max_ms:
            piece = self._pieces.popleft()
            taken.append(piece)
            size_ms += len(piece) / _BYTES_PER_MS
        self.held_ms = self.held_ms - size_ms if self._pieces else 0.0
        return b"".join(taken)
