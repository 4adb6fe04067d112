"""Sends periodic tasks by a clock that cannot be set back.

Celery's own schedulers go by the wall clock: set back by an hour, it has nothing dialled for an
hour. This one keeps nothing on disk either: every interval is short, and a file could only be left
broken by a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery.beat import Scheduler

LONGEST_NAP_S = 1.0


class SteadyScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Each entry once in its interval, at once to begin with; what was missed is not made up for.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(
        self, *args: Any, clock: Callable[[], float] = time.monotonic, **kwargs: Any
    ) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def tick(self, **_: Any) -> float:
        """Send what is due, and return in how many seconds to ask again."""
        for name, entry in list(self.schedule.items()):
            now = self._clock()
            if self._due.get(name, now) <= now:
                self._due[name] = now + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
        left_s = min(self._due.values(), default=LONGEST_NAP_S) - self._clock()
        return min(LONGEST_NAP_S, max(0.0, left_s))
