"""One call while a stream of it is served: its parts, and its record as it stands."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from agent.checkpoint import SessionCheckpoint
from agent.context.facts import Facts
from agent.context.notes import MAX_NOTES
from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    DigitRecord,
    StreamRecord,
    SummaryMade,
    ToolRecord,
    UpdateRecord,
    UsageRecord,
    copy_of,
)
from agent.conversation.transcript import OPEN_TURNS, Transcript
from agent.live.session import LiveSession
from agent.spec import AgentSpec
from agent.tools.earlier import EarlierCalls
from agent.tools.runner import ToolRunner
from telephony.media_stream.transport import MediaStreamTransport
from workers.call.entry import CallEntry, CallState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Of what is appended: a function that runs gets its result, an update is told later, a number that
# must not be stored is spread over some turns.
_MAY_CHANGE = 6
# Needs no copy.
_FROZEN = (ContextSample, CutRecord, SummaryMade)
# Of the items of a record: since the call was answered.
_TIMES = ("at_s", "started_s", "ended_s", "wanted_s", "left_s", "done_s")

T = TypeVar("T", bound="DataclassInstance")


def elapsed_s(record: CallRecord | None, now: datetime) -> float:
    """How long the call has lasted; wall clock, because another process may have begun it."""
    if record is None or not record.started_at:
        return 0.0
    return max(0.0, (now - datetime.fromisoformat(record.started_at)).total_seconds())


def new_record(entry: CallEntry, spec: AgentSpec, now: datetime) -> CallRecord:
    """The record of a call whose first stream starts."""
    return CallRecord(
        call_sid=entry.call_sid,
        agent=spec.name,
        model=spec.model,
        direction=entry.direction,
        started_at=now.isoformat(timespec="milliseconds"),
    )


class LearntCalls(EarlierCalls):
    """The function calls of earlier workers, learned of in the middle of a stream."""

    def learn(self, tools: Iterable[ToolRecord]) -> None:
        """Answer for these from now on; the model knows of none."""
        self._answers = EarlierCalls(tools, known_s=0.0)._answers


@dataclass(slots=True)
class LiveCall:
    """A call that has a stream."""

    entry: CallEntry
    before: CallRecord
    """The record as it was when this stream began; ``PipelineCallControl`` adds to it."""
    stream: StreamRecord
    origin_s: float
    """``clock`` when the call was answered."""
    transport: MediaStreamTransport
    transcript: Transcript
    tools: ToolRunner
    session: LiveSession
    facts: Facts = field(default_factory=Facts)
    earlier: LearntCalls | None = None
    clock: Callable[[], float] = time.monotonic
    later_s: float = 0.0
    """How much later in the call this stream began than its own times say: it was not known when
    the call had begun."""

    @property
    def unfinished(self) -> bool:
        """Whether another stream may follow."""
        return self.entry.state not in (CallState.FINISHED, CallState.APOLOGY)

    def remember(
        self, before: CallRecord, checkpoint: SessionCheckpoint | None = None, *, now: datetime
    ) -> None:
        """Take in what was said before this stream, which was not known when it began.

        So were its facts and notes, and the functions that must not be run a second time. What
        this stream has by now is newer.
        """
        self.later_s = elapsed_s(before, now) - self.now_s()
        before.digits.extend(map(self._dated, self.before.digits))
        before.opted_out = before.opted_out or self.before.opted_out
        self.before = before
        newer = {fact.key.casefold() for fact in self.facts.records}
        with contextlib.suppress(ValueError):  # there are too many
            for fact in before.facts:
                if fact.key.casefold() not in newer:
                    self.facts.remember(fact.key, fact.value, at_s=fact.at_s)
        if self.earlier is not None:
            self.earlier.learn(before.tools)
        if checkpoint is not None and (checkpoint.notes or checkpoint.instruction):
            notes = self.entry.notes
            notes.texts = [*checkpoint.notes, *notes.texts][-MAX_NOTES:]
            notes.instruction = notes.instruction or checkpoint.instruction
            notes.version += 1

    @property
    def instructed_s(self) -> float | None:
        """When its session had been set up, and so told what earlier streams left to be told.

        None before that.
        """
        return _first_s(self.session.context)

    def now_s(self) -> float:
        """Seconds since the call was answered, as this stream counts them."""
        return self.clock() - self.origin_s

    def counted(self) -> Counter[str]:
        """What was skipped or lost in this stream, by name; nothing that is zero."""
        return Counter(_sums(self.session.counters, self.transport.counters))

    def checkpoint(self) -> SessionCheckpoint:
        """What another worker needs to go on with its session."""
        return self.session.checkpoint()

    def counts_before(self) -> dict[str, int]:
        """How many items each list of the record had when this stream began."""
        return {kind: len(items) for kind, items in _lists(self.before).items()}

    def parts(self, kept: Mapping[str, int]) -> tuple[CallRecord, dict[str, tuple[int, list[Any]]]]:
        """The call's record up to now in two parts, without what cannot have changed.

        Args:
            kept: How many items of each list are kept already.

        Returns:
            The head, whose lists are empty; and by ``JournalEntry.kind`` the place from which on
            items are new or may have changed, with copies of these items.
        """
        before, session = self.before, self.session
        context = session.context
        head = copy_of(before)
        head.ended_s = None if self.stream.ended_s is None else self.stream.ended_s + self.later_s
        head.end_reason, head.detail = self.stream.end_reason, self.stream.detail
        head.streams, head.turns, head.tools = [], [], []
        head.barge_ins, head.digits, head.moves = [], [], []
        head.usage, head.facts = self._usage(), self.facts.records
        head.summary = session.summary or before.summary
        head.counters = self._counters()
        head.context = copy_of(context)
        head.context.most_tokens = max(before.context.most_tokens, context.most_tokens)
        head.context.samples, head.context.cuts = [], []
        head.context.summaries, head.context.updates = [], []
        # Of this stream; digits and turns are not told apart by stream, or not copied as they are.
        now: dict[str, Sequence[Any]] = {
            "streams": [self.stream],
            "tools": self.tools.records,
            "barge_ins": session.barge_ins,
            "moves": session.moves,
            "context.samples": context.samples,
            "context.cuts": context.cuts,
            "context.summaries": context.summaries,
            "context.updates": context.updates,
        }
        old = _lists(before)
        parts = {kind: self._tail(old[kind], new, kept.get(kind, 0)) for kind, new in now.items()}
        first = max(0, kept.get("digits", 0) - _MAY_CHANGE)
        parts["digits"] = (first, self._digits()[first:])
        first = max(0, kept.get("turns", 0) - max(OPEN_TURNS, _MAY_CHANGE))
        said = self.transcript.snapshot(max(0, first - len(before.turns)))
        parts["turns"] = (first, [*before.turns[first:], *map(self._dated, said)])
        return head, parts

    def record(self) -> CallRecord:
        """The call's record up to now: all streams before this one, and this one."""
        before, session, dated = self.before, self.session, self._dated
        return replace(
            before,
            ended_s=self.now_s() + self.later_s,
            streams=[*before.streams, dated(self.stream)],
            turns=[*before.turns, *map(dated, self.transcript.snapshot())],
            tools=[*before.tools, *(dated(copy_of(tool)) for tool in self.tools.records)],
            barge_ins=[*before.barge_ins, *map(dated, session.barge_ins)],
            digits=self._digits(),
            moves=[*before.moves, *map(dated, session.moves)],
            usage=self._usage(),
            context=_joined(before.context, self._context()),
            summary=session.summary or before.summary,
            facts=self.facts.records,
            counters=self._counters(),
        )

    def _dated(self, item: T) -> T:
        """An item of this stream with its times counted from the beginning of the call."""
        if not self.later_s:
            return item
        times = {
            name: value + self.later_s
            for name in _TIMES
            if (value := getattr(item, name, None)) is not None
        }
        return replace(item, **times)

    def _tail(self, before: Sequence[Any], now: Sequence[Any], kept: int) -> tuple[int, list[Any]]:
        """Copies of the newest items of two lists in a row, and the place of the first of them."""
        first = max(0, kept - _MAY_CHANGE)
        if not now:
            return first, list(before[first:])
        new = now[max(0, first - len(before)) :]
        if isinstance(new[-1] if new else None, _FROZEN):
            return first, [*before[first:], *map(self._dated, new)]
        return first, [*before[first:], *(self._dated(copy_of(item)) for item in new)]

    def _digits(self) -> list[DigitRecord]:
        """The keys of both sides, in order; those sent are noted with what was before."""
        pressed = map(self._dated, self.session.digits)
        return sorted([*self.before.digits, *pressed], key=lambda digit: digit.at_s)

    def _context(self) -> ContextRecord:
        """The context of this stream, with its times counted from the beginning of the call."""
        context, dated = self.session.context, self._dated
        return replace(
            context,
            samples=[*map(dated, context.samples)],
            cuts=[*map(dated, context.cuts)],
            summaries=[*map(dated, context.summaries)],
            updates=[*map(dated, context.updates)],
        )

    def _counters(self) -> dict[str, int]:
        return _sums(self.before.counters, self.session.counters, self.transport.counters)

    def _usage(self) -> UsageRecord:
        before, now = self.before.usage, self.session.usage
        return UsageRecord(
            context_tokens=now.context_tokens or before.context_tokens,
            response_tokens=before.response_tokens + now.response_tokens,
            total_tokens=before.total_tokens + now.total_tokens,
            summary_tokens=before.summary_tokens + now.summary_tokens,
        )


def _sums(*counters: Mapping[str, int]) -> dict[str, int]:
    """Of each name; ``Counter`` takes its time to add up."""
    sums: dict[str, int] = {}
    for each in counters:
        for name, count in each.items():
            if count:
                sums[name] = sums.get(name, 0) + count
    return sums


def _lists(record: CallRecord) -> dict[str, Sequence[Any]]:
    """The lists of a record by ``JournalEntry.kind``."""
    context = record.context
    return {
        "streams": record.streams,
        "turns": record.turns,
        "tools": record.tools,
        "barge_ins": record.barge_ins,
        "digits": record.digits,
        "moves": record.moves,
        "context.samples": context.samples,
        "context.cuts": context.cuts,
        "context.summaries": context.summaries,
        "context.updates": context.updates,
    }


def _joined(before: ContextRecord, now: ContextRecord) -> ContextRecord:
    """The context of a call over its streams: sizes as they are now, the rest in order."""
    told_s = _first_s(now)
    return replace(
        now,
        most_tokens=max(before.most_tokens, now.most_tokens),
        samples=[*before.samples, *now.samples],
        cuts=[*before.cuts, *now.cuts],
        summaries=[*before.summaries, *now.summaries],
        updates=[*(_told(update, told_s) for update in before.updates), *now.updates],
    )


def _first_s(context: ContextRecord) -> float | None:
    """When the size of a context was first noted."""
    return context.samples[0].at_s if context.samples else None


def _told(update: UpdateRecord, told_s: float | None) -> UpdateRecord:
    """An update of an earlier stream: if it was told by none, this one's setup has told it."""
    if update.done_s is not None or told_s is None:
        return update
    return replace(update, how="next_move", done_s=told_s)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
