"""One call while a stream of it is served: its parts, and its record as it stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.context.facts import Facts
from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    StreamRecord,
    UpdateRecord,
    UsageRecord,
)
from agent.conversation.transcript import Transcript
from agent.live.session import LiveSession
from agent.spec import AgentSpec
from agent.tools.runner import ToolRunner
from telephony.media_stream.transport import MediaStreamTransport
from workers.call.active import CallEntry


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
    clock: Callable[[], float] = time.monotonic

    @property
    def instructed_s(self) -> float | None:
        """When its session had been set up, and so told what earlier streams left to be told.

        None before that.
        """
        return _first_s(self.session.context)

    def now_s(self) -> float:
        """Seconds since the call was answered."""
        return self.clock() - self.origin_s

    def counted(self) -> Counter[str]:
        """What was skipped or lost in this stream, by name; nothing that is zero."""
        return Counter(self.session.counters) + Counter(dict(self.transport.counters))

    def record(self) -> CallRecord:
        """The call's record up to now: all streams before this one, and this one."""
        before, session = self.before, self.session
        return replace(
            before,
            ended_s=self.now_s(),
            streams=[*before.streams, self.stream],
            turns=[*before.turns, *self.transcript.snapshot()],
            tools=[*before.tools, *(replace(tool) for tool in self.tools.records)],
            barge_ins=[*before.barge_ins, *session.barge_ins],
            digits=sorted([*before.digits, *session.digits], key=lambda digit: digit.at_s),
            moves=[*before.moves, *session.moves],
            usage=UsageRecord(
                context_tokens=session.usage.context_tokens or before.usage.context_tokens,
                response_tokens=before.usage.response_tokens + session.usage.response_tokens,
                total_tokens=before.usage.total_tokens + session.usage.total_tokens,
                summary_tokens=before.usage.summary_tokens + session.usage.summary_tokens,
            ),
            context=_joined(before.context, session.context),
            summary=session.summary,
            facts=self.facts.records,
            counters=dict(Counter(before.counters) + self.counted()),
        )


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
