"""When an attempt is let go: a little ahead, at the pace, whatever the clock does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from tests.workers.dialling.world import NO_RAMP, World, campaign
from workers.campaign.model import Pace
from workers.dialling.beginning import (
    AHEAD_S,
    LEAD_S,
    Begun,
    Nothing,
    Wait,
    begin_next,
    place_anew,
)
from workers.dialling.choosing import tick
from workers.store.campaigns.campaigns import list_all, redefine
from workers.store.database import writing

RATE = 10.0


@pytest.fixture
def world(engine: Engine) -> World:
    """Ten people to be dialled at ``RATE``."""
    world = World(engine)
    pace = Pace(calls_per_second=RATE, calls_at_once=1_000, ramp=NO_RAMP)
    world.add(campaign(pace=pace), [f"+4477{place:08}" for place in range(10)])
    world.beat()
    tick(engine, now=world.now)
    return world


def begin(world: World) -> Begun | Wait | Nothing:
    """Ask once."""
    with writing(world.engine) as connection:
        return begin_next(connection, world.limits, world.wall)


def test_attempts_are_let_go_for_when_their_token_is_due(world: World) -> None:
    """One after the other at the pace, as far ahead as ``AHEAD_S``; the next has to wait."""
    found = [begin(world) for _ in range(4)]
    instants = [one.at_s - world.now_s for one in found if isinstance(one, Begun)]
    last = found[-1]
    # The bucket may have saved a part of a token, never a whole one.
    assert instants[0] == pytest.approx(LEAD_S, abs=1e-4)
    assert len(instants) == 2
    assert 0 < instants[1] - instants[0] <= 1 / RATE + 1e-4
    assert isinstance(last, Wait)
    world.pass_s(last.for_s)
    after = begin(world)
    assert isinstance(after, Begun)
    assert after.at_s - world.now_s == pytest.approx(AHEAD_S, abs=1e-4)


def test_number_that_the_file_names_no_more_calls_nobody(world: World) -> None:
    """Attempts that were written down for it are taken back, and made anew from the new one."""
    with writing(world.engine) as connection:
        (found,) = list_all(connection)
        changed = replace(found.definition, callers=("+15550100077",))
        redefine(connection, found.campaign_id, changed, now=world.now)
    one = begin(world)
    while isinstance(one, Wait):
        world.pass_s(one.for_s)
        one = begin(world)
    assert isinstance(one, Nothing)
    assert set(world.contact_states(found.campaign_id)) == {"waiting"}
    tick(world.engine, now=world.now)
    one = begin(world)
    assert isinstance(one, Begun)
    assert one.row.attempt.caller == "+15550100077"


def test_deciding_late_costs_no_pace(world: World) -> None:
    """Whoever comes a little after the token was to be had still gets its instant."""
    first = begin(world)
    assert isinstance(first, Begun)
    second = begin(world)
    assert isinstance(second, Begun)
    world.pass_s(second.at_s - world.now_s + 1 / RATE - LEAD_S - 0.01)
    third = begin(world)
    assert isinstance(third, Begun)
    assert third.at_s - second.at_s == pytest.approx(1 / RATE, abs=1e-3)


def test_clock_that_was_set_back_by_hours_holds_nobody_up(world: World) -> None:
    """The pace begins anew from the new time, and is not kept waiting for the old one."""
    assert isinstance(begin(world), Begun)
    world.set_back(2 * 3600.0)
    world.beat()
    # Contacts have been due for hours, by any clock.
    found = begin(world)
    for _ in range(5):
        if isinstance(found, Begun):
            break
        assert isinstance(found, Wait)
        assert found.for_s <= 1.0
        world.pass_s(max(found.for_s, 0.01))
        found = begin(world)
    assert isinstance(found, Begun)


def test_missed_instant_is_lost_and_the_next_one_is_everybodys(world: World) -> None:
    """Those who missed theirs do not share one; whoever is let go later comes after them."""
    missed = [one for one in (begin(world), begin(world)) if isinstance(one, Begun)]
    assert len(missed) == 2
    world.pass_s(missed[-1].by_s - world.now_s + 0.001)
    instants = []
    for one in missed:
        with writing(world.engine) as connection:
            anew = place_anew(connection, world.limits, one, world.wall)
        assert (anew.row, anew.campaign) == (one.row, one.campaign)
        instants.append(anew.at_s)
    assert instants[0] >= world.now_s + LEAD_S
    assert instants[1] - instants[0] == pytest.approx(1 / RATE, abs=0.06)
    world.pass_s(1 / RATE + 0.05)
    after = begin(world)
    assert isinstance(after, Begun)
    assert after.at_s - instants[1] == pytest.approx(1 / RATE, abs=1e-3)
