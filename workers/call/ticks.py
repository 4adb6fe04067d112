"""When the calls of a worker write what has changed: together, at ticks that all of them share.

A thread that has to be woken, a transaction and code that has gone cold cost several times what one
call has to write. So they write on ticks, and each tick is one job for the thread that redacts and
one transaction.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

TICK_S = 0.5
"""What may be written is written so much later at most, and half of it later on average."""
SHORT_TICK_S = 0.05
"""The same for what should not wait."""


class Ticking(Protocol):
    """Somebody who wants to write."""

    def copied(self) -> Callable[[], None] | None:
        """Copy what is to be written, on the event loop; the rest is done in the executor.

        Raises nothing: others write in the same tick.
        """


class Ticks:
    """The ticks of one worker.

    Args:
        executor: Does what is not to be done on the event loop.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._due: dict[Ticking, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Not asked of the timer: uvloop's has no time where it is due at once.
        self._set_for = math.inf

    def call_at(self, earliest_s: float, who: Ticking, *, tick_s: float = TICK_S) -> None:
        """Have somebody write at the next tick, but not before ``earliest_s`` (the loop's clock).

        Ticks are ``tick_s`` apart.

        Whoever is to write earlier already does that.
        """
        loop = asyncio.get_running_loop()
        due = math.ceil(max(loop.time(), earliest_s) / tick_s) * tick_s
        if self._due.get(who, math.inf) <= due:
            return
        self._due[who] = due
        if due < self._set_for:
            self._set(due)

    def cancel(self, who: Ticking) -> None:
        """Forget what somebody wanted to write."""
        self._due.pop(who, None)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set_for = due
        # In no call's context: it would keep the session and the log's names of the one that has
        # set the first timer.
        self._timer = asyncio.get_running_loop().call_at(
            due, self._tick, due, context=contextvars.Context()
        )

    def _tick(self, now: float) -> None:
        self._timer, self._set_for = None, math.inf
        jobs = []
        for who in [who for who, due in self._due.items() if due <= now]:
            del self._due[who]
            job = who.copied()
            if job is not None:
                jobs.append(job)
        if self._due:
            self._set(min(self._due.values()))
        if jobs:
            # Nobody waits for them, so the loop is not woken when they are done.
            self._executor.submit(_do, jobs)


def _do(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
