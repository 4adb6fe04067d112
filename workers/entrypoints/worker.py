"""One worker, put together from its settings and one agent; what every command runs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog
from pipecat.observers.base_observer import BaseObserver

from agent.context.summarizer import GeminiTextModel
from agent.context.text_model import TextModelFailed
from agent.errors import LiveConnectRefused
from agent.live.dialer import LiveDialer
from agent.spec import AgentSpec
from telephony.calls.rest import TwilioRest
from telephony.media_stream.ticket import TicketBook
from telephony.settings import TwilioSettings
from workers.call.active import ActiveCalls
from workers.call.agents import Agents, check_agent, loaded_agent
from workers.call.assembly import Assembly
from workers.call.campaign_calls import CampaignCalls
from workers.call.entry import CallEntry
from workers.call.greetings import GreetingCache
from workers.call.messages import MessagePoller
from workers.call.pipeline import CallRunner
from workers.call.prewarm import Prewarm
from workers.call.recording import Recorder
from workers.call.records import RecordKeeper
from workers.call.takeover import Takeover
from workers.dialling.briefs import SqlBriefs
from workers.entrypoints.asgi import Gather, create_app
from workers.entrypoints.fleet import in_fleet
from workers.entrypoints.server import WebServer
from workers.entrypoints.services import Services
from workers.entrypoints.stream_counts import StreamCounts
from workers.fleet.drainer import Drainer
from workers.fleet.heartbeat import worker_name
from workers.fleet.watch import BEAT_S
from workers.logs import LogPipe
from workers.metrics import Metrics
from workers.settings import SettingsError, WorkerSettings
from workers.store.calls import CallStore
from workers.store.sql import SqlCallStore

CLOSE_TIMEOUT_S = 5.0
SWEEP_S = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that listens."""

    server: WebServer
    active: ActiveCalls
    runner: CallRunner
    store: CallStore
    metrics: Metrics
    recorder: Recorder | None
    dialer: LiveDialer
    text_model: GeminiTextModel | None
    """Keeps the calls' summaries; None where the agent names none."""
    drainer: Drainer
    """Empties it when it is to leave."""


@asynccontextmanager
async def run_worker(
    settings: WorkerSettings,
    spec: AgentSpec,
    *,
    host: str,
    port: int,
    variables: Mapping[str, str] | None = None,
    observers: Callable[[], Sequence[BaseObserver]] = tuple,
    logs: LogPipe | None = None,
    listener: socket.socket | None = None,
    counts: StreamCounts | None = None,
    gather: Gather | None = None,
    wall: Callable[[], float] = time.time,
    beat_s: float = BEAT_S,
) -> AsyncIterator[Worker]:
    """Serve calls with one agent from enter to exit.

    ``listener`` is a socket that listens already, in place of ``host`` and ``port``; ``counts``
    are the streams of the processes that share it, and ``gather`` adds their metrics. ``wall`` is
    the POSIX seconds of what campaigns read; a rehearsal runs it faster, and calls as they are.
    ``beat_s`` is between two signs of life.

    Raises:
        SettingsError: settings are missing or wrong; one line each.
        AgentSpecError: a tool or processor of the agent cannot be used.
        OSError: the address cannot be listened on, or the data folder not be written.
    """
    dialer = LiveDialer(settings.live())
    text_model = _text_model(settings, spec)
    twilio = _checked(settings, dialer, text_model)
    check_agent(spec)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = SqlCallStore(settings.database)
    metrics = Metrics()
    if logs is not None:
        metrics.logs_dropped.set_function(lambda: logs.dropped)
        metrics.logs_waiting.set_function(lambda: logs.waiting)
    prewarm = _prewarm(settings, dialer, metrics)
    over = partial(_over, metrics, prewarm)
    active = ActiveCalls(settings.max_calls, store, worker=worker_name(), on_over=over)
    active.on_taken = metrics.calls_lost_to_others.inc
    metrics.checkpoint_writes_refused.set_function(lambda: store.refused)
    greetings = GreetingCache(settings.data_dir)
    greetings.get(spec)
    text_models = _TextModels(settings, spec, text_model)
    agents = Agents(
        loaded_agent(spec, text_model=text_model),
        text_model=text_models.of,
        prepare=greetings.get,
    )
    records = RecordKeeper(store, agents.own.redactor)
    # A campaign's agent may want what the worker's own does not.
    recorder = Recorder(settings.data_dir / "recordings")
    asker = store.new_asker()
    briefs = SqlBriefs(asker, now=lambda: datetime.fromtimestamp(wall(), UTC))
    campaigns = CampaignCalls(briefs, agents, store, metrics)
    rest = TwilioRest(twilio)
    assembly = Assembly(
        agents=agents,
        campaigns=campaigns,
        dialer=dialer,
        store=store,
        records=records,
        metrics=metrics,
        greetings=greetings,
        worker=active.worker,
        recorder=recorder,
        variables=variables,
        prewarm=prewarm,
    )
    takeover = Takeover(active, store, on_lost=metrics.streams_lost.inc)
    runner = CallRunner(
        agents=agents,
        campaigns=campaigns,
        assembly=assembly,
        active=active,
        records=records,
        metrics=metrics,
        claim_later=takeover.claim_later,
        observers=observers,
    )
    services = Services(
        settings=twilio,
        agents=agents,
        campaigns=campaigns,
        rest=rest,
        store=store,
        active=active,
        takeover=takeover,
        tickets=TicketBook(settings.ticket_secret.get_secret_value()),
        metrics=metrics,
        run_call=runner,
        prewarm=assembly.prewarm,
        close_record=partial(_close_record, records, agents, campaigns),
        on_over=over,
    )
    sweeper = asyncio.create_task(_sweep(active), name="sweeper")
    messages = MessagePoller(store, runner.live, is_over=active.is_over)
    messages.start()
    try:
        await _prepare(text_model)
        app = create_app(services, gather=gather)
        async with (
            in_fleet(
                active=active,
                store=store,
                records=records,
                metrics=metrics,
                settings=twilio,
                hung_s=settings.hung_s,
                capacity=settings.max_calls,
                wall=wall,
                beat_s=beat_s,
            ) as fleet,
            WebServer(app, host=host, port=port, listener=listener, counts=counts) as server,
        ):
            drainer = Drainer(
                settings.drain_s,
                active=active,
                awaited=lambda: active.awaited,
                others_ready=lambda: fleet.others_ready,
                hand_over=runner.hand_over,
                settle_s=settings.drain_settle_s,
            )
            yield Worker(
                server,
                active,
                runner,
                store,
                metrics,
                recorder if spec.recording.enabled else None,
                dialer,
                text_model,
                drainer,
            )
    finally:
        sweeper.cancel()
        await messages.close()
        if prewarm is not None:
            await prewarm.close()
        await text_models.close()
        await rest.close()
        await campaigns.close()
        asker.close()
        await asyncio.to_thread(records.close)
        await store.close(deadline_s=CLOSE_TIMEOUT_S)
        # Both wait for their threads.
        await asyncio.to_thread(greetings.close)
        await asyncio.to_thread(recorder.close)


def _prewarm(settings: WorkerSettings, dialer: LiveDialer, metrics: Metrics) -> Prewarm | None:
    if not settings.prewarm:
        return None
    return Prewarm(dialer, on_outcome=lambda outcome: metrics.prewarm.labels(outcome.value).inc())


def _close_record(
    records: RecordKeeper, agents: Agents, campaigns: CampaignCalls, entry: CallEntry
) -> None:
    if entry.record is not None:
        redactor = agents.of(entry).redactor
        records.keep_later(entry.record, fence=entry.fence, final=True, redactor=redactor)
    campaigns.closed(entry)


async def _sweep(active: ActiveCalls) -> None:
    """Forget what is over also while no call comes in: an entry holds numbers and transcripts."""
    while True:
        await asyncio.sleep(SWEEP_S)
        active.sweep()


def _text_model(settings: WorkerSettings, spec: AgentSpec) -> GeminiTextModel | None:
    summary = spec.context.summary
    if summary.model is None:
        return None
    return GeminiTextModel(summary.model, settings.text_model(), max_chars=summary.max_chars)


class _TextModels:
    """The worker's own text model, and those of campaigns' agents that want another one."""

    def __init__(
        self, settings: WorkerSettings, own: AgentSpec, model: GeminiTextModel | None
    ) -> None:
        self._settings = settings
        # Bound: one for each name and size that the agents of campaigns have.
        self._made: dict[tuple[str | None, int], GeminiTextModel | None] = {
            _summarised_by(own): model
        }

    def of(self, spec: AgentSpec) -> GeminiTextModel | None:
        """The model of an agent; its client is made when it is first asked."""
        key = _summarised_by(spec)
        if key not in self._made:
            self._made[key] = _text_model(self._settings, spec)
        return self._made[key]

    async def close(self) -> None:
        """Let go of all of them."""
        for model in self._made.values():
            if model is not None:
                await model.close()


def _summarised_by(spec: AgentSpec) -> tuple[str | None, int]:
    return spec.context.summary.model, spec.context.summary.max_chars


async def _prepare(text_model: GeminiTextModel | None) -> None:
    """Have it ready before there is a call; calls go on without it, and it is tried again."""
    if text_model is None:
        return
    try:
        await text_model.prepare()
    except TextModelFailed as error:
        _log.warning("text_model.not_ready", model=text_model.name, reason=str(error))


def _checked(
    settings: WorkerSettings, dialer: LiveDialer, text_model: GeminiTextModel | None
) -> TwilioSettings:
    """Name everything that is missing at once, not one thing a start."""
    problems: list[str] = []
    try:
        dialer.check()
    except LiveConnectRefused as error:
        problems.append(str(error))
    try:
        if text_model is not None:
            text_model.check()
    except TextModelFailed as error:
        problems.append(str(error))
    try:
        twilio = settings.twilio()
    except SettingsError as error:
        problems += str(error).splitlines()
        # Both models have the same key.
        raise SettingsError("\n".join(dict.fromkeys(problems))) from None
    if problems:
        raise SettingsError("\n".join(dict.fromkeys(problems)))
    return twilio


def _over(metrics: Metrics, prewarm: Prewarm | None, entry: CallEntry) -> None:
    if prewarm is not None:
        prewarm.drop(entry.call_sid)
    if entry.record is not None:
        metrics.call_ended(entry.record)
