"""Sends the same audio for ever at real time: modes ``tone`` and ``stream``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from websockets.protocol import State

from workers.twin.live_api.connection import Connection
from workers.twin.live_api.session_log import SessionLog

# Audio that is not read piles up here before frames are skipped.
_UNREAD_BYTES = 1 << 20
# uvloop's timers run on whole milliseconds and may fire that much early; without this allowance
# such a timer is set again and again until its time has come.
_TIMER_S = 0.001


class Endless:
    """Writes ready-made frames at real time on an absolute schedule, each session with its phase.

    It writes to the transport itself: one call per frame, no task, no copy but TLS.
    """

    def __init__(
        self, socket: Connection, log: SessionLog, frames: Sequence[bytes], chunk_ms: int
    ) -> None:
        self._socket = socket
        self._log = log
        self._frames = frames
        self._chunk_s = chunk_ms / 1000
        self._next = 0
        self._due = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin at a phase that spreads sessions over the chunk (by the golden ratio)."""
        self._due = self._loop.time() + self._log.number * 0.618 % 1.0 * self._chunk_s
        self._timer = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        if self._socket.state is not State.OPEN or self._socket.half_open:
            return
        transport = self._socket.transport
        now = self._loop.time()
        while self._due <= now + _TIMER_S:
            if transport.get_write_buffer_size() > _UNREAD_BYTES:
                self._log.frames_skipped += 1
            else:
                transport.write(self._frames[self._next % len(self._frames)])
                self._log.frames_sent += 1
                self._log.audio_sent_ms += self._chunk_s * 1000
            self._next += 1
            self._due += self._chunk_s
        self._timer = self._loop.call_at(self._due, self._tick)
