"""When the calls of a worker write what has changed: together, at ticks that all of them share.

A thread that has to be woken, a transaction and code that has gone cold cost several times what one
call has to write. So they write on ticks, and each tick is one job for the thread that redacts and
one transaction.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import structlog

TICK_S = 0.5
"""What was said is stored so much later at most, and a quarter of a second on average."""

_log = structlog.get_logger(__name__)


class Ticking(Protocol):
    """Somebody who wants to write."""

    def copied(self) -> Callable[[], None] | None:
        """Copy what is to be written, on the event loop; the rest is done in the executor."""


class Ticks:
    """The ticks of one worker.

    Args:
        executor: Does what is not to be done on the event loop.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._due: dict[Ticking, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def call_at(self, earliest_s: float, who: Ticking) -> None:
        """Have somebody write at the next tick, but not before ``earliest_s`` (the loop's clock).

        Whoever is to write earlier already does that.
        """
        loop = asyncio.get_running_loop()
        due = math.ceil(max(loop.time(), earliest_s) / TICK_S) * TICK_S
        if self._due.get(who, math.inf) <= due:
            return
        self._due[who] = due
        if self._timer is None or due < self._timer.when():
            self._set(due)

    def cancel(self, who: Ticking) -> None:
        """Forget what somebody wanted to write."""
        self._due.pop(who, None)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._tick, due)

    def _tick(self, now: float) -> None:
        self._timer = None
        jobs = []
        for who in [who for who, due in self._due.items() if due <= now]:
            del self._due[who]
            try:
                job = who.copied()
            except Exception:  # noqa: BLE001  the others still write
                _log.exception("call.journal_failed")
                continue
            if job is not None:
                jobs.append(job)
        if jobs:
            # Nobody waits for them, so the loop is not woken when they are done.
            self._executor.submit(_do, jobs)
        if self._due:
            self._set(min(self._due.values()))


def _do(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
