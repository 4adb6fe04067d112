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
from collections.abc import Awaitable, Callable, Sequence

import structlog
from pipecat.frames.frames import EndFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.workers.runner import WorkerRunner

from agent.audio import INPUT_RATE_HZ, OUTPUT_RATE_HZ
from agent.conversation.record import (
    EndReason,
)
from agent.live.session_events import FORCED, SessionEnd
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.transport import StreamEnd
from workers.call.active import ActiveCalls
from workers.call.agents import Agents
from workers.call.assembly import Assembly, Parts
from workers.call.campaign_calls import CampaignCalls
from workers.call.entry import CallEntry
from workers.call.handover import handover
from workers.call.journal import CallJournal
from workers.call.live_call import LiveCall, utc_now
from workers.call.records import RecordKeeper
from workers.call.steering import (
    Apologise,
    DialTransfer,
    HangUp,
    LetGo,
    Reconnect,
    after_session,
)
from workers.call.takeover import said_before, taken_up
from workers.metrics import Metrics
from workers.store.calls import RecalledCall, StoreUnavailable

_log = structlog.get_logger(__name__)

# Everything that is left of a call has its own bound (socket 2 s, tools 2 s, connection 5 s); this
# one is for processors named by the operator.
CLOSE_TIMEOUT_S = 10.0
# Between one cancellation of such a pipeline and the next.
CANCEL_TIMEOUT_S = 2.0
# A store that is away, and a call that goes on without its memory meanwhile.
CLAIM_AGAIN_S = 1.0

ClaimLater = Callable[[CallEntry], Awaitable[RecalledCall | None]]


class CallRunner:
    """Serves the streams of calls; one per process.

    Args:
        agents: The agents of calls.
        campaigns: Told of each call that is over.
        assembly: Makes the parts of a stream.
        active: Is told what is to become of a call.
        records: Keeps records.
        metrics: Counts.
        claim_later: Claims a call that is being served already.
        observers: Makes Pipecat observers for a call.
    """

    def __init__(
        self,
        *,
        agents: Agents,
        campaigns: CampaignCalls,
        assembly: Assembly,
        active: ActiveCalls,
        records: RecordKeeper,
        metrics: Metrics,
        claim_later: ClaimLater,
        observers: Callable[[], Sequence[BaseObserver]] = tuple,
    ) -> None:
        self.live: dict[str, LiveCall] = {}
        """Calls with a stream, by call SID, until their record is handed to the store."""
        self._agents = agents
        self._campaigns = campaigns
        self._assembly = assembly
        self._active = active
        self._records = records
        self._metrics = metrics
        self._claim_later = claim_later
        self._observers = observers

    async def __call__(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        """Serve one stream of a call to its end; the socket is closed by then or may be."""
        parts = self._assembly.make(entry, socket, started)
        call, recording, journal = parts.call, parts.recording, parts.journal
        _log.info("stream.started", agent=self._agents.of(entry).spec.name, stream=entry.streams)
        self.live[entry.call_sid] = call
        try:
            journal.start()
            end = await self._serve(parts)
        finally:
            self._assembly.forget(entry.call_sid)
            if call.stream.end_reason is None:
                self._decide(call, _cut_short(entry))
                await journal.close(last=call.unfinished)
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
                    # A call that was taken from us may be here again meanwhile.
                    if self.live.get(entry.call_sid) is call:
                        del self.live[entry.call_sid]
        _log.info(
            "stream.ended",
            reason=end.reason.value,
            detail=end.detail,
            seconds=round(call.now_s() - call.stream.started_s, 1),
            counted=dict(call.counted()),
        )

    def hand_over(self, call_sid: str, limit_s: float) -> None:
        """Have a call go on elsewhere, at the next safe point or when ``limit_s`` have passed."""
        call = self.live.get(call_sid)
        if call is not None:
            call.session.hand_over(limit_s)

    async def _serve(self, parts: Parts) -> SessionEnd:
        """Run stream, session and pipeline until one of them ends, then end the others."""
        call, live, journal = parts.call, parts.processor, parts.journal
        source, sink = call.transport.input(), call.transport.output()
        served_by = self._agents.of(call.entry)
        caller = [make() for make in served_by.caller_processors]
        agent = [make() for make in served_by.agent_processors]
        observers = list(self._observers())
        if not observers:
            # With nobody between or watching, audio need not become Pipecat's frames: making them
            # and passing them on took a seventh of a call's CPU.
            if not caller:
                source.push_audio = live.hear
            if not agent:
                live.play = sink.play
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
            claiming = None
            if call.entry.unclaimed:
                claiming = tasks.create_task(self._claim(call, journal), name="claim")
            await asyncio.wait({running, stream, talk}, return_when=asyncio.FIRST_COMPLETED)
            end = _why(running, stream, talk)
            if claiming is not None:
                claiming.cancel()
            # Before the socket is closed: Twilio asks what is next as soon as it is.
            self._decide(call, end)
            call.session.end(end.reason, end.detail)
            await journal.close(last=call.unfinished)
            await worker.queue_frame(EndFrame(reason=end.reason.value))
            await call.transport.close(end.reason.value)
            _, left = await asyncio.wait({running, stream, talk}, timeout=CLOSE_TIMEOUT_S)
            for task in left:
                _log.error("call.part_does_not_end", part=task.get_name())
                task.cancel()
        return end

    async def _claim(self, call: LiveCall, journal: CallJournal) -> None:
        """Claim a call that is being served already, and learn what was said before."""
        late = False
        while call.entry.unclaimed:
            try:
                found = await self._claim_later(call.entry)
            except StoreUnavailable:
                late = True
                await asyncio.sleep(CLAIM_AGAIN_S)
                continue
            if late:
                _log.info("call.claimed_late", fence=call.entry.fence, known=found is not None)
            if found is not None and found.record is not None:
                now = utc_now()
                before = taken_up(found.record, ended_at=None, now=now)
                call.remember(before, found.checkpoint, now=now)
                with contextlib.suppress(ValueError):  # the session is over, or nothing was said
                    call.session.add_context(said_before(found.record))
            journal.changed()

    def _decide(self, call: LiveCall, end: SessionEnd) -> None:
        """Say what is to become of the call, and note why this stream ended."""
        entry, active = call.entry, self._active
        if entry.taken_over:
            end = SessionEnd(EndReason.TAKEN_OVER, "another worker has the call")
        elif entry.unclaimed:
            # From now on the store may refuse it: it could not be claimed, and must be kept.
            entry.unclaimed = False
            entry.fence = entry.fence or int(entry.streams == 1)
        call.stream.ended_s = call.now_s()
        call.stream.end_reason = end.reason
        call.stream.detail = end.detail
        match after_session(end):
            case HangUp():
                active.finish(entry)
            case Apologise():
                active.apologise(entry)
            case DialTransfer(to, last_resort):
                text = handover(call.record(), self._agents.of(entry).spec, last_resort=last_resort)
                active.transfer(entry, to, last_resort=last_resort, briefing=text)
            case LetGo():
                active.hand_over(entry)
                self._metrics.handed_over(forced=FORCED in end.detail)
            case Reconnect():
                # Unfinished: Twilio asks, and whichever worker answers goes on. One that was never
                # claimed is not known to have had a stream, and its loss would not be counted.
                active.keep(entry)
        self._metrics.stream_ended(end.reason)

    async def _keep(self, call: LiveCall) -> None:
        """Bring record and history up to date and have them stored."""
        entry = call.entry
        if entry.taken_over:
            return
        record = call.record()
        record.end_reason = call.stream.end_reason or EndReason.INTERNAL_ERROR
        record.detail = call.stream.detail
        entry.record = record
        entry.checkpoint = call.checkpoint()
        # The next stream of this call works with what was said; what is stored must not hold it.
        redactor = self._agents.of(entry).redactor
        await self._records.keep(
            record, fence=entry.fence, final=not call.unfinished, redactor=redactor
        )
        if not call.unfinished:
            self._campaigns.closed(entry)


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
