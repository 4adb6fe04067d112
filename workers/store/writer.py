"""Writes behind: one thread takes what callers hand over and writes it in order.

The queue holds ``QUEUE_WRITES``; when it is full the newest is dropped. A database that is away
or full is waited for, up to ``OUTAGE_S``, then what was in hand is given up. What waits does not
grow with time: a write that can take in a later one (``Merging``) does so as long as it is in the
queue and the newest of its call, so that the order of a call's writes stays.

A single write that the database does not take costs itself alone. Everything given up is counted in
``lost``; what was refused because another worker has the call by now is told, and no loss.
"""

from __future__ import annotations

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

from workers.store.database import is_away, is_conflict, writing


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


@dataclass(frozen=True, slots=True)
class _Mark:
    """In the queue: called once what came before is done with."""

    then: Callable[[], None]


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
        """In the queue: somebody waits."""
        self._on_refused = on_refused
        self._away = False
        self._lost = 0
        # Guards queue, newest and lost; told of whatever comes into the queue, and goes.
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Writes that were given up."""
        return self._lost

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
            item = _Item(write, key)
            self._queue.append(item)
            if key:
                self._newest[key] = item
            self._changed.notify_all()

    def when_written(self, then: Callable[[], None], *, timeout_s: float = 0.0) -> bool:
        """Have ``then`` called in the thread once what was put before is done with.

        False where the queue is full, and stays so for ``timeout_s``.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: len(self._queue) < self._queue_writes, max(0.0, timeout_s)
            ):
                return False
            self._queue.append(_Mark(then))
            self._marks += 1
            self._changed.notify_all()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait (in a thread of the caller's) until what was put before is done with."""
        done = threading.Event()
        until = time.monotonic() + timeout_s
        return self.when_written(done.set, timeout_s=timeout_s) and done.wait(
            max(0.0, until - time.monotonic())
        )

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

    def _run(self) -> None:
        while not self._closing.is_set():
            batch = self._take()
            items = [item for item in batch if isinstance(item, _Item)]
            if items:
                self._write(items)
            for item in batch:
                if isinstance(item, _Mark):
                    item.then()
        with self._changed:
            self._lost += sum(item.count for item in self._queue if isinstance(item, _Item))
            self._queue.clear()
            self._newest.clear()

    def _take(self) -> list[_Item | _Mark]:
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
            self._changed.notify_all()
        return batch

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
                    if not self._away:
                        _log.warning("store.unavailable", error=type(error).__name__)
                    self._away = True
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
        refused: list[Refusal] = []
        with writing(self._engine) as connection:
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
        return refused

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
