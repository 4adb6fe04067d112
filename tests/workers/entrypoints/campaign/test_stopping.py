"""``evercall stop-all`` and ``allow-all``."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, update

from tests.workers.entrypoints.campaign.conftest import Evercall
from workers.entrypoints.campaign.stopping import NO_REASON
from workers.store.campaign_schema import campaigns
from workers.store.campaigns.switches import stopped
from workers.store.database import reading, writing


def test_stop_holds_until_it_is_taken_back(evercall: Evercall, engine: Engine) -> None:
    """It tells what goes on, and who will."""
    done = evercall("stop-all")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("All calls are stopped: nobody is dialled for any campaign.\n")
    assert "No call is in progress.\n" in done.stdout
    with reading(engine) as connection:
        assert stopped(connection) == NO_REASON
    evercall("campaign", "start", "reminders")
    done = evercall("allow-all")
    assert done.stdout.startswith("Calls are allowed again.\nCampaigns that dial now: reminders.\n")
    with reading(engine) as connection:
        assert stopped(connection) is None
    assert evercall("allow-all").stdout.startswith("Calls were not stopped.\n")


def test_stop_acts_whatever_bytes_its_reason_has(evercall: Evercall, engine: Engine) -> None:
    """A terminal that is not in UTF-8 gives some that no database takes as text."""
    reason = "Beschwerde \xfcber alles".encode("latin-1").decode("utf-8", "surrogateescape")
    assert evercall("stop-all", "--reason", reason).exit_code == 0
    with reading(engine) as connection:
        assert stopped(connection) == "Beschwerde \N{REPLACEMENT CHARACTER}ber alles"


def test_stop_that_is_asked_for_again_keeps_its_reason(evercall: Evercall, engine: Engine) -> None:
    """Unless another one is given."""
    for given, kept in (("Fire.", "Fire."), ("", "Fire."), ("Flood.", "Flood.")):
        assert evercall("stop-all", "--reason", given).exit_code == 0
        with reading(engine) as connection:
            assert stopped(connection) == kept


def test_stop_needs_no_reader_to_stand_aside(evercall: Evercall, engine: Engine) -> None:
    """Somebody looks at the database meanwhile."""
    with reading(engine) as connection:
        assert stopped(connection) is None
        assert evercall("stop-all").exit_code == 0
    with writing(engine) as connection:
        assert stopped(connection) is not None


def test_campaign_that_cannot_be_read_is_one_line(evercall: Evercall, engine: Engine) -> None:
    """Of another version, say; the stop acts all the same, and taking it back as well."""
    with writing(engine) as connection:
        connection.execute(update(campaigns).values(definition="{}"))
    assert evercall("stop-all").exit_code == 0
    done = evercall("allow-all")
    assert (done.exit_code, done.stdout) == (1, "Calls are allowed again.\n")
    for command in (
        ["show", "reminders"],
        ["pause", "reminders"],
        ["import", "campaign.yaml"],
        ["watch", "reminders"],
    ):
        done = evercall("campaign", *command)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("What the database says of campaign reminders cannot be read")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["stop-all", "allow-all"])
def test_nothing_is_stopped_where_there_is_no_database(evercall: Evercall, command: str) -> None:
    """Else somebody would believe that it was."""
    done = evercall(command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("EVERCALL_DATA_DIR: there is no database ")


def test_database_that_is_away_is_one_line(
    evercall: Evercall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's own words, without its password."""
    url = "postgresql://evercall:secret@127.0.0.1:1/evercall"
    monkeypatch.setenv("EVERCALL_DATABASE_URL", url)
    done = evercall("stop-all")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("The store is away: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", [["list"], ["show", "reminders"], ["watch", "reminders"]])
def test_who_looks_is_told_of_the_stop(
    evercall: Evercall, engine: Engine, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A campaign that is running and dials nobody must say why; no longer than that."""

    def once(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", once)
    words = "All calls are stopped (Fire.): nobody is dialled before evercall allow-all."
    evercall("campaign", "start", "reminders")
    evercall("stop-all", "--reason", "Fire.")
    assert words in evercall("campaign", *command).stdout
    evercall("allow-all")
    assert "stopped" not in evercall("campaign", *command).stdout
