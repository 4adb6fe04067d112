"""Everybody at once, in threads of their own, on a Twilio that is judged by its ledger.

Ticks, pumps, reconcilers, settlers, callbacks and operators stand in each other's way on one
database, as they do in several processes. Time runs faster than it is, so that calls come to their
end; what an operator does, and what comes of each dial, is thrown by a seed. ``CONCURRENCY_SEED``
repeats the dice, not the threads.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random, SystemRandom

import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import OperationalError

from telephony.calls.rest import Call
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.calls.webhooks import StatusReport
from telephony.errors import carrier_error
from tests.workers.dialling.world import (
    ACCOUNT,
    NO_RAMP,
    NOON,
    Fate,
    World,
    campaign,
    numbers,
    unknown,
)
from workers.campaign.model import (
    Attempts,
    CampaignState,
    ContactState,
    IllegalMove,
    LineOutcome,
    Pace,
)
from workers.dialling.beginning import Limits
from workers.dialling.choosing import tick
from workers.dialling.pump import Pump
from workers.dialling.reconciling import reconcile
from workers.dialling.settling import settle
from workers.dialling.transactions import write
from workers.store.campaign_schema import attempts, contacts
from workers.store.campaigns import campaigns
from workers.store.campaigns.attempts import note_answered_by, note_flags, note_status
from workers.store.campaigns.suppressions import suppress
from workers.store.campaigns.switches import allow_all, stop_all
from workers.store.database import is_away, is_conflict, reading, writing

FASTER = 8.0
"""Seconds of theirs in one of ours."""
MEDDLED_S = 5.0
"""Of ours."""
ROUNDS = 400
CONTACTS = 48
AT_ONCE = 12
ENDED = {ContactState.DONE, ContactState.EXHAUSTED, ContactState.NEVER, ContactState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Rang:
    """A call, as this Twilio had it."""

    attempt_id: int
    to: str
    from_s: float
    until_s: float


@dataclass
class Twilio:
    """Like ``FakeTwilio``, for many threads: what happens, happens in ``run``."""

    wall: Wall
    dice: Random
    lock: threading.Lock = field(default_factory=threading.Lock)
    rang: dict[str, Rang] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    due: list[tuple[float, int, int, StatusReport]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

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
        with self.lock:
            late_s, fate = self.dice.uniform(0.0, 0.02), self._fate()
        await asyncio.sleep(late_s)
        sid = f"CA{attempt_id:016}{next(self.order):016}"
        call = Call(
            sid=sid,
            status=CallStatus.QUEUED,
            direction="outbound-api",
            from_=from_ or "",
            to=to,
            created_at=datetime.fromtimestamp(int(self.wall()), UTC),
            started_at=None,
            ended_at=None,
            duration_s=None,
            answered_by=None,
            queue_time_ms=None,
        )
        if fate.taken:
            with self.lock:
                self._take(call, fate, attempt_id)
        if fate.error is not None:
            raise fate.error
        return call

    async def fetch(self, call_sid: str) -> Call | None:
        with self.lock:
            found = self.calls.get(call_sid)
            return None if found is None else self._shown(found)

    async def list_calls(self, *, to: str | None = None, limit: int = 50) -> list[Call]:
        with self.lock:
            return [self._shown(one) for one in self.calls.values() if one.to == to][::-1][:limit]

    def happened(self) -> list[tuple[int, StatusReport]]:
        """Callbacks that are due."""
        found = []
        with self.lock:
            while self.due and self.due[0][0] <= self.wall():
                _at, _order, attempt_id, report = heapq.heappop(self.due)
                found.append((attempt_id, report))
        return found

    def _shown(self, call: Call) -> Call:
        over = self.wall() >= self.rang[call.sid].until_s
        return call if over else replace(call, status=CallStatus.RINGING)

    def _fate(self) -> Fate:
        luck = self.dice.random()
        if luck < 0.15:
            return Fate(error=unknown(), taken=self.dice.random() < 0.5)
        if luck < 0.2:
            busy = carrier_error(20429, 429)("busy", code=20429, status=429)
            return Fate(error=busy, taken=False)
        return Fate(self.dice.choice((CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.NO_ANSWER)))

    def _take(self, call: Call, fate: Fate, attempt_id: int) -> None:
        now = self.wall()
        until = now + self.dice.uniform(3.0, 40.0)
        answered = AnsweredBy.HUMAN if fate.status is CallStatus.COMPLETED else None
        self.rang[call.sid] = Rang(attempt_id, call.to, now, until)
        self.calls[call.sid] = replace(call, status=fate.status, answered_by=answered)
        steps = [(now + 0.1, CallStatus.INITIATED), (now + 1.0, CallStatus.RINGING)]
        if answered is not None:
            steps.append((now + 2.0, CallStatus.IN_PROGRESS))
        steps.append((until, fate.status))
        for sequence, (at_s, status) in enumerate(steps):
            report = StatusReport(call.sid, status, sequence, None, None, None)
            # Lost, doubled, late, overtaken.
            for _ in range(self.dice.choice((0, 1, 1, 1, 2))):
                late = at_s + self.dice.uniform(0.0, 5.0)
                heapq.heappush(self.due, (late, next(self.order), attempt_id, report))


@dataclass
class Wall:
    """Runs faster than time, until it is moved by hand."""

    began: float = field(default_factory=time.monotonic)
    stopped: float | None = None

    def __call__(self) -> float:
        passed_s = (time.monotonic() - self.began) * FASTER
        return NOON.timestamp() + (passed_s if self.stopped is None else self.stopped)

    def stop(self) -> None:
        self.stopped = (time.monotonic() - self.began) * FASTER

    def pass_s(self, for_s: float) -> None:
        assert self.stopped is not None
        self.stopped += for_s

    async def sleep(self, for_s: float) -> None:
        if self.stopped is None:
            await asyncio.sleep(for_s / FASTER)
        else:
            self.pass_s(max(for_s, 0.001))
            await asyncio.sleep(0)


@dataclass
class Everybody:
    """Threads that do one thing again and again."""

    until: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    conflicts: int = 0
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, work: Callable[[], object], *, every_s: float) -> None:
        thread = threading.Thread(target=self._run, args=(work, every_s))
        self.threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self.until.set()
        for thread in self.threads:
            thread.join()

    def _run(self, work: Callable[[], object], every_s: float) -> None:
        while not self.until.wait(every_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001  the test tells
                # As a task does: the next message comes.
                if is_conflict(error) or (is_away(error) and isinstance(error, OperationalError)):
                    self.conflicts += 1
                else:
                    self.failures.append(error)


@pytest.fixture
def seed() -> int:
    given = os.environ.get("CONCURRENCY_SEED")
    chosen = int(given) if given else SystemRandom().randrange(2**31)
    print(f"CONCURRENCY_SEED={chosen}")
    return chosen


def test_everybody_at_once_dials_each_attempt_once_and_ends_each_contact(
    engine: Engine, seed: int
) -> None:
    """One call for each attempt, none beside another to its number, and all come to an end."""
    dice = Random(seed)
    wall = Wall()
    world = World(engine)
    spacing = {outcome: timedelta(seconds=20) for outcome in LineOutcome}
    spacing.pop(LineOutcome.HUMAN)
    definition = campaign(
        attempts=Attempts(most=3, per_day=100, spacing=spacing),
        pace=Pace(4.0, AT_ONCE, NO_RAMP),
    )
    # Some numbers belong to both campaigns.
    both = numbers(CONTACTS)
    ids = [
        world.add(replace(definition, name="first"), both[: CONTACTS * 2 // 3]),
        world.add(replace(definition, name="second"), both[CONTACTS // 2 :]),
    ]
    doomed = world.add(replace(definition, name="doomed"), numbers(CONTACTS + 20)[CONTACTS:])
    world.beat()
    twilio = Twilio(wall, Random(seed + 1))
    everybody = Everybody()
    suppressed: dict[str, float] = {}

    def now() -> datetime:
        return datetime.fromtimestamp(wall(), UTC)

    def dial() -> None:
        async def sleep(for_s: float) -> None:
            await wall.sleep(for_s)

        pump = Pump(
            engine, twilio, Limits(ACCOUNT, 50.0), wall=wall, clock=wall, sleep=sleep, at_once=8
        )
        asyncio.run(pump.run(8.0))

    def call_back() -> None:
        for attempt_id, report in twilio.happened():
            write(engine, partial(note_status, attempt_id=attempt_id, report=report, now=now()))
            if report.status is CallStatus.COMPLETED:
                human = AnsweredBy.HUMAN
                write(
                    engine,
                    partial(note_answered_by, attempt_id=attempt_id, answered_by=human, now=now()),
                )
                write(engine, partial(note_flags, attempt_id=attempt_id, abandoned=True))

    def meddle() -> None:
        luck, one = dice.random(), dice.choice(ids)
        try:
            if luck < 0.25:
                write(
                    engine,
                    partial(campaigns.move, campaign_id=one, now=now(), to=CampaignState.PAUSED),
                )
                before = _asked(engine, one)
                time.sleep(dice.uniform(0.0, 0.2))
                # From the commit on, not one.
                assert _asked(engine, one) == before
                write(
                    engine,
                    partial(campaigns.move, campaign_id=one, now=now(), to=CampaignState.RUNNING),
                )
            elif luck < 0.35:
                write(engine, partial(stop_all, reason="", now=now()))
                write(engine, allow_all)
            elif luck < 0.6:
                number = dice.choice(both)
                write(
                    engine,
                    partial(suppress, number=number, reason="asked", source="operator", now=now()),
                )
                suppressed.setdefault(number, wall())
            elif luck < 0.9:
                row = world.campaign(one)
                write(
                    engine,
                    partial(
                        campaigns.redefine, campaign_id=one, now=now(), campaign=row.definition
                    ),
                )
                while write(
                    engine, partial(campaigns.look_again, campaign_id=one, now=now(), most=7)
                ):
                    pass
            else:
                write(
                    engine,
                    partial(
                        campaigns.move, campaign_id=doomed, now=now(), to=CampaignState.CANCELLED
                    ),
                )
        except IllegalMove:
            return

    def seen() -> None:
        world.now_s = wall()
        world.beat()

    tasks: list[tuple[Callable[[], object], float]] = [
        *[(lambda: tick(engine, now=now()), 0.05)] * 2,
        *[(dial, 0.01)] * 2,
        *[(lambda: asyncio.run(reconcile(engine, twilio, now=now())), 0.1)] * 2,
        *[(lambda: settle(engine, now=now()), 0.05)] * 2,
        *[(call_back, 0.02)] * 2,
        (meddle, 0.05),
        (seen, 0.1),
    ]
    for work, every_s in tasks:
        everybody.start(work, every_s=every_s)
    everybody.until.wait(MEDDLED_S)
    everybody.stop()
    wall.stop()
    assert not everybody.failures, everybody.failures
    print(f"{everybody.conflicts} conflicts, {len(twilio.rang)} calls")
    for _ in range(ROUNDS):
        if _over(engine, [*ids, doomed]):
            break
        # By hand now: what was lost is looked for after minutes.
        for work in (seen, call_back, *(work for work, _ in tasks[::2][:4])):
            work()
        wall.pass_s(10.0)
    _judge(engine, twilio, [*ids, doomed], suppressed)


def test_campaign_is_not_finished_beside_an_import(engine: Engine) -> None:
    """The last contact is done with while more are being taken in: it goes on with those."""
    if engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    world = World(engine)
    one = world.add(campaign(), [])
    row = {"line": 2, "number": numbers(1)[0], "zones": "Europe/London", "due_at": world.now}
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with writing(engine) as connection:
        connection.execute(
            insert(contacts).values(campaign_id=one, identity=b"1", state="waiting", **row)
        )
        ticking = threading.Thread(target=tick, args=(engine,), kwargs={"now": world.now})
        ticking.start()
        while ticking.is_alive() and not connection.execute(waits).scalar_one():
            ticking.join(0.01)
    ticking.join()
    assert world.campaign(one).state is CampaignState.RUNNING


def _asked(engine: Engine, campaign_id: int) -> int:
    with reading(engine) as connection:
        return connection.execute(
            select(func.count())
            .select_from(attempts)
            .where(attempts.c.campaign_id == campaign_id, attempts.c.asked_at.is_not(None))
        ).scalar_one()


def _over(engine: Engine, ids: list[int]) -> bool:
    with reading(engine) as connection:
        left = connection.execute(
            select(contacts.c.id)
            .where(contacts.c.campaign_id.in_(ids), contacts.c.state.not_in(ENDED))
            .limit(1)
        )
        return left.one_or_none() is None


def _judge(
    engine: Engine,
    twilio: Twilio,
    ids: list[int],
    suppressed: dict[str, float],
) -> None:
    with reading(engine) as connection:
        rows = connection.execute(select(attempts)).all()
        people = connection.execute(select(contacts)).all()
    states = Counter(person.state for person in people)
    assert set(states) <= ENDED, (states, [row for row in rows if row.settled_at is None])
    assert {row.state for row in rows} <= {"ended", "refused", "never_placed", "withdrawn"}
    assert max(Counter(one.attempt_id for one in twilio.rang.values()).values()) == 1
    by_number: defaultdict[str, list[Rang]] = defaultdict(list)
    for one in sorted(twilio.rang.values(), key=lambda one: one.from_s):
        by_number[one.to].append(one)
        # A request may have been on its way: its answer is some 20 ms late.
        assert one.from_s <= suppressed.get(one.to, one.from_s) + FASTER, one
    for calls in by_number.values():
        for first, second in itertools.pairwise(calls):
            assert first.until_s <= second.from_s, (first, second)
    campaign_of = {row.id: row.campaign_id for row in rows}
    for campaign_id in ids:
        mine = [one for one in twilio.rang.values() if campaign_of[one.attempt_id] == campaign_id]
        starts = [(one.from_s, 1) for one in mine] + [(one.until_s, -1) for one in mine]
        most = max(itertools.accumulate(change for _at, change in sorted(starts)), default=0)
        assert most <= AT_ONCE
    counted = Counter(row.contact_id for row in rows if row.asked_at is not None)
    for person in people:
        assert person.attempts == counted[person.id], person
        vain = sum(row.contact_id == person.id and row.outcome == "not_placed" for row in rows)
        assert person.not_placed == vain, person
