"""Contacts are found by who calls, and what is reported of them stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, Engine, insert, select, update

from tests.workers.store.campaigns.samples import NOW, campaign, number, row
from workers.campaign.model import AttemptState, Campaign, CampaignState
from workers.store.campaign_schema import attempts, campaigns, contacts
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.campaigns.reports import contact_who_calls, keep_report, load_contact
from workers.store.database import reading, writing

OURS = "+12125550100"


def running(connection: Connection, definition: Campaign, *lines: int) -> int:
    made = create(connection, definition, now=NOW)
    add_contacts(connection, made, [row(line) for line in lines], now=NOW)
    state = CampaignState.RUNNING.value
    connection.execute(update(campaigns).where(campaigns.c.id == made).values(state=state))
    return made


def contact_id(connection: Connection, campaign_id: int, line: int) -> int:
    found = connection.execute(
        select(contacts.c.id).where(contacts.c.campaign_id == campaign_id, contacts.c.line == line)
    )
    return int(found.scalar_one())


def called(connection: Connection, campaign_id: int, line: int, *, hours_ago: int) -> None:
    connection.execute(
        insert(attempts).values(
            contact_id=contact_id(connection, campaign_id, line),
            campaign_id=campaign_id,
            number=number(line),
            caller=OURS,
            ordinal=1,
            state=AttemptState.ENDED.value,
            created_at=NOW,
            asked_at=NOW - timedelta(hours=hours_ago),
        )
    )


def test_contact_is_found_by_both_numbers(engine: Engine) -> None:
    """Theirs, and one of their campaign's."""
    with writing(engine) as connection:
        running(connection, campaign(), 1, 2)
    with reading(engine) as connection:
        found = contact_who_calls(connection, caller=number(2), called=OURS)
        assert found is not None
        definition, contact = found
        assert (definition.name, contact.name) == ("reminders", "Person 2")
        assert contact.variables == {"order": "A-2"}
        assert contact_who_calls(connection, caller=number(9), called=OURS) is None
        assert contact_who_calls(connection, caller=number(2), called="+12125550199") is None
        assert load_contact(connection, contact.contact_id) == contact
        assert load_contact(connection, 10_000) is None


def test_campaign_that_called_last_is_meant(engine: Engine) -> None:
    """Of several; where none has called, the one that came last."""
    with writing(engine) as connection:
        first = running(connection, campaign("first"), 1)
        second = running(connection, campaign("second"), 1)

    def meant() -> str:
        with reading(engine) as connection:
            found = contact_who_calls(connection, caller=number(1), called=OURS)
            assert found is not None
            return found[0].name

    assert meant() == "second"
    with writing(engine) as connection:
        called(connection, second, 1, hours_ago=5)
        called(connection, first, 1, hours_ago=2)
    assert meant() == "first"
    with writing(engine) as connection:
        third = running(connection, campaign("third"), 1)
        over = running(connection, campaign("over"), 1)
        called(connection, over, 1, hours_ago=1)
        over_now = update(campaigns).where(campaigns.c.id == over).values(state="cancelled")
        connection.execute(over_now)
    assert third > first
    assert meant() == "first", "not the one that came last"


def test_campaign_that_calls_nobody_is_not_meant(engine: Engine) -> None:
    """A draft is being written, and a cancelled one is over."""
    with writing(engine) as connection:
        made = running(connection, campaign(), 1)
    for state in (CampaignState.DRAFT, CampaignState.CANCELLED):
        with writing(engine) as connection:
            change = update(campaigns).where(campaigns.c.id == made).values(state=state.value)
            connection.execute(change)
            assert contact_who_calls(connection, caller=number(1), called=OURS) is None


def test_newest_report_stands(engine: Engine) -> None:
    """As JSON, in place of the one before."""
    with writing(engine) as connection:
        made = running(connection, replace(campaign(), callers=(OURS,)), 1)
        contact = contact_id(connection, made, 1)
        keep_report(connection, contact, {"coming": True, "note": "Zoë “soon”"})
        keep_report(connection, contact, {"coming": False})
    with reading(engine) as connection:
        kept = connection.execute(select(contacts.c.report).where(contacts.c.id == contact))
        assert kept.scalar_one() == '{"coming":false}'
