"""Who of the workers lives, by what the store says of their signs of life.

A worker counts its signs of life, and whoever watches looks whether the count moves; so only one
clock is read, the watcher's own. That a count stands still proves something only where the watcher
could see it move: looks must have succeeded, one after the other, in a row without gaps. While the
database is away nobody's count moves, and where the watcher itself was stopped (SIGSTOP, a machine
that slept), the others may have been stopped with it: both begin the series anew, and a worker that
was found dead before has to be found dead again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workers.store.calls import WorkerRow

BEAT_S = 1.0
"""Between two signs of life."""
DEAD_S = 4.0
"""So long without one, and a worker is dead: three may be late or lost."""
DEAD_LOOKS = 4
"""So many looks in a row must have seen nothing new."""
GAP_S = 4 * BEAT_S
"""At most between two looks of a row: more than a beat and the longest answer (2.5 s)."""

State = Literal["ready", "draining", "dead"]


@dataclass(slots=True)
class _Seen:
    """A worker as it was at the last look."""

    row: WorkerRow
    still_since: float
    """The look of this series at which its count was first what it is."""
    looks: int = 0
    """Looks since then that saw nothing new."""


class FleetWatch:
    """What one worker knows of all, itself included.

    Args:
        worker: Us.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._seen: dict[str, _Seen] = {}
        self._dead: frozenset[str] = frozenset()
        self._looked_at: float | None = None
        """None: the last look failed, or there was none."""

    def looked(self, rows: Sequence[WorkerRow], now: float) -> None:
        """Take in a look that succeeded.

        Args:
            rows: All workers on the list.
            now: Monotonic seconds.
        """
        in_row = self._looked_at is not None and now - self._looked_at <= GAP_S
        seen: dict[str, _Seen] = {}
        for row in rows:
            before = self._seen.get(row.worker)
            if before is None or not in_row or before.row.beats != row.beats:
                seen[row.worker] = _Seen(row, now)
            else:
                seen[row.worker] = _Seen(row, before.still_since, before.looks + 1)
        self._seen = seen
        self._looked_at = now
        self._dead = frozenset(name for name, one in seen.items() if self._is_dead(one, now))

    def look_failed(self, now: float) -> None:
        """Take in a look that was not answered; until the next one nobody is known to be dead."""
        self._looked_at = None
        self._dead = frozenset()

    @property
    def dead(self) -> frozenset[str]:
        """Workers that show no signs of life; we are never among them."""
        return self._dead

    @property
    def others_ready(self) -> int:
        """How many others live and take calls, as far as it is known just now.

        None after a look that failed: what a call leaves behind could not be kept for them.
        """
        if self._looked_at is None:
            return 0
        return sum(
            name != self.worker and self._state(name, one) == "ready"
            for name, one in self._seen.items()
        )

    @property
    def is_leader(self) -> bool:
        """Whether we are the living worker with the smallest name, who does what one has to do.

        Two may think so for a moment. Nobody does after a look that failed.
        """
        if self._looked_at is None:
            return False
        return min((self._seen.keys() | {self.worker}) - self._dead) == self.worker

    def is_gone(self, worker: str) -> bool:
        """Whether a worker is dead, or not on the list at all; False while nothing is known."""
        known = self._looked_at is not None
        return known and (worker in self._dead or worker not in self._seen)

    @property
    def states(self) -> list[State]:
        """How each worker is, us included, in no order."""
        return [self._state(name, one) for name, one in self._seen.items()]

    def _state(self, name: str, one: _Seen) -> State:
        if name in self._dead:
            return "dead"
        return "draining" if one.row.draining else "ready"

    def _is_dead(self, one: _Seen, now: float) -> bool:
        still_s = now - one.still_since
        return one.row.worker != self.worker and one.looks >= DEAD_LOOKS and still_s >= DEAD_S
