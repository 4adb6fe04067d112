"""Load tests whose callers are in processes of their own, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from workers.entrypoints.cli import app
from workers.entrypoints.loadtest_callers import Callers
from workers.entrypoints.loadtest_made import Made
from workers.entrypoints.loadtest_sharded import sharded
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import Ending
from workers.loadtest.plan import Arrivals, Faults, Plan, Target
from workers.loadtest.validity import lost
from workers.settings import load_settings

runner = CliRunner()


def plan_of(calls: int, hold_s: float, **fields: object) -> Plan:
    arrivals = Arrivals(calls=calls, hold_s=hold_s, rise_s=0.5)
    return Plan(arrivals=arrivals, call_s=hold_s, **fields)  # type: ignore[arg-type]


async def make(plan: Plan, out: Path, shards: int = 2) -> Made:
    console = Console(file=io.StringIO())
    maker = sharded(plan, Callers(shards))
    return await maker(plan, out, load_settings(env_file=None), console)


def of_this_test() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_two_processes_make_one_test(tmp_path: Path) -> None:
    """Calls, frames at both ends, the worker and the sound: as where one process made it."""
    plan = plan_of(
        4,
        9.0,
        faults=Faults(resets_every_s=4.0, kills_every_s=6.0),
        target=Target(processes=2),
    )
    before = of_this_test()
    made = await make(plan, tmp_path)
    result = made.result
    numbers = [call.number for call in result.calls]
    assert numbers[:4] == [1, 2, 3, 4]
    assert len(set(numbers)) == len(numbers)
    assert [one.name.partition(" on ")[0] for one in result.generators] == [
        "callers 1 of 2",
        "callers 2 of 2",
        "the simulated model",
    ]
    assert [one.calls for one in result.generators][:2] == [
        sum(number % 2 == 1 for number in numbers),
        sum(number % 2 == 0 for number in numbers),
    ]
    assert all(one.slip.frames > 300 for one in result.generators)
    assert lost(result) == ""
    first = [call for call in result.calls if call.number <= 4]
    assert {call.ending for call in first} == {Ending.COMPLETED}, [one.reason for one in first]
    assert all(call.caller_frames.sent > 200 for call in first)
    assert all(call.agent_frames.sent > 100 for call in first)
    assert any(call.answers and call.answers[0].model_ms for call in first)
    assert any(call.reset_gaps_ms for call in first)
    assert max(call.calls_at_once for call in result.calls) == 4
    assert max(sample.calls for sample in result.samples) >= 3
    assert result.kills_s
    assert result.plan == plan
    for number, file in made.wavs.items():
        assert number in numbers
        assert file.read_bytes().startswith(b"RIFF")
        assert file.stat().st_size > 50_000
    assert of_this_test() == before


@contextlib.asynccontextmanager
async def under_way(folder: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, once its calls are under way; nothing of it is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from workers.entrypoints.cli import main; main()",
        *("loadtest", "--calls", "2", "--call-s", "300", "--hold-s", "300", "--out", "out"),
        *words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    children: list[psutil.Process] = []
    try:
        async with asyncio.timeout(100):
            while b"calls 2 of 2" not in (line := await process.stdout.readline()):
                assert line, "it ended"
            children = psutil.Process(process.pid).children(recursive=True)
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    _, left = psutil.wait_procs(children, timeout=10)
    assert left == []


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_ctrl_c_ends_the_calls_of_all_shards_and_writes_the_report(tmp_path: Path) -> None:
    """Every caller hangs up, and nothing is left over."""
    async with under_way(tmp_path, "--shards", "2") as process:
        process.send_signal(signal.SIGINT)
        told = (await process.communicate())[0].decode()
    assert process.returncode == 1, told
    assert "Broken off" in told
    text = " ".join(told.split())
    assert "calls: 2 stopped" in text or "slipped" in text
    assert (tmp_path / "out" / "report.html").exists()
    assert "Traceback" not in (tmp_path / "out" / "worker.log").read_text(encoding="utf-8")
    assert not (tmp_path / "out" / "callers.log").exists()


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_shard_that_dies_is_named_and_the_test_ends(tmp_path: Path) -> None:
    """Soon, with a report of what there was, which is not valid."""
    async with under_way(tmp_path, "--shards", "2") as process:
        shards = [
            child
            for child in psutil.Process(process.pid).children()
            if any("loadtest_shard" in word for word in child.cmdline())
        ]
        assert len(shards) == 2
        shards[1].kill()
        told = (await process.communicate())[0].decode()
    assert process.returncode == 1, told
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ended by itself: signal SIGKILL" in " ".join(told.split())
    assert "ended by itself: signal SIGKILL" in page
    if "slipped" not in told:
        assert "1 stopped" in told
        assert "Not valid" in page


@pytest.mark.real_time
async def test_test_that_is_left_at_once_leaves_nothing(tmp_path: Path) -> None:
    """Worker, callers and those that measure for them are gone, whatever they were at."""
    before = of_this_test()
    making = asyncio.create_task(make(plan_of(2, 300.0), tmp_path))
    log = tmp_path / "worker.log"
    async with asyncio.timeout(60):
        while not log.exists() or log.read_text().count("stream.started") < 2:
            assert not making.done()
            await asyncio.sleep(0.2)
    making.cancel()
    async with asyncio.timeout(45):
        await asyncio.wait({making})
    assert making.cancelled()
    _, left = await asyncio.to_thread(
        psutil.wait_procs, [one for one in of_this_test() if one not in before], timeout=5
    )
    assert left == []


async def test_target_that_cannot_be_reached_starts_no_callers(tmp_path: Path) -> None:
    """Whoever leads the test finds that out first."""
    plan = plan_of(1, 1.0, target=Target(voice_url="http://127.0.0.1:9/voice"))
    before = of_this_test()
    with pytest.raises(LoadTestError, match="cannot be reached"):
        await make(plan, tmp_path, shards=1)
    assert of_this_test() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shards", "0"], "--shards"),
        (["--shards", "9", "--calls", "8"], "9 shards are more than 8 calls at once."),
        (["--workers", "celery"], "--workers celery needs a worker that runs already"),
        (["--workers", "threads"], "--workers"),
    ],
)
def test_callers_that_cannot_make_a_test_are_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence, before anything is started."""
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["loadtest", *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())
