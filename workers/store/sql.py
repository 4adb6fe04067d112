"""Calls in a database: SQLite (WAL) or PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord
from workers.store import call_queries, fleet_queries, message_queries
from workers.store.calls import (
    CallEvent,
    CallRow,
    Claim,
    FleetSeen,
    JournalEntry,
    RecalledCall,
    StoredCall,
    StoreUnavailable,
    WorkerRow,
)
from workers.store.journal_queries import Kept, kept, write_checkpoint
from workers.store.messages import CallMessage, MessageKind, MessageOutcome, MessageState
from workers.store.migrate import migrate
from workers.store.rows import json_text, utc
from workers.store.schema import call_events
from workers.store.writer import Refusal, Writer

T = TypeVar("T")


@dataclass(slots=True)
class _Slot:
    """A checkpoint's place among the writes."""

    call_sid: str
    one: Kept | None = None
    """What is written there; None until it is its turn."""


class SqlCallStore:
    """A ``CallStore`` over SQLAlchemy. Its thread makes the tables at once."""

    def __init__(
        self, url: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = open_engine(url)
        self._now = now
        self.on_refused: Callable[[str, int], None] = lambda _call_sid, _fence: None
        """Told of each write that was refused; called in the writer's thread."""
        self._refused = 0
        self._lock = threading.Lock()
        # Checkpoints that are not being written yet, by call SID.
        self._waiting: dict[str, Kept] = {}
        self._writer = Writer(self._engine, migrate, on_refused=self._refuse)
        # Nothing to write, but it makes the tables, so that the first read finds them.
        self._writer.put(lambda _connection: None)
        # Reads that hang in a slow database take up these threads and no more.
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        # Asked every second: where one question hangs, the next must not take the other thread.
        self._taking = threading.Lock()

    @property
    def lost(self) -> int:
        """Writes that were given up so far."""
        return self._writer.lost

    @property
    def refused(self) -> int:
        """Writes that were refused so far, because another worker has the call."""
        return self._refused

    @property
    def away(self) -> bool:
        """Whether the database is not there at the moment."""
        return self._writer.away

    def save_call(self, row: CallRow) -> None:
        """Insert the call, or bring it up to date."""
        self._writer.put(call_queries.save_call(row, at=self._now()))

    def note_status(self, call_sid: str, status: str) -> None:
        """Keep what Twilio says of a call."""
        self._writer.put(call_queries.note_status(call_sid, status, at=self._now()))

    def checkpoint(
        self,
        call_sid: str,
        checkpoint: SessionCheckpoint,
        head: CallRecord,
        entries: Sequence[JournalEntry],
        *,
        fence: int,
    ) -> None:
        """Keep what another worker needs to go on with the call."""
        one = kept(call_sid, checkpoint, head, entries, fence=fence)
        with self._lock:
            waiting = self._waiting.get(call_sid)
            if waiting is not None:
                # Not written yet: a database that is away does not make the queue grow.
                waiting.later(one)
                return
            self._waiting[call_sid] = one
        if not self._writer.put(partial(self._write_checkpoint, _Slot(call_sid))):
            with self._lock:
                self._waiting.pop(call_sid, None)

    def save_record(
        self, call_sid: str, record: CallRecord, *, fence: int = 0, final: bool = False
    ) -> None:
        """Keep the record as it is now."""
        # Rendered here: the call goes on changing it while the thread writes.
        text = json_text(record)
        if text is None:
            self._writer.lose()
            return
        self._writer.put(
            call_queries.save_record(call_sid, text, fence=fence, final=final, at=self._now())
        )

    def add_event(self, call_sid: str, kind: str, payload: Mapping[str, object]) -> None:
        """Append to what happened to a call."""
        text = json_text(payload)
        if text is None:
            self._writer.lose()
            return
        values = {"call_sid": call_sid, "at": self._now(), "kind": kind, "payload": text}

        def write(connection: Connection) -> None:
            connection.execute(call_events.insert().values(values))

        self._writer.put(write)

    async def claim(
        self, row: CallRow, *, owner: str, stream: int, at: float, deadline_s: float = 1.0
    ) -> Claim:
        """Take a call over for its next stream."""
        return await self._write(
            call_queries.claim(row, owner=owner, stream=stream, lost_at=at, at=self._now()),
            deadline_s,
        )

    async def recall(self, call_sid: str, *, deadline_s: float = 1.0) -> RecalledCall | None:
        """A call with its newest record and checkpoint."""
        return await self._read(call_queries.recall(call_sid), deadline_s)

    async def unserved(
        self, dead: Collection[str], *, idle_s: float, limit: int = 100, deadline_s: float = 2.0
    ) -> list[StoredCall]:
        """Calls that are not over and that nobody serves."""
        return await self._read(
            call_queries.unserved(dead, idle_s=idle_s, limit=limit, at=self._now()), deadline_s
        )

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        """Take a call away from a dead owner."""
        return await self._write(
            call_queries.take_from(call_sid, fence=fence, at=self._now()), deadline_s
        )

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        """Say that a worker lives."""
        return await self._write(fleet_queries.beat(worker, serving), deadline_s)

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        """Take a worker off the list."""
        await self._write(fleet_queries.forget(worker, at=self._now()), deadline_s)

    async def list_workers(self, *, deadline_s: float = 2.0) -> list[WorkerRow]:
        """All workers on the list."""
        return await self._read(fleet_queries.list_workers, deadline_s)

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        """The call, as far as it is written by now."""
        return await self._read(call_queries.load_call(call_sid), deadline_s)

    async def load_events(self, call_sid: str, *, deadline_s: float = 2.0) -> list[CallEvent]:
        """What happened to a call, oldest first."""

        def read(connection: Connection) -> list[CallEvent]:
            found = connection.execute(
                select(call_events).where(call_events.c.call_sid == call_sid).order_by("id")
            )
            return [
                CallEvent(at=utc(row.at), kind=row.kind, payload=orjson.loads(row.payload))
                for row in found
            ]

        return await self._read(read, deadline_s)

    async def list_calls(
        self, *, limit: int = 50, live: bool = False, deadline_s: float = 5.0
    ) -> list[StoredCall]:
        """The newest calls, newest first."""
        return await self._read(call_queries.list_calls(limit=limit, live=live), deadline_s)

    async def leave_message(
        self, call_sid: str, kind: MessageKind, text: str, *, deadline_s: float = 2.0
    ) -> int:
        """Leave a message for the agent of a call."""
        return await self._write(
            message_queries.leave(call_sid, kind, text, at=self._now()), deadline_s
        )

    async def take_messages(
        self, call_sids: Collection[str], *, taker: str, deadline_s: float = 2.0
    ) -> list[CallMessage]:
        """Take the messages for these calls, oldest first."""
        take = message_queries.take(sorted(call_sids), taker=taker, at=self._now())

        def work() -> list[CallMessage]:
            if not self._taking.acquire(blocking=False):
                raise StoreUnavailable("the last question hangs")
            try:
                with self._engine.connect() as connection:
                    return take(connection)
            finally:
                self._taking.release()

        return await self._in_reader(work, deadline_s)

    def settle_message(self, number: int, outcome: MessageOutcome, detail: str = "") -> None:
        """Say what has become of a message."""
        self._writer.put(message_queries.settle(number, outcome, detail, at=self._now()))

    async def message_state(self, number: int, *, deadline_s: float = 2.0) -> MessageState | None:
        """How far a message has got."""
        return await self._read(message_queries.state(number), deadline_s)

    async def withdraw_message(self, number: int, *, deadline_s: float = 2.0) -> bool:
        """Take a message back; False where somebody has taken it."""
        return await self._write(message_queries.withdraw(number, at=self._now()), deadline_s)

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        """Wait until what was handed over before is written, unless the database is away."""
        if self._writer.away:
            return False
        loop = asyncio.get_running_loop()
        written = asyncio.Event()

        def then() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(written.set)

        if not self._writer.when_written(then):
            return False
        try:
            async with asyncio.timeout(deadline_s):
                await written.wait()
        except TimeoutError:
            return False
        return not self._writer.away

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        """Wait until everything handed over before is written or given up."""
        return await asyncio.to_thread(self._writer.flush, deadline_s)

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left and let go of the database."""
        await asyncio.to_thread(self._writer.close, deadline_s)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

    def _write_checkpoint(self, slot: _Slot, connection: Connection) -> Refusal | None:
        with self._lock:
            # From here on a later one is a write of its own; tried again, this one is the same.
            slot.one = slot.one or self._waiting.pop(slot.call_sid)
        one = slot.one
        if not call_queries.may_write(connection, one.call_sid, one.fence, at=self._now()):
            return Refusal(one.call_sid, one.fence)
        lost = write_checkpoint(connection, one)
        if lost:
            self._writer.lose(lost)
        return None

    def _refuse(self, refusal: Refusal) -> None:
        self._refused += 1
        self.on_refused(refusal.call_sid, refusal.fence)

    async def _read(self, read: Callable[[Connection], T], deadline_s: float) -> T:
        def work() -> T:
            with self._engine.connect() as connection:
                return read(connection)

        return await self._in_reader(work, deadline_s)

    async def _write(self, write: Callable[[Connection], T], deadline_s: float) -> T:
        """Write now, not behind; what is not written by the deadline is not written at all."""
        given_up = threading.Event()

        def work() -> T:
            with self._engine.begin() as connection:
                done = write(connection)
                if given_up.is_set():
                    raise StoreUnavailable("nobody waits for it any more")
                return done

        try:
            return await self._in_reader(work, deadline_s)
        finally:
            given_up.set()

    async def _in_reader(self, work: Callable[[], T], deadline_s: float) -> T:
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {deadline_s} s") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(type(error).__name__) from error


def open_engine(url: str) -> Engine:
    """An engine with time-outs on everything, whose errors hold no values (phone numbers)."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": 5})
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    return create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "options": "-c statement_timeout=10000"},
    )


def _set_up_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DBAPI connections have no type
    # Readers do not wait for the writer, and a commit does not wait for the disk; a power cut
    # costs the last commits, not the file (sqlite.org/pragma.html#pragma_synchronous).
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
