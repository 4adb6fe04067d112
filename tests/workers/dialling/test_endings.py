"""Every contact comes to an end: whatever a row holds, wherever clocks go, whoever cancels."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from telephony.calls.rest import Call
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.calls.webhooks import StatusReport
from tests.workers.dialling.world import NO_RAMP, Fate, World, campaign, numbers, unknown
from workers.campaign.model import Attempts, CampaignState, LineOutcome, Pace, Webhook
from workers.dialling.beginning import Begun
from workers.dialling.choosing import tick
from workers.dialling.pump import DOUBTED_AFTER_S, Pump
from workers.store.campaign_schema import attempts, campaigns, contacts, outbox
from workers.store.campaigns.attempts import note_flags, note_status
from workers.store.campaigns.campaigns import cancel_waiting, look_again
from workers.store.campaigns.suppressions import reason_for, suppress
from workers.store.database import reading, writing

HOUR_S = 3600.0


async def test_busy_contact_of_a_cancelled_campaign_is_cancelled(engine: Engine) -> None:
    """Their call was under way when it was cancelled: nobody would call them again."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(CallStatus.BUSY, answered_by=None)
    one = world.add(campaign(), numbers(3))
    await world.run(2)
    assert world.twilio.ledger
    world.move(one, CampaignState.CANCELLED)
    await world.run(20)
    assert world.contact_states(one) == ["cancelled"] * 3


async def test_who_is_killed_while_cancelling_leaves_nobody_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece is done with; a tick goes on, and customers are told of everybody."""
    monkeypatch.setattr(cancel_waiting, "__kwdefaults__", {"most": 2})
    world = World(engine)
    one = world.add(campaign(webhook=Webhook("https://crm.example/hook")), numbers(7))
    other = world.add(campaign("other"), numbers(7), state=CampaignState.DRAFT)
    world.move(one, CampaignState.CANCELLED)
    assert Counter(world.contact_states(one)) == {"cancelled": 2, "waiting": 5}
    assert tick(engine, now=world.now).set_aside == 5
    assert world.contact_states(one) == ["cancelled"] * 7
    assert world.contact_states(other) == ["waiting"] * 7
    with reading(engine) as connection:
        assert len(connection.scalars(select(outbox.c.id)).all()) == 7


@pytest.mark.parametrize("back_s", [61.0, 400 * 24 * HOUR_S])
async def test_clock_that_is_set_back_stops_nobody(engine: Engine, back_s: float) -> None:
    """Who is called by then comes to an end, and the pace goes on from the new time."""
    world = World(engine)
    world.twilio.callbacks = lambda: (0.1,)
    one = world.add(campaign(pace=Pace(2.0, 1_000, NO_RAMP)), numbers(20))
    await world.run(8)
    before = len(world.twilio.ledger)
    assert 10 <= before < 20
    world.set_back(back_s)
    with writing(engine) as connection:
        look_again(connection, one, now=world.now)
    await world.run(60)
    assert Counter(world.contact_states(one)) == {"done": 20}
    assert Counter(dialled.to for dialled in world.twilio.ledger) == dict.fromkeys(numbers(20), 1)
    at = [dialled.at_s for dialled in world.twilio.ledger[before:]]
    assert max(sum(first <= other < first + 1.0 for other in at) for first in at) <= 3


async def test_call_without_news_is_fetched_though_the_clock_was_set_back(engine: Engine) -> None:
    """When it is to be looked for lies a day ahead by then."""
    world = World(engine)
    world.twilio.callbacks = lambda: ()
    one = world.add(campaign(), numbers(2))
    await world.run(3)
    world.set_back(24 * HOUR_S)
    await world.run(120, step_s=5.0)
    assert Counter(world.contact_states(one)) == {"done": 2}
    assert len(world.twilio.ledger) == 2


async def test_row_that_cannot_be_settled_stops_no_other(engine: Engine) -> None:
    """More were not placed than were made: it is settled for what it is, and so are the others."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(CallStatus.BUSY, answered_by=None)
    one = world.add(campaign(attempts=Attempts(most=1, per_day=9)), numbers(4))
    await world.run(3)
    with writing(engine) as connection:
        first = select(contacts.c.id).order_by(contacts.c.id).limit(1).scalar_subquery()
        connection.execute(update(contacts).where(contacts.c.id == first).values(not_placed=7))
    await world.run(20)
    assert world.contact_states(one)[1:] == ["exhausted"] * 3
    assert world.contact_states(one)[0] == "exhausted"


async def test_campaign_whose_rows_cannot_be_read_stops_no_other(engine: Engine) -> None:
    """Its definition is broken: it stands, its attempts wait, the others are dialled."""
    world = World(engine)
    broken = world.add(campaign("broken"), numbers(6)[:3])
    sound = world.add(campaign("sound"), numbers(6)[3:])
    world.twilio.fate = lambda _number, _attempt: Fate(CallStatus.BUSY, answered_by=None)
    world.beat()
    tick(engine, now=world.now)
    with writing(engine) as connection:
        connection.execute(
            update(campaigns).where(campaigns.c.id == broken).values(definition="{}")
        )
    await world.run(20)
    assert world.contact_states(sound) == ["waiting"] * 3
    assert {dialled.to for dialled in world.twilio.ledger} == set(numbers(6)[3:])
    assert world.attempt_states(broken) == ["intended"] * 3


async def test_unexpected_failure_of_one_request_leaves_the_others_alone(engine: Engine) -> None:
    """What nobody knows how to read is looked for; requests beside it get their answers."""
    world = World(engine)
    first = numbers(1)[0]
    world.twilio.fate = lambda number, _attempt: (
        Fate(killed=RuntimeError("unheard of")) if number == first else Fate()
    )
    world.twilio.callbacks = lambda: ()
    one = world.add(campaign(), numbers(5))
    await world.run(400, step_s=5.0)
    assert Counter(world.contact_states(one)) == {"done": 5}
    assert len(world.twilio.ledger) == 5


async def test_row_that_cannot_be_looked_for_stops_no_other(engine: Engine) -> None:
    """Twilio answers for one number what cannot be read: the others are found."""
    world = World(engine)
    world.twilio.callbacks = lambda: ()
    first = numbers(1)[0]
    lists = world.twilio.list_calls

    async def list_calls(*, to: str | None = None, limit: int = 50) -> list[object]:
        if to == first:
            raise RuntimeError("unheard of")
        return list(await lists(to=to, limit=limit))

    world.twilio.list_calls = list_calls  # type: ignore[method-assign, assignment]
    world.twilio.fate = lambda _number, _attempt: Fate(error=unknown())
    one = world.add(campaign(), numbers(4))
    await world.run(400, step_s=5.0)
    assert world.contact_states(one) == ["in_hand", "done", "done", "done"]
    assert len(world.twilio.ledger) == 4


async def test_number_of_two_contacts_does_not_ring_twice_at_once(engine: Engine) -> None:
    """One person, two rows or campaigns: the second waits until the first call is over."""
    world = World(engine)
    number = numbers(1)[0]
    world.twilio.fate = lambda _number, _attempt: Fate(talk_s=30.0)
    often = Attempts(most=3, per_day=10)
    one = world.add(campaign(attempts=often), [number, number])
    two = world.add(campaign("other", attempts=often), [number])
    await world.run(400)
    calls = sorted((one.at_s, world.twilio.ended[one.sid]) for one in world.twilio.ledger)
    assert len(calls) == 3
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(calls))
    assert [*world.contact_states(one), *world.contact_states(two)] == ["done"] * 3


async def test_frozen_process_does_not_dial_what_others_gave_up(engine: Engine) -> None:
    """Its own clock stood still with it (a suspended machine); the time of day did not."""
    world = World(engine)
    world.add(campaign(), numbers(1))
    world.beat()
    tick(engine, now=world.now)
    pump = Pump(
        engine, world.twilio, world.limits, wall=world.wall, clock=lambda: 0.0, sleep=world.sleep
    )
    begin = pump._write

    async def slow(work):  # type: ignore[no-untyped-def]  # as it is
        done = await begin(work)
        world.now_s += 600.0
        return done

    pump._write = slow  # type: ignore[method-assign]
    await pump.run(1.0)
    assert world.twilio.ledger == []


async def test_suppression_overtakes_a_process_that_is_slow_to_ask(engine: Engine) -> None:
    """It stood still between letting the attempt go and asking; the list had the number by then."""
    world = World(engine)
    number = numbers(1)[0]
    one = world.add(campaign(), [number])
    world.beat()
    tick(engine, now=world.now)
    pump = Pump(
        engine, world.twilio, world.limits, wall=world.wall, clock=world.wall, sleep=world.sleep
    )
    instant = pump._at_its_instant

    async def slow(begun: Begun) -> Begun:
        with writing(engine) as connection:
            suppress(connection, number, reason="Asked.", source="operator", now=world.now)
        world.now_s += DOUBTED_AFTER_S + 1.0
        return await instant(begun)

    pump._at_its_instant = slow  # type: ignore[method-assign]
    await pump.run(1.0)
    assert world.twilio.ledger == []
    await world.run(400, step_s=5.0)
    assert world.twilio.ledger == []
    assert world.contact_states(one) == ["never"]


async def test_opt_out_in_a_call_holds_though_its_list_entry_was_lost(engine: Engine) -> None:
    """The call's flag alone was written before the worker died."""
    world = World(engine)
    one = world.add(campaign(), numbers(1))
    await world.run(10)
    with writing(engine) as connection:
        attempt_id = connection.execute(select(attempts.c.id)).scalar_one()
        note_flags(connection, attempt_id, opted_out=True)
    await world.run(40)
    assert world.contact_states(one) == ["never"]
    with reading(engine) as connection:
        assert reason_for(connection, numbers(1)[0]) is not None


async def test_call_that_shows_up_after_it_was_given_up_is_not_dialled_beside(
    engine: Engine,
) -> None:
    """Its request was on its way for longer than anybody thought: one call at a time."""
    world = World(engine)
    number = numbers(1)[0]
    world.twilio.fate = lambda _number, _attempt: Fate(error=unknown(), taken=False)
    one = world.add(campaign(attempts=Attempts(most=3, per_day=10)), [number])
    await world.run(330, step_s=5.0)
    assert world.attempt_states(one) == ["never_placed"]
    assert world.contact_states(one) == ["waiting"]
    with writing(engine) as connection:
        attempt_id = connection.execute(select(attempts.c.id)).scalar_one()
        report = StatusReport("CAlate", CallStatus.IN_PROGRESS, 2, None, None, None)
        assert note_status(connection, attempt_id, report, now=world.now)
    world.twilio.fate = lambda _number, _attempt: Fate()
    world.twilio.fetch = _still_going(world)  # type: ignore[method-assign]
    await world.run(900, step_s=10.0)
    assert world.twilio.ledger == []
    with writing(engine) as connection:
        report = StatusReport("CAlate", CallStatus.COMPLETED, 3, 60, None, AnsweredBy.HUMAN)
        note_status(connection, attempt_id, report, now=world.now)
    await world.run(60, step_s=10.0)
    assert world.contact_states(one) == ["done"]
    with reading(engine) as connection:
        outcome = connection.execute(select(attempts.c.outcome)).scalar_one()
        counted = connection.execute(select(contacts.c.attempts, contacts.c.not_placed)).one()
    assert outcome == LineOutcome.HUMAN
    assert tuple(counted) == (1, 0)
    assert world.campaign(one).state is CampaignState.FINISHED


def _still_going(world: World):  # type: ignore[no-untyped-def]
    async def fetch(call_sid: str) -> Call:
        return Call(
            sid=call_sid,
            status=CallStatus.IN_PROGRESS,
            direction="outbound-api",
            from_="",
            to="",
            created_at=world.now - timedelta(seconds=10),
            started_at=None,
            ended_at=None,
            duration_s=None,
            answered_by=None,
            queue_time_ms=None,
        )

    return fetch
