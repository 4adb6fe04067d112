"""All figures of a campaign at once, and its contacts page by page, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.workers.store.campaigns.filled import NOW, fill
from workers.campaign.model import CampaignState, LineOutcome
from workers.store.campaigns.campaigns import load_by_id
from workers.store.campaigns.exporting import exported, most_attempts
from workers.store.campaigns.overview import MOST_BUCKETS, bucket_width, named_offenders, overview
from workers.store.database import reading, writing


def test_overview_agrees_with_itself(engine: Engine) -> None:
    """Every attempt is in each of the views that are about all of them."""
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        campaign = load_by_id(connection, written.campaign_id)
        assert campaign is not None
        found = overview(connection, campaign, now=NOW)
    assert found.campaign.state is CampaignState.RUNNING
    assert found.settled == len(written.settled)
    assert sum(sum(bucket.values()) for bucket in found.over_time.values()) == found.settled
    asked = [call for call in written.attempts if call["asked_at"] is not None]
    assert sum(found.dials.values()) == len(asked)
    assert found.every == timedelta(hours=1)
    assert found.row_errors == 3
    named = [one for event in found.events for one in named_offenders(event)]
    assert len(named) == 6
    assert all(found.offenders[one].outcome is LineOutcome.CARRIER_BLOCKED for one in named)


def test_contacts_come_in_pages_with_their_attempts(engine: Engine) -> None:
    """Nobody is left out or comes twice, and nobody has another's attempts."""
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        rows = list(exported(connection, written.campaign_id, page_size=33))
        most = most_attempts(connection, written.campaign_id)
        assert most_attempts(connection, 99) == 0
    assert [row.contact.contact.contact_id for row in rows] == [c["id"] for c in written.contacts]
    for row in rows:
        mine = [
            call["ordinal"]
            for call in written.attempts
            if call["contact_id"] == row.contact.contact.contact_id
        ]
        assert [one.attempt.ordinal for one in row.attempts] == sorted(mine)
    assert most == max(call["ordinal"] for call in written.attempts) == 3


@pytest.mark.parametrize(
    ("span", "width"),
    [
        (timedelta(), timedelta(seconds=1)),
        (timedelta(seconds=95), timedelta(seconds=1)),
        (timedelta(seconds=96), timedelta(seconds=5)),
        (timedelta(hours=1), timedelta(minutes=1)),
        (timedelta(days=3), timedelta(hours=1)),
        (timedelta(days=60), timedelta(days=1)),
        (timedelta(days=5000), timedelta(weeks=1)),
    ],
)
def test_buckets_are_as_narrow_as_a_page_can_show(span: timedelta, width: timedelta) -> None:
    """A minute's rehearsal has seconds, two months have days."""
    assert bucket_width(span) == width
    if width < timedelta(weeks=1):
        assert span < width * MOST_BUCKETS
