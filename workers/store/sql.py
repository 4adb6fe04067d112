"""Calls in a database: SQLite (WAL) or PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import orjson
from sqlalchemy import Connection, select

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import CallRecord
from workers.store import call_queries, fleet_queries, message_queries
from workers.store.asking import Asker, Lane
from workers.store.calls import (
    CallEvent,
    CallRow,
    Claim,
    FleetSeen,
    JournalEntry,
    RecalledCall,
    StoredCall,
    WorkerRow,
)
from workers.store.database import open_engine
from workers.store.journal import CheckpointWrite
from workers.store.messages import CallMessage, MessageKind, MessageOutcome, MessageState
from workers.store.migrate import migrate
from workers.store.rows import json_text, utc
from workers.store.schema import call_events
from workers.store.writer import Refusal, Writer


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
        self._writer = Writer(self._engine, migrate, on_refused=self._refuse)
        # Nothing to write, but it makes the tables, so that the first read finds them.
        self._writer.put(lambda _connection: None)
        self._asker = Asker(self._engine, self._writer.tried)

    def new_asker(self) -> Asker:
        """Threads of their own for questions that must not hold up those of calls."""
        return Asker(self._engine, self._writer.tried)

    @property
    def lost(self) -> int:
        """Writes that were given up so far."""
        return self._writer.lost

    @property
    def refused(self) -> int:
        """Writes that were refused so far, because another worker has the call."""
        return self._refused

    @property
    def waiting(self) -> int:
        """Writes that are still to be made."""
        return self._writer.waiting

    @property
    def away(self) -> bool:
        """Whether the database is not there at the moment."""
        return self._writer.away

    def save_call(self, row: CallRow) -> None:
        """Insert the call, or bring it up to date."""
        self._writer.put(call_queries.save_call(row, at=self._now()), row.call_sid)

    def note_status(self, call_sid: str, status: str) -> None:
        """Keep what Twilio says of a call."""
        self._writer.put(call_queries.note_status(call_sid, status, at=self._now()), call_sid)

    def checkpoint(
        self,
        call_sid: str,
        checkpoint: SessionCheckpoint,
        head: CallRecord,
        entries: Sequence[JournalEntry],
        *,
        fence: int,
    ) -> None:
        """Keep what another worker needs to go on with the call.

        Rendered in the writer's thread: none of it may change any more.
        """
        write = CheckpointWrite(
            call_sid,
            checkpoint,
            head,
            entries,
            fence=fence,
            at=self._now(),
            lose=self._writer.lose,
        )
        self._writer.put(write, call_sid)

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
            call_queries.save_record(call_sid, text, fence=fence, final=final), call_sid
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
        return await self._asker.write(
            call_queries.claim(row, owner=owner, stream=stream, lost_at=at, at=self._now()),
            deadline_s,
        )

    async def recall(self, call_sid: str, *, deadline_s: float = 1.0) -> RecalledCall | None:
        """A call with its newest record and checkpoint."""
        return await self._asker.read(call_queries.recall(call_sid), deadline_s)

    async def unserved(
        self,
        dead: Collection[str],
        *,
        idle_s: float,
        over_s: float,
        limit: int = 100,
        deadline_s: float = 2.0,
    ) -> list[StoredCall]:
        """Calls that are not over and that nobody serves."""
        return await self._asker.read(
            call_queries.unserved(dead, idle_s=idle_s, over_s=over_s, limit=limit, at=self._now()),
            deadline_s,
        )

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        """Take a call away from a dead owner."""
        return await self._asker.write(
            call_queries.take_from(call_sid, fence=fence, at=self._now()), deadline_s
        )

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        """Say that a worker lives."""
        return await self._asker.write(
            fleet_queries.beat(worker, serving), deadline_s, lane=Lane.BEAT
        )

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        """Take a worker off the list."""
        await self._asker.write(fleet_queries.forget(worker, at=self._now()), deadline_s)

    async def list_workers(self, *, deadline_s: float = 2.0) -> list[WorkerRow]:
        """All workers on the list."""
        return await self._asker.read(fleet_queries.list_workers, deadline_s)

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        """The call, as far as it is written by now."""
        return await self._asker.read(call_queries.load_call(call_sid), deadline_s)

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

        return await self._asker.read(read, deadline_s)

    async def list_calls(
        self, *, limit: int = 50, live: bool = False, deadline_s: float = 5.0
    ) -> list[StoredCall]:
        """The newest calls, newest first."""
        return await self._asker.read(call_queries.list_calls(limit=limit, live=live), deadline_s)

    async def leave_message(
        self, call_sid: str, kind: MessageKind, text: str, *, deadline_s: float = 2.0
    ) -> int:
        """Leave a message for the agent of a call."""
        return await self._asker.write(
            message_queries.leave(call_sid, kind, text, at=self._now()), deadline_s
        )

    async def take_messages(
        self, call_sids: Collection[str], *, taker: str, deadline_s: float = 2.0
    ) -> list[CallMessage]:
        """Take the messages for these calls, oldest first."""
        take = message_queries.take(sorted(call_sids), taker=taker, at=self._now())

        return await self._asker.poll(take, deadline_s)

    def settle_message(self, number: int, outcome: MessageOutcome, detail: str = "") -> None:
        """Say what has become of a message."""
        self._writer.put(message_queries.settle(number, outcome, detail, at=self._now()))

    async def message_state(self, number: int, *, deadline_s: float = 2.0) -> MessageState | None:
        """How far a message has got."""
        return await self._asker.read(message_queries.state(number), deadline_s)

    async def withdraw_message(self, number: int, *, deadline_s: float = 2.0) -> bool:
        """Take a message back; False where somebody has taken it."""
        return await self._asker.write(message_queries.withdraw(number, at=self._now()), deadline_s)

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        """Wait until what was handed over before is written, unless the database is away."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def answered(written: bool) -> None:
            if not answer.done():
                answer.set_result(written)

        def told(written: bool) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(answered, written)

        self._writer.when_written(told)
        try:
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            return False

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        """Wait until everything handed over before is written or given up."""
        return await asyncio.to_thread(self._writer.flush, deadline_s)

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left and let go of the database."""
        await asyncio.to_thread(self._writer.close, deadline_s)
        self._asker.close()
        self._engine.dispose()

    def _refuse(self, refusal: Refusal) -> None:
        self._refused += 1
        self.on_refused(refusal.call_sid, refusal.fence)
