"""Numbers that nobody may call, and the contacts that have them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

import orjson
import pytest
from sqlalchemy import Engine, update

from tests.workers.store.campaigns.samples import LATER, NOW, campaign, number, row
from workers.campaign.model import CampaignState, ContactState, Webhook
from workers.store.campaign_schema import contacts
from workers.store.campaigns.campaigns import create, move
from workers.store.campaigns.claims import lock_campaign
from workers.store.campaigns.contacts import add_contacts, page
from workers.store.campaigns.outbox import claim_due
from workers.store.campaigns.suppressions import (
    Suppression,
    reason_for,
    reasons_for,
    suppress,
    suppress_all,
    unsuppress,
)
from workers.store.campaigns.suppressions import (
    page as list_page,
)
from workers.store.database import reading, writing

HOOK = Webhook("https://crm.example/calls", "CRM_KEY")


def test_first_reason_stays(engine: Engine) -> None:
    """And an empty one is a reason."""
    with writing(engine) as connection:
        assert suppress(connection, number(1), reason="", source="operator", now=NOW)
        assert not suppress(connection, number(1), reason="Again.", source="agent", now=LATER)
        assert reason_for(connection, number(1)) == ""
        assert reason_for(connection, number(2)) is None
        assert unsuppress(connection, number(1))
        assert not unsuppress(connection, number(1))
        assert reason_for(connection, number(1)) is None


def test_waiting_contacts_of_every_campaign_are_set_aside(engine: Engine, campaign_id: int) -> None:
    """Not those in hand, which end as they will, and not other numbers."""
    with writing(engine) as connection:
        other = create(connection, campaign("other"), now=NOW)
        add_contacts(connection, campaign_id, [row(1), row(2), row(1, key="b")], now=NOW)
        add_contacts(connection, other, [row(1)], now=NOW)
        connection.execute(
            update(contacts).where(contacts.c.key == "b").values(state=ContactState.IN_HAND)
        )
        suppress(
            connection, number(1), reason="By key 9.", source="keypad", now=LATER, call_sid="CA1"
        )
    with reading(engine) as connection:
        here, there = page(connection, campaign_id), page(connection, other)
        assert list_page(connection) == [
            Suppression(number(1), "By key 9.", "keypad", LATER, "CA1")
        ]
    assert [each.contact.state for each in here] == ["never", "waiting", "in_hand"]
    assert [each.contact.state for each in there] == ["never"]
    assert here[0].contact.reason == "Their number is on the suppression list: By key 9."
    assert (here[0].finished_at, here[1].finished_at) == (LATER, None)


def test_customers_are_told_of_contacts_that_are_set_aside(engine: Engine) -> None:
    """By each campaign that has a webhook, with the reason; not again when it is said again."""
    with writing(engine) as connection:
        for name, hook in (("one", HOOK), ("other", HOOK), ("quiet", None)):
            made = create(connection, campaign(name, webhook=hook), now=NOW)
            add_contacts(connection, made, [row(1), row(2)], now=NOW)
        for _ in range(2):
            suppress(connection, number(1), reason="By key 9.", source="keypad", now=LATER)
        due = claim_due(connection, now=LATER, lease=timedelta(minutes=1), of_each=10)
    told = [orjson.loads(one.payload) for one in due]
    assert [one["data"]["campaign"] for one in told] == ["one", "other"]
    data = told[0]["data"]
    assert (data["number"], data["state"], data["attempts"], data["call"]) == (
        number(1),
        "never",
        0,
        None,
    )
    assert data["reason"] == "Their number is on the suppression list: By key 9."
    assert datetime.fromisoformat(told[0]["timestamp"]) == LATER


def test_opt_out_waits_for_whoever_has_the_campaign_alone(engine: Engine) -> None:
    """With nothing in its hands that they might wait for."""
    if engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    with writing(engine) as connection:
        made = create(connection, campaign(webhook=HOOK), now=NOW)
        add_contacts(connection, made, [row(1), row(2)], now=NOW)

    def opt_out() -> bool:
        with writing(engine) as connection:
            return suppress(connection, number(1), reason="", source="agent", now=NOW)

    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            lock_campaign(connection, made, alone=True)
            said = pool.submit(opt_out)
            wait([said], timeout=0.5)
            assert not said.done()
            move(connection, made, CampaignState.CANCELLED, now=NOW)
        assert said.result(timeout=10)
    with reading(engine) as connection:
        assert [one.contact.state for one in page(connection, made)] == ["cancelled"] * 2


def test_list_is_imported_by_the_batch_and_read_by_the_page(
    engine: Engine, campaign_id: int
) -> None:
    """Those that were there, or come twice, are not new."""
    batch = [Suppression(number(n), f"Reason {n}", "import", NOW) for n in (3, 1, 2, 1)]
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(2)], now=NOW)
        assert suppress_all(connection, batch, now=LATER) == 3
        assert suppress_all(connection, batch, now=LATER) == 0
        assert suppress_all(connection, [], now=LATER) == 0
        first = list_page(connection, most=2)
        rest = list_page(connection, after=first[-1].number, most=2)
        assert [each.number for each in first + rest] == [number(n) for n in (1, 2, 3)]
        assert page(connection, campaign_id)[0].contact.state is ContactState.NEVER
        assert page(connection, campaign_id)[0].finished_at == LATER
        assert reasons_for(connection, [number(2), number(2), number(9)]) == {number(2): "Reason 2"}
