"""``evercall suppress``."""

from __future__ import annotations

import stat
from pathlib import Path

from sqlalchemy import Engine
from typer.testing import CliRunner

from tests.workers.entrypoints.campaign.conftest import Evercall
from workers.campaign.model import ContactState
from workers.entrypoints.cli import app
from workers.store.campaigns.contacts import page
from workers.store.campaigns.suppressions import reason_for
from workers.store.database import reading

BEN = "+12125550124"


def test_added_number_is_called_by_nobody(evercall: Evercall, engine: Engine) -> None:
    """In any spelling; its waiting contact is set aside, and the first reason stays."""
    number = "(212) 555-0124"
    done = evercall("suppress", "add", number, "--region", "us", "--reason", "Wrote a letter.")
    assert (done.exit_code, done.stdout) == (
        0,
        "The number is on the suppression list: no campaign calls it.\n",
    )
    done = evercall("suppress", "add", BEN, "--reason", "Again.")
    assert done.stdout == "The number was on the list already: Wrote a letter.\n"
    with reading(engine) as connection:
        assert reason_for(connection, BEN) == "Wrote a letter."
        states = [each.contact.state for each in page(connection, 1)]
    assert states == [ContactState.WAITING, ContactState.NEVER]


def test_number_that_cannot_be_read_is_refused(evercall: Evercall) -> None:
    """Without the number in the message."""
    done = evercall("suppress", "add", "12")
    assert (done.exit_code, done.stderr) == (
        2,
        "NUMBER has no country code, and the source names no region\n",
    )
    done = evercall("suppress", "add", BEN, "--region", "XX")
    assert (done.exit_code, done.stderr) == (2, "--region: there is no region 'XX'\n")


def test_number_is_removed_after_a_question(evercall: Evercall, engine: Engine) -> None:
    """Whoever says no has changed nothing; --yes is not asked."""
    evercall("suppress", "add", BEN, "--reason", "Typing mistake.")
    done = CliRunner().invoke(app, ["suppress", "remove", BEN], input="n\n")
    assert done.exit_code == 1
    assert "It is there because: Typing mistake. Take it off?" in done.output
    with reading(engine) as connection:
        assert reason_for(connection, BEN) is not None
    assert CliRunner().invoke(app, ["suppress", "remove", BEN], input="y\n").exit_code == 0
    with reading(engine) as connection:
        assert reason_for(connection, BEN) is None
    done = evercall("suppress", "remove", BEN, "--yes")
    assert (done.exit_code, done.stderr) == (1, "The number is not on the suppression list.\n")
    evercall("suppress", "add", BEN)
    assert evercall("suppress", "remove", BEN, "--yes").exit_code == 0


def test_list_goes_out_and_comes_in_again(evercall: Evercall, folder: Path) -> None:
    """With reasons and times; the file is for its owner alone."""
    (folder / "list.csv").write_text(
        f"number,reason,at\n{BEN},Asked,2026-01-02T03:04:05+00:00\n+12125550125,,\n{BEN},Later,\n"
    )
    done = evercall("suppress", "import", "list.csv")
    assert (done.exit_code, done.stdout) == (0, "2 numbers read, 2 of them new on the list.\n")
    done = evercall("suppress", "import", "list.csv")
    assert done.stdout == "2 numbers read, 0 of them new on the list.\n"
    done = evercall("suppress", "export", "out.csv")
    assert (done.exit_code, done.stdout) == (0, "out.csv: 2 numbers\n")
    out = folder / "out.csv"
    lines = out.read_text().splitlines()
    assert lines[:2] == [
        "number,reason,at,source",
        f"{BEN},Asked,2026-01-02T03:04:05+00:00,import",
    ]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(each.name for each in folder.glob("*out.csv*")) == ["out.csv"]
    assert "0 of them new" in evercall("suppress", "import", "out.csv").stdout


def test_rows_left_out_are_named_and_fail_the_import(evercall: Evercall, folder: Path) -> None:
    """The good ones are on the list all the same."""
    (folder / "list.csv").write_text(f"number\n12\n{BEN}\n")
    done = evercall("suppress", "import", "list.csv")
    assert done.exit_code == 1
    assert "list.csv:2: number: " in done.stderr
    assert "1 row left out: mend and import the file again." in done.stderr
    assert done.stdout == "1 number read, 1 of them new on the list.\n"


def test_file_that_cannot_be_read_or_written_is_one_line(evercall: Evercall) -> None:
    """With its name."""
    done = evercall("suppress", "import", "missing.csv")
    assert (done.exit_code, done.stderr) == (1, "missing.csv: No such file or directory\n")
    evercall("suppress", "add", BEN)
    done = evercall("suppress", "export", "nowhere/out.csv")
    assert (done.exit_code, done.stderr) == (1, "nowhere/out.csv: No such file or directory\n")
