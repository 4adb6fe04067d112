"""Campaigns are made, moved by the table alone, and redefined."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import Engine, update

from tests.workers.store.campaigns.samples import LATER, NOW, campaign, row
from workers.campaign.model import CampaignState, ContactState, IllegalMove, Webhook
from workers.store.campaign_schema import contacts
from workers.store.campaigns.campaigns import (
    NameTaken,
    NoCampaign,
    cancel_waiting,
    create,
    list_all,
    load,
    load_by_id,
    look_again,
    move,
    redefine,
)
from workers.store.campaigns.contacts import add_contacts, counts, page
from workers.store.campaigns.events import events
from workers.store.campaigns.outbox import claim_due
from workers.store.database import reading, writing


def test_campaign_comes_back_as_it_was(engine: Engine, campaign_id: int) -> None:
    """In draft, by name and by id; one that is not there is None."""
    with reading(engine) as connection:
        found = load(connection, "reminders")
        assert found == load_by_id(connection, campaign_id)
        assert load(connection, "other") is load_by_id(connection, campaign_id + 1) is None
    assert found is not None
    assert (found.definition, found.state) == (campaign(), CampaignState.DRAFT)
    assert (found.created_at, found.state_at, found.started_at) == (NOW, NOW, None)


def test_name_is_taken_once(engine: Engine, campaign_id: int) -> None:
    """The transaction goes on after that: nothing was changed."""
    with writing(engine) as connection:
        with pytest.raises(NameTaken, match="reminders"):
            create(connection, campaign(), now=LATER)
        other = create(connection, campaign("other"), now=LATER)
    with reading(engine) as connection:
        assert [each.campaign_id for each in list_all(connection)] == [other, campaign_id]


def test_move_keeps_when_and_why(engine: Engine, campaign_id: int) -> None:
    """A start and a resume set the start; a canary's count is gone after it."""
    with writing(engine) as connection:
        canary = move(connection, campaign_id, CampaignState.CANARY, now=NOW, canary=20)
    assert (canary.state, canary.canary_left, canary.started_at) == ("canary", 20, NOW)
    with writing(engine) as connection:
        paused = move(connection, campaign_id, CampaignState.PAUSED, now=LATER, reason="Enough.")
    assert (paused.reason, paused.state_at, paused.started_at) == ("Enough.", LATER, NOW)
    assert paused.canary_left is None
    again = LATER + timedelta(hours=1)
    with writing(engine) as connection:
        running = move(connection, campaign_id, CampaignState.RUNNING, now=again)
    assert (running.state, running.started_at, running.reason) == ("running", again, "")
    with reading(engine) as connection:
        told = events(connection, campaign_id)
    assert [(each.at, each.detail["from"], each.detail["to"]) for each in told] == [
        (NOW, "draft", "canary"),
        (LATER, "canary", "paused"),
        (again, "paused", "running"),
    ]
    assert told[0].detail["canary"] == 20


def test_illegal_move_changes_nothing(engine: Engine, campaign_id: int) -> None:
    """Not even the events."""
    with pytest.raises(IllegalMove, match="draft cannot become paused"), writing(engine) as link:
        move(link, campaign_id, CampaignState.PAUSED, now=LATER)
    with pytest.raises(NoCampaign), writing(engine) as link:
        move(link, campaign_id + 1, CampaignState.RUNNING, now=LATER)
    with reading(engine) as connection:
        found = load_by_id(connection, campaign_id)
        assert found is not None
        assert found.state is CampaignState.DRAFT
        assert events(connection, campaign_id) == []


@pytest.mark.parametrize(
    ("to", "canary"),
    [(CampaignState.CANARY, None), (CampaignState.CANARY, 0), (CampaignState.RUNNING, 5)],
)
def test_canary_alone_has_a_count(
    engine: Engine, campaign_id: int, to: CampaignState, canary: int | None
) -> None:
    """One without would never stop, a run with one would."""
    with pytest.raises(ValueError, match="canary"), writing(engine) as connection:
        move(connection, campaign_id, to, now=NOW, canary=canary)


def test_cancelled_campaign_takes_its_waiting_contacts_along(
    engine: Engine, campaign_id: int
) -> None:
    """What is in hand ends as it will; another campaign's contacts stay."""
    with writing(engine) as connection:
        other = create(connection, campaign("other"), now=NOW)
        for each in (campaign_id, other):
            add_contacts(connection, each, [row(n) for n in range(3)], now=NOW)
        first = page(connection, campaign_id)[0].contact
        connection.execute(
            update(contacts)
            .where(contacts.c.id == first.contact_id)
            .values(state=ContactState.IN_HAND)
        )
        move(connection, campaign_id, CampaignState.CANCELLED, now=LATER)
    with reading(engine) as connection:
        found = counts(connection, campaign_id)
        assert (found[ContactState.IN_HAND], found[ContactState.CANCELLED]) == (1, 2)
        assert counts(connection, other)[ContactState.WAITING] == 3
        last = page(connection, campaign_id)[-1]
    assert (last.contact.reason, last.finished_at) == ("The campaign was cancelled.", LATER)


def test_many_waiting_contacts_are_cancelled_in_pieces(engine: Engine, campaign_id: int) -> None:
    """Each a transaction of its own, until there is none."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(n) for n in range(5)], now=NOW)
    done = []
    for _ in range(4):
        with writing(engine) as connection:
            done.append(cancel_waiting(connection, campaign_id, now=LATER, most=2))
    assert done == [2, 2, 1, 0]


def test_customers_are_told_of_everybody_who_is_cancelled(engine: Engine) -> None:
    """With the state, piece by piece; not of those in hand, who end by themselves."""
    hook = Webhook("https://crm.example/calls", "CRM_KEY")
    with writing(engine) as connection:
        one = create(connection, campaign("one", webhook=hook), now=NOW)
        add_contacts(connection, one, [row(n) for n in range(5)], now=NOW)
        connection.execute(
            update(contacts).where(contacts.c.line == 4).values(state=ContactState.IN_HAND)
        )
        assert cancel_waiting(connection, one, now=LATER, most=3) == 3
        assert len(claim_due(connection, now=LATER, lease=timedelta(0), of_each=9)) == 3
        assert cancel_waiting(connection, one, now=LATER, most=3) == 1
        due = claim_due(connection, now=LATER, lease=timedelta(0), of_each=9)
    told = [orjson.loads(each.payload)["data"] for each in due]
    assert sorted(each["line"] for each in told) == [0, 1, 2, 3]
    assert {(each["state"], each["reason"]) for each in told} == {
        ("cancelled", "The campaign was cancelled.")
    }


def test_redefined_campaign_looks_at_contacts_again(engine: Engine, campaign_id: int) -> None:
    """What waited for the old hours; the spacing of attempts stays."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(n) for n in range(3)], now=NOW)
        connection.execute(
            update(contacts)
            .where(contacts.c.line < 2)
            .values(due_at=LATER + timedelta(days=1), not_before=LATER + timedelta(hours=1))
        )
        new = dataclasses.replace(campaign(), disclosure="This is a machine.")
        found = redefine(connection, campaign_id, new, now=LATER)
        assert found.definition == new
        assert look_again(connection, campaign_id, now=LATER) == 2
        assert look_again(connection, campaign_id, now=LATER) == 0
        assert [each.due_at for each in page(connection, campaign_id)] == [LATER, LATER, NOW]
        assert page(connection, campaign_id)[0].contact.not_before == LATER + timedelta(hours=1)
        create(connection, campaign("other"), now=NOW)
        with pytest.raises(NameTaken):
            redefine(connection, campaign_id, campaign("other"), now=LATER)
