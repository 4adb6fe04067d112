"""Keeps in the store what another worker needs to go on with a call: its checkpoint and journal.

Written behind, with what other calls have to write: at the next tick (``workers.call.ticks``)
after ``PERIOD_S``, where something has changed, and only what is new; at once where a turn or a
function is over. What is stored is redacted first, in the thread that redacts records. Before the
socket of a stream is closed the last of it is waited for, bounded, because Twilio then asks at
once, and any worker may answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import structlog

from agent.checkpoint import News, SessionCheckpoint
from agent.conversation.record import (
    CallRecord,
    ToolRecord,
    TurnRecord,
    copy_of,
)
from agent.conversation.redaction import Redactor
from workers.call.entry import CallEntry
from workers.call.records import RecordKeeper
from workers.call.ticks import SHORT_TICK_S, TICK_S, Ticks
from workers.store.calls import CallStore, JournalEntry

PERIOD_S = 1.0
"""Between two writes of a call, on average: some may be made before their time."""
_WAITS_S = {
    News.WORDS: PERIOD_S,
    News.CHANGED: 0.0,
    News.TURN_TAKING: -PERIOD_S,
    # Whatever was written before; one that is kept for it.
    News.FINISHED: -2 * PERIOD_S,
}
"""From when on by the average, where this is the news; the sooner the more it matters to whoever
takes the call over."""
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
    told: tuple[object, ...] = ()
    """What the head said, as it was before anything was taken out."""
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
        ticks: When calls write together.
        redactor: Of the call's agent; None: ``records``' own.
        on_written: Told when something was handed to the store.
    """

    def __init__(
        self,
        *,
        store: CallStore,
        records: RecordKeeper,
        ticks: Ticks,
        redactor: Redactor | None = None,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_written = on_written
        self._store = store
        self._redactor = redactor or records.redactor
        self._executor = records.executor
        self._call: Journalled | None = None
        self._ticks = ticks
        self._kept = _Kept()
        self._free_at = float("-inf")
        """When the average allows the next write."""
        self._closed = False
        self._wanted: News | None = None
        """For what the next write is wanted; None: none is wanted."""

    def attach(self, call: Journalled) -> None:
        """Say whose journal it is; what earlier streams have left is journalled already."""
        self._call = call
        self._kept = _Kept(counts=call.counts_before())

    def start(self) -> None:
        """Write for the first time, and from then on whenever something changes."""
        self.changed()

    def changed(self, news: News = News.CHANGED) -> None:
        """Something has happened that the next worker should know."""
        if self._closed or (self._wanted is not None and news <= self._wanted):
            return  # as nearly always: words come several times a second
        self._wanted = news
        tick_s = SHORT_TICK_S if news is News.FINISHED else TICK_S
        self._ticks.call_at(self._free_at + _WAITS_S[news], self, tick_s=tick_s)

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
            self._ticks.cancel(self)

    async def _write_now(self) -> None:
        self._ticks.cancel(self)
        write = self.copied()
        try:
            async with asyncio.timeout(SETTLE_S):
                if write is not None:
                    loop = asyncio.get_running_loop()
                    await asyncio.shield(loop.run_in_executor(self._executor, write))
                await self._store.settled(deadline_s=SETTLE_S)
        except TimeoutError:
            _log.warning("call.journal_late")

    def copied(self) -> Callable[[], None] | None:
        """Copy what may have to be written; what is returned does the rest in the executor.

        None: there is nothing that this worker may write, or it failed, which is logged.
        """
        call, self._wanted = self._call, None
        if call is None or self._closed or call.entry.taken_over or call.entry.unclaimed:
            return None
        now = asyncio.get_running_loop().time()
        # Never more ahead: functions are noted when they are called, whatever the average.
        self._free_at = min(max(self._free_at, now), now + 2 * PERIOD_S) + PERIOD_S
        try:
            head, parts = call.parts(self._kept.counts)
            checkpoint = call.checkpoint()
        except Exception:  # noqa: BLE001  the call goes on without it, and so do the others
            _log.exception("call.journal_failed", call_sid=call.entry.call_sid)
            return None
        if checkpoint.generating:
            # What is being said grows without an event of its own.
            self.changed(News.WORDS)
        return partial(self._try_keep, checkpoint, head, parts, call.entry.fence)

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
        told, seen = _told(head), _essences(parts)
        said = kept.seen == seen and kept.told == told
        if said and kept.checkpoint is not None and _state(kept.checkpoint) == _state(checkpoint):
            return
        kept.checkpoint = checkpoint
        entries: list[JournalEntry] = []
        if said and kept.safe is not None:
            # Only who speaks has changed, or the handle: nothing to redact, which costs most here.
            head = replace(kept.safe, usage=head.usage, context=head.context)
        else:
            kept.seen, kept.told = seen, told
            safe_head, safe = self._redacted(head, parts)
            stored = seen if safe is parts else _essences(safe)
            entries = [
                JournalEntry(kind, place, item)
                for kind, (first, items) in safe.items()
                for place, item in enumerate(items, start=first)
                if kept.stored.get((kind, place)) != stored[kind, place]
            ]
            kept.stored = stored
            kept.counts = {kind: first + len(items) for kind, (first, items) in safe.items()}
            kept.safe = head = safe_head
        if checkpoint.notes or checkpoint.instruction:
            redact = self._redactor.redact_text
            checkpoint = replace(
                checkpoint,
                notes=tuple(map(redact, checkpoint.notes)),
                instruction=checkpoint.instruction and redact(checkpoint.instruction),
            )
        self._store.checkpoint(head.call_sid, checkpoint, head, entries, fence=fence)
        self._on_written()

    def _redacted(self, head: CallRecord, parts: Parts) -> tuple[CallRecord, Parts]:
        """Redact head and newest items together: a number may be spread over turns."""
        record = copy_of(head)
        record.context = copy_of(head.context)
        for kind, (_, items) in parts.items():
            owner, name = _owner(record, kind)
            setattr(owner, name, items)
        redacted = self._redactor.redact_record(record)
        if redacted is record:
            return head, parts
        safe: dict[str, tuple[int, list[Any]]] = {}
        head = replace(redacted, context=replace(redacted.context))
        for kind, (first, _) in parts.items():
            owner, name = _owner(redacted, kind)
            safe[kind] = first, getattr(owner, name)
            owner, name = _owner(head, kind)
            setattr(owner, name, [])
        return head, safe


def _owner(record: CallRecord, kind: str) -> tuple[object, str]:
    """What has the list that a ``JournalEntry.kind`` names, and the list's name there."""
    of_context, _, name = kind.rpartition(".")
    return (record.context if of_context else record), name


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


# Time alone is no news, nor how many tokens there are.
_state = attrgetter(*(each.name for each in fields(SessionCheckpoint) if each.name != "at_s"))
_told = attrgetter(
    *(each.name for each in fields(CallRecord) if each.name not in ("usage", "context"))
)
