"""Writes behind: one thread takes what callers hand over and writes it in order.

The queue holds ``QUEUE_WRITES``; when it is full the newest is dropped. A database that is away
or full is waited for, up to ``OUTAGE_S``, then what was in hand is given up. What waits does not
grow with time: a write that can take in a later one (``Merging``) does so as long as it is in the
queue and the newest of its call, so that the order of a call's writes stays.

A single write that the database does not take costs itself alone. Everything given up is counted in
``lost``; what was refused because another worker has the call by now is told, and no loss.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self, cast

import structlog
from sqlalchemy import Connection, Engine

from workers.store.database import begin_to_write, is_away, is_conflict


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write changed nothing: the call has a higher fencing number."""

    call_sid: str
    fence: int


class Merging(ABC):
    """A write of a kind that comes often: merged while it waits, made together with its like."""

    @abstractmethod
    def take_in(self, later: Merging) -> bool:
        """Become what is to be written instead of both; False where that cannot be."""

    @classmethod
    @abstractmethod
    def write(cls, connection: Connection, writes: Sequence[Self]) -> Iterable[Refusal]:
        """Make several at once, of different calls or of the same one, in order."""


Write = Callable[[Connection], Refusal | None]

# Some 20 writes per call: 500 calls' worth.
QUEUE_WRITES = 10_000
BATCH_WRITES = 200
# Minutes, as a database takes to be failed over or restarted.
OUTAGE_S = 600.0
RETRY_S = 0.5
# A transaction costs several times what a checkpoint in it does, and nobody waits for either: what
# comes within this is written together. At 100 calls that halves the work; a process that is killed
# loses so much more.
GATHER_S = 0.05
CONFLICT_RETRY_S = 0.02

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Item:
    """One place in the queue."""

    write: Write | Merging
    key: str
    count: int = 1
    """Writes that were handed over and are made here."""


@dataclass(slots=True, eq=False)
class _Mark:
    """In the queue: somebody waits for what came before."""

    told: Callable[[bool], None]
    lost: int
    """What had been given up before."""
    patient: bool
    """Waits also for a database that is away."""


class Writer:
    """One thread and its queue."""

    def __init__(
        self,
        engine: Engine,
        prepare: Callable[[Connection], object],
        *,
        queue_writes: int = QUEUE_WRITES,
        outage_s: float = OUTAGE_S,
        retry_s: float = RETRY_S,
        gather_s: float = GATHER_S,
        on_refused: Callable[[Refusal], None] = lambda _refusal: None,
    ) -> None:
        """``prepare`` runs before the first write, such as to make the tables."""
        self._engine = engine
        self._prepare: Callable[[Connection], object] | None = prepare
        self._queue: deque[_Item | _Mark] = deque()
        self._newest: dict[str, _Item] = {}
        """By key, as long as it is in the queue."""
        self._queue_writes = queue_writes
        self._outage_s = outage_s
        self._retry_s = retry_s
        self._gather_s = gather_s
        self._marks = 0
        """Of them in the queue."""
        self._in_hand: list[_Item | _Mark] = []
        # Kept: to take one from the pool, and to ask whether it lives, costs as much as a write.
        self._connection: Connection | None = None
        self.tried = threading.Event()
        """Set once ``prepare`` has been done, or could not be because the database is away."""
        self._on_refused = on_refused
        self._away = False
        self._lost = 0
        # Guards all of it that both sides change; told of whatever comes into the queue.
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Writes that were given up."""
        return self._lost

    @property
    def waiting(self) -> int:
        """What is in the queue or being written; what is merged counts once."""
        return len(self._queue) + len(self._in_hand)

    @property
    def away(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._away

    def put(self, write: Write | Merging, key: str = "") -> None:
        """Hand a write over; never waits.

        Args:
            write: What is to be done.
            key: Writes with the same one stay in order when they are merged; empty: with no other.
        """
        with self._changed:
            newest = self._newest.get(key)
            if (
                newest is not None
                and isinstance(newest.write, Merging)
                and isinstance(write, Merging)
                and newest.write.take_in(write)
            ):
                newest.count += 1
                return
            if self._closing.is_set() or len(self._queue) >= self._queue_writes:
                self._lost += 1
                return
            self._append(_Item(write, key))

    def when_written(self, told: Callable[[bool], None]) -> None:
        """Have it told whether what was put before is written: at once, or later in the thread.

        False: the database is away, or something was given up meanwhile.
        """
        with self._changed:
            idle = not self._queue and not self._in_hand
            full = len(self._queue) >= self._queue_writes
            if not (idle or full or self._away or self._closing.is_set()):
                self._append(_Mark(told, self._lost, patient=False))
                return
        told(idle and not self._away)

    def flush(self, timeout_s: float) -> bool:
        """Wait (in a thread of the caller's) until what was put before is done with."""
        done = threading.Event()
        with self._changed:
            # Not bounded: whoever calls this waits in a thread.
            self._append(_Mark(lambda _written: done.set(), self._lost, patient=True))
        return done.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Write what is queued, as far as the time allows, and stop the thread."""
        self.flush(timeout_s)
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def lose(self, count: int = 1) -> None:
        """Count writes that will not be made."""
        with self._changed:
            self._lost += count

    def _append(self, item: _Item | _Mark) -> None:
        self._queue.append(item)
        if isinstance(item, _Mark):
            self._marks += 1
        elif item.key:
            self._newest[item.key] = item
        # Only the thread listens. It is not to wake for each of those that it gathers.
        if len(self._queue) == 1 or self._hurried():
            self._changed.notify()

    def _run(self) -> None:
        while not self._closing.is_set():
            items = self._take()
            if items:
                self._write(items)
            with self._changed:
                done, self._in_hand = self._in_hand, []
            self._tell_marks(done)
        self._disconnect()
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
            self._newest.clear()
            self._lost += sum(item.count for item in left if isinstance(item, _Item))
        self._tell_marks(left)

    def _take(self) -> list[_Item]:
        """What is next; from here on nothing is merged into it."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing.is_set())
            self._changed.wait_for(self._hurried, self._gather_s)
            batch = [self._queue.popleft() for _ in range(min(BATCH_WRITES, len(self._queue)))]
            for item in batch:
                if isinstance(item, _Mark):
                    self._marks -= 1
                elif self._newest.get(item.key) is item:
                    del self._newest[item.key]
            self._in_hand = batch
        return [item for item in batch if isinstance(item, _Item)]

    def _tell_marks(self, items: Iterable[_Item | _Mark]) -> None:
        for item in items:
            if isinstance(item, _Mark):
                item.told(item.lost == self._lost)

    def _hurried(self) -> bool:
        return self._marks > 0 or self._closing.is_set() or len(self._queue) >= BATCH_WRITES

    def _write(self, items: list[_Item]) -> None:
        give_up_at = time.monotonic() + self._outage_s
        while True:
            try:
                self._written(self._transact(items))
                return
            except Exception as error:  # noqa: BLE001  the edge of a task: one bad write, not the thread
                if is_conflict(error):
                    pause_s = CONFLICT_RETRY_S
                elif is_away(error):
                    pause_s = self._retry_s
                    self._gone(error)
                else:
                    self._one_by_one(items, error)
                    return
                if time.monotonic() >= give_up_at or self._closing.wait(pause_s):
                    self._give_up(items, "store.given_up", error)
                    return

    def _written(self, refused: list[Refusal]) -> None:
        if self._away:
            self._away = False
            _log.info("store.back", waiting=len(self._queue))
        for refusal in refused:
            self._tell(refusal)

    def _transact(self, items: list[_Item]) -> list[Refusal]:
        new = self._connection is None
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            return self._transact_on(self._connection, items)
        except Exception as error:
            broken = self._connection.invalidated
            if broken or is_away(error):
                self._disconnect()
            # One that was kept may have been dead for long: a new one says how things are.
            if new or not broken:
                raise
        return self._transact(items)

    def _transact_on(self, connection: Connection, items: list[_Item]) -> list[Refusal]:
        refused: list[Refusal] = []
        with begin_to_write(connection):
            if self._prepare is not None:
                self._prepare(connection)
            for kind, group in groupby((item.write for item in items), key=type):
                if issubclass(kind, Merging):
                    refused += kind.write(connection, cast(Sequence[Merging], list(group)))
                    continue
                for write in cast(Iterable[Write], group):
                    refusal = write(connection)
                    if refusal is not None:
                        refused.append(refusal)
        self._prepare = None
        self.tried.set()
        return refused

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _gone(self, error: Exception) -> None:
        """The database is away: whoever does not want to wait for it is told."""
        if not self._away:
            _log.warning("store.unavailable", error=type(error).__name__)
        with self._changed:
            self._away = True
            waiting = [*self._in_hand, *self._queue]
            told = [item for item in waiting if isinstance(item, _Mark) and not item.patient]
            if told:
                gone = set(map(id, told))
                self._in_hand = [item for item in self._in_hand if id(item) not in gone]
                self._queue = deque(item for item in self._queue if id(item) not in gone)
                self._marks = sum(isinstance(item, _Mark) for item in self._queue)
        self.tried.set()
        for mark in told:
            mark.told(False)

    def _one_by_one(self, items: list[_Item], error: Exception) -> None:
        if len(items) == 1:
            self._give_up(items, "store.write_refused", error)
            return
        for item in items:
            self._write([item])

    def _give_up(self, items: list[_Item], told: str, error: Exception) -> None:
        count = sum(item.count for item in items)
        _log.warning(told, error=type(error).__name__, writes=count)
        self.lose(count)

    def _tell(self, refusal: Refusal) -> None:
        try:
            self._on_refused(refusal)
        except Exception as error:  # noqa: BLE001  whoever was to be told may be gone
            _log.warning("store.refusal_not_told", error=type(error).__name__)
