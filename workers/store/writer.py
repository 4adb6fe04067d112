"""Writes behind: one thread takes what callers hand over and writes it in order.

The queue holds ``QUEUE_WRITES``; when it is full the newest is dropped. A database that is away
or full is waited for, up to ``OUTAGE_S``, then what was in hand is given up. A single write that
the database does not take costs itself alone. Everything given up is counted in ``lost``; what was
refused because another worker has the call by now is told, and no loss.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write changed nothing: the call has a higher fencing number."""

    call_sid: str
    fence: int


Write = Callable[[Connection], Refusal | None]

# Some 20 writes per call: 500 calls' worth.
QUEUE_WRITES = 10_000
BATCH_WRITES = 200
# Minutes, as a database takes to be failed over or restarted. Checkpoints of one call that wait are
# one write, so the queue does not fill with time.
OUTAGE_S = 600.0
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """In the queue: called once what came before is done with."""

    then: Callable[[], None]


class Writer:
    """One thread and its queue."""

    def __init__(
        self,
        engine: Engine,
        prepare: Write,
        *,
        queue_writes: int = QUEUE_WRITES,
        outage_s: float = OUTAGE_S,
        retry_s: float = RETRY_S,
        on_refused: Callable[[Refusal], None] = lambda _refusal: None,
    ) -> None:
        """``prepare`` runs before the first write, such as to make the tables."""
        self._engine = engine
        self._prepare: Write | None = prepare
        self._queue: queue.Queue[Write | _Done] = queue.Queue(queue_writes)
        self._outage_s = outage_s
        self._retry_s = retry_s
        self._on_refused = on_refused
        self._away = False
        self._lost = 0
        self._lock = threading.Lock()
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

    def put(self, write: Write) -> bool:
        """Hand a write over; never waits. False where it was dropped."""
        if self._closing.is_set():
            self.lose(1)
            return False
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self.lose(1)
            return False
        return True

    def when_written(self, then: Callable[[], None]) -> bool:
        """Have ``then`` called in the thread once what was put before is done with; never waits.

        False where the queue is full.
        """
        try:
            self._queue.put_nowait(_Done(then))
        except queue.Full:
            return False
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait (in a thread of the caller's) until what was put before is done with."""
        done = threading.Event()
        started = time.monotonic()
        try:
            self._queue.put(_Done(done.set), timeout=timeout_s)
        except queue.Full:
            return False
        return done.wait(max(0.0, timeout_s - (time.monotonic() - started)))

    def close(self, timeout_s: float) -> None:
        """Write what is queued, as far as the time allows, and stop the thread."""
        self.flush(timeout_s)
        self._closing.set()
        # Wakes the thread if it waits for work; where the queue is full it needs no waking.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_Done(lambda: None))
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            batch = self._take()
            writes = [item for item in batch if not isinstance(item, _Done)]
            if writes:
                self._write(writes)
            for item in batch:
                if isinstance(item, _Done):
                    item.then()
        left = 0
        while not self._queue.empty():
            left += not isinstance(self._queue.get_nowait(), _Done)
        if left:
            self.lose(left)

    def _take(self) -> list[Write | _Done]:
        batch = [self._queue.get()]
        while len(batch) < BATCH_WRITES:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, writes: list[Write]) -> None:
        give_up_at = time.monotonic() + self._outage_s
        while True:
            try:
                self._transact(writes)
            except (OperationalError, InterfaceError, OSError) as error:
                if not self._away:
                    _log.warning("store.unavailable", error=type(error).__name__)
                self._away = True
                if time.monotonic() >= give_up_at or self._closing.wait(self._retry_s):
                    self.lose(len(writes))
                    return
            except Exception as error:  # noqa: BLE001  the edge of a task: one bad write, not the thread
                if len(writes) == 1:
                    _log.warning("store.write_refused", error=type(error).__name__)
                    self.lose(1)
                else:
                    for write in writes:
                        self._write([write])
                return
            else:
                return

    def _transact(self, writes: list[Write]) -> None:
        with self._engine.begin() as connection:
            if self._prepare is not None:
                self._prepare(connection)
            refused = [refusal for write in writes if (refusal := write(connection)) is not None]
        self._prepare = None
        if self._away:
            self._away = False
            _log.info("store.back", waiting=self._queue.qsize())
        for refusal in refused:
            self._on_refused(refusal)

    def lose(self, count: int = 1) -> None:
        """Count writes that will not be made."""
        with self._lock:
            self._lost += count
