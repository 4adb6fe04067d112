"""When a serving process wants to be replaced: after so many streams, or when it holds too much."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from workers.entrypoints.supervisor.events import Reason

LOOK_S = 5.0
_STATM = Path("/proc/self/statm")
_MB = 1024 * 1024

_log = structlog.get_logger(__name__)


def resident_mb() -> float | None:
    """Return what this process holds in memory; None where the system does not tell (no Linux)."""
    try:
        # proc(5): the second number is the resident set, in pages.
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


@dataclass(frozen=True, slots=True)
class RecycleLimits:
    """None: no limit."""

    calls: int | None = None
    memory_mb: int | None = None

    def passed(self, *, calls: int, memory_mb: float | None) -> Reason | None:
        """Why the process is to be replaced, if it is."""
        if self.calls is not None and calls >= self.calls:
            return Reason.CALLS
        if self.memory_mb is not None and memory_mb is not None and memory_mb > self.memory_mb:
            return Reason.MEMORY
        return None


async def watch_limits(
    limits: RecycleLimits,
    tell: Callable[[Reason], None],
    *,
    calls: Callable[[], int],
    memory_mb: Callable[[], float | None] = resident_mb,
    look_s: float = LOOK_S,
) -> None:
    """Look every ``look_s``, and tell each time that a limit is passed. Does not return.

    A limit on memory that the process exceeds before its first call is let go: each replacement
    would want one at once.
    """
    at_start_mb = memory_mb()
    if limits.memory_mb is not None and (at_start_mb is None or at_start_mb > limits.memory_mb):
        _log.error(
            "recycle.memory_limit_unusable",
            limit_mb=limits.memory_mb,
            at_start_mb=at_start_mb and round(at_start_mb),
        )
        limits = RecycleLimits(calls=limits.calls)
    while True:
        await asyncio.sleep(look_s)
        if (reason := limits.passed(calls=calls(), memory_mb=memory_mb())) is not None:
            # Again and again: a replacement may have failed meanwhile.
            tell(reason)
