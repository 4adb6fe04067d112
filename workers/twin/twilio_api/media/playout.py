"""Twilio's playout of one stream: a FIFO that drains at 8000 bytes a second, and its marks.

Source: twilio.com/docs/voice/media-streams/websocket-messages.
"""

from __future__ import annotations

from collections import deque

from workers.twin.phone_audio import RATE_HZ
from workers.twin.twilio_api.media.timeline import Timeline

# twilio.com/docs/api/errors/31931: about ten minutes; what is beyond is discarded.
QUEUE_LIMIT_BYTES = 600 * RATE_HZ


class Playout:
    """The queue of one stream; takes the time with every call and reads no clock itself."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._end = 0
        # Bounded by what the server sends; no limit is documented, 70 at once survived.
        self._marks: deque[tuple[int, str]] = deque()

    def play(self, ulaw: bytes, now: float) -> bool:
        """Queue audio behind what is queued; False if the queue was full and it is lost."""
        here = self._timeline.position(now)
        start = max(self._end, here)
        if start + len(ulaw) - here > QUEUE_LIMIT_BYTES:
            return False
        self._end = self._timeline.put(start, ulaw)
        return True

    def mark(self, name: str, now: float) -> list[str]:
        """Set a mark behind what is queued; return the marks to echo at once."""
        self._marks.append((self._end, name))
        return self.due(now)

    def due(self, now: float) -> list[str]:
        """Return the marks that have been played by now, in order."""
        here = self._timeline.position(now)
        names = []
        while self._marks and self._marks[0][0] <= here:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now: float) -> list[str]:
        """Empty the queue and return every outstanding mark: all of them are echoed."""
        self.stop(now)
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def stop(self, now: float) -> None:
        """Let the caller hear nothing more of what is queued."""
        here = self._timeline.position(now)
        if self._end > here:
            self._timeline.cut(here)
            self._end = here

    def next_s(self) -> float | None:
        """Say when the next mark falls due; None if there is none."""
        return self._timeline.instant(self._marks[0][0]) if self._marks else None

    def queued_ms(self, now: float) -> float:
        """Say how much is still to be played."""
        return max(0, self._end - self._timeline.position(now)) * 1000 / RATE_HZ
