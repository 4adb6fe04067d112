"""Watches the generator's own clockwork: how late its event loop is when a frame is due.

Whoever measures others by 20 ms frames has to send and hear them in time. A tick every 20 ms, on
the loop that the callers run on, is what a frame of theirs is; where the loop stood still, each
tick that was due meanwhile counts, by how late it was, as each caller's frames do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from workers.loadtest.measured import OwnSlip

TICK_S: Final = 0.02
LATE_MS: Final = 5.0
"""What a delay that was measured is to be good to."""
MOST_LATE_SHARE: Final = 0.01
"""Of the ticks: with more of them late, a p99 says how late we were."""
MOST_WORST_MS: Final = 100.0
"""A stall of ours is heard as a gap; playouts of the twin and of workers run dry after less."""

# Lateness is counted in steps of 0.1 ms, up to two seconds; what is later counts as that.
_STEPS_PER_MS = 10
_STEPS = 2_000 * _STEPS_PER_MS


class Lateness:
    """Counts how late ticks were; times are seconds of one clock.

    Args:
        start_s: The first tick is due one ``TICK_S`` later.
    """

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._ticks = 0
        self._counts = [0] * (_STEPS + 1)
        self._late = 0
        self._worst_s = 0.0

    @property
    def due_s(self) -> float:
        """When the next tick is due."""
        return self._start_s + (self._ticks + 1) * TICK_S

    def tick(self, now_s: float) -> None:
        """Count each tick that was due up to now."""
        while (late_s := now_s - self.due_s) >= 0:
            self._ticks += 1
            self._counts[min(_STEPS, int(late_s * 1000 * _STEPS_PER_MS))] += 1
            self._late += late_s * 1000 > LATE_MS
            self._worst_s = max(self._worst_s, late_s)

    @property
    def slip(self) -> OwnSlip:
        """How late it was so far."""
        return OwnSlip(
            frames=self._ticks,
            p99_ms=self._p99_ms(),
            worst_ms=self._worst_s * 1000,
            late_share=self._late / self._ticks if self._ticks else 0.0,
        )

    def _p99_ms(self) -> float:
        """The smallest step that 99 of 100 ticks were no later than, by its upper edge."""
        wanted = 0.99 * self._ticks
        seen = 0
        for step, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min((step + 1) / _STEPS_PER_MS, self._worst_s * 1000)
        return 0.0


class Clockwork:
    """Ticks in the loop that it is started in.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lateness = Lateness(clock())
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick; to be called in the loop."""
        self._lateness = Lateness(self._clock())
        self._wait()

    def stop(self) -> OwnSlip:
        """Tick no more; how late it was in all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            # It may be late right now.
            self._lateness.tick(self._clock())
        return self._lateness.slip

    @property
    def slip(self) -> OwnSlip:
        """How late it was so far."""
        return self._lateness.slip

    def _tick(self) -> None:
        self._lateness.tick(self._clock())
        self._wait()

    def _wait(self) -> None:
        delay_s = max(0.0, self._lateness.due_s - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)


def too_late(slip: OwnSlip, name: str = "") -> str | None:
    """Say by how much a generator's own pacing slipped, where too much to report anything.

    Args:
        slip: How late it was.
        name: Of the generator; empty where there is one.
    """
    worst = f"the worst by {slip.worst_ms:.0f} ms"
    if slip.late_share > MOST_LATE_SHARE:
        how = (
            f"{slip.late_share:.1%} of its frames were more than {LATE_MS:.0f} ms late"
            f" (at most {MOST_LATE_SHARE:.0%} may be), {worst}"
        )
    elif slip.worst_ms > MOST_WORST_MS:
        how = f"it stood still: of its frames {worst} (at most {MOST_WORST_MS:.0f} ms)"
    else:
        return None
    whose = f"The pacing of {name}" if name else "The callers' own pacing"
    return (
        f"{whose} slipped: {how}. Nothing is reported, because it would be said of"
        " the worker. Fewer calls, or a machine of their own, help."
    )
