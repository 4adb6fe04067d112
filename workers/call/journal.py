"""Keeps in the store what another worker needs to go on with a call: its checkpoint and journal.

Written behind: at once where something has changed, but no more often than once in ``PERIOD_S``,
and only what is new. What is stored is redacted first, in the thread that redacts records. Before
the socket of a stream is closed the last of it is waited for, bounded, because Twilio then asks at
once, and any worker may answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from agent.checkpoint import SessionCheckpoint
from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    ToolRecord,
    TurnRecord,
    UsageRecord,
)
from workers.call.entry import CallEntry
from workers.call.records import RecordKeeper
from workers.store.calls import CallStore, JournalEntry

PERIOD_S = 1.0
# A handle comes some milliseconds after the turn it belongs to: one write for both.
GATHER_S = 0.05
# Calls write together, if they do not write at once anyway: threads are woken once for all of them,
# and one transaction takes them in: at 20 calls 13 writes a second in 5 (README, Benchmarks).
TOGETHER_S = 0.2
# What a stream's end waits for its last checkpoint, and a function for the note that it was called.
SETTLE_S = 0.5
# Shorter than this a turn was heard to its end: rounding, and marks every 100 ms.
_HEARD_WITHIN_MS = 120.0

_log = structlog.get_logger(__name__)

Parts = Mapping[str, tuple[int, list[Any]]]
_Place = tuple[str, int]


@dataclass(slots=True)
class _Kept:
    """What the store has been given; the executor's thread alone changes it."""

    checkpoint: SessionCheckpoint | None = None
    head: CallRecord | None = None
    safe: CallRecord | None = None
    """The head as it is stored."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many items of each list."""
    seen: dict[_Place, object] = field(default_factory=dict)
    """Of the newest items, as they were before anything was taken out."""
    stored: dict[_Place, object] = field(default_factory=dict)
    """The same as they are stored."""


class Journalled(Protocol):
    """A call that has a stream (``workers.call.live_call.LiveCall``)."""

    @property
    def entry(self) -> CallEntry:
        """Whose it is."""

    def counts_before(self) -> dict[str, int]:
        """How many items each list of its record had when the stream began."""

    def parts(self, kept: Mapping[str, int]) -> tuple[CallRecord, dict[str, tuple[int, list[Any]]]]:
        """Its record without the items that cannot have changed."""

    def checkpoint(self) -> SessionCheckpoint:
        """Its session."""


class CallJournal:
    """The journal of one stream of a call.

    Args:
        store: Where it is kept.
        records: Its redactor takes out what must not be stored; what its one thread is handed is
            done in order.
        on_written: Told when something was handed to the store.
    """

    def __init__(
        self,
        *,
        store: CallStore,
        records: RecordKeeper,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_written = on_written
        self._store = store
        self._redactor = records.redactor
        self._executor = records.executor
        self._call: Journalled | None = None
        self._kept = _Kept()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written_at = float("-inf")
        self._closed = False
        self._generating = False
        """When it was written the last time."""

    def attach(self, call: Journalled) -> None:
        """Say whose journal it is; what earlier streams have left is journalled already."""
        self._call = call
        self._kept = _Kept(counts=call.counts_before())

    def start(self) -> None:
        """Write for the first time, and from then on whenever something changes."""
        self.changed()

    def changed(self) -> None:
        """Something has happened that the next worker should know."""
        if self._timer is None and not self._closed:
            soon, later = self._loop.time() + GATHER_S, self._written_at + PERIOD_S
            due = soon if later <= soon else math.ceil(later / TOGETHER_S) * TOGETHER_S
            self._timer = self._loop.call_at(due, self._due)

    async def tool_called(self, _tool: ToolRecord) -> None:
        """Have it known that a function is about to run, before it runs; bounded."""
        await self._write_now()

    async def close(self, *, last: bool = True) -> None:
        """Write what is left and wait until it is stored, bounded; nothing is written after that.

        Args:
            last: Whether there is anything that another stream should know.
        """
        if self._closed or self._call is None:
            return
        try:
            if self._call.entry.taken_over:
                return
            if last:
                await self._write_now()
            else:
                await self._store.settled(deadline_s=SETTLE_S)
        finally:
            self._closed = True
            self._cancel_timer()

    async def _write_now(self) -> None:
        self._cancel_timer()
        writing = self._write()
        try:
            async with asyncio.timeout(SETTLE_S):
                if writing is not None:
                    await asyncio.shield(asyncio.wrap_future(writing))
                await self._store.settled(deadline_s=SETTLE_S)
        except TimeoutError:
            _log.warning("call.journal_late")

    def _due(self) -> None:
        self._timer = None
        self._write()
        if self._generating:
            # What is being said grows without an event of its own.
            self.changed()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self) -> Future[None] | None:
        self._generating = False
        call = self._call
        if call is None or self._closed or call.entry.taken_over or call.entry.unclaimed:
            return None
        self._written_at = self._loop.time()
        head, parts = call.parts(self._kept.counts)
        checkpoint = call.checkpoint()
        self._generating = checkpoint.generating
        # Nearly always nobody waits for it, so the loop is not woken when it is done.
        return self._executor.submit(self._try_keep, checkpoint, head, parts, call.entry.fence)

    def _try_keep(
        self, checkpoint: SessionCheckpoint, head: CallRecord, parts: Parts, fence: int
    ) -> None:
        try:
            self._keep(checkpoint, head, parts, fence)
        except Exception:  # noqa: BLE001  the edge of a task: the call goes on without it
            _log.exception("call.journal_failed", call_sid=head.call_sid)

    def _keep(
        self, checkpoint: SessionCheckpoint, head: CallRecord, parts: Parts, fence: int
    ) -> None:
        """In the executor's thread: store what differs from what was stored before."""
        kept = self._kept
        told = replace(head, usage=UsageRecord(), context=ContextRecord())
        seen = _essences(parts)
        said = kept.seen == seen and kept.head == told
        if said and _same(kept.checkpoint, checkpoint):
            return
        kept.checkpoint = checkpoint
        entries: list[JournalEntry] = []
        if said and kept.safe is not None:
            # Only who speaks has changed, or the handle: nothing to redact, which costs most here.
            head = replace(kept.safe, usage=head.usage, context=head.context)
        else:
            kept.seen, kept.head = seen, told
            head, parts = self._redacted(head, parts)
            stored = _essences(parts)
            entries = [
                JournalEntry(kind, place, item)
                for kind, (first, items) in parts.items()
                for place, item in enumerate(items, start=first)
                if kept.stored.get((kind, place)) != stored[kind, place]
            ]
            kept.safe, kept.stored = head, stored
            kept.counts = {kind: first + len(items) for kind, (first, items) in parts.items()}
        checkpoint = replace(
            checkpoint,
            notes=tuple(map(self._redactor.redact_text, checkpoint.notes)),
            instruction=checkpoint.instruction
            and self._redactor.redact_text(checkpoint.instruction),
        )
        self._store.checkpoint(head.call_sid, checkpoint, head, entries, fence=fence)
        self._on_written()

    def _redacted(self, head: CallRecord, parts: Parts) -> tuple[CallRecord, Parts]:
        """Redact head and newest items together: a number may be spread over turns."""
        plain: dict[str, Any] = {
            kind: items for kind, (_, items) in parts.items() if "." not in kind
        }
        empty: dict[str, Any] = {kind: [] for kind in plain}
        summaries = parts["context.summaries"][1]
        record = replace(head, **plain, context=replace(head.context, summaries=summaries))
        record = self._redactor.redact_record(record)
        safe = {
            **{kind: getattr(record, kind) for kind in plain},
            "context.summaries": record.context.summaries,
        }
        return (
            replace(
                record,
                **empty,
                context=replace(record.context, summaries=[]),
            ),
            {kind: (first, safe.get(kind, items)) for kind, (first, items) in parts.items()},
        )


def _essences(parts: Parts) -> dict[_Place, object]:
    return {
        (kind, place): _essence(item)
        for kind, (first, items) in parts.items()
        for place, item in enumerate(items, start=first)
    }


def _essence(item: Any) -> object:
    """What makes an item worth another write: not each word of a turn as it is heard."""
    if not isinstance(item, TurnRecord) or item.speaker == "caller":
        return item
    whole = item.heard_ms >= item.said_ms - _HEARD_WITHIN_MS
    # A turn that is nearly over may still want its last word.
    heard = item.heard if item.interrupted or whole else None
    return item.said, round(item.said_ms), item.started_s, item.interrupted, heard


def _same(old: SessionCheckpoint | None, new: SessionCheckpoint) -> bool:
    return old is not None and replace(old, at_s=new.at_s) == new
