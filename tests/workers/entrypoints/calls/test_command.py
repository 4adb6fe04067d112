"""``evercall calls`` on a worker's database: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.conversation.record import EndReason
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from tests.workers.call.test_messages import FakeLive
from tests.workers.entrypoints.calls.samples import CALL, OTHER, call_row, worker_row
from workers.call.messages import MessagePoller
from workers.entrypoints.cli import app
from workers.store.sql import SqlCallStore

COMMAND = "from workers.entrypoints.cli import main; main()"


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder without a database, and nothing else in the environment."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCALL_DATA_DIR", str(folder))
    monkeypatch.delenv("EVERCALL_DATABASE_URL", raising=False)
    return folder


async def fill(store: SqlCallStore) -> None:
    """One call that goes on, one that is over, two workers."""
    store.save_call(call_row(streams=3, fence=3))
    store.save_record(CALL, shared_record(), fence=3)
    store.save_call(call_row(OTHER, owner="", state="finished", status="completed"))
    assert await store.flush()
    await store.beat(worker_row(FIRST), {CALL: 3})
    await store.beat(worker_row(SECOND, calls=0), {})


@pytest.fixture
def filled(data_dir: Path) -> Path:
    async def run() -> None:
        store = SqlCallStore(f"sqlite:///{data_dir / 'evercall.sqlite3'}")
        await fill(store)
        await store.close()

    asyncio.run(run())
    return data_dir


@pytest.mark.usefixtures("filled")
def test_list_shows_live_calls_and_workers() -> None:
    """In a hundred columns where it goes into a file."""
    done = CliRunner().invoke(app, ["calls", "list"])
    assert done.exit_code == 0, done.output
    assert CALL in done.stdout
    assert OTHER not in done.stdout
    assert FIRST in done.stdout
    assert SECOND in done.stdout
    assert "+1555" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.usefixtures("filled")
def test_list_of_all_calls_as_json_with_workers_that_do_not_live() -> None:
    """Nobody gives a sign of life here: two looks show it."""
    done = CliRunner().invoke(app, ["calls", "list", "--all", "--json", "--workers", "--numbers"])
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["call_sid"] for one in found if one["type"] == "call"] == [OTHER, CALL]
    assert found[1]["takeovers"] == 2
    assert found[1]["from"] == "+15550100001"
    assert {one["worker"]: one["seen"] for one in found[2:]} == {FIRST: False, SECOND: False}


@pytest.mark.usefixtures("filled")
def test_list_without_workers_asked_for_has_calls_alone() -> None:
    """For scripts that look at calls."""
    done = CliRunner().invoke(app, ["calls", "list", "--json"])
    assert [json.loads(line)["call_sid"] for line in done.stdout.splitlines()] == [CALL]


@pytest.mark.usefixtures("filled")
def test_show_finds_a_call_by_its_end() -> None:
    """In words, and as one JSON object."""
    done = CliRunner().invoke(app, ["calls", "show", CALL[-4:]])
    assert done.exit_code == 0, done.output
    assert f"Call         {CALL}, inbound" in done.stdout
    assert "Handed over to another worker" in done.stdout
    found = json.loads(CliRunner().invoke(app, ["calls", "show", CALL, "--json"]).stdout)
    assert (found["call_sid"], found["fence"], found["worker"]) == (CALL, 3, FIRST)
    assert len(found["record"]["turns"]) == 11


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["show", "CA404404"], 1, "There is no live call CA404404.\n"),
        (["show", "CA"], 2, "'CA' is too short to tell one call from another\n"),
        (["hand-over", "CA404404"], 1, "There is no live call CA404404.\n"),
        (["hand-over", OTHER], 1, f"Call {OTHER} is over.\n"),
        (["hand-over", "--worker", "nowhere"], 1, "There is no worker nowhere.\n"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], code: int, sentence: str) -> None:
    """On the other stream."""
    done = CliRunner().invoke(app, ["calls", *arguments])
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", sentence)


@pytest.mark.parametrize("arguments", [["list"], ["show", CALL], ["hand-over", CALL]])
def test_no_database_is_a_setting_to_mend(data_dir: Path, arguments: list[str]) -> None:
    """None is made by looking for calls in it."""
    done = CliRunner().invoke(app, ["calls", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("EVERCALL_DATA_DIR: there is no database ")
    assert list(data_dir.iterdir()) == []


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("arguments", [["list"], ["show", CALL], ["hand-over", CALL]])
def test_store_that_is_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """The database's own words, without its password."""
    url = "postgresql://evercall:secret@127.0.0.1:1/evercall"
    monkeypatch.setenv("EVERCALL_DATABASE_URL", url)
    done = CliRunner().invoke(app, ["calls", *arguments])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("The store is away: ")
    assert "refused" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


@pytest.fixture
async def served(data_dir: Path) -> AsyncIterator[SqlCallStore]:
    store = SqlCallStore(f"sqlite:///{data_dir / 'evercall.sqlite3'}")
    await fill(store)
    yield store
    await store.close()


async def test_call_is_handed_over_by_a_worker_in_another_process(
    served: SqlCallStore, data_dir: Path
) -> None:
    """Through the database alone; exit code 0, and where it went is the last line."""
    live = {CALL: FakeLive()}
    poller = MessagePoller(served, live, is_over=lambda _call: False, worker=FIRST, poll_s=0.05)
    poller.start()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "calls", "hand-over", CALL[:8], "--within", "7"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=data_dir.parent,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[4]),
            "EVERCALL_DATA_DIR": str(data_dir),
        },
    )
    async with asyncio.timeout(20):
        while not live[CALL].session.limits_s:  # noqa: ASYNC110  another process asks
            await asyncio.sleep(0.02)
    assert live[CALL].session.limits_s == [7.0]
    served.save_call(call_row(owner="", state="in_progress", streams=3, fence=3))
    assert await served.flush()
    live.pop(CALL).end(EndReason.HANDED_OVER)
    await served.claim(call_row(), owner=SECOND, stream=4, at=0.0)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    await poller.close()
    assert (process.returncode, err.decode()) == (0, "")
    assert f"{CALL}: {FIRST} → {SECOND}, stream 3 → 4, in " in out.decode().splitlines()[-1]
