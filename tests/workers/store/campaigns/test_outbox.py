"""What customers are to be told is kept until they were, or for good with the reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, delete, insert, select, update

from tests.workers.store.campaigns.samples import LATER, NOW, campaign, row
from workers.campaign.model import Webhook
from workers.store.campaign_schema import attempts, campaigns, contacts, outbox
from workers.store.campaigns import outbox as told
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.campaigns.telling import EVENT
from workers.store.database import writing
from workers.store.schema import call_records

LEASE = timedelta(minutes=1)
HOOK = Webhook("https://crm.example/calls", "CRM_KEY")


def filled(engine: Engine, name: str, people: int) -> tuple[int, list[int]]:
    """A campaign with contacts that are done with."""
    with writing(engine) as connection:
        campaign_id = create(connection, campaign(name, webhook=HOOK), now=NOW)
        add_contacts(
            connection,
            campaign_id,
            [row(n) for n in range(people)],
            now=NOW,
        )
        ids = connection.scalars(
            select(contacts.c.id).where(contacts.c.campaign_id == campaign_id)
        ).all()
        assert told.put(connection, ids, now=NOW) == people
    return campaign_id, list(ids)


def claim(engine: Engine, *, later: timedelta = timedelta(), of_each: int = 10) -> list[int]:
    with writing(engine) as connection:
        due = told.claim_due(connection, now=NOW + later, lease=LEASE, of_each=of_each)
    return [one.outbox_id for one in due]


def data_of(one: told.DueDelivery) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(one.payload)["data"]
    return data


def test_a_contact_is_put_once(engine: Engine) -> None:
    """The second time changes nothing; what is told is the contact's row."""
    _, (contact_id,) = filled(engine, "one", 1)
    with writing(engine) as connection:
        assert told.put(connection, [contact_id], now=LATER) == 0
        (due,) = told.claim_due(connection, now=NOW, lease=LEASE, of_each=1)
    payload = orjson.loads(due.payload)
    assert payload["type"] == EVENT
    assert payload["data"]["campaign"] == "one"
    assert payload["data"]["variables"] == {"order": "A-0"}
    assert (due.webhook, due.tries, due.written_at) == (HOOK, 1, NOW)


def test_what_the_call_was_about_is_told(engine: Engine) -> None:
    """Of the newest call, with its summary; a call without a record has none."""
    about = {"wants": "to pay", "facts": []}
    for name, record, summary in (("with", {"summary": about}, about), ("out", None, None)):
        with writing(engine) as connection:
            campaign_id = create(connection, campaign(name, webhook=HOOK), now=NOW)
            add_contacts(connection, campaign_id, [row(1)], now=NOW)
            contact_id = connection.scalars(
                select(contacts.c.id).where(contacts.c.campaign_id == campaign_id)
            ).one()
            common = {
                "contact_id": contact_id, "campaign_id": campaign_id, "number": "+15550100002",
                "caller": "+15550100001", "state": "ended", "created_at": NOW, "duration_s": 30,
            }  # fmt: skip
            sids = [f"CA{name}{ordinal}" for ordinal in (1, 2)]
            for ordinal, sid in enumerate(sids, 1):
                connection.execute(insert(attempts).values(**common, ordinal=ordinal, call_sid=sid))
            if record is not None:
                text = orjson.dumps(record).decode()
                connection.execute(insert(call_records).values(call_sid=sids[-1], record=text))
            told.put(connection, [contact_id], now=NOW)
            due = told.claim_due(connection, now=NOW, lease=LEASE, of_each=1)
        call = orjson.loads(due[-1].payload)["data"]["call"]
        assert (call["call_sid"], call["duration_s"], call["summary"]) == (sids[-1], 30, summary)


def test_campaign_without_webhook_or_that_cannot_be_read_is_not_told(engine: Engine) -> None:
    """Others are, in the same statement; whoever finishes the contacts learns of nothing."""
    with writing(engine) as connection:
        for name, hook in (("told", HOOK), ("without", None), ("unreadable", HOOK)):
            campaign_id = create(connection, campaign(name, webhook=hook), now=NOW)
            add_contacts(connection, campaign_id, [row(1)], now=NOW)
        connection.execute(
            update(campaigns).where(campaigns.c.name == "unreadable").values(definition="{")
        )
        ids = list(connection.scalars(select(contacts.c.id)))
        assert told.put(connection, ids, now=NOW) == 1
        assert told.put(connection, [], now=NOW) == 0
        names = connection.scalars(select(campaigns.c.name).join(outbox)).all()
    assert names == ["told"]


def test_contact_whose_row_is_damaged_is_told_of(engine: Engine) -> None:
    """Without what cannot be read."""
    _, (first, _) = filled(engine, "one", 2)
    with writing(engine) as connection:
        connection.execute(delete(outbox))
        broken = {"variables": '{"order', "report": "{"}
        connection.execute(update(contacts).where(contacts.c.id == first).values(broken))
        assert told.put(connection, [first], now=NOW) == 1
        (due,) = told.claim_due(connection, now=NOW, lease=LEASE, of_each=1)
    data = orjson.loads(due.payload)["data"]
    assert (data["name"], data["variables"], data["report"]) == ("Person 0", None, None)


def test_a_claim_holds_until_its_lease_ends(engine: Engine) -> None:
    """Who claims and dies costs a minute."""
    filled(engine, "one", 2)
    first = claim(engine)
    assert len(first) == 2
    assert claim(engine) == []
    assert claim(engine, later=LEASE) == first


def test_one_campaign_does_not_wait_for_anothers_backlog(engine: Engine) -> None:
    """Each gets its share of a round."""
    filled(engine, "large", 5)
    filled(engine, "small", 1)
    assert len(claim(engine, of_each=2)) == 3


def test_what_another_has_claimed_is_passed_over(engine: Engine) -> None:
    """While its transaction is still open (SQLite lets in no second one)."""
    if engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    filled(engine, "one", 3)
    with writing(engine) as connection:
        assert len(told.claim_due(connection, now=NOW, lease=LEASE, of_each=2)) == 2
        assert len(claim(engine)) == 1


def test_delivered_and_given_up_do_not_come_up_again(engine: Engine) -> None:
    """What was given up keeps its reason; the same contact has the same message ID at each try."""
    filled(engine, "one", 3)
    with writing(engine) as connection:
        before = told.claim_due(connection, now=NOW, lease=LEASE, of_each=3)
        told.note_delivered(connection, before[0], now=NOW)
        told.note_failed(connection, before[1], error="it answered 500", next_at=None)
        told.note_failed(connection, before[2], error="it answered 500", next_at=LATER)
        assert not told.any_due(connection, now=NOW + LEASE)
        (again,) = told.claim_due(connection, now=LATER, lease=LEASE, of_each=3)
        assert (again.message_id, again.tries) == (before[2].message_id, 2)
        errors = connection.execute(
            select(outbox.c.last_error).where(outbox.c.id == before[1].outbox_id)
        ).scalar_one()
    assert errors == "it answered 500"
    assert len({one.message_id for one in before}) == 3


@pytest.mark.parametrize("payload", ["{", "[]", '{"timestamp": "soon", "data": {}}'])
def test_message_that_cannot_be_read_holds_up_no_other(engine: Engine, payload: str) -> None:
    """Nor does a campaign; both come up again after the lease, for whoever can."""
    filled(engine, "unreadable", 1)
    _, (broken, sound) = filled(engine, "one", 2)
    with writing(engine) as connection:
        connection.execute(
            update(campaigns).where(campaigns.c.name == "unreadable").values(definition="{")
        )
        damaged = update(outbox).where(outbox.c.contact_id == broken)
        connection.execute(damaged.values(payload=payload))
    with writing(engine) as connection:
        due = told.claim_due(connection, now=NOW, lease=LEASE, of_each=9)
        assert [data_of(one)["contact_id"] for one in due] == [sound]
        assert not told.any_due(connection, now=NOW)
        assert told.any_due(connection, now=NOW + LEASE)
        told.put_again(connection, broken, now=LATER)
        due = told.claim_due(connection, now=LATER, lease=LEASE, of_each=9)
    told_of = map(data_of, due)
    revisions = {data["contact_id"]: data["revision"] for data in told_of}
    assert revisions == {broken: 1, sound: 1}
