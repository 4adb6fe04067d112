"""Puts the parts of one stream of a call together: transport, session, tools, record, journal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from agent.checkpoint import SessionCheckpoint
from agent.context.facts import Facts
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
from agent.live.processor import LiveProcessor
from agent.live.session import LiveSession
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import Tool
from agent.tools.memory import memory_tools
from agent.tools.runner import ToolRunner
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.transport import MediaStreamTransport
from workers.call.agents import Agents
from workers.call.campaign_calls import CampaignCalls
from workers.call.control import PipelineCallControl
from workers.call.entry import CallEntry
from workers.call.greetings import GreetingCache
from workers.call.journal import CallJournal
from workers.call.live_call import LearntCalls, LiveCall, elapsed_s, new_record, utc_now
from workers.call.outcome_tool import outcome_tool
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
    """Makes the parts of streams, each with the agent of its call.

    Args:
        agents: The worker's own and those of campaigns.
        campaigns: Keeps what calls come to.
        dialer: Opens Live connections.
        store: Keeps checkpoints.
        records: Keeps records.
        metrics: Counts.
        greetings: Greetings kept from earlier calls.
        worker: This worker's name.
        recorder: Records both sides where an agent wants it; None: where none does.
        variables: Values for ``{{ name }}`` in the own agent's instruction and greeting, beside
            ``caller`` and ``called``, the two numbers.
        prewarm: Connections opened before their streams; None: there are none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        agents: Agents,
        campaigns: CampaignCalls,
        dialer: Dialer,
        store: CallStore,
        records: RecordKeeper,
        metrics: Metrics,
        greetings: GreetingCache,
        worker: str = "",
        recorder: Recorder | None = None,
        variables: Mapping[str, str] | None = None,
        prewarm: Prewarm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agents = agents
        self._campaigns = campaigns
        self._dialer = dialer
        self._store = store
        self._records = records
        self._ticks = Ticks(records.executor)
        self._metrics = metrics
        self._greetings = greetings
        self._worker = worker
        self._recorder = recorder
        self._variables = dict(variables or {})
        self._prewarm = prewarm
        self._clock = clock

    def make(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> Parts:
        """The parts of a stream that has started."""
        agent, clock, now = self._agents.of(entry), self._clock, utc_now()
        spec = agent.spec
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
        control = self._control(entry, before, origin_s)
        facts = Facts(before.facts)

        journal = CallJournal(
            store=self._store,
            records=self._records,
            ticks=self._ticks,
            redactor=agent.redactor,
            on_written=self._metrics.checkpoints_written.inc,
        )
        earlier = LearntCalls(
            before.tools, known_s=0.0 if checkpoint is None else checkpoint.handle_s
        )
        tools = ToolRunner(
            self._all_tools(entry, control, facts, lambda: clock() - origin_s),
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
            on_change=journal.changed,
            filler=agent.filler,
            facts=facts,
            notes=entry.notes,
            summary=before.summary,
            text_model=agent.text_model,
            on_summary=lambda made, _summary: self._metrics.summary_made(made),
            on_greeting_audio=(
                partial(self._greetings.keep, spec)
                if greets and opening.greeting_audio is None
                else None
            ),
        )
        processor = LiveProcessor(
            session,
            pass_caller_audio=bool(spec.processors.agent),
            on_key=partial(self._key_pressed, entry, before, session),
            clock=clock,
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
        spec = self._agents.of(entry).spec
        control = self._control(entry, new_record(entry, spec, utc_now()), 0.0)
        tools = self._all_tools(entry, control, Facts(), lambda: 0.0)
        self._prewarm.begin(
            entry.call_sid,
            spec,
            self._fresh(entry),
            [tool.declaration for tool in tools.values()],
        )

    def forget(self, call_sid: str) -> None:
        """Give up what was prepared for a call: it is over, or served, or will not be here."""
        if self._prewarm is not None:
            self._prewarm.drop(call_sid)

    def _control(
        self, entry: CallEntry, record: CallRecord, origin_s: float
    ) -> PipelineCallControl:
        return PipelineCallControl(
            record,
            opt_out=lambda: self._campaigns.opt_out(entry, "agent"),
            clock=self._clock,
            origin_s=origin_s,
        )

    def _all_tools(
        self,
        entry: CallEntry,
        control: PipelineCallControl,
        facts: Facts,
        now_s: Callable[[], float],
    ) -> dict[str, Tool]:
        agent, brief = self._agents.of(entry), entry.brief
        tools = {
            **agent.tools,
            **built_in_tools(agent.spec, control),
            **memory_tools(agent.spec, facts, now_s),
        }
        if brief is not None and brief.outcome:
            report = outcome_tool(brief.outcome, partial(self._campaigns.report, entry))
            tools[report.name] = report
        return tools

    def _key_pressed(
        self, entry: CallEntry, record: CallRecord, session: LiveSession, key: str
    ) -> None:
        """The key that stops all calls does so whatever the model makes of it."""
        if entry.brief is None or key != entry.brief.opt_out_key or record.opted_out:
            return
        record.opted_out = True
        self._campaigns.later(self._opt_out_by_key(entry, session, key))

    async def _opt_out_by_key(self, entry: CallEntry, session: LiveSession, key: str) -> bool:
        written = await self._campaigns.opt_out(entry, "keypad")
        promise = "that they will not be called again" if written else "that you pass it on"
        with contextlib.suppress(ValueError):  # the session is over
            session.add_context(
                f"The callee pressed {key}: they do not want to be called again. Say {promise}, "
                "and end the call."
            )
        return written

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
            self._agents.of(entry).spec,
            variables=self._variables_of(entry),
            history=before.turns,
            tools=before.tools,
            notice=notice,
            checkpoint=checkpoint,
            now_s=elapsed,
        )

    def _fresh(self, entry: CallEntry) -> Opening:
        spec = self._agents.of(entry).spec
        return open_call(
            spec,
            variables=self._variables_of(entry),
            greeting_audio=self._greetings.get(spec),
        )

    def _variables_of(self, entry: CallEntry) -> dict[str, str]:
        own = self._variables if entry.brief is None else entry.brief.variables
        return {"caller": entry.from_, "called": entry.to, **own}

    def _dialer_for(self, call_sid: str) -> Dialer:
        return self._dialer if self._prewarm is None else self._prewarm.dialer_for(call_sid)

    def _record(self, entry: CallEntry, elapsed: float) -> Recording | None:
        if self._recorder is None or not self._agents.of(entry).spec.recording.enabled:
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
