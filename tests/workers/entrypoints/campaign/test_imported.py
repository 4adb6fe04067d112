"""``evercall campaign import`` and ``errors``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.workers.entrypoints.campaign.conftest import CAMPAIGN, PEOPLE, Evercall
from workers.campaign.model import ContactState
from workers.store.campaigns.campaigns import load
from workers.store.campaigns.contacts import counts
from workers.store.database import reading


def test_import_makes_a_campaign_and_takes_good_rows(evercall: Evercall) -> None:
    """Bad ones by their line, duplicates counted, and what to do next."""
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 0, done.output
    assert "Campaign reminders: made, in draft." in done.stdout
    assert "2 new contacts, 1 known before or twice in the file, 2 rows kept aside." in done.stdout
    assert "evercall campaign rehearse reminders" in done.stdout
    assert "people.csv:5: phone: has no country code, and the source names no region" in done.stderr
    assert "people.csv:6: tz: is no time zone" in done.stderr


def test_import_again_adds_only_what_is_new(
    evercall: Evercall, folder: Path, engine: Engine
) -> None:
    """And takes over what the campaign's file says now."""
    (folder / "people.csv").write_text(PEOPLE + "+12125550127,Flo,America/New_York\n")
    (folder / "campaign.yaml").write_text(CAMPAIGN + "ring_s: 40\n")
    done = evercall("campaign", "import", "campaign.yaml")
    assert "Campaign reminders: brought up to date, draft." in done.stdout
    assert "1 new contact, 3 known before" in done.stdout
    with reading(engine) as connection:
        found = load(connection, "reminders")
        assert found is not None
        assert found.definition.ring_s == 40
        assert counts(connection, found.campaign_id)[ContactState.WAITING] == 3
    assert "as it was, draft" in evercall("campaign", "import", "campaign.yaml").stdout


def test_running_campaign_keeps_its_file_and_takes_contacts(
    evercall: Evercall, folder: Path, engine: Engine
) -> None:
    """Hours that change under a running campaign would be nobody's decision."""
    assert evercall("campaign", "start", "reminders").exit_code == 0
    (folder / "people.csv").write_text(PEOPLE + "+12125550127,Flo,America/New_York\n")
    (folder / "campaign.yaml").write_text(CAMPAIGN + "ring_s: 40\n")
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 0
    assert "not changed, running" in done.stdout
    assert "pause it and import again" in done.stderr
    assert "1 new contact" in done.stdout
    with reading(engine) as connection:
        found = load(connection, "reminders")
    assert found is not None
    assert found.definition.ring_s == 25


@pytest.mark.parametrize("columns", ["name: who, variables: {zone: tz}", "name: who, key: who"])
def test_nobody_comes_in_twice_by_other_columns(
    evercall: Evercall, folder: Path, engine: Engine, columns: str
) -> None:
    """A variable or a key more would make a new contact of each row, to be called once more."""
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN.replace("name: who", columns) + "ring_s: 40\n")
    done = evercall("campaign", "import", "campaign.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("campaign.yaml:6: contacts.columns: the contacts of reminders ")
    with reading(engine) as connection:
        found = load(connection, "reminders")
        assert found is not None
        assert found.definition.ring_s == 25
        assert counts(connection, found.campaign_id)[ContactState.WAITING] == 2
    file.write_text(CAMPAIGN.replace("reminders", "again").replace("name: who", columns))
    assert "made, in draft" in evercall("campaign", "import", "campaign.yaml").stdout


def test_columns_of_a_campaign_without_contacts_may_change(
    evercall: Evercall, folder: Path
) -> None:
    """There is nobody yet to come in twice."""
    (folder / "people.csv").write_text("phone,who,tz\n")
    assert evercall("campaign", "import", "campaign.yaml").exit_code == 0
    (folder / "people.csv").write_text(PEOPLE)
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("name: who", "name: who, key: who"))
    assert "brought up to date, draft" in evercall("campaign", "import", "campaign.yaml").stdout


def test_cancelled_campaign_takes_nobody(evercall: Evercall, imported: None) -> None:
    """Nothing leads out of that."""
    evercall("campaign", "cancel", "reminders")
    done = evercall("campaign", "import", "campaign.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Campaign reminders was cancelled; give the file another name to begin anew.\n"
    )


def test_mistakes_are_named_and_nothing_is_made(evercall: Evercall, folder: Path) -> None:
    """In the campaign's file, then in the contacts' columns."""
    (folder / "campaign.yaml").write_text(CAMPAIGN + "colour: red\n")
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 1
    assert "colour: unknown field" in done.stderr
    assert done.stderr.endswith("1 problem\n")
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("tz", "zone"))
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 1
    assert "there is no column 'zone'" in done.stderr
    done = evercall("campaign", "start", "reminders")
    assert (
        done.stderr
        == "There is no campaign reminders; evercall campaign list names those there are.\n"
    )


def test_many_bad_rows_are_counted_and_kept(evercall: Evercall, folder: Path) -> None:
    """Twenty are shown, the others are in the CSV."""
    (folder / "people.csv").write_text(PEOPLE + '12,"So,\nmeone",\n' * 40)
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.stderr.count("people.csv:") == 20
    assert "and 22 rows more: evercall campaign errors reminders" in done.stderr
    listed = evercall("campaign", "errors", "reminders", numbers=True)
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert len(rows) == 42
    assert (rows[0]["line"], rows[0]["column"], rows[0]["message"]) == (
        "5",
        "phone",
        "has no country code, and the source names no region",
    )
    assert rows[-1]["row"] == '12,"So,\nmeone",'


def test_suppressed_contacts_are_told(evercall: Evercall) -> None:
    """They are imported to be never called."""
    assert evercall("suppress", "add", "+12125550124").exit_code == 0
    done = evercall("campaign", "import", "campaign.yaml")
    assert "1 of the new are on the suppression list: never called." in done.stdout


def test_data_folder_that_cannot_be_made_is_one_line(
    evercall: Evercall, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that has led there."""
    (folder / "taken").write_text("")
    monkeypatch.setenv("EVERCALL_DATA_DIR", str(folder / "taken"))
    done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 1
    assert done.stderr == (
        f"{folder / 'taken'}: File exists (EVERCALL_DATA_DIR is {folder / 'taken'})\n"
    )


def test_import_that_is_interrupted_says_how_to_go_on(
    evercall: Evercall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file again takes in the rest."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("workers.entrypoints.campaign.imported.import_contacts", interrupted)
        done = evercall("campaign", "import", "campaign.yaml")
    assert done.exit_code == 130
    assert "import the file again for the rest" in done.stderr
    assert "2 new contacts" in evercall("campaign", "import", "campaign.yaml").stdout
