"""Campaigns from the first tick to the last contact, on a Twilio in memory and a clock by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import time, timedelta

from sqlalchemy import Engine, select

from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import carrier_error
from tests.workers.dialling.world import (
    ACCOUNT,
    ALL_DAY,
    NO_BRAKE,
    NO_RAMP,
    Fate,
    World,
    campaign,
    numbers,
    unknown,
)
from workers.campaign.model import (
    Attempts,
    BrakeLimits,
    CampaignState,
    ContactState,
    Hours,
    LineOutcome,
    Pace,
    Webhook,
    Weekday,
    Window,
)
from workers.dialling.beginning import Limits
from workers.dialling.choosing import tick
from workers.store.campaign_schema import attempts, contacts, outbox
from workers.store.campaigns.suppressions import reason_for, suppress
from workers.store.campaigns.switches import stop_all
from workers.store.database import reading, writing


async def test_everybody_is_called_once_and_the_campaign_ends(engine: Engine) -> None:
    """A person answers each call: one dial each, all done, nothing left to do."""
    world = World(engine)
    one = world.add(campaign(), numbers(30))
    await world.run(60)
    assert Counter(world.contact_states(one)) == {ContactState.DONE: 30}
    assert Counter(dialled.to for dialled in world.twilio.ledger) == dict.fromkeys(numbers(30), 1)
    assert world.campaign(one).state is CampaignState.FINISHED


async def test_pace_is_kept_within_any_second_and_over_a_minute(engine: Engine) -> None:
    """Never more than one call above the rate in a second; within 2 % of it over a minute."""
    world = World(engine)
    pace = Pace(calls_per_second=5.0, calls_at_once=10_000, ramp=NO_RAMP)
    world.add(campaign(pace=pace), numbers(500))
    await world.run(72)
    at = [dialled.at_s for dialled in world.twilio.ledger]
    assert max(sum(first <= other < first + 1.0 for other in at) for first in at) <= 6
    start = world.start.timestamp()
    in_minute = sum(start + 10 <= when < start + 70 for when in at)
    assert 294 <= in_minute <= 306


async def test_process_that_stood_still_does_not_dial_all_at_once(engine: Engine) -> None:
    """What it missed meanwhile comes at the pace, from then on."""

    class Oversleeping(World):
        stood_still_s = 0.0

        async def sleep(self, for_s: float) -> None:
            await super().sleep(for_s)
            if self.now_s - self.stood_still_s >= 3.0:
                self.pass_s(0.3)
                self.stood_still_s = self.now_s

    world = Oversleeping(engine)
    pace = Pace(calls_per_second=10.0, calls_at_once=10_000, ramp=NO_RAMP)
    world.add(campaign(pace=pace), numbers(300))
    await world.run(60)
    at = [dialled.at_s for dialled in world.twilio.ledger]
    assert len(at) == 300
    assert max(sum(first <= other < first + 1.0 for other in at) for first in at) <= 11


async def test_account_holds_several_campaigns_back(engine: Engine) -> None:
    """Two campaigns share what the account may do, and both get on."""
    world = World(engine)
    world.limits = Limits(ACCOUNT, 2.0)
    first = world.add(campaign("first"), numbers(60)[:30])
    second = world.add(campaign("second"), numbers(60)[30:])
    await world.run(20)
    assert 38 <= len(world.twilio.ledger) <= 42
    for one in (first, second):
        assert world.attempt_states(one).count("intended") < len(world.attempt_states(one))


async def test_calls_at_once_are_never_exceeded(engine: Engine) -> None:
    """The campaign's limit is reached and not passed."""
    world = World(engine)
    world.add(campaign(pace=Pace(50.0, calls_at_once=7, ramp=NO_RAMP)), numbers(40))
    await world.run(60)
    assert world.most_running == 7


async def test_room_for_inbound_calls_is_kept(engine: Engine) -> None:
    """What the workers take together, less what is kept."""
    world = World(engine, capacity=5)
    world.limits = Limits(ACCOUNT, 50.0, kept_for_inbound=2)
    world.add(campaign(pace=Pace(50.0, 100, NO_RAMP)), numbers(10))
    await world.run(40)
    assert world.most_running == 3


async def test_nobody_is_dialled_without_a_worker_to_serve_them(engine: Engine) -> None:
    """Workers that have not been seen for a while would leave people in silence."""
    world = World(engine)
    world.add(campaign(), numbers(5))
    world.beat()
    world.pass_s(30)
    tick(engine, now=world.now)
    await world.dial(2.0)
    assert world.twilio.ledger == []
    await world.run(5)
    assert len(world.twilio.ledger) == 5


async def test_paused_campaign_dials_nobody_and_resumes_without_repeats(engine: Engine) -> None:
    """What was written down is taken back; calls in progress finish; nobody is called twice."""
    world = World(engine)
    one = world.add(campaign(pace=Pace(4.0, 1_000, NO_RAMP)), numbers(30))
    await world.run(3)
    world.move(one, CampaignState.PAUSED)
    before = len(world.twilio.ledger)
    await world.run(40)
    assert len(world.twilio.ledger) == before
    assert Counter(world.contact_states(one)) == {"done": before, "waiting": 30 - before}
    world.move(one, CampaignState.RUNNING)
    await world.run(60)
    assert Counter(dialled.to for dialled in world.twilio.ledger) == dict.fromkeys(numbers(30), 1)


async def test_emergency_stop_holds_for_every_campaign(engine: Engine) -> None:
    """No new dial from its commit on."""
    world = World(engine)
    world.add(campaign(pace=Pace(4.0, 1_000, NO_RAMP)), numbers(30))
    await world.run(2)
    with writing(engine) as connection:
        stop_all(connection, reason="", now=world.now)
    before = len(world.twilio.ledger)
    await world.run(20)
    assert before > 0
    assert len(world.twilio.ledger) == before


async def test_answer_that_never_came_is_looked_for_and_not_asked_again(engine: Engine) -> None:
    """A time-out whose call exists is found in the list; one whose does not is dialled anew."""
    world = World(engine)
    world.twilio.callbacks = lambda: ()
    first, second = numbers(2)
    tries: Counter[str] = Counter()

    def fate(number: str, _attempt: int) -> Fate:
        tries[number] += 1
        if tries[number] > 1:
            return Fate()
        return Fate(error=unknown(), taken=number == first)

    world.twilio.fate = fate
    one = world.add(campaign(), [first, second])
    await world.run(1_200, step_s=10.0)
    assert Counter(dialled.to for dialled in world.twilio.ledger) == {first: 1, second: 1}
    assert tries == {first: 1, second: 2}
    assert world.contact_states(one) == ["done", "done"]
    assert world.attempt_states(one) == ["ended", "never_placed", "ended"]


async def test_what_twilio_never_had_is_no_attempt(engine: Engine) -> None:
    """Refused twice where one attempt is allowed: they are still called, once."""
    world = World(engine)
    error = carrier_error(20429, 429)("too many", code=20429, status=429)
    tries = itertools.count(1)
    world.twilio.fate = lambda _number, _attempt: (
        Fate(error=error, taken=False) if next(tries) < 3 else Fate(CallStatus.BUSY)
    )
    spacing = dict.fromkeys((LineOutcome.NOT_PLACED, LineOutcome.BUSY), timedelta(seconds=10))
    one = world.add(campaign(attempts=Attempts(1, 10, spacing)), numbers(1))
    await world.run(90)
    assert len(world.twilio.ledger) == 1
    assert world.attempt_states(one) == ["refused", "refused", "ended"]
    assert world.contact_states(one) == ["exhausted"]


async def test_process_that_dies_over_a_request_leaves_it_to_be_found(engine: Engine) -> None:
    """Before Twilio took it or after: nobody is called twice, and nobody is forgotten."""

    class Killed(BaseException):
        """SIGKILL."""

    world = World(engine)
    tries: Counter[str] = Counter()
    first, second = numbers(2)

    def fate(number: str, _attempt: int) -> Fate:
        tries[number] += 1
        return Fate(killed=Killed() if tries[number] == 1 else None, taken=number == first)

    def later(number: str, attempt: int) -> Fate:
        found = fate(number, attempt)
        return found if tries[number] == 1 else Fate()

    world.twilio.fate = later
    world.twilio.callbacks = lambda: ()
    one = world.add(campaign(pace=Pace(1.0, 10, NO_RAMP)), [first, second])
    # Whoever dies takes with them what they were about to ask for others, which waits longer.
    for _ in range(300):
        try:
            await world.round(10.0)
        except BaseExceptionGroup as error:
            assert error.subgroup(Killed) is not None  # noqa: PT017
            world.pass_s(1.0)
    assert world.contact_states(one) == ["done", "done"]
    assert Counter(dialled.to for dialled in world.twilio.ledger) == {first: 1, second: 1}


async def test_lost_callbacks_are_made_up_for_by_fetching(engine: Engine) -> None:
    """Not one callback arrives."""
    world = World(engine)
    world.twilio.callbacks = lambda: ()
    one = world.add(campaign(), numbers(10))
    await world.run(300, step_s=5.0)
    assert Counter(world.contact_states(one)) == {"done": 10}
    assert len(world.twilio.ledger) == 10


async def test_busy_and_unanswered_are_tried_again_after_their_spacing(engine: Engine) -> None:
    """Not before, and not more often than allowed."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(CallStatus.BUSY, answered_by=None)
    spacing = {LineOutcome.BUSY: timedelta(seconds=60)}
    one = world.add(campaign(attempts=Attempts(3, 10, spacing)), numbers(1))
    await world.run(200)
    at = [dialled.at_s for dialled in world.twilio.ledger]
    assert len(at) == 3
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(at))
    assert world.contact_states(one) == ["exhausted"]
    with reading(engine) as connection:
        reason = connection.execute(select(contacts.c.reason)).scalar_one()
    assert reason == "Called 3 times, as often as allowed; the last time the line was busy."


async def test_nobody_is_called_outside_their_hours(engine: Engine) -> None:
    """Two zones: each is called when its own day begins."""
    world = World(engine)
    nine_to_five = Hours({day: (Window(time(9), time(17)),) for day in Weekday})
    definition = campaign(hours=nine_to_five)
    one = world.add(definition, numbers(2)[:1], zones="Europe/London")
    two = world.add(
        campaign("tokyo", hours=nine_to_five), numbers(2)[1:], zones="Asia/Tokyo,Asia/Dubai"
    )
    await world.run(3)
    assert [dialled.to for dialled in world.twilio.ledger] == numbers(1)
    assert world.contact_states(two) == ["waiting"]
    with reading(engine) as connection:
        due = connection.execute(
            select(contacts.c.due_at, contacts.c.reason).where(contacts.c.campaign_id == two)
        ).one()
    # 09:00 in Dubai is 14:00 in Tokyo, and 05:00 in UTC.
    assert (due.due_at.day, due.due_at.hour) == (26, 5)
    assert due.reason == "It is outside the permitted hours where they are."
    assert world.contact_states(one) == ["in_hand"]


async def test_nobody_is_asked_for_when_their_hours_are_about_to_end(engine: Engine) -> None:
    """The request could be at Twilio when they are over: the next hours are waited for."""
    world = World(engine)
    until_noon = Hours({day: (Window(time(9), time(12)),) for day in Weekday})
    world.now_s -= 10.0
    one = world.add(campaign(hours=until_noon), numbers(1))
    await world.round()
    assert world.twilio.ledger == []
    assert world.attempt_states(one) == ["withdrawn"]
    with reading(engine) as connection:
        due_at = connection.execute(select(contacts.c.due_at)).scalar_one()
    assert (due_at.day, due_at.hour) == (26, 9)
    world.now_s += 21 * 3600
    await world.run(20)
    assert len(world.twilio.ledger) == 1


async def test_suppressed_number_is_not_dialled_at_the_last_instant(engine: Engine) -> None:
    """It was written down to be dialled, and is not."""
    world = World(engine)
    one = world.add(campaign(), numbers(2))
    world.beat()
    tick(engine, now=world.now)
    with writing(engine) as connection:
        suppress(connection, numbers(1)[0], reason="asked", source="agent", now=world.now)
    await world.dial(2.0)
    assert [dialled.to for dialled in world.twilio.ledger] == numbers(2)[1:]
    assert world.contact_states(one)[0] == "never"
    assert world.attempt_states(one)[0] == "withdrawn"


async def test_number_of_two_campaigns_is_called_as_often_as_a_day_allows(engine: Engine) -> None:
    """Attempts count over all campaigns, from the moment of asking."""
    world = World(engine)
    daily = Attempts(most=3, per_day=1)
    world.add(campaign("first", attempts=daily), numbers(1))
    world.add(campaign("second", attempts=daily), numbers(1))
    await world.run(120)
    assert len(world.twilio.ledger) == 1


async def test_brake_pauses_with_the_offenders(engine: Engine) -> None:
    """A third of the calls fail: nobody is called any more."""
    world = World(engine)
    world.twilio.fate = lambda _number, attempt: (
        Fate(CallStatus.FAILED, answered_by=None, sip_code=503, ring_s=1.0)
        if attempt % 2
        else Fate()
    )
    limits = BrakeLimits(calls=20, at_least=10, failed=0.3)
    one = world.add(campaign(brake=limits, pace=Pace(5.0, 1_000, NO_RAMP)), numbers(300))
    await world.run(40)
    row = world.campaign(one)
    assert row.state is CampaignState.PAUSED
    assert "calls failed" in row.reason
    assert len(world.twilio.ledger) < 250


async def test_wrong_credentials_pause_the_campaign_with_the_fix(engine: Engine) -> None:
    """20003 and 21210: one request, no harm to the contact."""
    for code, fix in ((20003, "TWILIO_AUTH_TOKEN"), (21210, "verify it")):
        world = World(engine)
        error = carrier_error(code, 401)("no", code=code, status=401)
        world.twilio.fate = lambda _number, _attempt, error=error: Fate(error=error, taken=False)  # type: ignore[misc]
        one = world.add(campaign(f"refused {code}"), numbers(20))
        await world.run(20)
        row = world.campaign(one)
        assert row.state is CampaignState.PAUSED
        assert fix in row.reason
        assert "never" not in world.contact_states(one)


async def test_number_that_cannot_be_dialled_is_never_dialled_again(engine: Engine) -> None:
    """By no campaign: it is on the suppression list with the reason."""
    world = World(engine)
    error = carrier_error(21211, 400)("no", code=21211, status=400)
    world.twilio.fate = lambda _number, _attempt: Fate(error=error, taken=False)
    one = world.add(campaign(), numbers(1))
    await world.run(5)
    assert world.contact_states(one) == ["never"]
    with reading(engine) as connection:
        assert reason_for(connection, numbers(1)[0]) == "Twilio says that the number is not valid."


async def test_canary_calls_the_first_few_and_stops_by_itself(engine: Engine) -> None:
    """Then a start goes on with the others."""
    world = World(engine)
    one = world.add(campaign(), numbers(12), state=CampaignState.DRAFT)
    world.move(one, CampaignState.CANARY, canary=4)
    await world.run(60)
    row = world.campaign(one)
    assert (len(world.twilio.ledger), row.state) == (4, CampaignState.PAUSED)
    assert row.reason.startswith("The canary is done")
    world.move(one, CampaignState.RUNNING)
    await world.run(60)
    assert len(world.twilio.ledger) == 12


async def test_voicemail_is_an_outcome_and_verdicts_may_be_late(engine: Engine) -> None:
    """The verdict that comes after the end of the call still counts."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(
        talk_s=1.0, answered_by=AnsweredBy.MACHINE_START
    )
    one = world.add(campaign(hours=ALL_DAY, brake=NO_BRAKE), numbers(1))
    await world.run(30)
    with reading(engine) as connection:
        outcome = connection.execute(select(attempts.c.outcome)).scalar_one()
    assert outcome == LineOutcome.VOICEMAIL
    assert world.contact_states(one) == ["waiting"]


async def test_customer_is_told_of_each_contact_once(engine: Engine) -> None:
    """One row for each that is done with, whatever it came to."""
    world = World(engine)
    one = world.add(campaign(webhook=Webhook("https://crm.example/hook")), numbers(5))
    with writing(engine) as connection:
        suppress(connection, numbers(1)[0], reason="asked", source="agent", now=world.now)
    await world.run(60)
    assert Counter(world.contact_states(one)) == {"done": 4, "never": 1}
    with reading(engine) as connection:
        told = connection.execute(select(outbox.c.contact_id)).scalars().all()
    assert len(told) == len(set(told)) == 5
