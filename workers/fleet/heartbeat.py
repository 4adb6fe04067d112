"""Says once a second that this worker lives, and learns who else does and what it has lost.

It runs in the event loop, so that a loop that hangs shows no sign of life. There is never more
than one question at a time; a slow one is given up and counts as a look that failed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import structlog

from workers.fleet.watch import BEAT_S, FleetWatch
from workers.store.calls import FleetSeen, StoreUnavailable, WorkerRow

DEADLINE_S = 2.0
# For a store that keeps its deadline late; longer than that no question is waited for.
GRACE_S = 0.5
# Who leaves is waited for; what stays on the list is taken off by others, as dead.
LEAVE_S = 1.0

_LATE = "no answer in time"
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


class BeatStore(Protocol):
    """As much of ``workers.store.calls.CallStore`` as is needed."""

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        """Say that a worker lives, and learn who else does and which calls it has lost."""

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        """Take a worker off the list."""


def worker_name() -> str:
    """A name that no worker had before: process ids come again, also on the same host."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"


class Heartbeat:
    """The signs of life of one worker; ``watch`` is what it knows of the others.

    Args:
        store: Where they are left.
        worker: Us, by a name of ``worker_name``.
        serving: Fencing number by call SID of what we serve.
        draining: Whether we want no new calls.
        calls: Streams that are open.
        capacity: Calls it takes at once; None: not said.
        on_lost: Is told each call that has another number by now; again every second, as long as
            it is served here under the old one.
        after: Is called after each look that succeeded; must not wait.
        clock: Monotonic seconds.
        wall: POSIX seconds; others judge by it whether anybody is there to serve calls.
        beat_s: Between two signs of life.
    """

    def __init__(
        self,
        store: BeatStore,
        worker: str,
        *,
        serving: Callable[[], Mapping[str, int]],
        draining: Callable[[], bool],
        calls: Callable[[], int],
        on_lost: Callable[[str], None],
        after: Callable[[FleetWatch], None] = lambda _watch: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        capacity: int | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        self.watch = FleetWatch(worker)
        self._store = store
        self._serving = serving
        self._draining = draining
        self._calls = calls
        self._on_lost = on_lost
        self._after = after
        self._clock = clock
        self._wall = wall
        self._capacity = capacity
        self._beat_s = beat_s
        self._host = socket.gethostname()
        self._started_at = datetime.now(UTC)
        self._beats = 0
        self._away = False
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin at once, in a task of its own."""
        self._task = asyncio.create_task(self._run(), name="heartbeat")

    async def close(self) -> None:
        """Stop, and take this worker off the list; bounded."""
        self._leaving.set()
        if self._task is not None:
            # Not cancelled: a beat that is written behind our back would put us on the list again.
            await asyncio.wait({self._task}, timeout=DEADLINE_S + 2 * GRACE_S)
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            async with asyncio.timeout(2 * LEAVE_S):
                await self._store.forget_worker(self.watch.worker, deadline_s=LEAVE_S)
        except (StoreUnavailable, TimeoutError) as error:
            _log.warning("fleet.not_left", error=str(error) or _LATE)

    async def beat(self) -> bool:
        """Show one sign of life and look at the others; whether the store answered."""
        self._beats += 1
        asked = dict(self._serving())
        row = WorkerRow(
            worker=self.watch.worker,
            beats=self._beats,
            draining=self._draining(),
            calls=self._calls(),
            host=self._host,
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=datetime.fromtimestamp(self._wall(), UTC),
            capacity=self._capacity,
        )
        try:
            async with asyncio.timeout(DEADLINE_S + GRACE_S):
                seen = await self._store.beat(row, asked, deadline_s=DEADLINE_S)
        except (StoreUnavailable, TimeoutError) as error:
            self.watch.look_failed(self._clock())
            if not self._away:
                _log.warning("fleet.store_unavailable", error=str(error) or _LATE)
            self._away = True
            return False
        if self._away:
            _log.info("fleet.store_back")
        self._away = False
        self.watch.looked(seen.workers, self._clock())
        serving = self._serving()
        for call_sid in seen.lost:
            # It may have come back to us while the store was asked, under a new number of ours.
            if call_sid in asked and serving.get(call_sid) == asked[call_sid]:
                self._tell(self._on_lost, call_sid)
        self._tell(self._after, self.watch)
        return True

    def _tell(self, who: Callable[[_T], None], what: _T) -> None:
        try:
            who(what)
        except Exception:  # noqa: BLE001  a mistake of theirs must not look like our death
            _log.exception("fleet.told_in_vain")

    async def _run(self) -> None:
        while not self._leaving.is_set():
            began_at = self._clock()
            try:
                await self.beat()
            except Exception:  # noqa: BLE001  the edge of a task: the next beat may succeed
                self.watch.look_failed(self._clock())
                _log.exception("fleet.beat_failed")
            # What was missed is not made up for.
            pause_s = began_at + self._beat_s - self._clock()
            await _set_within(self._leaving, max(0.0, pause_s))


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
