"""``evercall loadtest``: what it refuses, what it makes of flags, and what its exit code says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.workers.loadtest.measured_samples import answered, call, result
from workers.entrypoints import loadtest, loadtest_capacity
from workers.entrypoints.cli import app
from workers.entrypoints.loadtest import Flags, planned
from workers.entrypoints.loadtest_capacity import conclusion, level_of
from workers.entrypoints.loadtest_made import Made
from workers.loadtest.capacity import Capacity
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import Ending, FramesCounted, Gap, OwnSlip
from workers.loadtest.plan import Arrivals, Faults, LiveSide, Plan, Profile, Target
from workers.loadtest.result import LoadResult
from workers.settings import WorkerSettings

NOBODY = "http://127.0.0.1:9/voice"
FRAMES = FramesCounted(sent=1000)
GOOD = call(answers=answered(12.0, 14.0), caller_frames=FRAMES, agent_frames=FRAMES)
BAD = replace(GOOD, number=2, gaps=(Gap(3.0, 140.0),))
runner = CliRunner()


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made_of(*results: LoadResult, most: int = 10_000) -> Callable[..., object]:
    left = list(results)

    async def make(plan: Plan, out: Path, _settings: WorkerSettings, _console: Console) -> Made:
        wav = out / "calls" / "call-0001.wav"
        one = left.pop(0)
        calls = tuple(
            replace(call, calls_at_once=min(most, plan.arrivals.calls)) for call in one.calls
        )
        return Made(replace(one, plan=plan, calls=calls), {1: wav})

    return make


def run(*words: str) -> tuple[int, str]:
    done = runner.invoke(app, ["loadtest", *words])
    return done.exit_code, done.output


def test_plan_with_mistakes_is_refused_with_their_lines(tmp_path: Path) -> None:
    """All of them at once, as editors read it."""
    file = tmp_path / "plan.yaml"
    file.write_text("arrivals:\n  calls: many\ncall: 60\n", encoding="utf-8")
    code, told = run(str(file))
    assert code == 2
    assert f"{file}:2: arrivals.calls: " in told
    assert f"{file}:3: call: unknown field" in told


def test_plan_that_is_not_there_is_refused() -> None:
    """By its name."""
    code, told = run("nothing.yaml")
    assert code == 2
    assert "nothing.yaml" in told


def test_target_that_cannot_be_reached_is_told_in_a_sentence() -> None:
    """Before a call is made, and without a report."""
    code, told = run("--target", NOBODY)
    assert code == 2
    assert f"{NOBODY} cannot be reached: the connection was refused." in told
    assert not Path("evercall-loadtest/report.html").exists()


@pytest.mark.parametrize(
    ("text", "why"), [(None, "cannot be read"), ("{}", "is not the result of a load test")]
)
def test_result_to_compare_with_is_read_first(tmp_path: Path, text: str | None, why: str) -> None:
    """Nobody waits for a test whose end is an error."""
    file = tmp_path / "old.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    code, told = run("--compare", str(file))
    assert code == 2
    assert why in " ".join(told.split())


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (result(GOOD), 0, "✓ kept"),
        (result(GOOD, BAD), 1, "✗ BROKEN"),
        (result(GOOD, broken_off=True), 1, "✓ kept"),
        (result(GOOD, slip=OwnSlip(1000, 40.0, 200.0, 0.3)), 1, "Nothing is reported"),
        (result(replace(GOOD, ending=Ending.REFUSED, reason="503 Busy")), 1, "1 × 503 Busy"),
    ],
)
def test_exit_code_says_whether_promises_were_kept(
    monkeypatch: pytest.MonkeyPatch, outcome: LoadResult, code: int, told: str
) -> None:
    """0: all; 1: not all, not to the end, or not to be told."""
    monkeypatch.setattr(loadtest, "make", made_of(outcome))
    found, output = run("--out", "here")
    assert found == code, output
    assert told in " ".join(output.split())
    assert Path("here/report.html").read_text(encoding="utf-8").startswith("<!")
    slipped = "Nothing is reported" in told
    assert Path("here/result.json").exists() is not slipped
    assert ("gap_ms.max" in output) is not slipped


def test_target_that_refuses_everybody_says_why_whatever_the_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Callers that were late are not what a webhook's 404 is due to."""
    late = OwnSlip(1000, 40.0, 200.0, 0.3)
    refused = replace(GOOD, ending=Ending.REFUSED, reason="HTTP 404")
    made = made_of(result(refused, slip=late), result(GOOD, refused, slip=late))
    monkeypatch.setattr(loadtest, "make", made)
    code, told = run("--out", "here")
    assert code == 1
    assert "1 × HTTP 404" in told
    assert "HTTP 404" not in run("--out", "here")[1]


def test_result_of_one_test_is_compared_with_that_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has become worse stands out, and in the exit code, unless a promise was broken."""
    slow = [replace(GOOD, number=n, answers=answered(*[28.0] * 40)) for n in (1, 2)]
    fast = [replace(GOOD, number=n, answers=answered(*[10.0] * 40)) for n in (1, 2)]
    made = made_of(result(*fast), result(*slow), result(*fast), result(*slow, BAD))
    monkeypatch.setattr(loadtest, "make", made)
    assert run("--out", "before")[0] == 0
    code, told = run("--out", "now", "--compare", "before/result.json")
    assert code == 3, told
    assert "WORSE" in told
    assert "worse than on 2026-11-27 12:00 UTC" in told
    result_of = json.loads(Path("now/result.json").read_bytes())
    assert result_of["passed"] is True
    assert run("--out", "again", "--compare", "before/result.json")[0] == 0
    assert run("--out", "broken", "--compare", "before/result.json")[0] == 1


def test_test_of_another_plan_is_compared_with_a_word_of_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What differs is named; a name is not what is tested."""
    made = made_of(result(GOOD), result(GOOD), result(GOOD))
    monkeypatch.setattr(loadtest, "make", made)
    run("--out", "before")
    warning = "The plans differ in arrivals, call_s: "
    compared = ("--out", "now", "--compare", "before/result.json")
    assert "The plans differ" not in run(*compared)[1]
    assert warning in run("--calls", "3", "--call-s", "20", *compared)[1]
    code, told = run("--find-capacity", *compared)
    assert (code, told) == (2, "--compare is for one test, and --find-capacity makes several.\n")


def test_folder_that_cannot_be_written_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the result of an earlier test in it is not taken for this one's."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    code, told = run("--out", "file")
    assert (code, told) == (2, "file cannot be used: File exists.\n")
    here = tmp_path / "here"
    (here / "report.html").mkdir(parents=True)
    (here / "result.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(loadtest, "make", made_of(result(GOOD)))
    code, told = run("--out", "here")
    assert code == 2
    assert "here/report.html cannot be used: Is a directory." in told
    assert not (here / "result.json").exists()


def test_flags_stand_in_place_of_the_plans_fields() -> None:
    """The others stay."""
    plan = Plan(name="x", arrivals=Arrivals(calls=7, rise_s=3.0), seed=9)
    changed = planned(plan, Flags(calls=3, call_s=20.0, hold_s=40.0, processes=2))
    assert changed.arrivals == Arrivals(calls=3, rise_s=3.0, hold_s=40.0)
    assert (changed.call_s, changed.target.processes) == (20.0, 2)
    assert (changed.name, changed.seed) == ("x", 9)
    assert planned(plan, Flags()) == plan


@pytest.mark.parametrize("given", [None, Plan()])
def test_target_has_a_model_of_its_own(given: Plan | None) -> None:
    """Its callers speak, and what only the twin's model can tell is not promised."""
    plan = planned(given, Flags(target=NOBODY))
    assert plan.live is LiveSide.SERVICE
    assert plan.target.voice_url == NOBODY
    assert {str(promise.metric) for promise in plan.promises} == {"gap_ms", "refused", "dropped"}


@pytest.mark.parametrize(
    ("plan", "flags"),
    [
        (Plan(target=Target(voice_url=NOBODY)), Flags(processes=2)),
        (Plan(faults=Faults(kills_every_s=5)), Flags(target=NOBODY)),
        (Plan(arrivals=Arrivals(Profile.STEPS, calls=10)), Flags(calls=3)),
        (Plan(), Flags(call_s=math.inf)),
        (Plan(), Flags(hold_s=math.inf)),
        (Plan(), Flags(calls=400, call_s=20)),
        (Plan(target=Target(processes=2), faults=Faults(kills_every_s=5)), Flags(processes=1)),
        (Plan(arrivals=Arrivals(Profile.SPIKE, calls=10, base=4)), Flags(calls=4)),
    ],
)
def test_flags_that_break_the_plan_are_refused(plan: Plan, flags: Flags) -> None:
    """As its file would be."""
    with pytest.raises(LoadTestError):
        planned(plan, flags)


def test_capacity_is_searched_for_until_a_promise_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level leaves a report; the end is told for machine and core."""
    good, bad = result(GOOD), result(BAD)
    monkeypatch.setattr(loadtest_capacity, "make", made_of(good, good, bad, good, bad, bad))
    code, told = run("--find-capacity", "--calls", "4", "--out", "found")
    assert code == 0, told
    text = " ".join(told.split())
    assert "12 calls at once" in text
    found = json.loads(Path("found/capacity.json").read_bytes())
    assert (found["calls"], found["broken_at"]) == (12, 13)
    assert found["levels"] == [
        [4, True],
        [8, True],
        [16, False],
        [12, True],
        [14, False],
        [13, False],
    ]
    assert Path("found/level-0016/report.html").exists()


def test_search_ends_where_the_callers_themselves_are_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of that level nothing can be said; what was kept before counts."""
    late = result(GOOD, slip=OwnSlip(1000, 40.0, 200.0, 0.3))
    monkeypatch.setattr(loadtest_capacity, "make", made_of(result(GOOD), late))
    code, told = run("--find-capacity", "--calls", "4", "--out", "found")
    assert code == 0, told
    assert "pacing slipped" in " ".join(told.split())
    found = json.loads(Path("found/capacity.json").read_bytes())
    assert (found["calls"], found["broken_at"]) == (4, None)


def test_search_ends_at_a_level_that_is_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that are over before all have begun are no load: nothing was held."""
    made = made_of(result(GOOD), result(GOOD), result(GOOD), most=100)
    monkeypatch.setattr(loadtest_capacity, "make", made)
    code, told = run("--find-capacity", "--calls", "50", "--call-s", "10", "--out", "found")
    assert code == 0, told
    text = " ".join(told.split())
    assert "Of 200 calls at once there were never more than 100: 10 begin in a second" in text
    found = json.loads(Path("found/capacity.json").read_bytes())
    assert found["levels"] == [[50, True], [100, True]]
    assert found["ended"].startswith("Of 200 calls")


def test_conclusion_of_a_search_names_what_it_holds_for() -> None:
    """A target's machine is not known here."""
    found = Capacity(20, 2, 25, ((20, True), (25, False)))
    assert "10.0 per core" in conclusion(found, "", ours=True).plain
    assert "core" not in conclusion(found, "", ours=False).plain
    assert "No number of calls" in conclusion(Capacity(0, 2, 1, ()), "", ours=True).plain


def test_level_of_a_search_rises_no_faster_than_calls_may_begin() -> None:
    """Else the load would never be there."""
    plan = Plan(arrivals=Arrivals(Profile.SPIKE, calls=10, calls_per_second=5, hold_s=30))
    level = level_of(plan, 200)
    assert level.arrivals == Arrivals(calls=200, hold_s=30, rise_s=40.0, calls_per_second=5)


@pytest.mark.real_time
async def test_ctrl_c_ends_calls_properly_and_still_writes_the_report(tmp_path: Path) -> None:
    """The worker and all other processes are gone with it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from workers.entrypoints.cli import main; main()",
        *("loadtest", "--calls", "1", "--call-s", "300", "--hold-s", "300", "--out", "out"),
        cwd=tmp_path,
        env=_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            while b"calls 1 of 1" not in (line := await process.stdout.readline()):
                assert line, "it ended"
            process.send_signal(signal.SIGINT)
            told, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 1, told.decode()
    assert "Broken off" in told.decode()
    assert (tmp_path / "out" / "report.html").exists()
    log = (tmp_path / "out" / "worker.log").read_text(encoding="utf-8")
    assert "Traceback" not in log


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[3])
    return {**os.environ, "PYTHONPATH": root}
