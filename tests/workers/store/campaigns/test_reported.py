"""What agents report is counted by the fields of the campaign's file, on both databases."""

from __future__ import annotations

from sqlalchemy import Engine, select

from tests.workers.store.campaigns.samples import NOW, campaign, row
from workers.campaign.model import OutcomeField
from workers.store.campaign_schema import contacts
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.campaigns.reported import Reported, reported
from workers.store.campaigns.reports import keep_report
from workers.store.database import reading, writing

FIELDS = {
    "coming": OutcomeField("boolean", required=True),
    "when": OutcomeField("choice", choices=("morning", "afternoon", "evening")),
    "people": OutcomeField("integer"),
    "note": OutcomeField("text"),
}
REPORTS: list[dict[str, object]] = [
    {"coming": True, "when": "afternoon", "people": 1},
    {"coming": True, "when": "morning", "note": "yes"},
    {"coming": True, "when": "at noon", "people": 1},
    {"coming": False},
    {"coming": 1},
]


def test_fields_with_few_values_are_counted_by_value(engine: Engine) -> None:
    """In the file's order; a 1 is no yes, and what is no choice any more is given and no more."""
    with writing(engine) as connection:
        made = create(connection, campaign(outcome=FIELDS), now=NOW)
        other = create(connection, campaign("other", outcome=FIELDS), now=NOW)
        for campaign_id in (made, other):
            rows = [row(line) for line in range(1, len(REPORTS) + 2)]
            add_contacts(connection, campaign_id, rows, now=NOW)
        mine = select(contacts.c.id).where(contacts.c.campaign_id == made)
        for contact_id, report in zip(connection.scalars(mine).all(), REPORTS, strict=False):
            keep_report(connection, contact_id, report, now=NOW)
    with reading(engine) as connection:
        assert reported(connection, made, FIELDS) == [
            Reported("coming", 5, {"yes": 3, "no": 1}),
            Reported("when", 3, {"morning": 1, "afternoon": 1}),
            Reported("people", 2, {}),
            Reported("note", 1, {}),
        ]
        assert reported(connection, made, {}) == []
        assert reported(connection, other, FIELDS)[0] == Reported("coming", 0, {})
