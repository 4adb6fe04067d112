"""Everything that dials a campaign, as real processes, between the two twins in the test's own.

One wall clock runs for all of them, ``FACTOR`` times as fast as time: rings, spacings and hours
pass by it. What moves between the processes takes as long as it takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from random import Random

import pytest
import yaml
from sqlalchemy import Engine, select

from tests.fakes.rabbitmq import rabbitmq_server
from tests.fakes.redis import NoServerError, redis_server
from tests.fakes.scaled_wall import ScaledWall
from tests.scenarios.campaigns.judge import Rules, Settled, wrong_books, wrong_dials
from tests.scenarios.campaigns.processes import CELERY, Broker, Killer, Process
from tests.scenarios.fleet.database import database
from workers.campaign.contacts import Row
from workers.campaign.model import (
    Attempts,
    BrakeLimits,
    Campaign,
    CampaignState,
    ContactState,
    Hours,
    LineOutcome,
    Pace,
    Source,
    Weekday,
    Window,
)
from workers.entrypoints.free_port import free_port
from workers.store.campaign_schema import attempts
from workers.store.campaigns import campaigns
from workers.store.campaigns.contacts import add_contacts, counts
from workers.store.campaigns.suppressions import suppress
from workers.store.database import open_engine, reading, writing
from workers.store.migrate import migrate
from workers.store.rows import utc
from workers.twin.caller import CallerScript, HangUp, Say, WaitSeconds
from workers.twin.live_api.script import LiveScript
from workers.twin.live_api.script import Say as ModelSays
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import NOTHING
from workers.twin.twilio_api.callback_faults import RandomCallbacks
from workers.twin.twilio_api.callee import CalleeBehaviour, Voicemail
from workers.twin.twilio_api.callees import CalleeMix, RandomCallees
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.rest_faults import RandomRest, RestOdds
from workers.twin.twilio_api.server import TwilioTwin

FACTOR = float(os.environ.get("EVERCALL_TEST_FACTOR", "20"))
"""A request to dial may take 10 s of this clock, which is half a second: no faster on two cores."""
START = datetime(2026, 11, 25, 3, 15, 30, tzinfo=UTC)
CALLER = "+15550100001"
API_KEY = "campaign-key"
MOST = 3

# Open for five minutes of every eight: an hour is no multiple of eight minutes, so that zones open
# and close one after the other, some of them closed at the start.
OPEN_MIN = [(begin, begin + 5) for begin in range(2 * 60, 23 * 60 + 52, 8)]
ZONES: Sequence[tuple[tuple[str, ...], int]] = (
    (("Europe/London",), 4),
    (("Europe/Paris",), 3),
    (("Asia/Kolkata",), 2),
    (("Asia/Kathmandu",), 1),
    # Ambiguous numbers: both must be open.
    (("Europe/London", "Asia/Kolkata"), 1),
    (("Europe/Paris", "Asia/Kathmandu"), 1),
)
MIX = CalleeMix(
    human=15, voicemail=8, no_answer=12, busy=12, unavailable=6, not_found=20, invalid=12
)
_SPACING = {
    LineOutcome.BUSY: timedelta(seconds=40),
    LineOutcome.NO_ANSWER: timedelta(seconds=60),
    LineOutcome.VOICEMAIL: timedelta(seconds=90),
    LineOutcome.FAILED: timedelta(seconds=40),
    LineOutcome.CANCELED: timedelta(seconds=40),
    LineOutcome.NOT_PLACED: timedelta(seconds=30),
}
_NUMBERS = re.compile(r"\+4477\d{8}")
_AGENT = {
    "name": "reminder",
    "system_instruction": "You remind people of an appointment.",
    "language": "en-US",
    "greeting": {"text": "Good day."},
    "limits": {"answer_timeout_s": 5, "connect_timeout_s": 5},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A database and a broker."""

    database: str
    broker: str

    def __str__(self) -> str:
        return f"{self.database}-{self.broker}"


@dataclass
class Installation:
    """What a test looks at."""

    engine: Engine
    twilio: TwilioTwin
    wall: ScaledWall
    folder: Path
    celery: Sequence[Process]
    beat: Process
    server: Process
    broker: Broker
    dice: Random
    campaign_id: int = 0
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    suppressed: dict[str, float] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def fill(self, count: int) -> None:
        """Import so many contacts, one in twenty on the suppression list, and start."""
        numbers = [f"+4477{place:08}" for place in range(count)]
        for number in self.dice.sample(numbers, count // 20):
            self.suppress(number)
        choices, weights = zip(*ZONES, strict=True)
        rows = []
        for place, number in enumerate(numbers):
            (self.zones[number],) = self.dice.choices(choices, weights)
            rows.append(Row(place + 2, number, self.zones[number], name=f"Contact {place}"))
        with writing(self.engine) as connection:
            definition = _campaign(self.folder / "agent.yaml")
            self.campaign_id = campaigns.create(connection, definition, now=self.now)
            for begin in range(0, count, 1_000):
                batch = rows[begin : begin + 1_000]
                add_contacts(connection, self.campaign_id, batch, now=self.now)
            campaigns.move(connection, self.campaign_id, CampaignState.RUNNING, now=self.now)

    def suppress(self, number: str) -> None:
        """Put a number on the list; from its commit on nobody may begin to call it."""
        with writing(self.engine) as connection:
            suppress(connection, number, reason="asked us", source="operator", now=self.now)
        self.suppressed.setdefault(number, self.wall())

    async def suppress_some(self, count: int) -> None:
        """Suppress so many while it goes on, evenly spread over what is dialled."""
        for number in self.dice.sample(sorted(self.zones), count):
            wanted = len(self.twilio.ledger) + len(self.zones) / count * 0.8
            # The ledger is the twin's own: it has no events to wait for.
            while len(self.twilio.ledger) < wanted and not self.finished:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            if not self.finished:
                await asyncio.to_thread(self.suppress, number)

    def killer(self, kills: int, dials_each: float) -> Killer:
        return Killer(
            self.celery,
            self.beat,
            self.server,
            self.broker,
            self.twilio.ledger,
            Random(self.dice.random()),
            kills,
            dials_each,
        )

    @property
    def finished(self) -> bool:
        with reading(self.engine) as connection:
            row = campaigns.load_by_id(connection, self.campaign_id)
        assert row is not None
        return row.state is CampaignState.FINISHED

    def contact_states(self) -> dict[str, int]:
        with reading(self.engine) as connection:
            found = counts(connection, self.campaign_id)
        return {state: count for state, count in found.items() if count}

    def attempts(self) -> list[Settled]:
        with reading(self.engine) as connection:
            return [
                Settled(
                    row.id,
                    row.number,
                    row.state,
                    row.call_sid,
                    None if row.asked_at is None else utc(row.asked_at).timestamp(),
                    row.settled_at is not None,
                )
                for row in connection.execute(select(attempts).order_by(attempts.c.id))
            ]

    async def until_finished(self, timeout_s: float) -> None:
        """Wait for the campaign's end.

        Raises:
            TimeoutError: with how it stands.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await asyncio.to_thread(lambda: self.finished):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
                # What still rings has been decided about; nothing more may come of it.
                while self.twilio.live_calls:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            states = Counter(each.state for each in self.attempts() if not each.is_settled)
            raise TimeoutError(
                f"not finished: {self.contact_states()}, unsettled attempts {dict(states)}, "
                f"{len(self.twilio.ledger)} dials"
            ) from None

    def violations(self) -> list[str]:
        """Everything that is not as it was promised."""
        rules = Rules(self.zones, OPEN_MIN, MOST, self.suppressed, CALLER)
        ledger, rows = list(self.twilio.ledger), self.attempts()
        final = {ContactState.DONE, ContactState.EXHAUSTED, ContactState.NEVER}
        return [
            *wrong_dials(ledger, rules),
            *wrong_books(ledger, rows, rules),
            *(
                f"{count} contacts are {state}"
                for state, count in self.contact_states().items()
                if state not in final
            ),
            *(f"{path.name} holds a number" for path in self.logs() if _holds_number(path)),
            *(
                f"{process.log_file.stem} ended by itself"
                for process in (*self.celery, self.beat, self.server)
                if process.has_ended
            ),
            *(["the ledger is not whole"] if self.twilio.ledger.dropped else []),
        ]

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def logged(self) -> Counter[str]:
        """How often each thing was logged as a warning or an error."""
        found: Counter[str] = Counter()
        for path in self.logs():
            for line in path.read_text(errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict) and record.get("level") in ("warning", "error"):
                    # Others' messages have several lines.
                    found[f"{path.stem}: {str(record.get('event'))[:40].splitlines()[0]}"] += 1
        return found


@asynccontextmanager
async def installation(kind: Kind, folder: Path, *, seed: int) -> AsyncIterator[Installation]:
    """Start everything but the campaign; at the end nothing is left of it."""
    (folder / "agent.yaml").write_text(yaml.safe_dump(_AGENT))
    wall = ScaledWall.beginning(START.timestamp(), FACTOR)
    script = LiveScript(opening=(ModelSays("Good day."),), otherwise=(ModelSays("Yes."),))
    port = free_port()
    with _database(kind.database, folder) as url, _broker(kind.broker) as broker:
        engine = open_engine(url)
        with writing(engine) as connection:
            migrate(connection)
        async with (
            LiveTwin(script, api_key=API_KEY, keep=NOTHING) as live,
            TwilioTwin(
                wall=wall, speed=FACTOR, remembered_calls=200_000, keep_alive=False
            ) as twilio,
        ):
            _make_random(twilio, seed)
            environment = {
                "GOOGLE_API_KEY": API_KEY,
                "GOOGLE_GEMINI_BASE_URL": live.base_url,
                "SSL_CERT_FILE": str(live.ca_file),
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_AUTH_TOKEN": twilio.auth_token,
                "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
                "EVERCALL_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "EVERCALL_AGENT": str(folder / "agent.yaml"),
                "EVERCALL_DATABASE_URL": url,
                "EVERCALL_DATA_DIR": str(folder / "data"),
                "EVERCALL_TICKET_SECRET": "a secret that outlives its server",
                "EVERCALL_CALLS_PER_SECOND": "50",
                # Tests run as root, which Celery warns of.
                "PYTHONWARNINGS": "ignore",
                **({} if broker is None else {"EVERCALL_BROKER_URL": broker.url}),
                **wall.environment,
            }

            def process(name: str, *words: str) -> Process:
                return Process(words, environment=environment, log_file=folder / f"{name}.log")

            options = ("-c", "2", "--without-gossip", "--without-mingle")
            it = Installation(
                engine,
                twilio,
                wall,
                folder,
                [
                    process(name, *CELERY, "worker", *options, "-n", f"{name}@%h")
                    for name in ("one", "two")
                ],
                process("beat", *CELERY, "beat"),
                process("server", "-m", "tests.scenarios.campaigns.server_process", str(port)),
                broker,
                Random(seed),
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


def _make_random(twilio: TwilioTwin, seed: int) -> None:
    callees = RandomCallees(
        seed,
        MIX,
        person=CallerScript.of(WaitSeconds(8.0), HangUp()),
        # Where nobody hangs up on it, it takes as long as it takes.
        voicemail=Voicemail(greeting=(Say("Hello."),), record_s=1.0),
    )

    def on_dial(to: str) -> CalleeBehaviour:
        # For each call, whose own first callbacks would all meet the same fate.
        callbacks = RandomCallbacks(
            int(f"{seed}{to[1:]}{callees.dialled[to]}"),
            drop=0.08,
            behind_next=0.1,
            longest_delay_s=5.0 / FACTOR,
        )
        twilio.faults = CallFaults(callbacks=callbacks)
        return callees(to)

    twilio.on_dial = on_dial
    twilio.on_rest = RandomRest(
        seed,
        create=RestOdds(),
        read=RestOdds(0.05, 0.05, 0, 0, 0.05, 0),
        # Longer than anybody waits for it (celery_process).
        late_s=15.0 / FACTOR,
    )


def _campaign(agent: Path) -> Campaign:
    windows = tuple(
        Window(time(begin // 60, begin % 60), time(end // 60, end % 60)) for begin, end in OPEN_MIN
    )
    return Campaign(
        name="reminders",
        agent=str(agent),
        callers=(CALLER,),
        source=Source("contacts.csv"),
        hours=Hours(dict.fromkeys(Weekday, windows)),
        attempts=Attempts(most=MOST, per_day=MOST, spacing=_SPACING),
        # 3 s of this are written down at each tick, which come by the real clock.
        pace=Pace(
            calls_per_second=4.0, calls_at_once=round(500 / FACTOR), ramp=((timedelta(0), 1.0),)
        ),
        # Half of what is dialled here is meant to fail.
        brake=BrakeLimits(failed=None, abandoned=None, blocked=None, opted_out=None),
        consent_required=False,
    )


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    with database(kind, folder) as found:
        yield found.url


@contextmanager
def _broker(kind: str) -> Iterator[Broker]:
    with ExitStack() as stack:
        try:
            if kind == "redis":
                yield stack.enter_context(redis_server())
            elif kind == "rabbitmq":
                yield stack.enter_context(rabbitmq_server())
            else:
                yield None
        except NoServerError as error:
            pytest.skip(str(error))


def _holds_number(path: Path) -> bool:
    return _NUMBERS.search(path.read_text(errors="replace")) is not None


def shown(counted: Mapping[str, int]) -> str:
    """Counts, most first."""
    return ", ".join(f"{name} {count}" for name, count in Counter(counted).most_common())
