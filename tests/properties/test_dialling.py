"""Whatever happens to whoever dials: each attempt is dialled once, and every contact ends.

Each schedule is a campaign against a Twilio whose answers, callbacks and callees are thrown by a
seed, while processes die in mid-request and operators pause, resume, stop and suppress. Judged by
that Twilio's ledger. ``DIALLING_SEED`` repeats a run, ``DIALLING_SCHEDULES`` sets how many there
are with the long tests; the first few run with all the others.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random, SystemRandom
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, and_, or_, select

from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import carrier_error
from tests.workers.dialling.world import (
    ACCOUNT,
    NO_RAMP,
    Fate,
    World,
    campaign,
    numbers,
    shaken,
    unknown,
)
from workers.campaign.model import (
    Attempts,
    CampaignState,
    ContactState,
    Hours,
    IllegalMove,
    LineOutcome,
    Pace,
    Weekday,
    Window,
)
from workers.dialling.beginning import Limits
from workers.store.campaign_schema import contacts
from workers.store.campaigns.suppressions import suppress
from workers.store.campaigns.switches import allow_all, stop_all
from workers.store.database import reading, writing

SCHEDULES = int(os.environ.get("DIALLING_SCHEDULES", "12"))
ALWAYS = 4
CONTACTS = 40
RATE = 3.0
AT_ONCE = 8
HOURS = Hours({day: (Window(time(8), time(20)),) for day in Weekday})
ZONES = ("Europe/London", "Europe/London,Europe/Athens", "America/New_York")
NIGHT_S = 1_800.0
FINAL = {ContactState.DONE, ContactState.EXHAUSTED, ContactState.NEVER}


class Killed(BaseException):
    """SIGKILL to whoever dials."""


@pytest.fixture(scope="module")
def seed() -> int:
    given = os.environ.get("DIALLING_SEED")
    chosen = int(given) if given else SystemRandom().randrange(2**31)
    print(f"DIALLING_SEED={chosen}")
    return chosen


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=[pytest.mark.long] if number >= ALWAYS else [])
        for number in range(SCHEDULES)
    ],
)
async def test_every_attempt_is_dialled_once_and_every_contact_ends(
    number: int, seed: int, sqlite_engine: Engine
) -> None:
    """One dial for each attempt, within hours, pace and limits, and nobody who is suppressed."""
    dice = Random(f"{seed} {number}")
    # Near the evening in London, so that hours end under way.
    start = datetime(2026, 11, 25, 19, dice.randrange(60), tzinfo=UTC)
    world = World(sqlite_engine, start=start)
    world.limits = Limits(ACCOUNT, 50.0)
    world.twilio.callbacks = shaken(dice)
    world.twilio.fate = lambda _number, _attempt: _fate(dice)
    spacing = {outcome: timedelta(minutes=2) for outcome in LineOutcome}
    spacing.pop(LineOutcome.HUMAN)
    # So soon that a call which came into being late would still be going on.
    spacing[LineOutcome.NOT_PLACED] = timedelta(seconds=5)
    definition = campaign(
        hours=HOURS,
        attempts=Attempts(most=3, per_day=4, spacing=spacing),
        pace=Pace(RATE, AT_ONCE, NO_RAMP),
        ends_on=datetime(2026, 11, 27, tzinfo=UTC).date(),
    )
    all_numbers = numbers(CONTACTS)
    zones = {one: ZONES[place % len(ZONES)] for place, one in enumerate(all_numbers)}
    ids = [
        world.add(
            replace(definition, name=zone),
            [one for one in all_numbers if zones[one] == zone],
            zones=zone,
        )
        for zone in ZONES
    ]
    suppressed: dict[str, float] = {}
    steps = 0
    while steps < 4_000 and not all(_over(world, one) for one in ids):
        steps += 1
        # Nights are passed faster: nothing is under way but what was lost, and then nothing.
        step_s = 1.0 if steps < 250 else NIGHT_S if _asleep(world) else 120.0
        try:
            await world.round(step_s)
        except BaseExceptionGroup as error:
            if error.split(Killed)[1] is not None:
                raise
            world.pass_s(1.0)
        if steps < 250:
            _meddle(world, dice, ids, all_numbers, suppressed)
        elif steps == 250:
            _let_go_on(world, ids)
    for one in ids:
        assert set(world.contact_states(one)) <= FINAL, (seed, number, one)
        assert not {"intended", "asking", "placed", "unknown"} & set(world.attempt_states(one))
    _judge(world, zones, suppressed)


def _judge(world: World, zones: dict[str, str], suppressed: dict[str, float]) -> None:
    ledger = world.twilio.ledger
    assert ledger
    assert max(Counter(one.attempt_id for one in ledger).values()) == 1
    by_number: defaultdict[str, list[float]] = defaultdict(list)
    for one in ledger:
        by_number[one.to].append(one.at_s)
        for zone in zones[one.to].split(","):
            local = datetime.fromtimestamp(one.asked_s, ZoneInfo(zone))
            assert time(8) <= local.time() < time(20), (one, local)
        # A dial that is under way while the list is written may be a moment behind it.
        assert one.asked_s <= suppressed.get(one.to, one.asked_s) + 0.5
    assert max(map(len, by_number.values())) <= 3
    for first, second in itertools.pairwise(sorted(ledger, key=lambda one: (one.to, one.at_s))):
        if first.to == second.to:
            # Nobody is called while an earlier call may still be ringing.
            assert world.twilio.ended[first.sid] <= second.at_s, (first, second)
    at = sorted(one.asked_s for one in ledger)
    # Three campaigns, each with a pace of its own.
    most = len(ZONES) * (RATE + 1)
    assert max(sum(first <= other < first + 1.0 for other in at) for first in at) <= most
    assert world.most_running <= len(ZONES) * AT_ONCE


def _fate(dice: Random) -> Fate:
    luck = dice.random()
    if luck < 0.06:
        return Fate(killed=Killed(), taken=dice.random() < 0.5)
    if luck < 0.14:
        return Fate(
            error=unknown(),
            taken=dice.random() < 0.5,
            # It may be done after whoever asked has given up, and not be listed at once.
            late_s=dice.choice((0.0, dice.uniform(0, 60))),
            unlisted_s=dice.choice((0.0, dice.uniform(0, 30))),
        )
    if luck < 0.17:
        return Fate(error=carrier_error(20429, 429)("busy", code=20429, status=429), taken=False)
    if luck < 0.19:
        return Fate(error=carrier_error(21211, 400)("bad", code=21211, status=400), taken=False)
    status = dice.choice(
        (
            CallStatus.COMPLETED,
            CallStatus.COMPLETED,
            CallStatus.BUSY,
            CallStatus.NO_ANSWER,
            CallStatus.FAILED,
        )
    )
    return Fate(
        status,
        ring_s=dice.uniform(1, 25),
        talk_s=dice.uniform(1, 60),
        answered_by=dice.choice((AnsweredBy.HUMAN, AnsweredBy.MACHINE_START, None)),
        sip_code=dice.choice((None, 404, 486, 603)) if status is CallStatus.FAILED else None,
    )


def _meddle(
    world: World,
    dice: Random,
    ids: list[int],
    all_numbers: list[str],
    suppressed: dict[str, float],
) -> None:
    luck = dice.random()
    one = dice.choice(ids)
    if luck < 0.03:
        _move(world, one, CampaignState.PAUSED)
    elif luck < 0.08:
        _move(world, one, CampaignState.RUNNING)
    elif luck < 0.09:
        with writing(world.engine) as connection:
            stop_all(connection, reason="", now=world.now)
    elif luck < 0.13:
        with writing(world.engine) as connection:
            allow_all(connection)
    elif luck < 0.15:
        number = dice.choice(all_numbers)
        with writing(world.engine) as connection:
            suppress(connection, number, reason="asked", source="operator", now=world.now)
        suppressed.setdefault(number, world.now_s)


def _let_go_on(world: World, ids: list[int]) -> None:
    with writing(world.engine) as connection:
        allow_all(connection)
    for one in ids:
        _move(world, one, CampaignState.RUNNING)


def _move(world: World, campaign_id: int, to: CampaignState) -> None:
    try:
        world.move(campaign_id, to)
    except IllegalMove:
        return


def _asleep(world: World) -> bool:
    """Whether nobody is being called, or is to be called within the longest step."""
    soon = contacts.c.due_at < world.now + timedelta(seconds=NIGHT_S)
    awake = or_(
        contacts.c.state == ContactState.IN_HAND,
        and_(contacts.c.state == ContactState.WAITING, soon),
    )
    with reading(world.engine) as connection:
        return connection.execute(select(contacts.c.id).where(awake).limit(1)).first() is None


def _over(world: World, campaign_id: int) -> bool:
    return world.campaign(campaign_id).state is CampaignState.FINISHED
