"""Makes one call between the two twins, with any bot between them; returns what both ends saw."""

from __future__ import annotations

import asyncio
import audioop
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from agent.conversation.record import CallRecord
from agent.spec import AgentSpec, load_agent
from tests.benchmarks.seen import Connected, Seen
from workers.entrypoints.drill.observed import Coded
from workers.entrypoints.worker import run_worker
from workers.settings import load_settings
from workers.twin import caller, phone_audio
from workers.twin.live_api.faults import Fault
from workers.twin.live_api.script import ScriptSource
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep, SessionLog
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

AGENT = Path(__file__).with_name("moves_agent.yaml")
API_KEY = "test-key"
RESUME_S, SETUP_S = 0.3, 0.5
"""What the twin takes, as the numbers in the README have it."""
# Frames that carry a caller's voice are at an RMS of 2500, quiet ones at 60.
_LOUD_RMS = 600
# The phone sends its first frame when the stream has run for about this long (Twilio twin).
_FIRST_FRAME_S = 0.07
_SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What both ends do in one call.

    Args:
        caller: Coded.
        live: What the model says; every line of it is coded.
        lines: The numbers of all these lines.
    """

    caller: caller.CallerScript
    live: ScriptSource
    lines: tuple[range, ...]
    faults: tuple[Fault, ...] = ()
    time_scale: float = 1.0
    seed: int = 0
    timeout_s: float = 90.0


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot that listens.

    Args:
        url: Where.
        record: Gives the record of a call that has ended; None for a bot that keeps none.
        pid: Its process, if it has one of its own.
        status_path: Where it is told that calls have ended; empty where it does not want to know.
    """

    url: str
    record: Callable[[str], Awaitable[CallRecord | None]]
    pid: int = 0
    status_path: str = ""


Starts: TypeAlias = Callable[[LiveTwin, TwilioTwin, Path], AbstractAsyncContextManager[Bot]]
Watch: TypeAlias = Callable[[LiveTwin, Bot], Coroutine[Any, Any, None]]


async def make_call(plan: Plan, starts: Starts, watch: Watch | None = None) -> Seen:
    """Start both twins and a bot, make the call, and look at what is left of it.

    Args:
        plan: What happens.
        starts: Starts the bot.
        watch: Runs beside the call and is cancelled with it.

    Raises:
        TimeoutError: the call did not end; the text says where it had got to.
    """
    call = await finish_call(plan, starts, watch)
    return call.look()


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that is over; to look at it takes time that no call under way can spare."""

    plan: Plan
    result: CallResult
    live: LiveTwin
    start_s: float
    record: CallRecord | None

    def look(self) -> Seen:
        """Decode what both ends saw."""
        result = self.result
        known = {code for line in self.plan.lines for code in line}
        spoken = tuple(Coded(found.at_ms, found.code) for found in result.spoken_codes())
        started = result.named("stream-started")
        first_ms = ((started[0].at_s if started else 0.0) + _FIRST_FRAME_S) * 1000
        return Seen(
            connections=tuple(_connected(log, self.start_s) for log in self.live.sessions),
            refused=len(self.live.refusals),
            first_streamed=next((one.code for one in spoken if one.at_ms >= first_ms), 0),
            spoken=spoken,
            loud=frozenset(
                one.code for one in spoken if _rms(result.spoken, one.at_ms) >= _LOUD_RMS
            ),
            heard=tuple(
                Coded(found.at_ms, found.code)
                for found in result.heard_codes()
                if found.code in known
            ),
            ended_ms=result.duration_s * 1000,
            record=self.record,
        )


async def finish_call(plan: Plan, starts: Starts, watch: Watch | None = None) -> Finished:
    """Make the call, and leave it to the caller when to look at it."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evercall-bench-")))
        live = await stack.enter_async_context(
            LiveTwin(
                plan.live,
                api_key=API_KEY,
                faults=plan.faults,
                setup_delay_s=SETUP_S,
                resume_delay_s=RESUME_S,
                time_scale=plan.time_scale,
                seed=plan.seed,
                keep=Keep(audio_s=400.0),
            )
        )
        twilio = await stack.enter_async_context(TwilioTwin())
        bot = await stack.enter_async_context(starts(live, twilio, folder))
        call = await twilio.place_inbound_call(
            f"{bot.url}/voice",
            caller=plan.caller,
            status_url=f"{bot.url}{bot.status_path}" if bot.status_path else None,
        )
        watching = None if watch is None else asyncio.create_task(watch(live, bot))
        try:
            result = await call.wait(plan.timeout_s)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        record = await bot.record(call.sid)
        with contextlib.suppress(TimeoutError):
            await live.until(lambda: not live.open_sessions, timeout_s=_SETTLE_S)
        return Finished(plan, result, live, call.line.journal.start_s, record)


def evercall_here(agent: AgentSpec | None = None) -> Starts:
    """Run evercall's worker in this very process: many short calls, none waits for a start."""

    @asynccontextmanager
    async def start(live: LiveTwin, twilio: TwilioTwin, folder: Path) -> AsyncIterator[Bot]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = load_settings(
            env_file=None,
            google_api_key=API_KEY,
            google_base_url=live.base_url,
            ssl_cert_file=live.ca_file,
            twilio_account_sid=twilio.account_sid,
            twilio_auth_token=twilio.auth_token,
            twilio_base_url=twilio.base_url,
            public_url=url,
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'evercall.sqlite3'}",
        )
        spec = agent or load_agent(AGENT)
        async with run_worker(settings, spec, host="127.0.0.1", port=port) as worker:

            async def record(call_sid: str) -> CallRecord | None:
                async with asyncio.timeout(_SETTLE_S):
                    while call_sid in worker.runner.live or len(worker.active):  # noqa: ASYNC110  # plain data
                        await asyncio.sleep(0.02)
                await worker.store.flush()
                stored = await worker.store.load_call(call_sid)
                return None if stored is None else stored.record

            yield Bot(url, record, status_path="/voice/status")

    return start


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _connected(log: SessionLog, start_s: float) -> Connected:
    return Connected(
        number=log.number,
        opened_s=log.opened_at - start_s,
        closed_s=None if log.closed_at is None else log.closed_at - start_s,
        closed_by=log.closed_by,
        resumed=log.resumed_from is not None,
        codes=tuple(log.codes()),
        turns=tuple((*turn.codes, turn.at - start_s) for turn in log.heard if turn.codes),
        answers_s=tuple(
            at - start_s
            for at in (
                *(said.started_at for said in log.said if said.audio_ms),
                *(note.at for note in log.noted("tool_call")),
            )
        ),
        results="\n".join([log.system_instruction, *log.texts, *map(_json, log.tool_responses)]),
        strays="\n".join(map(_json, log.stray_tool_responses)),
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _rms(ulaw: bytes, at_ms: float) -> int:
    at = round(at_ms * phone_audio.RATE_HZ / 1000)
    return audioop.rms(phone_audio.to_pcm(ulaw[at : at + phone_audio.FRAME_BYTES]), 2)
