"""One worker, put together from its settings and one agent; what every command runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from pipecat.observers.base_observer import BaseObserver

from agent.context.summarizer import GeminiTextModel
from agent.context.text_model import TextModelFailed
from agent.errors import AgentSpecError, LiveConnectRefused
from agent.live.config import window_issues
from agent.live.dialer import LiveDialer
from agent.live.filler import filler_issues
from agent.spec import AgentSpec
from agent.tools.declarations import importable_issues, load_tools
from telephony.calls.twiml import Spoken
from telephony.media_stream.ticket import TicketBook
from telephony.settings import TwilioSettings
from workers.call.active import ActiveCalls, CallEntry
from workers.call.greetings import GreetingCache
from workers.call.messages import MessagePoller
from workers.call.pipeline import CallRunner
from workers.call.recording import Recorder
from workers.entrypoints.asgi import Gather, create_app
from workers.entrypoints.server import WebServer
from workers.entrypoints.services import Services
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
    gather: Gather | None = None,
) -> AsyncIterator[Worker]:
    """Serve calls with one agent from enter to exit.

    ``listener`` is a socket that listens already, in place of ``host`` and ``port``; ``gather``
    adds the metrics of the other processes that share it.

    Raises:
        SettingsError: settings are missing or wrong; one line each.
        AgentSpecError: a tool or processor of the agent cannot be used.
        OSError: the address cannot be listened on, or the data folder not be written.
    """
    dialer = LiveDialer(settings.live())
    text_model = _text_model(settings, spec)
    twilio = _checked(settings, dialer, text_model)
    if issues := [*importable_issues(spec), *filler_issues(spec), *window_issues(spec)]:
        raise AgentSpecError(issues)
    tools = load_tools(spec)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = SqlCallStore(settings.database)
    metrics = Metrics()
    if logs is not None:
        metrics.logs_dropped.set_function(lambda: logs.dropped)
    active = ActiveCalls(settings.max_calls, store, on_over=partial(_count, metrics))
    greetings = GreetingCache(settings.data_dir)
    greetings.get(spec)
    recorder = Recorder(settings.data_dir / "recordings") if spec.recording.enabled else None
    runner = CallRunner(
        spec=spec,
        tools=tools,
        dialer=dialer,
        active=active,
        store=store,
        metrics=metrics,
        greetings=greetings,
        recorder=recorder,
        variables=variables,
        text_model=text_model,
        observers=observers,
    )
    services = Services(
        settings=twilio,
        store=store,
        active=active,
        tickets=TicketBook(settings.ticket_secret.get_secret_value()),
        metrics=metrics,
        run_call=runner,
        apology=Spoken(spec.apology, spec.apology_language or spec.language, spec.apology_voice),
        announcement=_announcement(spec),
    )
    sweeper = asyncio.create_task(_sweep(active), name="sweeper")
    messages = MessagePoller(store, runner.live, is_over=active.is_over)
    messages.start()
    try:
        await _prepare(text_model)
        app = create_app(services, gather=gather)
        async with WebServer(app, host=host, port=port, listener=listener) as server:
            yield Worker(server, active, runner, store, metrics, recorder, dialer, text_model)
    finally:
        sweeper.cancel()
        await messages.close()
        if text_model is not None:
            await text_model.close()
        await asyncio.to_thread(runner.close)
        await store.close(deadline_s=CLOSE_TIMEOUT_S)
        # Both wait for their threads.
        await asyncio.to_thread(greetings.close)
        if recorder is not None:
            await asyncio.to_thread(recorder.close)


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


def _count(metrics: Metrics, entry: CallEntry) -> None:
    if entry.record is not None:
        metrics.call_ended(entry.record)


def _announcement(spec: AgentSpec) -> Spoken | None:
    text = spec.recording.announcement
    if not spec.recording.enabled or text is None:
        return None
    return Spoken(text, spec.apology_language or spec.language, spec.apology_voice)
