"""A folder with a campaign's file, its contacts and an empty data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from workers.entrypoints.cli import app
from workers.store.database import open_engine

Evercall: TypeAlias = Callable[..., Result]

CAMPAIGN = """\
name: reminders
agent: agent.yaml
callers: ["+12125550100"]
contacts:
  file: people.csv
  columns: {number: phone, name: who, zone: tz}
consent_required: false
hours: {mon-sun: 00:00-24:00}
"""
PEOPLE = """\
phone,who,tz
+12125550123,Ada,America/New_York
+12125550123,Ada again,America/New_York
+12125550124,Ben,America/Los_Angeles
12,Dee,America/New_York
+12125550126,Eve,Mars/Olympus
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where commands run; the database is not there yet."""
    (tmp_path / "agent.yaml").write_text("name: agent\nsystem_instruction: Be brief.\n")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCALL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("EVERCALL_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def evercall(folder: Path) -> Evercall:
    """Run a command in the folder; no phone number may be in what it says."""
    assert folder.is_dir()

    def run(*arguments: str, numbers: bool = False) -> Result:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert numbers or "5550" not in done.output
        return done

    return run


@pytest.fixture
def imported(evercall: Evercall) -> None:
    """The campaign is in the database, in draft."""
    assert evercall("campaign", "import", "campaign.yaml").exit_code == 0


@pytest.fixture
def engine(folder: Path, imported: None) -> Iterator[Engine]:
    """Of the database that the import has made."""
    engine = open_engine(f"sqlite:///{folder / 'data' / 'evercall.sqlite3'}")
    yield engine
    engine.dispose()
