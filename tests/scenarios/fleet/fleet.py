"""Several workers, a balancer and a database, between the two twins in the test's own process."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from agent.conversation.record import CallRecord
from tests.fakes.balancer import Balancer
from tests.scenarios.fleet.database import Database, database
from tests.scenarios.fleet.process import WorkerProcess, all_ready
from tests.scenarios.fleet.seen import FleetCall, is_used
from tests.scenarios.rig import API_KEY, APOLOGY, CALLED, COLLEAGUE, GREETING, SPEECH, until
from workers.entrypoints.free_port import free_port
from workers.store.calls import CallRow, CallStore
from workers.store.sql import SqlCallStore
from workers.twin.caller import CallerScript, Step
from workers.twin.live_api.faults import Fault
from workers.twin.live_api.script import LiveScript
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep
from workers.twin.twilio_api.delivery import Answer, Deliverer
from workers.twin.twilio_api.result import Webhook
from workers.twin.twilio_api.server import TwilioTwin

SETUP_S, RESUME_S = 0.5, 0.3
"""What the Live twin takes, as the README's numbers have it."""
LEAVE_S = 20.0
_TOOLS = Path(__file__).with_name("fleet_tools.py")
_NUMBER = re.compile(r"caller is (\+\d+)")

AGENT: Mapping[str, Any] = {
    "name": "bakery",
    # The number tells which call a Live connection is for.
    "system_instruction": "You are a baker. The caller is {{caller}}.",
    "language": "en-US",
    "greeting": {"text": GREETING},
    "vad": {"silence_duration_ms": 300},
    "limits": {"answer_timeout_s": 5, "connect_timeout_s": 5},
    "tools": ["end_call", "transfer_call", "fleet_tools:book_table"],
    "transfer": {"front desk": COLLEAGUE},
    "apology": APOLOGY,
    "recording": {"enabled": True},
}


@dataclass(slots=True)
class Fleet:
    """Everything a scenario looks at."""

    live: LiveTwin
    twilio: TwilioTwin
    balancer: Balancer
    database: Database
    folder: Path
    environment: dict[str, str]
    agent: Path
    models: dict[str, LiveScript]
    """What each caller's model says, by the caller's number."""
    options: Sequence[str]
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    """Those that run, or ran last under this name."""
    everyone: list[WorkerProcess] = field(default_factory=list)
    """All that were ever started."""
    calls: list[FleetCall] = field(default_factory=list)
    _store: SqlCallStore | None = None
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def store(self) -> CallStore:
        """The fleet's store, as another worker has it."""
        if self._store is None:
            self._store = SqlCallStore(self.database.url)
        return self._store

    async def start(self, *names: str, options: Sequence[str] = ()) -> list[WorkerProcess]:
        """Start workers at once, and wait until all of them take calls."""
        started = []
        for name in names:
            worker = WorkerProcess(
                name,
                port=free_port(),
                agent=self.agent,
                environment=self.environment,
                log_file=self.folder / f"{name}-{len(self.everyone)}.log",
                options=[*self.options, *options],
            )
            self.everyone.append(worker)
            self.workers[name] = worker
            self.balancer.add(name, worker.port)
            started.append(worker)
        await all_ready(started, self.balancer.backends)
        return started

    async def restart(self, name: str) -> WorkerProcess:
        """Start another in the place of one that is gone."""
        (worker,) = await self.start(name)
        return worker

    async def whole(self, *names: str) -> None:
        """See to it that these and no others are up: what one test killed, the next one needs."""
        self.balancer.anyone()
        for name, worker in list(self.workers.items()):
            if name not in names or not await _answers(self.balancer, worker):
                self.balancer.remove(name)
                worker.end()
                del self.workers[name]
        await self.start(*(name for name in names if name not in self.workers))

    async def ring(
        self, *steps: Step, model: LiveScript = SPEECH, coded: bool = False, **options: Any
    ) -> FleetCall:
        """Let somebody call, who has a number of their own and a model of their own."""
        number = f"+1555012{next(self._numbers):04d}"
        self.models[number] = model
        base_url = self.balancer.base_url
        options.setdefault("status_url", f"{base_url}/voice/status")
        twin = await self.twilio.place_inbound_call(
            f"{base_url}/voice",
            caller=CallerScript.of(*steps, coded=coded),
            from_=number,
            to=CALLED,
            **options,
        )
        call = FleetCall(twin, number, self.live)
        self.calls.append(call)
        return call

    def server_of(self, call: FleetCall) -> WorkerProcess:
        """The worker that started the call's newest stream, by the logs.

        Raises:
            LookupError: none did.
        """
        found = [
            (record["timestamp"], worker)
            for worker in self.everyone
            for record in worker.logged("stream.started", call_sid=call.sid)
        ]
        if not found:
            raise LookupError(f"no worker started a stream of {call.sid}")
        return max(found, key=lambda one: one[0])[1]

    async def served(self, call: FleetCall, stream: int = 1) -> WorkerProcess:
        """Wait until a worker says that it serves this stream of the call; says which."""

        def started() -> int:
            return sum(
                len(worker.logged("stream.started", call_sid=call.sid)) for worker in self.everyone
            )

        await until(lambda: started() >= stream, timeout_s=20, poll_s=0.05)
        return self.server_of(call)

    def other(self, *taken: WorkerProcess) -> WorkerProcess:
        """Some worker that is up and is none of these."""
        return next(
            worker for worker in self.workers.values() if worker not in taken and not worker.gone
        )

    async def row(self, call: FleetCall) -> CallRow:
        """The call as the store has it now."""
        stored = await self.store.load_call(call.sid)
        assert stored is not None, f"{call.sid} is not in the store"
        return stored.row

    async def record(self, call: FleetCall, *, timeout_s: float = 15.0) -> CallRecord:
        """The record of a call that is over, once the last of it is written.

        Raises:
            TimeoutError: with what there is instead.
        """
        stored = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    stored = await self.store.load_call(call.sid)
                    if stored is not None and stored.row.state == "finished":
                        record = stored.record
                        if record is not None and _is_closed(record):
                            return record
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"the record of {call.sid} is not closed: {stored}") from None

    def recordings(self, call: FleetCall) -> list[Path]:
        """The sound files of a call."""
        return sorted((self.folder / "data" / "recordings").glob(f"{call.sid}*"))

    def tool_runs(self, key: str) -> list[str]:
        """What became of a counted tool: ``begun`` and ``done``, in order, whichever process."""
        file = self.folder / "tool_runs.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [what for what, name, _ in map(str.split, lines) if name == key]

    async def repeat(self, call: FleetCall, asked: Webhook, *, at: str) -> Answer:
        """Send a request of Twilio's once more, to one worker; the call does not see the answer."""
        path = urlsplit(asked.url)._replace(scheme="", netloc="").geturl()
        return await self._post(path, dict(asked.params), at=at)

    async def post(self, call: FleetCall, path: str, *, at: str = "", **params: str) -> Answer:
        """Send a request of Twilio's about a call, with these parameters laid over the usual."""
        return await self._post(path, call.twin.line.params() | params, at=at)

    async def _post(self, path: str, params: dict[str, str], *, at: str) -> Answer:
        if at:
            self.balancer.first(at, path.partition("?")[0])
        deliverer = Deliverer(self.twilio.auth_token)
        try:
            return await deliverer.deliver(self.balancer.base_url + path, params, method="POST")
        finally:
            await deliverer.close()

    async def until_idle(self, *, timeout_s: float = 20.0) -> None:
        """Wait until nothing of any call is left at the twins.

        What was dialled ahead for a stream that went elsewhere is kept for a while, and is not
        waited for.
        """
        await until(lambda: not self.twilio.live_calls, timeout_s=timeout_s)
        await until(lambda: not self.twilio.live_sockets, timeout_s=timeout_s)
        await until(lambda: not any(map(is_used, self.live.open_sessions)), timeout_s=timeout_s)

    def complaints(self) -> list[str]:
        """What no log may hold, of all workers there ever were."""
        return [found for worker in self.everyone for found in worker.complaints()]


def _is_closed(record: CallRecord) -> bool:
    return (
        record.end_reason is not None
        and bool(record.streams)
        and record.streams[-1].end_reason is not None
    )


async def _answers(balancer: Balancer, worker: WorkerProcess) -> bool:
    if worker.gone:
        return False
    backend = balancer.backends.get(worker.name)
    try:
        await until(lambda: backend is not None and backend.ready, timeout_s=2)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def fleet(
    folder: Path,
    *,
    kind: str = "sqlite",
    workers: Sequence[str] = ("w1", "w2"),
    agent: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    faults: Iterable[Fault] = (),
    options: Sequence[str] = (),
    seed: int | None = None,
    live_options: Mapping[str, Any] | None = None,
) -> AsyncIterator[Fleet]:
    """Start all of it; at the end nothing is left, and no log holds what none may hold.

    Args:
        folder: For agent, data, logs and the SQLite file.
        kind: ``sqlite`` or ``postgresql``.
        workers: Their names.
        agent: Fields of the agent's file that are not as in ``AGENT``.
        settings: Environment variables of all workers, laid over the rig's own.
        faults: What goes wrong at the Live API.
        options: More options of ``serve``.
        seed: Of the balancer, see there.
        live_options: More arguments of ``LiveTwin``.
    """
    file = folder / "agent.yaml"
    file.write_text(yaml.safe_dump({**AGENT, **(agent or {})}, sort_keys=False))
    shutil.copy(_TOOLS, folder)
    models: dict[str, LiveScript] = {}

    def script(_number: int, setup: Mapping[str, Any]) -> LiveScript:
        parts = setup.get("systemInstruction", {}).get("parts", [])
        found = _NUMBER.search("".join(part.get("text", "") for part in parts))
        return models.get(found[1], SPEECH) if found else SPEECH

    twins = {
        "setup_delay_s": SETUP_S,
        "resume_delay_s": RESUME_S,
        "keep": Keep(arrivals=True),
        **(live_options or {}),
    }
    with database(kind, folder) as shared:
        async with (
            LiveTwin(script, api_key=API_KEY, faults=faults, **twins) as live,
            TwilioTwin() as twilio,
            Balancer(seed=seed) as balancer,
        ):
            environment = {
                "GOOGLE_API_KEY": API_KEY,
                "GOOGLE_GEMINI_BASE_URL": live.base_url,
                "SSL_CERT_FILE": live.ca_file,
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_AUTH_TOKEN": twilio.auth_token,
                "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
                "EVERCALL_PUBLIC_URL": balancer.base_url,
                "EVERCALL_DATABASE_URL": shared.url,
                "EVERCALL_DATA_DIR": str(folder / "data"),
                "EVERCALL_TICKET_SECRET": "a secret that all workers share",
                **(settings or {}),
            }
            it = Fleet(live, twilio, balancer, shared, folder, environment, file, models, options)
            try:
                await it.start(*workers)
                yield it
                await it.until_idle()
            except Exception as error:
                for found in it.complaints()[:5]:
                    error.add_note(found)
                raise
            finally:
                await _end(it)
    complaints = it.complaints()
    assert not complaints, "\n".join(complaints)


async def _end(it: Fleet) -> None:
    """Kill whatever is left, so that a failed test leaves nothing behind."""
    for worker in it.everyone:
        await asyncio.to_thread(worker.end)
    if it._store is not None:
        await it._store.close(deadline_s=1.0)


def since(moment: float) -> float:
    """Seconds since a moment of the monotonic clock."""
    return time.monotonic() - moment
