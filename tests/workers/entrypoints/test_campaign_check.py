"""``evercall campaign check``: what a campaign's file and its contacts come to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workers.entrypoints.campaign_check import run_campaign_check
from workers.entrypoints.cli import app

# A Friday: 09:30 in New York (EST), 14:30 in London, 06:30 in Los Angeles.
NOW = datetime(2026, 11, 27, 14, 30, tzinfo=UTC)
CAMPAIGN = """\
name: reminders
agent: agent.yaml
callers: ["+12125550100"]
contacts:
  file: people.csv
  region: US
  columns: {number: phone, name: who, zone: tz}
consent_required: false
hours: {mon-fri: 09:00-18:00}
"""
PEOPLE = """\
phone,who,tz
(212) 555-0123,Ada,America/New_York
+1 212 555 0123,Ada again,America/New_York
+12125550124,Ben,America/Los_Angeles
+12125550125,Cho,Europe/London
12,Dee,America/New_York
+12125550126,Eve,Mars/Olympus
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.yaml").write_text("name: agent\nsystem_instruction: Be brief.\n")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    return tmp_path


def test_contacts_are_counted_by_what_may_become_of_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Callable now where the hours permit, later where they will; bad rows by line."""
    assert run_campaign_check(folder / "campaign.yaml", now=NOW) == 0
    out = capsys.readouterr().out
    assert "campaign reminders: good" in out
    assert "3 contacts, 1 duplicates folded, 2 rows kept aside" in out
    assert "people.csv:6: phone: " in out
    assert "people.csv:7: tz: " in out
    assert "callable now 2, later 1 (from 2026-11-27 17:00 UTC), never 0" in out
    assert "0:00:03 of permitted hours at least" in out


def test_no_number_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What operators paste into tickets holds none."""
    run_campaign_check(folder / "campaign.yaml", now=NOW)
    captured = capsys.readouterr()
    assert "5550" not in captured.out + captured.err


def test_many_bad_rows_are_summed_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten by line, and all of them by reason."""
    (folder / "people.csv").write_text(PEOPLE + "12,Someone,\n" * 40)
    assert run_campaign_check(folder / "campaign.yaml", now=NOW) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("people.csv:" in line for line in lines) == 11
    assert any(line.split() and line.split()[0] == "41" for line in lines)


def test_contacts_that_may_never_be_called_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the campaign's last day nobody is left."""
    (folder / "campaign.yaml").write_text(CAMPAIGN + "ends_on: 2026-11-26\n")
    assert run_campaign_check(folder / "campaign.yaml", now=NOW) == 0
    out = capsys.readouterr().out
    assert "callable now 0, later 0, never 3" in out
    assert "The last day of the campaign is over where they are." in out


def test_mistakes_of_the_file_are_named(folder: Path) -> None:
    """By the command, on stderr, with line and field; the exit code is 1."""
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("09:00-18:00", "18:00-09:00"))
    done = CliRunner().invoke(app, ["campaign", "check", str(folder / "campaign.yaml")])
    assert done.exit_code == 1
    assert "campaign.yaml:9: hours.mon-fri: " in done.stderr
    assert done.stderr.endswith("1 problem\n")


def test_file_without_the_column_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No row could be read."""
    (folder / "people.csv").write_text("telephone,who,tz\n+12125550123,Ada,\n")
    assert run_campaign_check(folder / "campaign.yaml", now=NOW) == 1
    err = capsys.readouterr().err
    assert "people.csv:1: columns.number: " in err


def test_example_of_the_readme_is_good(folder: Path) -> None:
    """Operators begin with it."""
    readme = Path(__file__).parents[3] / "README.md"
    example = next(
        block for block in readme.read_text().split("```") if block.startswith("yaml\nname: june")
    )
    (folder / "campaign.yaml").write_text(example.removeprefix("yaml\n"))
    (folder / "bakery.yaml").write_text("name: bakery\nsystem_instruction: Be brief.\n")
    (folder / "people.csv").write_text("Phone;Name;Time zone;Consent;Appointment\n")
    assert run_campaign_check(folder / "campaign.yaml", now=NOW) == 0
