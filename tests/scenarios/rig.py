"""A worker between the two twins for one test: real sockets, real SDKs, a folder of its own."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pipecat.observers.base_observer import BaseObserver

from agent.conversation.record import CallRecord, TurnRecord
from agent.spec import AgentSpec, Greeting, Limits, Vad
from tests.fakes.network import Network
from workers.entrypoints.listener import listen
from workers.entrypoints.worker import Worker, run_worker
from workers.logs import start_logs
from workers.settings import load_settings
from workers.store.calls import CallEvent
from workers.twin import speech
from workers.twin.caller import CallerScript, Step
from workers.twin.live_api.faults import Fault
from workers.twin.live_api.script import LiveScript, Say, ScriptSource
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep, SessionLog
from workers.twin.text_model.server import TextModelTwin
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

API_KEY = "scenario-key"
CALLER = "+15550100001"
CALLED = "+15550100002"
COLLEAGUE = "+15550100009"
POLL_S = 0.01

# Short lines make short tests. None of them is recorded, so the twin babbles them, and knows to
# the millisecond when each word is spoken.
GREETING = "Good day, sir."
QUESTION = "Any rye bread?"
ANSWER = "Yes, we do."
GOODBYE = "Thanks, bye now."
APOLOGY = "So sorry."
SPEECH = LiveScript(opening=(Say(GREETING),), otherwise=(Say(ANSWER),), answer_delay_s=0.1)


def bakery(**fields: Any) -> AgentSpec:
    """An agent that answers quickly and gives up quickly."""
    defaults: dict[str, Any] = {
        "name": "bakery",
        "system_instruction": "You are a baker.",
        "language": "en-US",
        "greeting": Greeting(GREETING),
        "vad": Vad(silence_duration_ms=300),
        "limits": Limits(answer_timeout_s=5, connect_timeout_s=5),
        "apology": APOLOGY,
    }
    return AgentSpec(**defaults | fields)


def silent_agent(**fields: Any) -> AgentSpec:
    """An agent that waits for the caller: for tones, where nothing is to be said."""
    return bakery(greeting=Greeting(), **fields)


def held(session: SessionLog) -> str:
    """Everything that the model of a session knows: its instruction, and what it remembers."""
    return "\n".join([session.system_instruction, *(text for _, text in session.memory)])


def spoken_ms(text: str) -> float:
    """How long the simulated model takes to say a text."""
    return speech.line(text).duration_ms


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything a scenario looks at."""

    live: LiveTwin
    twilio: TwilioTwin
    worker: Worker
    base_url: str
    data_dir: Path
    _log: io.StringIO
    text: TextModelTwin | None = None
    """Keeps the summaries, where there is one."""

    async def ring(self, *steps: Step, coded: bool = False, **options: Any) -> TwinCall:
        """Let somebody call; ``coded`` numbers every frame of what they say."""
        options.setdefault("status_url", f"{self.base_url}/voice/status")
        options.setdefault("from_", CALLER)
        return await self.twilio.place_inbound_call(
            f"{self.base_url}/voice",
            caller=CallerScript.of(*steps, coded=coded),
            to=CALLED,
            **options,
        )

    async def phone(self, *steps: Step, timeout_s: float = 40.0, **options: Any) -> CallResult:
        """Make a whole call; what the phone saw of it."""
        return await (await self.ring(*steps, **options)).wait(timeout_s)

    async def call(
        self, *steps: Step, timeout_s: float = 40.0, **options: Any
    ) -> tuple[CallResult, CallRecord]:
        """Make a whole call; what the phone saw of it, and what the store keeps."""
        result = await self.phone(*steps, timeout_s=timeout_s, **options)
        return result, await self.record(result.sid)

    async def record(self, call_sid: str) -> CallRecord:
        """The call's record as it is stored once its last stream has ended."""
        await until(lambda: call_sid not in self.worker.runner.live)
        assert await self.worker.store.flush()
        stored = await self.worker.store.load_call(call_sid)
        assert stored is not None
        assert stored.record is not None
        return stored.record

    async def events(self, call_sid: str, kind: str) -> list[CallEvent]:
        """What the store keeps of what happened to the call."""
        assert await self.worker.store.flush()
        found = await self.worker.store.load_events(call_sid)
        return [event for event in found if event.kind == kind]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Log records of one name."""
        lines = self._log.getvalue().splitlines()
        return [record for line in lines if (record := json.loads(line))["event"] == event]

    async def until_logged(self, event: str) -> dict[str, Any]:
        """Wait for a log record; the pipe has a thread of its own."""
        await until(lambda: self.logged(event))
        return self.logged(event)[-1]

    @property
    def log_text(self) -> str:
        """Everything that was logged."""
        return self._log.getvalue()

    async def until_counted(self, name: str, value: float, **labels: str) -> None:
        """Wait for a value of /metrics: some are counted just after the call."""
        await until(lambda: self.metric(name, **labels) == value)

    def metric(self, name: str, **labels: str) -> float:
        """A value of /metrics; 0 where there is none yet."""
        return self.worker.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def evercall(
    folder: Path,
    script: ScriptSource = SPEECH,
    *,
    agent: AgentSpec | None = None,
    faults: Iterable[Fault] = (),
    keep: Keep | None = None,
    live_options: Mapping[str, Any] | None = None,
    text_recipe: str | None = None,
    network: Network | None = None,
    observers: Callable[[], Sequence[BaseObserver]] = tuple,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """Start both twins and the worker; at the end none of them has anything left.

    ``network`` lies between the worker and the Live API, where one is given; ``live_options`` are
    more arguments of ``LiveTwin``, and ``text_recipe`` is how the text model behaves.
    """
    # Taken at once: several of these start side by side.
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}"
    with _captured_logs() as log:
        async with (
            LiveTwin(
                script, api_key=API_KEY, faults=faults, keep=keep, **live_options or {}
            ) as live,
            TwilioTwin() as twilio,
            _text_model(text_recipe, live) as text,
        ):
            live_url = live.base_url if network is None else network.leads_to(live.base_url)
            values: dict[str, Any] = {
                "google_api_key": API_KEY,
                "google_base_url": live_url,
                # For those who set ``google_use_vertexai``; the key makes it express mode.
                "google_vertex_base_url": live_url,
                "google_use_vertexai": False,
                "text_base_url": None if text is None else text.base_url,
                "ssl_cert_file": live.ca_file,
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": twilio.auth_token,
                "twilio_base_url": twilio.base_url,
                "public_url": base_url,
                "data_dir": folder,
                "database_url": f"sqlite:///{folder / 'evercall.sqlite3'}",
            }
            async with run_worker(
                load_settings(env_file=None, **values | settings),
                agent or bakery(),
                host="127.0.0.1",
                port=port,
                listener=listener,
                observers=observers,
            ) as worker:
                rig = Rig(live, twilio, worker, base_url, folder, log, text)
                yield rig
                await _nothing_is_left(rig)
    assert CALLER not in log.getvalue()
    assert COLLEAGUE not in log.getvalue()


async def until(
    condition: Callable[[], object], *, timeout_s: float = 10.0, poll_s: float = POLL_S
) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come true in time.
    """
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what is waited for is plain data
            await asyncio.sleep(poll_s)


def lost_ms(record: CallRecord) -> int:
    """Caller audio that never reached a model."""
    return record.counters.get("caller_audio_lost_ms", 0)


def agent_turns(record: CallRecord) -> list[TurnRecord]:
    return [turn for turn in record.turns if turn.speaker == "agent"]


def caller_turns(record: CallRecord) -> list[TurnRecord]:
    return [turn for turn in record.turns if turn.speaker == "caller"]


def played_ms(result: CallResult, since_s: float, until_s: float = float("inf")) -> float:
    """How much the phone played between two moments of the call."""
    since, end = since_s * 1000, until_s * 1000
    return sum(max(0.0, min(stop, end) - max(start, since)) for start, stop in result.played_ms)


def step_s(result: CallResult, step: Step, *, nth: int = 0) -> float:
    """When the caller came to a step of their script."""
    begun = [
        event.at_s
        for event in result.named("script")
        if f"{step!r}"[:80] in str(event.data["doing"])
    ]
    return begun[nth]


def said(result: CallResult) -> str:
    """The answers of the worker to voice requests, as one text."""
    return "\n".join(hook.body.decode() for hook in result.webhooks if hook.kind == "voice")


async def _nothing_is_left(rig: Rig) -> None:
    """After the last call the worker holds nothing of any."""
    await until(lambda: not rig.twilio.live_calls)
    await until(lambda: not rig.worker.runner.live and not len(rig.worker.active))
    await until(lambda: not rig.live.open_sessions and not rig.twilio.live_sockets)


@asynccontextmanager
async def _text_model(recipe: str | None, live: LiveTwin) -> AsyncIterator[TextModelTwin | None]:
    if recipe is None:
        yield None
        return
    async with TextModelTwin(recipe, api_key=API_KEY, authority=live.authority) as text:
        yield text


@contextmanager
def _captured_logs() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    pipe = start_logs("INFO", stream=stream, console=False)
    try:
        yield stream
    finally:
        pipe.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
