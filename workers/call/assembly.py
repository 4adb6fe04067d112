"""Puts the parts of one stream of a call together: transport, session, tools, record, journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from agent.checkpoint import SessionCheckpoint
from agent.context.facts import Facts
from agent.context.text_model import TextModel
from agent.conversation.prompt import Opening, open_call
from agent.conversation.record import (
    CallRecord,
    MoveCause,
    MoveKind,
    MoveRecord,
    StreamRecord,
)
from agent.conversation.transcript import Transcript
from agent.live.dialer import Dialer
from agent.live.filler import load_filler
from agent.live.processor import LiveProcessor
from agent.live.session import LiveSession
from agent.spec import AgentSpec
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import Tool
from agent.tools.memory import memory_tools
from agent.tools.runner import ToolRunner
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.transport import MediaStreamTransport
from workers.call.control import PipelineCallControl
from workers.call.entry import CallEntry
from workers.call.greetings import GreetingCache
from workers.call.journal import CallJournal
from workers.call.live_call import LearntCalls, LiveCall, elapsed_s, new_record, utc_now
from workers.call.prewarm import Prewarm
from workers.call.recording import Recorder, Recording
from workers.call.records import RecordKeeper
from workers.call.takeover import taken_up
from workers.call.ticks import Ticks
from workers.metrics import Metrics, TakeoverKind
from workers.store.calls import CallStore

MEMORY_AWAY = (
    "The line was cut for a moment, and what was said on this call before cannot be looked up now. "
    "Ask the caller to say in short what it was about."
)


@dataclass(frozen=True, slots=True)
class Parts:
    """One stream of a call, ready to run."""

    call: LiveCall
    processor: LiveProcessor
    recording: Recording | None
    journal: CallJournal


class Assembly:
    """Makes the parts of streams with one agent.

    Args:
        spec: The agent.
        tools: Its own tools, declared.
        dialer: Opens Live connections.
        store: Keeps checkpoints.
        records: Keeps records.
        metrics: Counts.
        greetings: Greetings kept from earlier calls.
        worker: This worker's name.
        recorder: Records both sides; None where the spec does not want it.
        variables: Values for ``{{ name }}`` in instruction and greeting, beside ``caller`` and
            ``called``, the two numbers.
        text_model: Keeps the running summaries; None keeps sentences with facts.
        prewarm: Connections opened before their streams; None: there are none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        spec: AgentSpec,
        tools: Mapping[str, Tool],
        dialer: Dialer,
        store: CallStore,
        records: RecordKeeper,
        metrics: Metrics,
        greetings: GreetingCache,
        worker: str = "",
        recorder: Recorder | None = None,
        variables: Mapping[str, str] | None = None,
        text_model: TextModel | None = None,
        prewarm: Prewarm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._tools = dict(tools)
        self._dialer = dialer
        self._store = store
        self._records = records
        self._ticks = Ticks(records.executor)
        self._metrics = metrics
        self._greetings = greetings
        self._worker = worker
        self._recorder = recorder
        self._variables = dict(variables or {})
        self._text_model = text_model
        self._prewarm = prewarm
        self._clock = clock
        self._filler = load_filler(spec)

    def make(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> Parts:
        """The parts of a stream that has started."""
        spec, clock, now = self._spec, self._clock, utc_now()
        before = entry.record or new_record(entry, spec, now)
        before = taken_up(before, ended_at=entry.stream_ended_at, now=now)
        # Where nothing was said yet there is nothing to go on with: the caller is greeted.
        checkpoint = entry.checkpoint if before.turns else None
        if entry.streams > 1 and checkpoint is None:
            self._metrics.takeover_done("fresh")
        elapsed = elapsed_s(before, now)
        origin_s = clock() - elapsed
        recording = self._record(entry, elapsed)
        transport = MediaStreamTransport(socket, started, tap=recording, clock=clock)
        transcript = Transcript(transport.playout, clock, origin_s=origin_s)
        control = PipelineCallControl(before, self._store, clock=clock, origin_s=origin_s)
        facts = Facts(before.facts)

        journal = CallJournal(
            store=self._store,
            records=self._records,
            ticks=self._ticks,
            on_written=self._metrics.checkpoints_written.inc,
        )
        earlier = LearntCalls(
            before.tools, known_s=0.0 if checkpoint is None else checkpoint.handle_s
        )
        tools = ToolRunner(
            self._all_tools(control, facts, lambda: clock() - origin_s),
            timeout_s=spec.limits.tool_timeout_s,
            clock=clock,
            origin_s=origin_s,
            journal=journal.tool_called,
            earlier=earlier,
        )
        opening = self._opening(entry, before, checkpoint, elapsed)
        greets = spec.greeting.cached and opening.greeting is not None
        session = LiveSession(
            spec=spec,
            opening=opening,
            dialer=self._dialer_for(entry.call_sid),
            tools=tools,
            transcript=transcript,
            playout=transport.playout,
            clock=clock,
            elapsed_s=elapsed,
            on_move=partial(self._moved, entry, before),
            on_change=lambda soon: journal.changed(soon=soon),
            filler=self._filler,
            facts=facts,
            notes=entry.notes,
            summary=before.summary,
            text_model=self._text_model,
            on_summary=lambda made, _summary: self._metrics.summary_made(made),
            on_greeting_audio=(
                partial(self._greetings.keep, spec)
                if greets and opening.greeting_audio is None
                else None
            ),
        )
        processor = LiveProcessor(
            session, pass_caller_audio=bool(spec.processors.agent), clock=clock
        )
        control.attach(processor.send_digits)
        call = LiveCall(
            entry=entry,
            before=before,
            stream=StreamRecord(started.start.stream_sid, elapsed, worker=self._worker),
            origin_s=origin_s,
            transport=transport,
            transcript=transcript,
            tools=tools,
            session=session,
            facts=facts,
            earlier=earlier,
            clock=clock,
        )
        journal.attach(call)
        return Parts(call, processor, recording, journal)

    def prewarm(self, entry: CallEntry) -> None:
        """Open the Live connection of a new call whose stream is on its way."""
        if self._prewarm is None:
            return
        control = PipelineCallControl(
            new_record(entry, self._spec, utc_now()), self._store, clock=self._clock, origin_s=0.0
        )
        tools = self._all_tools(control, Facts(), lambda: 0.0)
        self._prewarm.begin(
            entry.call_sid,
            self._spec,
            self._fresh(entry),
            [tool.declaration for tool in tools.values()],
        )

    def forget(self, call_sid: str) -> None:
        """Give up what was prepared for a call: it is over, or served, or will not be here."""
        if self._prewarm is not None:
            self._prewarm.drop(call_sid)

    def _all_tools(
        self, control: PipelineCallControl, facts: Facts, now_s: Callable[[], float]
    ) -> dict[str, Tool]:
        return {
            **self._tools,
            **built_in_tools(self._spec, control),
            **memory_tools(self._spec, facts, now_s),
        }

    def _opening(
        self,
        entry: CallEntry,
        before: CallRecord,
        checkpoint: SessionCheckpoint | None,
        elapsed: float,
    ) -> Opening:
        notice = entry.notice
        if notice is None and entry.unclaimed and entry.streams > 1 and not before.turns:
            notice = MEMORY_AWAY
        if notice is None and not before.turns:
            return self._fresh(entry)
        return open_call(
            self._spec,
            variables=self._variables_of(entry),
            history=before.turns,
            tools=before.tools,
            notice=notice,
            checkpoint=checkpoint,
            now_s=elapsed,
        )

    def _fresh(self, entry: CallEntry) -> Opening:
        return open_call(
            self._spec,
            variables=self._variables_of(entry),
            greeting_audio=self._greetings.get(self._spec),
        )

    def _variables_of(self, entry: CallEntry) -> dict[str, str]:
        return {"caller": entry.from_, "called": entry.to, **self._variables}

    def _dialer_for(self, call_sid: str) -> Dialer:
        return self._dialer if self._prewarm is None else self._prewarm.dialer_for(call_sid)

    def _record(self, entry: CallEntry, elapsed: float) -> Recording | None:
        if self._recorder is None:
            return None
        offset_ms = elapsed * 1000
        if entry.unclaimed and entry.record is None:
            # When the call began is not known; what is on the disk of it must not be laid over.
            offset_ms = self._recorder.length_ms(entry.call_sid)
        return self._recorder.open(entry.call_sid, offset_ms=offset_ms)

    def _moved(self, entry: CallEntry, before: CallRecord, move: MoveRecord) -> None:
        self._metrics.move_done(move)
        if move.cause is not MoveCause.TAKEOVER or move.kind is None:
            return
        took_s = None
        if entry.stream_ended_at is not None and before.started_at:
            began = datetime.fromisoformat(before.started_at).timestamp()
            took_s = began + move.done_s - entry.stream_ended_at
        kind: TakeoverKind = "resume" if move.kind is MoveKind.RESUME else "refill"
        self._metrics.takeover_done(kind, took_s)
