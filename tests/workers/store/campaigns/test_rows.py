"""Campaigns survive the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.campaign.campaign_file import load_campaign
from workers.campaign.model import Attempts, Columns
from workers.store.campaigns.rows import (
    DefinitionUnreadable,
    definition_of,
    definition_text,
    zones_of_text,
    zones_text,
)

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


def test_what_a_definition_leaves_out_has_its_default() -> None:
    """Of a version that did not know the field yet."""
    found = definition_of(
        '{"name":"n","agent":"a","callers":[],"source":{"file":"f"},"hours":{"windows":{}}}'
    )
    assert (found.attempts, found.source.columns) == (Attempts(), Columns())


@pytest.mark.parametrize("text", ["", "{}", "null", '{"name": 1}', '{"attempts": {"most": []}}'])
def test_definition_that_is_none_is_named(text: str) -> None:
    """By one error that is declared, whatever is wrong with it."""
    with pytest.raises(DefinitionUnreadable):
        definition_of(text)


def test_zones_survive_the_database() -> None:
    """None is none, not one without a name."""
    for zones in ((), ("Europe/Berlin",), ("Europe/Berlin", "Asia/Dubai")):
        assert zones_of_text(zones_text(zones)) == zones
