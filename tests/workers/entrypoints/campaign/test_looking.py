"""``campaign list``, ``show``, ``export`` and ``report``, from the command line on."""

from __future__ import annotations

import csv
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.workers.store.campaigns.filled import fill
from workers.entrypoints.cli import app
from workers.store.database import open_engine, writing


@pytest.fixture
def folder(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCALL_DATABASE_URL", sqlite_url)
    engine = open_engine(sqlite_url)
    with writing(engine) as connection:
        fill(connection)
    engine.dispose()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["campaign", *arguments])


def test_list_names_every_campaign(folder: Path) -> None:
    """How far it is, and its calls now."""
    result = run("list")
    assert result.exit_code == 0
    rows = [row.split() for row in result.stdout.splitlines()]
    assert rows[0][:3] == ["Name", "State", "Done"]
    assert rows[1][:2] == ["other", "draft"]
    assert rows[2][:2] == ["spring-reminders", "running"]
    assert {"of", "400"} <= set(rows[2])
    assert max(len(row) for row in result.stdout.splitlines()) <= 100


def test_show_has_all_figures_and_no_number(folder: Path) -> None:
    """Contacts with reasons, outcomes, rates, brake, events, rows kept aside."""
    result = run("show", "spring-reminders")
    assert result.exit_code == 0
    for words in (
        "Campaign spring-reminders  running",
        "of 400 contacts",
        "Never to be called",
        "A person answered",
        "Asia/Kolkata",
        "10:00 where they are",
        "Blocked by the carrier",
        "The brake was pulled",
        "no such zone",
    ):
        assert words in result.stdout, words
    assert "from (number)" in result.stdout
    assert "555" not in result.stdout
    assert max(len(row.rstrip()) for row in result.stdout.splitlines()) <= 100
    assert run("show", "other").exit_code == 0


@pytest.mark.parametrize("command", ["show", "watch", "export", "report"])
def test_a_campaign_that_is_not_there_is_said_in_a_line(folder: Path, command: str) -> None:
    """And nothing is written."""
    more = ["out.file"] if command in ("export", "report") else []
    result = run(command, "nobody", *more)
    assert result.exit_code == 1
    assert (
        result.stderr
        == "There is no campaign nobody; evercall campaign list names those there are.\n"
    )
    assert sorted(path.name for path in folder.iterdir() if "sqlite" not in path.name) == []


def test_export_writes_either_format(folder: Path) -> None:
    """CSV unless it is said otherwise; for its owner's eyes alone."""
    assert run("export", "spring-reminders", "out.csv").stdout == "out.csv: 400 contacts\n"
    with (folder / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == 400
    assert stat.S_IMODE((folder / "out.csv").stat().st_mode) == 0o600
    assert run("export", "spring-reminders", "out.json", "--format", "json").exit_code == 0
    assert len(json.loads((folder / "out.json").read_bytes())) == 400


def test_report_says_where_it_is(folder: Path) -> None:
    """One HTML file."""
    result = run("report", "spring-reminders", "page.html")
    assert result.stdout == f"{folder / 'page.html'}: open it in a browser\n"
    assert (folder / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(folder: Path) -> None:
    """In one line; what was there before stays."""
    result = run("report", "spring-reminders", "missing/page.html")
    assert result.exit_code == 1
    assert result.stderr == "missing/page.html: No such file or directory\n"
    (folder / "taken").mkdir()
    assert run("export", "spring-reminders", "taken").exit_code == 1
    assert sorted(p.name for p in folder.iterdir() if "sqlite" not in p.name) == ["taken"]


def test_without_a_database_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is made by looking."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCALL_DATABASE_URL", f"sqlite:///{tmp_path / 'none.sqlite3'}")
    result = run("list")
    assert result.exit_code == 2
    assert result.stderr.startswith("EVERCALL_DATABASE_URL: there is no database")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["export", "report"])
def test_what_is_no_file_is_written_to_and_stays(folder: Path, command: str) -> None:
    """A pipe, or /dev/stdout: a file in its place would take it from everybody else."""
    os.mkfifo(folder / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((folder / "pipe").read_bytes)
        result = run(command, "spring-reminders", "pipe")
        assert (result.exit_code, result.stdout) == (0, "")
        assert len(read.result(10)) > 1_000
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_link_stays_one(folder: Path) -> None:
    """What it leads to is written, as /dev/stdout may lead to a file."""
    (folder / "there.csv").write_text("old")
    (folder / "link.csv").symlink_to("there.csv")
    assert run("export", "spring-reminders", "link.csv").exit_code == 0
    assert (folder / "link.csv").is_symlink()
    assert len((folder / "there.csv").read_bytes()) > 1_000
