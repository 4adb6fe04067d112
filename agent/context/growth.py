"""How long until a context has grown to a limit, at the rate of the last minutes."""

from __future__ import annotations

from collections import deque

_OVER_S = 180.0
# Told by nothing shorter: one long answer is no rate.
_MIN_S = 30.0
_EVERY_S = 5.0


class Growth:
    """Sizes of the last minutes, as of when they were asked about."""

    def __init__(self) -> None:
        # Bound: a point every _EVERY_S for _OVER_S; older ones are dropped.
        self._points: deque[tuple[float, float]] = deque()

    def seconds_to(self, room: float, grown: float, now_s: float) -> float | None:
        """Return how long it takes to grow by ``room`` tokens; None while nothing is known.

        Args:
            room: What is missing.
            grown: How much was added until now, of all time.
            now_s: Seconds of the call.
        """
        points = self._points
        while points and points[-1][0] > now_s:
            points.pop()
        if not points or now_s - points[-1][0] >= _EVERY_S:
            points.append((now_s, grown))
        while len(points) > 1 and points[1][0] <= now_s - _OVER_S:
            points.popleft()
        since_s, then = points[0]
        if now_s - since_s < _MIN_S or grown <= then:
            return None
        return max(0.0, room) * (now_s - since_s) / (grown - then)
