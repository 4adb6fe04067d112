"""Calls in a database: SQLite (WAL) or PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, Row, Select, Table, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from agent.conversation.record import CallRecord
from workers.store import message_queries
from workers.store.calls import CallEvent, CallRow, StoredCall, StoreUnavailable
from workers.store.messages import CallMessage, MessageKind, MessageOutcome, MessageState
from workers.store.schema import call_events, call_records, calls, metadata
from workers.store.writer import Write, Writer

T = TypeVar("T")
_RECORD = TypeAdapter(CallRecord)

_log = structlog.get_logger(__name__)


class SqlCallStore:
    """A ``CallStore`` over SQLAlchemy. Its thread makes the tables at once."""

    def __init__(
        self, url: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = open_engine(url)
        self._now = now
        self._writer = Writer(self._engine, metadata.create_all)
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

    def save_call(self, row: CallRow) -> None:
        """Insert the call, or bring it up to date."""
        at = self._now()
        values = {
            "call_sid": row.call_sid,
            "account_sid": row.account_sid,
            "direction": row.direction,
            "from_number": row.from_number,
            "to_number": row.to_number,
            "state": row.state,
            "status": row.status,
            "updated_at": at,
        }
        self._writer.put(_upsert(calls, values, created_at=at))

    def save_record(self, call_sid: str, record: CallRecord) -> None:
        """Keep the record as it is now."""
        # Rendered here: the call goes on changing it while the thread writes.
        text = _json(record)
        if text is None:
            self._writer.lose()
            return
        self._writer.put(_upsert(call_records, {"call_sid": call_sid, "record": text}))

    def add_event(self, call_sid: str, kind: str, payload: Mapping[str, object]) -> None:
        """Append to what happened to a call."""
        text = _json(payload)
        if text is None:
            self._writer.lose()
            return
        values = {"call_sid": call_sid, "at": self._now(), "kind": kind, "payload": text}

        def write(connection: Connection) -> None:
            connection.execute(call_events.insert().values(values))

        self._writer.put(write)

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        """The call, as far as it is written by now."""

        def read(connection: Connection) -> StoredCall | None:
            row = connection.execute(_joined().where(calls.c.call_sid == call_sid)).one_or_none()
            return None if row is None else _stored(row)

        return await self._read(read, deadline_s)

    async def load_events(self, call_sid: str, *, deadline_s: float = 2.0) -> list[CallEvent]:
        """What happened to a call, oldest first."""

        def read(connection: Connection) -> list[CallEvent]:
            found = connection.execute(
                select(call_events).where(call_events.c.call_sid == call_sid).order_by("id")
            )
            return [
                CallEvent(at=_utc(row.at), kind=row.kind, payload=orjson.loads(row.payload))
                for row in found
            ]

        return await self._read(read, deadline_s)

    async def list_calls(self, *, limit: int = 50, deadline_s: float = 5.0) -> list[StoredCall]:
        """The newest calls, newest first."""

        def read(connection: Connection) -> list[StoredCall]:
            newest = _joined().order_by(calls.c.created_at.desc()).limit(limit)
            return [_stored(row) for row in connection.execute(newest)]

        return await self._read(read, deadline_s)

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

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        """Wait until everything handed over before is written or given up."""
        return await asyncio.to_thread(self._writer.flush, deadline_s)

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left and let go of the database."""
        await asyncio.to_thread(self._writer.close, deadline_s)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

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


def _upsert(table: Table, values: Mapping[str, object], **at_insert: object) -> Write:
    def write(connection: Connection) -> None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        insert = dialect.insert(table).values(**values, **at_insert)
        changed = {name: value for name, value in values.items() if name != "call_sid"}
        connection.execute(insert.on_conflict_do_update(index_elements=["call_sid"], set_=changed))

    return write


def _json(value: object) -> str | None:
    """JSON text; None where it cannot be (a lone surrogate in a string, say)."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return None


def _joined() -> Select[Any]:
    return select(calls, call_records.c.record).outerjoin(
        call_records, calls.c.call_sid == call_records.c.call_sid
    )


def _stored(row: Row[Any]) -> StoredCall:
    return StoredCall(
        row=CallRow(
            call_sid=row.call_sid,
            account_sid=row.account_sid,
            direction=row.direction,
            from_number=row.from_number,
            to_number=row.to_number,
            state=row.state,
            status=row.status,
        ),
        record=None if row.record is None else _record(row.call_sid, row.record),
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
    )


def _record(call_sid: str, text: str) -> CallRecord | None:
    try:
        return _RECORD.validate_json(text)
    except ValidationError as error:
        # Written by a version whose records looked otherwise; the call's row is still of use.
        _log.warning("store.record_unreadable", call_sid=call_sid, problems=error.error_count())
        return None


def _utc(at: datetime) -> datetime:
    # SQLite keeps no zone; what we store is always UTC.
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
