"""Questions that somebody waits for: each with a deadline, in a thread that is not the writer's.

What comes every second has a thread of its own kind, and so have reads and writes: where one
question hangs, because the database is slow or somebody holds a lock, the others find a thread.
What has not begun when its asker gives up never does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from workers.store.calls import StoreUnavailable
from workers.store.database import reading, writing

T = TypeVar("T")


class Lane(StrEnum):
    """Kinds of question."""

    READ = "read"
    WRITE = "write"
    BEAT = "beat"
    POLL = "poll"
    """For messages."""


# How many of a kind may hang.
_THREADS = {Lane.READ: 2, Lane.WRITE: 2, Lane.BEAT: 1, Lane.POLL: 1}


class Asker:
    """Puts questions to a database.

    Args:
        engine: Of it.
        ready: Set once its tables are there, or the attempt to make them has failed.
    """

    def __init__(self, engine: Engine, ready: threading.Event) -> None:
        self._engine = engine
        self._ready = ready
        # Their threads are started when they are first needed.
        self._lanes = {
            lane: ThreadPoolExecutor(threads, f"store-{lane}") for lane, threads in _THREADS.items()
        }

    async def read(self, read: Callable[[Connection], T], deadline_s: float) -> T:
        """Read in one transaction.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """

        def work() -> T:
            with reading(self._engine) as connection:
                return read(connection)

        return await self._in(Lane.READ, work, deadline_s)

    async def write(
        self, write: Callable[[Connection], T], deadline_s: float, *, lane: Lane = Lane.WRITE
    ) -> T:
        """Write now, not behind; what is not written by the deadline is not written at all.

        But for a commit that the deadline falls into: that one nobody can tell.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        given_up = threading.Event()

        def work() -> T:
            with writing(self._engine) as connection:
                _go_on(given_up)
                done = write(connection)
                _go_on(given_up)
                return done

        try:
            return await self._in(lane, work, deadline_s)
        finally:
            given_up.set()

    async def poll(self, ask: Callable[[Connection], T], deadline_s: float) -> T:
        """Ask what is asked every second, and begins its transactions itself.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """

        def work() -> T:
            with self._engine.connect() as connection:
                return ask(connection)

        return await self._in(Lane.POLL, work, deadline_s)

    def close(self) -> None:
        """Begin nothing more."""
        for threads in self._lanes.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in(self, lane: Lane, work: Callable[[], T], deadline_s: float) -> T:
        def begin() -> T:
            self._ready.wait(deadline_s)
            return work()

        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._lanes[lane], begin)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {deadline_s} s") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(type(error).__name__) from error


def _go_on(given_up: threading.Event) -> None:
    if given_up.is_set():
        raise StoreUnavailable("nobody waits for it any more")
