"""One stream of a call: media stream in, Live session between, media stream out.

``transport.input → caller's processors → live → agent's processors → transport.output``, all of
ours in direct mode, with neither RTVI nor turn tracking: those cost more than the rest of the
call. Whichever ends first, the stream or the session, ends the other. What is to become of the call
is said to ``ActiveCalls`` before the socket is closed, because Twilio then asks for it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import cast

import structlog
from pipecat.frames.frames import EndFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner

from agent.audio import INPUT_RATE_HZ, OUTPUT_RATE_HZ
from agent.context.facts import Facts
from agent.context.text_model import TextModel
from agent.conversation.prompt import open_call
from agent.conversation.record import (
    CallRecord,
    EndReason,
    StreamRecord,
    SummaryMade,
    SummaryRecord,
)
from agent.conversation.redaction import Redactor
from agent.conversation.transcript import Transcript
from agent.live.dialer import Dialer
from agent.live.filler import load_filler
from agent.live.processor import LiveProcessor
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd
from agent.spec import AgentSpec
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import Tool, import_reference
from agent.tools.memory import memory_tools
from agent.tools.runner import ToolRunner
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.transport import MediaStreamTransport, StreamEnd
from workers.call.active import ActiveCalls, CallEntry
from workers.call.control import PipelineCallControl
from workers.call.greetings import GreetingCache
from workers.call.handover import handover
from workers.call.live_call import LiveCall, elapsed_s, new_record, utc_now
from workers.call.recording import Recorder, Recording
from workers.call.steering import Apologise, DialTransfer, HangUp, Reconnect, after_session
from workers.metrics import Metrics
from workers.store.calls import CallStore

_log = structlog.get_logger(__name__)

# Everything that is left of a call has its own bound (socket 2 s, tools 2 s, connection 5 s); this
# one is for processors named by the operator.
CLOSE_TIMEOUT_S = 10.0
# Between one cancellation of such a pipeline and the next.
CANCEL_TIMEOUT_S = 2.0


class CallRunner:
    """Serves the streams of calls with one agent; one per process.

    Args:
        spec: The agent.
        tools: Its own tools, declared.
        dialer: Opens Live connections.
        active: Is told what is to become of a call.
        store: Keeps records.
        metrics: Counts.
        greetings: Greetings kept from earlier calls.
        recorder: Records both sides; None where the spec does not want it.
        variables: Values for ``{{ name }}`` in instruction and greeting, beside ``caller`` and
            ``called``, the two numbers.
        text_model: Keeps the running summaries; None keeps sentences with facts.
        observers: Makes Pipecat observers for a call.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        spec: AgentSpec,
        tools: Mapping[str, Tool],
        dialer: Dialer,
        active: ActiveCalls,
        store: CallStore,
        metrics: Metrics,
        greetings: GreetingCache,
        recorder: Recorder | None = None,
        variables: Mapping[str, str] | None = None,
        text_model: TextModel | None = None,
        observers: Callable[[], Sequence[BaseObserver]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live: dict[str, LiveCall] = {}
        """Calls with a stream, by call SID, until their record is handed to the store."""
        self._spec = spec
        self._tools = dict(tools)
        self._dialer = dialer
        self._active = active
        self._store = store
        self._metrics = metrics
        self._greetings = greetings
        self._recorder = recorder
        self._variables = dict(variables or {})
        self._text_model = text_model
        self._observers = observers
        self._clock = clock
        self._filler = load_filler(spec)
        self._redactor = Redactor(spec.redaction)
        # One thread: more would only take the interpreter from each other and from the calls.
        self._records = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._processors = {
            side: [cast(type[FrameProcessor], import_reference(name, spec)) for name in names]
            for side, names in (
                ("caller", spec.processors.caller),
                ("agent", spec.processors.agent),
            )
        }

    async def __call__(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        """Serve one stream of a call to its end; the socket is closed by then or may be."""
        call, live, recording = self._assemble(entry, socket, started)
        _log.info("stream.started", agent=self._spec.name, streams=entry.streams_started)
        self.live[entry.call_sid] = call
        try:
            end = await self._serve(call, live)
        finally:
            if call.stream.end_reason is None:
                self._decide(call, _cut_short(entry))
            try:
                if recording is not None:
                    await recording.close()
            finally:
                # Also where a slow disk is not waited for, because the next stream is here.
                if recording is not None and recording.lost_pieces:
                    call.before.counters["recording_lost_pieces"] = (
                        call.before.counters.get("recording_lost_pieces", 0) + recording.lost_pieces
                    )
                try:
                    await self._keep(call)
                finally:
                    # Last: who follows a call by this takes its absence for "the record is stored".
                    del self.live[entry.call_sid]
        _log.info(
            "stream.ended",
            reason=end.reason.value,
            detail=end.detail,
            seconds=round(call.now_s() - call.stream.started_s, 1),
            counted=dict(call.counted()),
        )

    def close(self) -> None:
        """Wait for the records that are on their way to the store."""
        self._records.shutdown()

    def _assemble(
        self, entry: CallEntry, socket: MediaSocket, started: StartedStream
    ) -> tuple[LiveCall, LiveProcessor, Recording | None]:
        spec, clock, now = self._spec, self._clock, utc_now()
        before = entry.record or new_record(entry, spec, now)
        elapsed = elapsed_s(before, now)
        origin_s = clock() - elapsed
        recording = None
        if self._recorder is not None:
            recording = self._recorder.open(entry.call_sid, offset_ms=elapsed * 1000)
        transport = MediaStreamTransport(socket, started, tap=recording, clock=clock)
        transcript = Transcript(transport.playout, clock, origin_s=origin_s)
        control = PipelineCallControl(before, self._store, clock=clock, origin_s=origin_s)
        facts = Facts(before.facts)
        tools = ToolRunner(
            {
                **self._tools,
                **built_in_tools(spec, control),
                **memory_tools(spec, facts, lambda: clock() - origin_s),
            },
            timeout_s=spec.limits.tool_timeout_s,
            clock=clock,
            origin_s=origin_s,
        )
        greeting_audio = self._greetings.get(spec)
        session = LiveSession(
            spec=spec,
            opening=open_call(
                spec,
                variables={"caller": entry.from_, "called": entry.to, **self._variables},
                history=entry.history,
                tools=before.tools,
                notice=entry.notice,
                greeting_audio=greeting_audio,
            ),
            dialer=self._dialer,
            tools=tools,
            transcript=transcript,
            playout=transport.playout,
            clock=clock,
            elapsed_s=elapsed,
            on_move=self._metrics.move_done,
            filler=self._filler,
            facts=facts,
            notes=entry.notes,
            summary=before.summary,
            text_model=self._text_model,
            on_summary=partial(self._summarised, entry.call_sid),
            on_greeting_audio=(
                partial(self._greetings.keep, spec)
                if spec.greeting.cached and greeting_audio is None
                else None
            ),
        )
        live = LiveProcessor(
            session, pass_caller_audio=bool(self._processors["agent"]), clock=clock
        )
        control.attach(live.send_digits)
        call = LiveCall(
            entry=entry,
            before=before,
            stream=StreamRecord(started.start.stream_sid, elapsed),
            origin_s=origin_s,
            transport=transport,
            transcript=transcript,
            tools=tools,
            session=session,
            facts=facts,
            clock=clock,
        )
        return call, live, recording

    async def _serve(self, call: LiveCall, live: LiveProcessor) -> SessionEnd:
        """Run stream, session and pipeline until one of them ends, then end the others."""
        source, sink = call.transport.input(), call.transport.output()
        caller = [make() for make in self._processors["caller"]]
        agent = [make() for make in self._processors["agent"]]
        observers = list(self._observers())
        if not observers:
            # With nobody between or watching, audio need not be pushed Pipecat's way, which costs
            # as much as resampling it.
            if not caller:
                source.push_audio = live.process_frame
            if not agent:
                live.push_audio = sink.process_frame
        pipeline = Pipeline([source, *caller, live, *agent, sink])
        worker = PipelineWorker(
            pipeline,
            params=PipelineParams(
                audio_in_sample_rate=INPUT_RATE_HZ,
                audio_out_sample_rate=OUTPUT_RATE_HZ,
                enable_metrics=True,
                enable_usage_metrics=True,
            ),
            observers=observers,
            enable_rtvi=False,
            enable_turn_tracking=False,
            # The session has its own limits; Pipecat's would watch every frame.
            idle_timeout_secs=None,
            check_dangling_tasks=False,
        )
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        await runner.add_workers(worker)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_run_to_the_end(runner, pipeline), name="pipeline")
            stream = tasks.create_task(call.transport.run(), name="stream")
            talk = tasks.create_task(call.session.run(), name="session")
            await asyncio.wait({running, stream, talk}, return_when=asyncio.FIRST_COMPLETED)
            end = _why(running, stream, talk)
            # Before the socket is closed: Twilio asks what is next as soon as it is.
            self._decide(call, end)
            call.session.end(end.reason, end.detail)
            await worker.queue_frame(EndFrame(reason=end.reason.value))
            await call.transport.close(end.reason.value)
            _, left = await asyncio.wait({running, stream, talk}, timeout=CLOSE_TIMEOUT_S)
            for task in left:
                _log.error("call.part_does_not_end", part=task.get_name())
                task.cancel()
        return end

    def _decide(self, call: LiveCall, end: SessionEnd) -> None:
        """Say what is to become of the call, and note why this stream ended."""
        entry, active = call.entry, self._active
        call.stream.ended_s = call.now_s()
        call.stream.end_reason = end.reason
        call.stream.detail = end.detail
        match after_session(end):
            case HangUp():
                active.finish(entry)
            case Apologise():
                active.apologise(entry)
            case DialTransfer(to, last_resort):
                text = handover(call.record(), self._spec, last_resort=last_resort)
                active.transfer(entry, to, last_resort=last_resort, briefing=text)
            case Reconnect():
                pass  # unfinished: Twilio asks, and whichever worker answers goes on
        self._metrics.stream_ended(end.reason)

    async def _keep(self, call: LiveCall) -> None:
        """Bring record and history up to date and have them stored."""
        record = call.record()
        record.end_reason = call.stream.end_reason or EndReason.INTERNAL_ERROR
        record.detail = call.stream.detail
        call.entry.record = record
        call.entry.history = list(record.turns)
        # The next stream of this call works with what was said; what is stored must not hold it.
        # In a thread: an hour's record took a tenth of a second, in which no call would be served.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._records, self._store_record, record)

    def _store_record(self, record: CallRecord) -> None:
        self._store.save_record(record.call_sid, self._redactor.redact_record(record))

    def _summarised(self, call_sid: str, made: SummaryMade, summary: SummaryRecord | None) -> None:
        """Keep what a call is about while it goes on; its record comes when the stream ends."""
        self._metrics.summary_made(made)
        if made.outcome == "ok" and summary is not None:
            payload = self._redactor.redact_value(asdict(summary))
            self._store.add_event(call_sid, "summary", payload)


async def _run_to_the_end(runner: WorkerRunner, pipeline: Pipeline) -> None:
    """Run a pipeline; a cancelled one ends even where a processor kept the ``EndFrame``.

    Pipecat's runner takes the first cancellation for a wish and waits for a pipeline that no longer
    listens (observed, 1.14); a further one ends it.
    """
    running = asyncio.create_task(runner.run(), name="runner")
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=CANCEL_TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await pipeline.cleanup()  # type: ignore[no-untyped-call]  # Pipecat 1.14
        raise


def _why(
    pipeline: asyncio.Task[None],
    stream: asyncio.Task[StreamEnd],
    talk: asyncio.Task[SessionEnd],
) -> SessionEnd:
    """What ended first is the reason; the session's word counts where two ended at once."""
    if talk.done():
        return talk.result()
    if stream.done():
        return _stream_end(stream.result())
    pipeline.result()
    return SessionEnd(EndReason.INTERNAL_ERROR, "the pipeline stopped by itself")


def _cut_short(entry: CallEntry) -> SessionEnd:
    """Why a stream was cancelled from outside, or crashed."""
    if entry.status.terminal:
        return SessionEnd(EndReason.CALLER_HUNG_UP, "Twilio said that the call is over")
    if isinstance(sys.exception(), asyncio.CancelledError):
        return SessionEnd(EndReason.STREAM_LOST, "cancelled: Twilio or the worker has left it")
    return SessionEnd(EndReason.INTERNAL_ERROR, "an error of ours; see the log")


def _stream_end(end: StreamEnd) -> SessionEnd:
    if end.kind == "stop":
        return SessionEnd(EndReason.CALLER_HUNG_UP, "Twilio sent stop")
    # A close without ``stop`` was seen after normal hang-ups (openclaw #65601), too. Where the
    # caller is still there, Twilio asks what is next.
    why = f": {end.detail}" if end.detail else ""
    return SessionEnd(
        EndReason.STREAM_LOST, f"the media socket was {end.kind} with code {end.code}{why}"
    )
