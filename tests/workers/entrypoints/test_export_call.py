"""A call's record leaves the store as JSON or as text, to the terminal or into a file."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.workers.store.test_calls import record, row
from workers.entrypoints.cli import app
from workers.store.calls import CallRow
from workers.store.sql import SqlCallStore


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder without a database, and nothing else in the environment."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCALL_DATA_DIR", str(folder))
    monkeypatch.delenv("EVERCALL_DATABASE_URL", raising=False)
    return folder


@pytest.fixture
def stored(data_dir: Path) -> Path:
    """One call that is over, and one whose first stream goes on."""

    async def fill() -> None:
        store = SqlCallStore(f"sqlite:///{data_dir / 'evercall.sqlite3'}")
        store.save_call(row())
        store.save_record("CA1", record())
        store.save_call(CallRow("CA2", "AC1", "inbound", "", "", "in_progress", "in-progress"))
        assert await store.flush()
        await store.close()

    asyncio.run(fill())
    return data_dir


@pytest.mark.usefixtures("stored")
def test_json_is_the_default() -> None:
    """All that is kept, for other programs."""
    done = CliRunner().invoke(app, ["call", "export", "CA1"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["call_sid"] == "CA1"
    assert told["turns"][0]["heard"] == "Grüß"


@pytest.mark.usefixtures("stored")
def test_text_is_to_be_read() -> None:
    """What was said, in order."""
    done = CliRunner().invoke(app, ["call", "export", "CA1", "--format", "text"])
    assert done.exit_code == 0
    assert "Grüß" in done.stdout
    assert "order_status" in done.stdout


def test_file_gets_the_same(stored: Path) -> None:
    """The terminal is told where it went."""
    out = stored / "call.json"
    printed = CliRunner().invoke(app, ["call", "export", "CA1"]).stdout
    done = CliRunner().invoke(app, ["call", "export", "CA1", "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, f"{out}: {out.stat().st_size} bytes\n")
    assert out.read_text() == printed


def test_file_that_cannot_be_written_is_one_line(stored: Path) -> None:
    """The command was wrong: 2."""
    done = CliRunner().invoke(app, ["call", "export", "CA1", "--out", str(stored)])
    assert done.exit_code == 2
    assert str(stored) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("call_sid", "sentence"),
    [("CA404", "There is no call CA404."), ("CA2", "Call CA2 has no record")],
)
def test_nothing_to_export_is_said(call_sid: str, sentence: str) -> None:
    """On the other stream, so that a file it is led into stays empty."""
    done = CliRunner().invoke(app, ["call", "export", call_sid])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)


def test_no_database_is_a_setting_to_mend(data_dir: Path) -> None:
    """None is made by looking for a call in it."""
    done = CliRunner().invoke(app, ["call", "export", "CA1"])
    assert done.exit_code == 2
    assert done.stderr.startswith("EVERCALL_DATA_DIR: there is no database ")
    assert list(data_dir.iterdir()) == []


@pytest.mark.usefixtures("stored")
def test_reader_that_has_had_enough_is_no_error() -> None:
    """Such as ``head``."""
    command = f"{sys.executable} -c 'from workers.entrypoints.cli import main; main()'"
    done = subprocess.run(
        f"{command} call export CA1 | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "EVERCALL_DATA_DIR": "data",
        },
    )
    assert done.stderr == ""
