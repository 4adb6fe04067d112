"""Makes the call of a recipe: both twins, the real worker between them, and what they all saw.

Everything is bounded: the caller's waits run out, and the call as a whole has a time-out.
"""

from __future__ import annotations

import asyncio
import secrets
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
from workers.entrypoints.drill.finished import Finished, observe
from workers.entrypoints.drill.observed import Observed
from workers.entrypoints.drill.recipe import Callee, Recipe
from workers.entrypoints.listener import listen
from workers.entrypoints.worker import Worker, run_worker
from workers.settings import WorkerSettings, load_settings
from workers.twin import caller
from workers.twin.live_api.script import Call, CallTool, LiveScript, Steps
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.server import TwilioTwin

API_KEY = "drill-key"
# Beyond what a recipe's caller waits on purpose.
TIMEOUT_S = 60.0
SETTLE_S = 5.0
POLL_S = 0.02


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
    # Taken at once: several of these start side by side.
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
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
        async with run_worker(
            settings, agent, host="127.0.0.1", port=port, listener=listener
        ) as worker:
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
        # First they are told what the call is about.
        caller.WaitStream(timeout_s=60.0),
        caller.Say("callee_hello"),
        caller.WaitSeconds(1.0),
        caller.HangUp(),
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
