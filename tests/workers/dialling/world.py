"""A Twilio in memory, a clock that is moved by hand, and campaigns between the two.

What this Twilio is told it does, on the same clock: it rings, is answered or not, and posts
callbacks that may be lost, late, twice or in the wrong order. Its ledger is what tests judge by.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import TypeVar

from sqlalchemy import Connection, Engine, insert, select, update

from telephony.calls.rest import Call
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.calls.webhooks import StatusReport
from telephony.errors import CarrierError, OutcomeUnknown
from workers.campaign.model import (
    Attempts,
    BrakeLimits,
    Campaign,
    CampaignState,
    ContactState,
    Hours,
    Pace,
    Source,
    Weekday,
    Window,
)
from workers.dialling.beginning import Limits
from workers.dialling.choosing import tick
from workers.dialling.pump import Pump, Pumped
from workers.dialling.reconciling import reconcile
from workers.dialling.settling import settle
from workers.store.campaign_schema import attempts, contacts
from workers.store.campaigns import campaigns
from workers.store.campaigns.attempts import note_answered_by, note_status
from workers.store.campaigns.rows import CampaignRow
from workers.store.database import reading, writing
from workers.store.schema import workers

T = TypeVar("T")

ACCOUNT = "AC" + "0" * 32
CALLER = "+15550100001"
# A Wednesday, 12:00 in London.
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ALL_DAY = Hours({day: (Window(time(0), time(0)),) for day in Weekday})
NO_RAMP = ((timedelta(0), 1.0),)
NO_BRAKE = BrakeLimits(failed=None, abandoned=None, blocked=None, opted_out=None)


def campaign(name: str = "reminders", **changes: object) -> Campaign:
    """One that calls at any hour, fast, without a brake."""
    plain = Campaign(
        name=name,
        agent="agent.yaml",
        callers=(CALLER,),
        source=Source("contacts.csv"),
        hours=ALL_DAY,
        attempts=Attempts(most=3, per_day=100),
        pace=Pace(calls_per_second=10.0, calls_at_once=1_000, ramp=NO_RAMP),
        brake=NO_BRAKE,
        consent_required=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Fate:
    """What comes of one request to dial."""

    status: CallStatus = CallStatus.COMPLETED
    ring_s: float = 5.0
    talk_s: float = 20.0
    answered_by: AnsweredBy | None = AnsweredBy.HUMAN
    sip_code: int | None = None
    error: CarrierError | None = None
    """Raised in place of the answer."""
    taken: bool = True
    """Whether there is a call; where ``error`` is set it may be either."""
    killed: BaseException | None = None
    """Who asked dies of it instead of getting the answer."""
    late_s: float = 0.0
    """The call comes into being so long after it was asked for."""
    unlisted_s: float = 0.0
    """And is shown in the list of calls so long after that."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A line of the ledger."""

    at_s: float
    attempt_id: int
    to: str
    sid: str
    asked_s: float
    """When we asked, which may be earlier."""


@dataclass(slots=True)
class TwinCall:
    """A call as this Twilio knows it."""

    call: Call
    fate: Fate
    attempt_id: int
    sequence: int = 0


class FakeTwilio:
    """Dials, lists and fetches, on a clock of the test's."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self.ledger: list[Dialled] = []
        self.fate: Callable[[str, int], Fate] = lambda _number, _attempt: Fate()
        self.callbacks: Callable[[], Sequence[float]] = lambda: (0.1,)
        """How late each copy of a callback arrives; none: it is lost."""
        self.posted: list[tuple[int, StatusReport]] = []
        self.calls: dict[str, TwinCall] = {}
        self.ended: dict[str, float] = {}
        """When each call was over, by its SID."""
        self._wall = wall
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    async def dial(
        self,
        to: str,
        *,
        from_: str | None = None,
        time_limit_s: int = 0,
        ring_timeout_s: int = 0,
        machine_detection: object = None,
        attempt_id: int | None = None,
    ) -> Call:
        assert attempt_id is not None
        fate, now = self.fate(to, attempt_id), self._wall()
        call = Call(
            sid=f"CA{len(self.ledger):032}",
            status=CallStatus.QUEUED,
            direction="outbound-api",
            from_=from_ or "",
            to=to,
            created_at=datetime.fromtimestamp(int(self._wall()), UTC),
            started_at=None,
            ended_at=None,
            duration_s=None,
            answered_by=None,
            queue_time_ms=None,
        )
        if fate.taken and not fate.late_s:
            self._take(call, fate, attempt_id, now)
        elif fate.taken:
            self._at(now + fate.late_s, lambda: self._take(call, fate, attempt_id, now))
        if fate.killed is not None:
            raise fate.killed
        if fate.error is not None:
            raise fate.error
        return call

    def _take(self, call: Call, fate: Fate, attempt_id: int, asked_s: float) -> None:
        now = self._wall()
        call = replace(
            call, sid=f"CA{len(self.ledger):032}", created_at=datetime.fromtimestamp(int(now), UTC)
        )
        self.ledger.append(Dialled(now, attempt_id, call.to, call.sid, asked_s))
        self.calls[call.sid] = TwinCall(call, fate, attempt_id)
        self._live(call.sid)

    async def fetch(self, call_sid: str) -> Call | None:
        found = self.calls.get(call_sid)
        return None if found is None else found.call

    async def list_calls(self, *, to: str | None = None, limit: int = 50) -> list[Call]:
        found = [
            one.call
            for one, dialled in zip(self.calls.values(), self.ledger, strict=True)
            if one.call.to == to and self._wall() >= dialled.at_s + one.fate.unlisted_s
        ]
        return found[::-1][:limit]

    def running(self) -> int:
        """Calls that are not over."""
        return sum(not self._over(one.call) for one in self.calls.values())

    def advance(self, until_s: float) -> None:
        """Let everything happen that is due by then."""
        while self._queue and self._queue[0][0] <= until_s:
            _at, _order, happen = heapq.heappop(self._queue)
            happen()

    def set_back(self, by_s: float) -> None:
        """Our clock was wrong by so much, and is not any more; calls go on as they were."""
        self._queue = [(at_s - by_s, order, happen) for at_s, order, happen in self._queue]

    @staticmethod
    def _over(call: Call) -> bool:
        return call.status is not None and call.status.terminal

    def _live(self, sid: str) -> None:
        fate = self.calls[sid].fate
        now = self._wall()
        self._at(now + 0.2, lambda: self._enter(sid, CallStatus.INITIATED))
        self._at(now + 1.0, lambda: self._enter(sid, CallStatus.RINGING))
        over = now + 1.0 + fate.ring_s
        if fate.status is CallStatus.COMPLETED:
            self._at(over, lambda: self._enter(sid, CallStatus.IN_PROGRESS))
            over += fate.talk_s
        self._at(over, lambda: self._enter(sid, fate.status))

    def _enter(self, sid: str, status: CallStatus) -> None:
        one = self.calls[sid]
        answered = status is CallStatus.COMPLETED
        shown = CallStatus.QUEUED if status is CallStatus.INITIATED else status
        one.call = replace(
            one.call,
            status=shown,
            answered_by=one.fate.answered_by if answered else None,
            duration_s=round(one.fate.talk_s) if answered else None,
        )
        report = StatusReport(
            call_sid=sid,
            status=status,
            sequence_number=one.sequence,
            duration_s=one.call.duration_s,
            sip_response_code=one.fate.sip_code if status.terminal else None,
            answered_by=one.call.answered_by,
        )
        one.sequence += 1
        if status.terminal:
            self.ended[sid] = self._wall()
        for late_s in self.callbacks():
            self._at(
                self._wall() + late_s,
                lambda: self.posted.append((one.attempt_id, report)),
            )

    def _at(self, at_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at_s, next(self._order), happen))


@dataclass(slots=True)
class World:
    """A database, its Twilio and the time."""

    engine: Engine
    start: datetime = NOON
    limits: Limits = field(default_factory=lambda: Limits(ACCOUNT, 1_000.0))
    capacity: int = 1_000
    twilio: FakeTwilio = field(init=False)
    now_s: float = field(init=False)
    pumped: Pumped = field(default_factory=Pumped)
    most_running: int = 0
    at_database: int = 0
    """How many transactions of whoever dials are under way; no time passes meanwhile."""
    _sleepers: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now_s = self.start.timestamp()
        self.twilio = FakeTwilio(self.wall)

    def wall(self) -> float:
        return self.now_s

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def add(
        self,
        definition: Campaign,
        numbers: Iterable[str],
        *,
        zones: str = "Europe/London",
        state: CampaignState = CampaignState.RUNNING,
    ) -> int:
        """A campaign with these contacts, in this state; its id."""
        with writing(self.engine) as connection:
            campaign_id = campaigns.create(connection, definition, now=self.now)
            rows = [
                {
                    "campaign_id": campaign_id,
                    "identity": f"{place:016}".encode(),
                    "line": place + 2,
                    "number": number,
                    "zones": zones,
                    "state": ContactState.WAITING,
                    "due_at": self.now,
                }
                for place, number in enumerate(numbers)
            ]
            if rows:
                connection.execute(insert(contacts), rows)
            if state is not CampaignState.DRAFT:
                campaigns.move(connection, campaign_id, state, now=self.now)
        return campaign_id

    def move(self, campaign_id: int, to: CampaignState, **more: object) -> None:
        with writing(self.engine) as connection:
            campaigns.move(connection, campaign_id, to, now=self.now, **more)  # type: ignore[arg-type]

    def campaign(self, campaign_id: int) -> CampaignRow:
        with reading(self.engine) as connection:
            found = campaigns.load_by_id(connection, campaign_id)
        assert found is not None
        return found

    def beat(self) -> None:
        """A worker that can serve calls is there."""
        row = {"beats": 1, "draining": False, "calls": 0, "host": "h", "pid": 1}
        with writing(self.engine) as connection:
            done = connection.execute(
                update(workers).values(seen_at=self.now, capacity=self.capacity)
            )
            if not done.rowcount:
                connection.execute(
                    insert(workers).values(
                        worker="w1", seen_at=self.now, capacity=self.capacity, **row
                    )
                )

    async def sleep(self, for_s: float) -> None:
        """Time passes when all who are awake sleep, up to who wakes first."""
        until = self.now_s + max(for_s, 0.001)
        heapq.heappush(self._sleepers, until)
        while self.now_s < until:
            # Whoever is at the database, in a thread, is awake; one may be about to be.
            await asyncio.sleep(0.0005)
            if self.at_database:
                continue
            while self._sleepers and self._sleepers[0] <= self.now_s:
                heapq.heappop(self._sleepers)
            if self._sleepers:
                self.pass_s(self._sleepers[0] - self.now_s)

    def pass_s(self, for_s: float) -> None:
        """Let time pass, and callbacks arrive."""
        self.now_s += for_s
        self.twilio.advance(self.now_s)
        posted, self.twilio.posted = self.twilio.posted, []
        for attempt_id, report in posted:
            with writing(self.engine) as connection:
                note_status(connection, attempt_id, report, now=self.now)
                if report.answered_by is not None:
                    note_answered_by(connection, attempt_id, report.answered_by, now=self.now)
        self.most_running = max(self.most_running, self.twilio.running())

    def set_back(self, by_s: float) -> None:
        """Set the clock back; what is under way goes on."""
        self.now_s -= by_s
        self.twilio.set_back(by_s)

    async def dial(self, for_s: float = 1.0) -> Pumped:
        """Dial for so long."""
        pump = _WatchedPump(self)
        return await pump.run(for_s)

    async def round(self, step_s: float = 1.0) -> None:
        """Everything that is done once, and what happens until ``step_s`` have passed."""
        self.beat()
        until = self.now_s + step_s
        tick(self.engine, now=self.now)
        await self.dial(1.0)
        await reconcile(self.engine, self.twilio, now=self.now)
        settle(self.engine, now=self.now)
        if self.now_s < until:
            self.pass_s(until - self.now_s)

    async def run(self, seconds: int, *, step_s: float = 1.0) -> None:
        until = self.now_s + seconds
        while self.now_s < until:
            await self.round(step_s)

    def contact_states(self, campaign_id: int) -> list[str]:
        with reading(self.engine) as connection:
            found = connection.execute(
                select(contacts.c.state)
                .where(contacts.c.campaign_id == campaign_id)
                .order_by(contacts.c.id)
            )
            return list(found.scalars())

    def attempt_states(self, campaign_id: int) -> list[str]:
        with reading(self.engine) as connection:
            found = connection.execute(
                select(attempts.c.state)
                .where(attempts.c.campaign_id == campaign_id)
                .order_by(attempts.c.id)
            )
            return list(found.scalars())


class _WatchedPump(Pump):
    """Tells its world when it is at the database, in a thread."""

    def __init__(self, world: World) -> None:
        super().__init__(
            world.engine,
            world.twilio,
            world.limits,
            wall=world.wall,
            clock=world.wall,
            sleep=world.sleep,
        )
        self._world = world

    async def _write(self, work: Callable[[Connection], T]) -> T:
        self._world.at_database += 1
        try:
            return await super()._write(work)
        finally:
            self._world.at_database -= 1


def numbers(count: int) -> list[str]:
    """So many different ones."""
    return [f"+447700{900_000 + place:06}" for place in range(count)]


def unknown() -> OutcomeUnknown:
    """What a time-out is told as."""
    return OutcomeUnknown("no answer from Twilio in time")


def shaken(dice: Random) -> Callable[[], Sequence[float]]:
    """Callbacks that are lost, late, doubled and overtaken."""

    def late() -> Sequence[float]:
        if dice.random() < 0.15:
            return ()
        return [dice.uniform(0.05, 6.0) for _ in range(dice.choice((1, 1, 1, 2)))]

    return late
