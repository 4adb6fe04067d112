"""Contacts are taken in once, whatever is in them, and read back page by page."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from sqlalchemy import Engine, update

from tests.workers.store.campaigns.samples import LATER, NOW, campaign, number, row
from workers.campaign.contacts import RowError
from workers.campaign.model import Contact, ContactState, OutcomeField, Webhook
from workers.store.campaign_schema import contacts
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.claims import DueContact, waiting_contacts
from workers.store.campaigns.contacts import (
    Added,
    add_contacts,
    clear_errors,
    count_errors,
    counts,
    errors_page,
    keep_errors,
    page,
)
from workers.store.campaigns.outbox import claim_due
from workers.store.campaigns.reported import reported
from workers.store.campaigns.suppressions import suppress
from workers.store.database import reading, writing

MANY = 7_001
"""More values than SQLite takes in one statement."""


def test_rows_become_waiting_contacts(engine: Engine, campaign_id: int) -> None:
    """With all that the file said, whatever the characters."""
    odd = row(
        2,
        name='Zoë "{\\}," O\'Neil',
        zones=("Europe/Berlin", "Asia/Dubai"),
        key="{a,b}",
        consent="",
    )
    with writing(engine) as connection:
        added = add_contacts(connection, campaign_id, [row(1), odd], now=NOW)
    assert added == Added(new=2)
    with reading(engine) as connection:
        first, second = page(connection, campaign_id)
    assert first.contact == Contact(
        contact_id=first.contact.contact_id,
        campaign_id=campaign_id,
        number=number(1),
        zones=("America/New_York",),
        name="Person 1",
        variables={"order": "A-1"},
    )
    assert (first.line, first.consent, first.due_at, first.finished_at) == (1, "form", NOW, None)
    assert (second.contact.name, second.contact.zones) == (odd.name, odd.zones)
    assert (second.key, second.consent) == ("{a,b}", "")


def test_many_are_taken_in_at_once(engine: Engine, campaign_id: int) -> None:
    """In the order in which it was given, however many values that are; then none is new."""
    batch = [row(n) for n in range(MANY)]
    with writing(engine) as connection:
        assert add_contacts(connection, campaign_id, batch, now=NOW) == Added(new=MANY)
    with writing(engine) as connection:
        assert add_contacts(connection, campaign_id, batch, now=NOW) == Added(known=MANY)
    with reading(engine) as connection:
        lines = [each.line for each in page(connection, campaign_id, most=MANY)]
    assert lines == [each.line for each in batch]


def test_contact_is_taken_in_once(engine: Engine, campaign_id: int) -> None:
    """Twice in a batch or in the next; what is known of it stays."""
    with writing(engine) as connection:
        batch = [row(1), row(2), row(1, line=3)]
        assert add_contacts(connection, campaign_id, batch, now=NOW) == Added(new=2, known=1)
    with writing(engine) as connection:
        batch = [row(2, name="Other"), row(4)]
        assert add_contacts(connection, campaign_id, batch, now=LATER) == Added(new=1, known=1)
        assert add_contacts(connection, campaign_id, [], now=LATER) == Added()
    with reading(engine) as connection:
        assert [each.contact.name for each in page(connection, campaign_id)] == [
            "Person 1",
            "Person 2",
            "Person 4",
        ]


def test_suppressed_number_is_taken_in_to_be_never_called(engine: Engine, campaign_id: int) -> None:
    """With the reason of the list; a second import counts nothing again."""
    with writing(engine) as connection:
        suppress(connection, number(2), reason="Asked us not to.", source="agent", now=NOW)
        batch = [row(1), row(2)]
        assert add_contacts(connection, campaign_id, batch, now=LATER) == Added(2, 0, 1)
        assert add_contacts(connection, campaign_id, batch, now=LATER) == Added(0, 2, 0)
        found = counts(connection, campaign_id)
        assert (found[ContactState.WAITING], found[ContactState.NEVER]) == (1, 1)
        assert found[ContactState.DONE] == 0
        second = page(connection, campaign_id)[1]
    assert second.contact.reason == "Their number is on the suppression list: Asked us not to."
    assert second.finished_at == LATER


def test_customers_are_told_of_who_comes_in_suppressed(engine: Engine) -> None:
    """Once, however often they are imported; not of who was done with before, nor of who waits."""
    with writing(engine) as connection:
        hook = Webhook("https://crm.example/calls", "CRM_KEY")
        made = create(connection, campaign("one", webhook=hook), now=NOW)
        add_contacts(connection, made, [row(3)], now=NOW)
        done = {"state": ContactState.DONE, "finished_at": NOW}
        connection.execute(update(contacts).values(done))
        for n in (2, 3):
            suppress(connection, number(n), reason="Asked us.", source="import", now=NOW)
        for now in (NOW, LATER):
            add_contacts(connection, made, [row(n) for n in (1, 2, 3)], now=now)
        due = claim_due(connection, now=LATER, lease=timedelta(0), of_each=9)
    (data,) = (orjson.loads(one.payload)["data"] for one in due)
    assert (data["line"], data["state"]) == (2, "never")
    assert data["reason"] == "Their number is on the suppression list: Asked us."


def test_half_a_surrogate_pair_adds_nothing(engine: Engine, campaign_id: int) -> None:
    """Whoever hands it in learns of it before anything is written."""
    with pytest.raises((UnicodeEncodeError, TypeError)), writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(1), row(2, name="\ud800")], now=NOW)
    with reading(engine) as connection:
        assert page(connection, campaign_id) == []


def test_pages_go_on_behind_an_id(engine: Engine, campaign_id: int) -> None:
    """Until one is empty."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(n) for n in range(5)], now=NOW)
    after, lines = 0, []
    with reading(engine) as connection:
        while found := page(connection, campaign_id, after_id=after, most=2):
            lines.append([each.line for each in found])
            after = found[-1].contact.contact_id
    assert lines == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_contact_whose_row_is_damaged_is_on_its_page(
    engine: Engine, campaign_id: int, text: str
) -> None:
    """With what can be read of it: an export has everybody."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(n) for n in range(3)], now=NOW)
        broken = update(contacts).where(contacts.c.line == 1)
        connection.execute(broken.values(variables=text, report=text, reason="It is broken."))
    with reading(engine) as connection:
        found = page(connection, campaign_id)
    assert [each.line for each in found] == [0, 1, 2]
    damaged = found[1]
    assert (damaged.contact.name, damaged.contact.reason) == ("Person 1", "It is broken.")
    assert (damaged.contact.variables, damaged.report) == ({}, None)
    with reading(engine) as connection:
        (counted,) = reported(connection, campaign_id, {"coming": OutcomeField("boolean")})
    assert counted.given == 0


def test_rehearsal_sees_who_waits_with_what_decides(engine: Engine, campaign_id: int) -> None:
    """Due or not, whoever has them on a page; not those that are set aside."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(n) for n in range(4)], now=LATER)
        suppress(connection, number(1), reason="", source="agent", now=NOW)
    with reading(engine) as connection:
        first = waiting_contacts(connection, campaign_id, after_id=0, limit=2, now=NOW)
        after = first[-1].contact_id
        rest = waiting_contacts(connection, campaign_id, after_id=after, limit=2, now=NOW)
    found = [one for one in first + rest if isinstance(one, DueContact)]
    assert [one.contact.number for one in found] == [number(n) for n in (0, 2, 3)]
    assert all(one.consent and one.suppressed is None and not one.recent for one in found)


def test_errors_are_kept_as_given_and_replaced(engine: Engine, campaign_id: int) -> None:
    """What no database takes (NUL, half a surrogate pair) is marked in them."""
    good = RowError(2, "phone", "is empty", ";;")
    odd = RowError(3, "", "has a NUL byte in it", "a\0b\ud800")
    with writing(engine) as connection:
        keep_errors(connection, campaign_id, [good, odd])
        keep_errors(connection, campaign_id, [])
        assert count_errors(connection, campaign_id) == 2
        found, after = errors_page(connection, campaign_id, most=1)
        assert found == [good]
        found, after = errors_page(connection, campaign_id, after_id=after)
        assert [each.raw for each in found] == ["a\ufffdb?"]
        assert errors_page(connection, campaign_id, after_id=after) == ([], after)
        clear_errors(connection, campaign_id)
        assert errors_page(connection, campaign_id) == ([], 0)
