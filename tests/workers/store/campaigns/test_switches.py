"""The emergency stop, and what is under way when it is set."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert

from tests.workers.store.campaigns.samples import LATER, NOW, number, row
from workers.campaign.model import AttemptState
from workers.store.campaign_schema import attempts
from workers.store.campaigns.contacts import add_contacts, page
from workers.store.campaigns.switches import allow_all, calls_under_way, stop_all, stopped
from workers.store.database import writing


def test_stop_holds_until_it_is_taken_back(engine: Engine) -> None:
    """An empty reason stops as well; a second stop has the last word on why."""
    with writing(engine) as connection:
        assert stopped(connection) is None
        stop_all(connection, reason="", now=NOW)
        assert stopped(connection) == ""
        stop_all(connection, reason="Wrong list.", now=LATER)
    with writing(engine) as connection:
        assert stopped(connection) == "Wrong list."
        assert allow_all(connection)
        assert not allow_all(connection)
        assert stopped(connection) is None


@pytest.mark.parametrize("state", list(AttemptState))
def test_calls_that_may_ring_are_under_way(
    engine: Engine, campaign_id: int, state: AttemptState
) -> None:
    """Those that nobody has asked for yet, and those that are over, are not."""
    with writing(engine) as connection:
        add_contacts(connection, campaign_id, [row(1)], now=NOW)
        contact = page(connection, campaign_id)[0].contact
        connection.execute(
            insert(attempts).values(
                contact_id=contact.contact_id,
                campaign_id=campaign_id,
                number=number(1),
                caller=number(9),
                ordinal=1,
                state=state,
                created_at=NOW,
            )
        )
        assert calls_under_way(connection) == (state in ("asking", "placed", "unknown"))
