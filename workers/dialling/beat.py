"""Sends periodic tasks by a clock that cannot be set back.

Celery's own schedulers go by the wall clock: set back by an hour, it has nothing dialled for an
hour. This one keeps nothing on disk either: every interval is short, and a file could only be left
broken by a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.beat import Scheduler

LONGEST_NAP_S = 1.0
MOST_WAITING = 200
"""In one queue. Redis drops nothing: after a day without workers theirs would have to throw away
hundreds of thousands before they came to one that has not expired."""
SAY_EVERY_S = 60.0

_log = structlog.get_logger(__name__)


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
        self._say_again: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def tick(self, **_: Any) -> float:
        """Send what is due, and return in how many seconds to ask again."""
        for name, entry in list(self.schedule.items()):
            now = self._clock()
            if self._due.get(name, now) <= now:
                self._due[name] = now + entry.schedule.run_every.total_seconds()
                if not self._full(entry):
                    self.apply_entry(entry, producer=self.producer)
        left_s = min(self._due.values(), default=LONGEST_NAP_S) - self._clock()
        return min(LONGEST_NAP_S, max(0.0, left_s))

    def _full(self, entry: Any) -> bool:
        """Whether nobody takes messages from the entry's queue, as far as that can be told."""
        try:
            # Redis and the folder have it (kombu.transport.virtual.Channel); RabbitMQ was told.
            size = getattr(self.producer.channel, "_size", None)
            if size is None:
                return False
            queue = self.app.amqp.router.route({}, entry.task)["queue"].name
            waiting = int(size(queue))
        except Exception:  # noqa: BLE001  Celery's own way of sending says what is wrong
            return False
        if waiting < MOST_WAITING:
            return False
        if self._clock() >= self._say_again.get(queue, 0.0):
            self._say_again[queue] = self._clock() + SAY_EVERY_S
            _log.warning("beat.queue_full", queue=queue, waiting=waiting)
        return True
