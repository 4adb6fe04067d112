"""Contacts are found by who calls, and what is reported of them stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update

from tests.workers.store.campaigns.samples import LATER, NOW, campaign, number, row
from workers.campaign.model import AttemptState, Campaign, CampaignState, ContactState, Webhook
from workers.store.campaign_schema import attempts, campaigns, contacts, outbox
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.campaigns.outbox import (
    claim_due,
    note_delivered,
    note_failed,
    put,
)
from workers.store.campaigns.reports import contact_who_calls, keep_report, load_contact
from workers.store.campaigns.rows import definition_text
from workers.store.campaigns.telling import EVENT
from workers.store.database import reading, writing

HOOK = Webhook("https://crm.example/calls", "CRM_KEY")
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


def test_caller_whose_row_is_damaged_is_a_contact_of_another_campaign(engine: Engine) -> None:
    """Or of none: they are served all the same."""
    with writing(engine) as connection:
        for name in ("one", "damaged", "unreadable"):
            running(connection, campaign(name), 1)
        broken = select(campaigns.c.id).where(campaigns.c.name == "damaged").scalar_subquery()
        damage = update(contacts).where(contacts.c.campaign_id == broken).values(variables="{")
        connection.execute(damage)
        unreadable = update(campaigns).where(campaigns.c.name == "unreadable")
        connection.execute(unreadable.values(definition="{"))
    with reading(engine) as connection:
        found = contact_who_calls(connection, caller=number(1), called=OURS)
    assert found is not None
    assert found[0].name == "one"


def test_newest_report_stands(engine: Engine) -> None:
    """As JSON, in place of the one before."""
    with writing(engine) as connection:
        made = running(connection, replace(campaign(), callers=(OURS,)), 1)
        contact = contact_id(connection, made, 1)
        keep_report(connection, contact, {"coming": True, "note": "Zoë “soon”"}, now=NOW)
        keep_report(connection, contact, {"coming": False}, now=NOW)
    with reading(engine) as connection:
        kept = connection.execute(select(contacts.c.report).where(contacts.c.id == contact))
        assert kept.scalar_one() == '{"coming":false}'


def told(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """What is due by now: message and data."""
    due = claim_due(connection, now=LATER, lease=timedelta(0), of_each=9)
    return [(one.message_id, orjson.loads(one.payload)) for one in due]


def done_with(connection: Connection, *, report: str | None = None) -> int:
    """A contact who is done with, of whom a customer is told."""
    made = running(connection, campaign(webhook=HOOK), 1)
    contact = contact_id(connection, made, 1)
    values = {"state": ContactState.DONE, "finished_at": NOW, "report": report}
    connection.execute(update(contacts).where(contacts.c.id == contact).values(values))
    put(connection, [contact], now=NOW)
    return contact


@pytest.mark.parametrize("delivered", [True, False])
def test_report_of_who_is_done_with_is_told_of(engine: Engine, *, delivered: bool) -> None:
    """As the next revision, with an ID of its own, for as long as the first is."""
    with writing(engine) as connection:
        contact = done_with(connection)
        (first,) = claim_due(connection, now=NOW, lease=timedelta(0), of_each=9)
        if delivered:
            note_delivered(connection, first, now=NOW)
        else:
            note_failed(connection, first, error="it answered 500", next_at=None)
        for revision in (2, 3):
            keep_report(connection, contact, {"coming": revision}, now=LATER)
            ((message_id, payload),) = told(connection)
            assert message_id == f"{first.message_id}_{revision}"
            assert payload["type"] == EVENT
            assert datetime.fromisoformat(payload["timestamp"]) == LATER
            data = payload["data"]
            assert (data["contact_id"], data["revision"]) == (contact, revision)
            assert (data["state"], data["report"]) == ("done", {"coming": revision})
    before = orjson.loads(first.payload)
    assert (before["data"]["revision"], before["data"]["report"]) == (1, None)


def test_same_report_again_tells_nobody(engine: Engine) -> None:
    """Its first try was written after all."""
    with writing(engine) as connection:
        contact = done_with(connection, report='{"coming":true}')
        (first,) = claim_due(connection, now=NOW, lease=timedelta(0), of_each=9)
        note_delivered(connection, first, now=NOW)
        keep_report(connection, contact, {"coming": True}, now=LATER)
        assert told(connection) == []


def test_report_before_the_end_waits_for_it(engine: Engine) -> None:
    """Nobody is told of a contact who is still to be called, nor of one that is not there."""
    with writing(engine) as connection:
        made = running(connection, campaign(webhook=HOOK), 1)
        keep_report(connection, contact_id(connection, made, 1), {"coming": True}, now=LATER)
        keep_report(connection, 999, {"coming": True}, now=LATER)
        assert told(connection) == []


def test_who_was_not_told_of_yet_is_by_their_report(engine: Engine) -> None:
    """They were done with before their campaign had a webhook; without one nobody is told."""
    with writing(engine) as connection:
        contact = done_with(connection)
        connection.execute(delete(outbox))
        quiet = definition_text(campaign())
        connection.execute(update(campaigns).values(definition=quiet))
        keep_report(connection, contact, {"coming": True}, now=LATER)
        assert told(connection) == []
        loud = definition_text(campaign(webhook=HOOK))
        connection.execute(update(campaigns).values(definition=loud))
        keep_report(connection, contact, {"coming": False}, now=LATER)
        ((_, payload),) = told(connection)
    assert (payload["data"]["revision"], payload["data"]["report"]) == (1, {"coming": False})


def test_what_an_older_version_put_gets_its_revision(engine: Engine) -> None:
    """It had none, and was the first; clocks that were set back change no order."""
    with writing(engine) as connection:
        contact = done_with(connection)
        (first,) = claim_due(connection, now=NOW, lease=timedelta(0), of_each=9)
        old = orjson.loads(first.payload)
        del old["data"]["revision"]
        connection.execute(update(outbox).values(payload=orjson.dumps(old).decode()))
        ((message_id, _),) = told(connection)
        assert message_id == first.message_id
        keep_report(connection, contact, {"coming": True}, now=NOW - timedelta(hours=1))
        ((message_id, payload),) = told(connection)
    assert message_id == f"{first.message_id}_2"
    assert datetime.fromisoformat(payload["timestamp"]) == NOW
