"""Campaigns survive the database."""

from __future__ import annotations

from pathlib import Path

from workers.campaign.campaign_file import load_campaign
from workers.store.campaigns.rows import definition_of, definition_text, zones_of_text, zones_text

FILE = """\
name: reminders
agent: agent.yaml
callers: ["+15550100001"]
contacts:
  file: contacts.csv
  columns: {number: phone, variables: {order: order_no}}
hours: {mon-fri: 09:00-18:00, sat: 10:00-24:00}
attempts: {most: 2, spacing: {busy: 15m, no_answer: off}}
voicemail: {policy: leave_message, message: Please call us back.}
ends_on: 2027-01-31
outcome:
  answer: {type: choice, choices: [yes, no], required: true}
"""


def test_definition_survives_the_database(tmp_path: Path) -> None:
    """Hours, waits, dates and maps come back as they were."""
    path = tmp_path / "campaign.yaml"
    path.write_text(FILE)
    (tmp_path / "agent.yaml").write_text("name: reminder")
    (tmp_path / "contacts.csv").write_text("phone,order_no")
    campaign = load_campaign(path)
    assert definition_of(definition_text(campaign)) == campaign


def test_zones_survive_the_database() -> None:
    """None is none, not one without a name."""
    for zones in ((), ("Europe/Berlin",), ("Europe/Berlin", "Asia/Dubai")):
        assert zones_of_text(zones_text(zones)) == zones
