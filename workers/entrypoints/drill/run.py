"""Makes the call of a recipe: both twins, the real worker between them, and what they all saw.

Everything is bounded: the caller's waits run out, and the call as a whole has a time-out.
"""

from __future__ import annotations

import asyncio
import audioop
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from agent.conversation.record import CallRecord
from workers.dashboard.call_page.page import render_page
from workers.entrypoints.drill import tools
from workers.entrypoints.drill.model_script import lines_of
from workers.entrypoints.drill.observed import FRAME_MS, Coded, Connected, Execution, Observed
from workers.entrypoints.drill.recipe import Callee, Recipe
from workers.entrypoints.worker import Worker, run_worker
from workers.settings import WorkerSettings, load_settings
from workers.twin import caller, phone_audio
from workers.twin.live_api.script import Call, CallTool, LiveScript, Steps
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

API_KEY = "drill-key"
# Beyond what a recipe's caller waits on purpose.
TIMEOUT_S = 60.0
SETTLE_S = 5.0
POLL_S = 0.02

# The phone's frames are speech to the twin's models from this RMS on (300 to 900 by sensitivity).
_LOUD_RMS = 600
# µ-law silence is below 10; the quiet codes of a caller are never heard back.
_AUDIBLE_RMS = 40
# What the edge of a coded frame leaves undecoded is shorter.
_NOISE_MS = 100.0
# The phone sends its first frame when the stream has run for about this long (Twilio twin).
_FIRST_FRAME_S = 0.07


@dataclass(slots=True)
class Finished:
    """A call that is over, before anybody has looked into its audio."""

    recipe: Recipe
    run: str
    result: CallResult
    record: CallRecord
    start_s: float
    """When the telephone began to ring, by the clock of the Live twin."""
    connections: list[SessionLog]
    refused_dials: int
    left_open: tuple[str, ...]
    recording: bytes | None = None


@dataclass(slots=True)
class Stage:
    """Both twins and the worker, up and waiting for the recipe's call."""

    recipe: Recipe
    run: str
    live: LiveTwin
    twilio: TwilioTwin
    worker: Worker
    base_url: str
    finished: Finished | None = None

    async def call(self) -> Finished:
        """Make the call.

        Raises:
            TimeoutError: it did not end, or left no record; the text says where it had got to.
        """
        placed = await self.twilio.place_inbound_call(
            f"{self.base_url}/voice",
            caller=self.recipe.caller,
            status_url=f"{self.base_url}/voice/status",
        )
        result = await placed.wait(TIMEOUT_S + waits_s(self.recipe))
        left_open = await self._settle(placed.sid)
        self.finished = Finished(
            recipe=self.recipe,
            run=self.run,
            result=result,
            record=await self._record(placed.sid),
            start_s=placed.line.journal.start_s,
            connections=self.live.sessions,
            refused_dials=len(self.live.refusals),
            left_open=left_open,
        )
        return self.finished

    async def _settle(self, call_sid: str) -> tuple[str, ...]:
        """Wait until nothing of the call is left; say what still is after a while."""
        worker = self.worker
        open_things: dict[str, Callable[[], object]] = {
            "the worker's call": lambda: call_sid in worker.runner.live or len(worker.active),
            "the media socket": lambda: self.twilio.live_sockets,
            "a Live connection": lambda: self.live.open_sessions,
        }
        try:
            async with asyncio.timeout(SETTLE_S):
                while any(is_open() for is_open in open_things.values()):  # noqa: ASYNC110  plain data
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            pass
        return tuple(name for name, is_open in open_things.items() if is_open())

    async def _record(self, call_sid: str) -> CallRecord:
        await self.worker.store.flush()
        stored = await self.worker.store.load_call(call_sid)
        if stored is None or stored.record is None:
            raise TimeoutError(f"call {call_sid} left no record")
        return stored.record


async def run_recipe(recipe: Recipe, out: Path | None = None) -> Observed:
    """Make one call and return what was seen of it; its files are left in ``out``.

    Raises:
        TimeoutError: the call did not end; the text says where it had got to.
    """
    async with stage(recipe, recorded=out is not None) as ready:
        finished = await ready.call()
    observed = await asyncio.to_thread(observe, finished)
    if out is None:
        return observed
    return replace(observed, files=await asyncio.to_thread(_leave, out, finished))


@asynccontextmanager
async def stage(recipe: Recipe, *, recorded: bool = False) -> AsyncIterator[Stage]:
    """Start everything that one call of a recipe needs."""
    run = secrets.token_hex(4)
    agent = replace(recipe.agent, recording=replace(recipe.agent.recording, enabled=recorded))
    port = _free_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="evercall-drill-")))
        live = await stack.enter_async_context(
            LiveTwin(
                _with_keys(recipe.live, run),
                api_key=API_KEY,
                faults=recipe.faults,
                setup_delay_s=recipe.setup_s,
                resume_delay_s=recipe.resume_s,
                time_scale=recipe.time_scale,
                seed=recipe.seed,
            )
        )
        twilio = await stack.enter_async_context(TwilioTwin())
        twilio.on_dial = lambda _: _behaviour(recipe.callee)
        settings = _settings(recipe, live, twilio, folder, port)
        async with run_worker(settings, agent, host="127.0.0.1", port=port) as worker:
            ready = Stage(recipe, run, live, twilio, worker, f"http://127.0.0.1:{port}")
            yield ready
        # Written whole only now.
        if worker.recorder is not None and ready.finished is not None:
            path = worker.recorder.path(ready.finished.result.sid)
            ready.finished.recording = await asyncio.to_thread(_read, path)


def waits_s(recipe: Recipe) -> float:
    """Return how long a recipe's caller waits on purpose."""
    return sum(step.seconds for step in recipe.caller.steps if isinstance(step, caller.WaitSeconds))


def _settings(
    recipe: Recipe, live: LiveTwin, twilio: TwilioTwin, folder: Path, port: int
) -> WorkerSettings:
    vertex = recipe.variant.vertex
    return load_settings(
        env_file=None,
        google_api_key=API_KEY,
        google_base_url=None if vertex else live.base_url,
        google_vertex_base_url=live.base_url if vertex else None,
        google_use_vertexai=vertex,
        ssl_cert_file=live.ca_file,
        twilio_account_sid=twilio.account_sid,
        twilio_auth_token=twilio.auth_token,
        twilio_base_url=twilio.base_url,
        public_url=f"http://127.0.0.1:{port}",
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'evercall.sqlite3'}",
    )


def _behaviour(callee: Callee) -> CalleeBehaviour:
    if not callee.answers:
        # Ringing as long as real carriers let it ring would only make the drill longer.
        return CalleeBehaviour(outcome="no-answer", after_s=callee.after_s)
    script = caller.CallerScript.of(
        caller.Say("callee_hello"), caller.WaitSeconds(1.0), caller.HangUp()
    )
    return CalleeBehaviour(after_s=callee.after_s, script=script)


def _with_keys(script: LiveScript, run: str) -> LiveScript:
    """Give the slow tool's keys a prefix: drills in one process share the tool's own book."""

    def call(one: Call) -> Call:
        if one.name != tools.look_up.__name__:
            return one
        return replace(one, args={**one.args, "key": f"{run}:{one.args.get('key', '')}"})

    def steps(some: Steps) -> Steps:
        return tuple(
            replace(
                step,
                args=call(Call(step.name, step.args)).args,
                also=tuple(call(one) for one in step.also),
                on_error=None if step.on_error is None else steps(step.on_error),
            )
            if isinstance(step, CallTool)
            else step
            for step in some
        )

    return replace(
        script,
        opening=None if script.opening is None else steps(script.opening),
        turns=tuple(replace(turn, answer=steps(turn.answer)) for turn in script.turns),
        texts=tuple(replace(rule, answer=steps(rule.answer)) for rule in script.texts),
        otherwise=steps(script.otherwise),
    )


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def observe(call: Finished) -> Observed:
    """Look into a call: a tenth of a second of work for each ten of the call, or more."""
    recipe, result = call.recipe, call.result
    known = {code for line in lines_of(recipe.live) for code in line}
    spoken = tuple(Coded(found.at_ms, found.code) for found in result.spoken_codes())
    heard = tuple(Coded(found.at_ms, found.code) for found in result.heard_codes())
    started = result.named("stream-started")
    stream_s = started[0].at_s if started else 0.0
    first_ms = (stream_s + _FIRST_FRAME_S) * 1000
    carrier = [event.at_s for event in result.events if event.kind in ("say", "dial")]
    return Observed(
        record=call.record,
        connections=tuple(_connected(log, call.start_s) for log in call.connections),
        refused_dials=call.refused_dials,
        stream_s=stream_s,
        first_streamed=next((one.code for one in spoken if one.at_ms >= first_ms), 0),
        spoken=spoken,
        loud=frozenset(one.code for one in spoken if _rms(result.spoken, one.at_ms) >= _LOUD_RMS),
        heard=tuple(one for one in heard if one.code in known),
        noises_ms=_noises_ms(result, heard, until_s=min(carrier, default=result.duration_s)),
        said=tuple(str(event.data["text"]) for event in result.named("say")),
        bridged=bool(result.named("bridged")),
        executions=tuple(
            Execution(one.key, tools.result_of(one.key), one.finished)
            for one in tools.runs_of(f"{call.run}:")
        ),
        left_open=call.left_open,
        ended_ms=result.duration_s * 1000,
    )


def _connected(log: SessionLog, start_s: float) -> Connected:
    return Connected(
        number=log.number,
        opened_s=log.opened_at - start_s,
        closed_s=None if log.closed_at is None else log.closed_at - start_s,
        ready=log.ready_at is not None,
        resumed=log.resumed_from is not None,
        caller_codes=tuple(log.codes()),
        instruction=log.system_instruction,
        texts=tuple(log.texts),
        memory=tuple(f"{role}: {text}" for role, text in log.memory),
        tool_answers=tuple(_json(answer) for answer in log.tool_responses),
        stray_answers=tuple(_json(answer) for answer in log.stray_tool_responses),
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _rms(ulaw: bytes, at_ms: float) -> int:
    at = round(at_ms * phone_audio.RATE_HZ / 1000)
    return audioop.rms(phone_audio.to_pcm(ulaw[at : at + phone_audio.FRAME_BYTES]), 2)


def _noises_ms(
    result: CallResult, heard: tuple[Coded, ...], *, until_s: float
) -> tuple[tuple[float, float], ...]:
    """Find what was to be heard without being a number: whole frames, for a tenth of a second."""
    coded = {round(edge // FRAME_MS) for one in heard for edge in _edges(one)}
    found: list[tuple[float, float]] = []
    for number in range(int(min(until_s, result.duration_s) * 1000) // FRAME_MS):
        start = float(number * FRAME_MS)
        if number in coded or _rms(result.heard, start) < _AUDIBLE_RMS:
            continue
        if found and start == found[-1][1]:
            found[-1] = (found[-1][0], start + FRAME_MS)
        else:
            found.append((start, start + FRAME_MS))
    return tuple(noise for noise in found if noise[1] - noise[0] >= _NOISE_MS)


def _edges(one: Coded) -> tuple[float, float]:
    return one.at_ms, one.at_ms + FRAME_MS - 1


def _leave(out: Path, call: Finished) -> tuple[tuple[str, str], ...]:
    """Write the call's files; ``phone.wav`` is what the far end of the line heard and said."""
    out.mkdir(parents=True, exist_ok=True)
    call.result.stereo_wav(out / "phone.wav")
    record: dict[str, Any] = asdict(call.record)
    (out / "record.json").write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    if call.recording is not None:
        (out / "call.wav").write_bytes(call.recording)
    page = render_page(
        call.record, wav=call.recording, wav_name="call.wav" if call.recording else ""
    )
    (out / "call.html").write_text(page, encoding="utf-8")
    names = {"page": "call.html", "phone": "phone.wav", "record": "record.json"}
    return tuple((what, str(out / name)) for what, name in names.items())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
