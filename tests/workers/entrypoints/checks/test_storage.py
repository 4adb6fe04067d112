"""Database and data folder can be written, or it is said why not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from workers.entrypoints.checks.finding import Outcome
from workers.entrypoints.checks.storage import MIB, check_database, check_folder, judge_space


async def test_database_is_left_as_it_was(tmp_path: Path) -> None:
    """The probe's row is gone, the tables are there."""
    file = tmp_path / "calls.sqlite3"
    for _ in range(2):
        (finding,) = await check_database(f"sqlite:///{file}")
        assert finding.outcome is Outcome.OK
    with sqlite3.connect(file) as connection:
        assert connection.execute("select count(*) from call_events").fetchone() == (0,)
    connection.close()


async def test_file_that_is_no_database_fails(tmp_path: Path) -> None:
    """In one line, without a traceback."""
    file = tmp_path / "calls.sqlite3"
    file.write_text("a shopping list, and quite a long one" * 100)
    (finding,) = await check_database(f"sqlite:///{file}")
    assert finding.outcome is Outcome.FAIL
    assert finding.text == "file is not a database"


async def test_place_that_cannot_be_written_fails(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    (database,) = await check_database(f"sqlite:///{tmp_path}/file/calls.sqlite3")
    (folder,) = await check_folder(tmp_path / "file" / "data")
    assert database.outcome is folder.outcome is Outcome.FAIL
    assert "EVERCALL_DATA_DIR" in folder.mend


async def test_password_is_not_told() -> None:
    """Nobody listens there, or no driver is installed; either is one line."""
    (finding,) = await check_database("postgresql://me:sesame@127.0.0.1:1/calls")
    assert finding.outcome is Outcome.FAIL
    assert "sesame" not in finding.text


async def test_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    """The worker would make it, too."""
    (finding,) = await check_folder(tmp_path / "a" / "b")
    assert finding.outcome in (Outcome.OK, Outcome.WARN)
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("free", "outcome"),
    [(2048 * MIB, Outcome.OK), (500 * MIB, Outcome.WARN), (10 * MIB, Outcome.FAIL)],
)
def test_space_is_judged(free: int, outcome: Outcome) -> None:
    """A recorded hour takes 115 MB."""
    assert judge_space(Path("data"), free).outcome is outcome
