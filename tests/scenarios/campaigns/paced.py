"""Everything that dials a campaign, as operators run it, on the true clock, before the twin.

Beat, Celery workers and the server are processes; Twilio's twin is in the test's own process, and
its ledger says when it was asked for what. Nobody answers, so there is no audio.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import yaml
from sqlalchemy import Engine, select

from tests.fakes.postgresql import postgresql
from tests.fakes.rabbitmq import rabbitmq_server
from tests.fakes.redis import redis_server
from tests.scenarios.campaigns.processes import ROOT, Broker, Process
from workers.campaign.contacts import Row
from workers.campaign.model import (
    Attempts,
    BrakeLimits,
    Campaign,
    CampaignState,
    Hours,
    Pace,
    Source,
    Weekday,
    Window,
)
from workers.entrypoints.free_port import free_port
from workers.store.campaign_schema import attempts
from workers.store.campaigns import campaigns
from workers.store.campaigns.contacts import add_contacts
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate
from workers.store.rows import utc
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.server import TwilioTwin

NAME = "reminders"
CALLER = "+15550100001"
CELERY = ("-m", "celery", "-q", "-A", "workers.dialling.celery_main")
EVERCALL = ("-c", "from workers.entrypoints.cli import main; main()")
COMMAND_S = 60.0
"""A command of evercall's may take, on a machine that has other things to do."""
_AGENT = {
    "name": "reminder",
    "system_instruction": "You remind people of an appointment.",
    "language": "en-US",
}
_ALL_DAY = Hours(
    {day: (Window(time_of_day(0), time_of_day(0)),) for day in Weekday},
)


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended; instants are POSIX seconds."""

    code: int
    output: str
    ended_at: float


@dataclass(slots=True)
class Paced:
    """What a test looks at."""

    engine: Engine
    twilio: TwilioTwin
    folder: Path
    environment: dict[str, str]
    celery: Sequence[Process]
    beat: Process
    server: Process
    broker: Broker
    campaign_id: int = 0

    def fill(self, count: int, pace: Pace, *, start: bool = True) -> None:
        """Make a campaign that calls each contact once, and start it."""
        now = datetime.now(UTC)
        definition = Campaign(
            name=NAME,
            agent=str(self.folder / "agent.yaml"),
            callers=(CALLER,),
            source=Source("contacts.csv"),
            hours=_ALL_DAY,
            attempts=Attempts(most=1, per_day=1),
            pace=pace,
            brake=BrakeLimits(failed=None, abandoned=None, blocked=None, opted_out=None),
            consent_required=False,
        )
        rows = [
            Row(place + 2, f"+4477{place:08}", ("Europe/London",), name=f"Contact {place}")
            for place in range(count)
        ]
        with writing(self.engine) as connection:
            self.campaign_id = campaigns.create(connection, definition, now=now)
            add_contacts(connection, self.campaign_id, rows, now=now)
        if start:
            self.start()

    def start(self) -> None:
        """Let the campaign begin."""
        with writing(self.engine) as connection:
            now = datetime.now(UTC)
            campaigns.move(connection, self.campaign_id, CampaignState.RUNNING, now=now)

    @property
    def state(self) -> CampaignState:
        """The campaign's."""
        with self.engine.connect() as connection:
            row = campaigns.load_by_id(connection, self.campaign_id)
        assert row is not None
        return row.state

    def decided_at(self) -> dict[int, float]:
        """When each attempt that was begun got its token, by its id."""
        with self.engine.connect() as connection:
            found = connection.execute(
                select(attempts.c.id, attempts.c.asked_at).where(attempts.c.asked_at.is_not(None))
            )
            return {row.id: utc(row.asked_at).timestamp() for row in found}

    async def until_dialled(self, count: int, timeout_s: float) -> None:
        """Wait for so many calls.

        Raises:
            TimeoutError: there were fewer.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while len(self.twilio.ledger) < count:  # noqa: ASYNC110  it has no events
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"{len(self.twilio.ledger)} of {count} dials") from None

    async def command(self, *words: str) -> Ran:
        """Run ``evercall`` in a process of its own.

        Raises:
            TimeoutError: it does not end.
        """
        outside = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *EVERCALL,
            *words,
            env=outside | self.environment | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(COMMAND_S):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Ran(process.returncode, output.decode(errors="replace"), time.time())


@asynccontextmanager
async def paced(
    folder: Path,
    *,
    database: str = "sqlite",
    broker: str = "embedded",
    workers: int = 1,
    rings_s: float = 1.0,
    calls_per_second: float = 50.0,
) -> AsyncIterator[Paced]:
    """Start everything but a campaign; at the end nothing is left of it.

    Args:
        folder: For everything that is written.
        database: ``sqlite`` or ``postgresql``.
        broker: ``embedded``, ``redis`` or ``rabbitmq``.
        workers: Of Celery's, as ``evercall up`` starts one of.
        rings_s: After so long whoever is called is busy.
        calls_per_second: Of the account.

    Raises:
        NoServerError, NoPostgresqlError: it is not installed.
    """
    (folder / "agent.yaml").write_text(yaml.safe_dump(_AGENT))
    port = free_port()
    with _database(database, folder) as url, _broker(broker) as server:
        engine = open_engine(url)
        with writing(engine) as connection:
            migrate(connection)
        async with TwilioTwin(remembered_calls=200_000) as twilio:
            twilio.on_dial = lambda _: CalleeBehaviour("busy", after_s=rings_s)
            environment = {
                "GOOGLE_API_KEY": "nobody-answers",
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_AUTH_TOKEN": twilio.auth_token,
                "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
                "EVERCALL_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "EVERCALL_AGENT": str(folder / "agent.yaml"),
                "EVERCALL_DATABASE_URL": url,
                "EVERCALL_DATA_DIR": str(folder / "data"),
                "EVERCALL_CALLS_PER_SECOND": str(calls_per_second),
                "EVERCALL_MAX_CALLS": "1000",
                "EVERCALL_PREWARM": "false",
                # Tests run as root, which Celery warns of.
                "PYTHONWARNINGS": "ignore",
                **({} if server is None else {"EVERCALL_BROKER_URL": server.url}),
            }

            def process(name: str, *words: str) -> Process:
                return Process(words, environment=environment, log_file=folder / f"{name}.log")

            options = ("--concurrency", "4", "--without-gossip", "--without-mingle")
            names = [f"worker-{number + 1}" for number in range(workers)]
            it = Paced(
                engine,
                twilio,
                folder,
                environment,
                [process(name, *CELERY, "worker", *options, "-n", f"{name}@%h") for name in names],
                process("beat", *CELERY, "beat"),
                process("server", *EVERCALL, "serve", "--host", "127.0.0.1", "--port", str(port)),
                server,
            )
            everything = [*it.celery, it.beat, it.server]
            try:
                for each in everything:
                    each.start()
                yield it
            finally:
                for each in everything:
                    each.kill()
                engine.dispose()


def full_pace(rate: float, at_once: int) -> Pace:
    """This pace from the first second on."""
    return Pace(calls_per_second=rate, calls_at_once=at_once, ramp=((timedelta(0), 1.0),))


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'evercall.sqlite3'}"
        return
    with postgresql() as cluster:
        yield cluster.url


@contextmanager
def _broker(kind: str) -> Iterator[Broker]:
    if kind == "redis":
        with redis_server() as redis:
            yield redis
    elif kind == "rabbitmq":
        with rabbitmq_server() as rabbitmq:
            yield rabbitmq
    else:
        yield None
