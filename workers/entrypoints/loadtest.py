"""``evercall loadtest``: many simulated callers on a worker, and what they experience."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.text import Text

from agent.errors import AgentSpecError
from workers.dashboard.loadtest_page.page import render_load_page
from workers.entrypoints.complaint import complain
from workers.entrypoints.loadtest_callers import Callers
from workers.entrypoints.loadtest_made import WORKER_LOG, Made, make
from workers.entrypoints.loadtest_sharded import Maker, sharded
from workers.entrypoints.loadtest_told import (
    promises_table,
    tell_endings,
    tell_file,
    tell_plan,
)
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import Ending
from workers.loadtest.plan import TWIN_ONLY, Faults, LiveSide, Metric, Plan, Profile
from workers.loadtest.plan_checks import too_slow
from workers.loadtest.plan_file import load_plan, usual_promises
from workers.loadtest.plan_shape import LONGEST_CALL_S, LONGEST_S
from workers.loadtest.result import LoadResult, Verdict
from workers.loadtest.result_json import read_result, write_result
from workers.loadtest.sums import Sums, sums_of
from workers.loadtest.validity import lost, slipped
from workers.loadtest.verdicts import judge, passed
from workers.loadtest.worker_figures import figures_of
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings

PASSED, FAILED, UNUSABLE, WORSE, INTERRUPTED = 0, 1, 2, 3, 130
PAGE: Final = "report.html"
RESULT: Final = "result.json"
LOG: Final = "loadtest.log"
NOT_VALID: Final = "This is what there was of the test, and not the test that was planned."
_NEEDS_OURS: Final = TWIN_ONLY | {Metric.RESET_GAP_MS}


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says in place of the plan; None: nothing."""

    calls: int | None = None
    call_s: float | None = None
    hold_s: float | None = None
    target: str | None = None
    processes: int | None = None


def planned(plan: Plan | None, flags: Flags) -> Plan:
    """Return what is to be done: the plan, or the usual one, with what the flags say.

    Raises:
        LoadTestError: they do not go together.
    """
    plan = plan or Plan(promises=usual_promises(LiveSide.TWIN))
    if flags.target is not None:
        plan = _at_target(plan, flags.target)
    target = plan.target
    if flags.processes is not None:
        target = dataclasses.replace(target, processes=flags.processes)
    if target.voice_url is not None and flags.processes is not None:
        raise LoadTestError("--processes is for a worker of the test's own, and there is a target.")
    arrivals = plan.arrivals
    if flags.calls is not None:
        arrivals = dataclasses.replace(arrivals, calls=flags.calls)
    if flags.hold_s is not None:
        arrivals = dataclasses.replace(arrivals, hold_s=flags.hold_s)
    if arrivals.profile is Profile.STEPS and arrivals.steps > arrivals.calls:
        raise LoadTestError(f"{arrivals.calls} calls are fewer than the plan's steps.")
    if arrivals.profile is Profile.SPIKE and (
        arrivals.base >= arrivals.calls or arrivals.spike_s >= arrivals.hold_s
    ):
        raise LoadTestError("The plan's spike has no more calls than there are before, or no end.")
    call_s = plan.call_s if flags.call_s is None else flags.call_s
    # Endless, for one.
    if call_s > LONGEST_CALL_S or arrivals.hold_s > LONGEST_S:
        raise LoadTestError(
            f"Calls last {LONGEST_CALL_S:g} s at most, and a load is held for {LONGEST_S:g}."
        )
    if slow := next(too_slow(arrivals, call_s), ""):
        raise LoadTestError(f"{slow}.")
    if plan.faults.kills_every_s and target.processes < 2:
        raise LoadTestError("The plan's kills need --processes of at least 2.")
    return dataclasses.replace(plan, target=target, arrivals=arrivals, call_s=call_s)


def _at_target(plan: Plan, url: str) -> Plan:
    """Return a plan for a worker that runs already, as far as it can be carried out there.

    Raises:
        LoadTestError: it wants what only a worker of the test's own lets be done.
    """
    if plan.faults != Faults():
        raise LoadTestError("The plan's faults need a worker of the test's own: see --target.")
    # Its Live side is its own affair: callers have to speak in words, and no frame is counted.
    return dataclasses.replace(
        plan,
        live=LiveSide.SERVICE,
        target=dataclasses.replace(plan.target, voice_url=url),
        promises=tuple(one for one in plan.promises if one.metric not in _NEEDS_OURS),
    )


def run_loadtest(
    file: Path | None,
    flags: Flags,
    *,
    out: Path,
    compare: Path | None = None,
    find_capacity: bool = False,
    callers: Callers | None = None,
) -> int:
    """Make a load test and leave its report in ``out``.

    Args:
        file: The plan's; None: the usual plan.
        flags: What is said in place of it.
        out: The folder for the report.
        compare: The result of another test.
        find_capacity: Look for the most calls at once.
        callers: Where those are; None: in this process.

    Returns:
        0 where all promises were kept, 1 where not, or where one could not be told, 2 where plan,
        target or the result to compare with cannot be used, 3 where all were kept and some figure
        is worse than in that.
    """
    console = Console()
    try:
        if find_capacity and compare is not None:
            raise LoadTestError("--compare is for one test, and --find-capacity makes several.")
        plan = planned(None if file is None else load_plan(file), flags)
        old = None if compare is None else read_result(_read(compare), name=str(compare))
        settings = load_settings()
        maker = None if callers is None else sharded(plan, callers)
        out.mkdir(parents=True, exist_ok=True)
        with (out / LOG).open("w", encoding="utf-8") as log:
            # Its own loop's time is what everything is measured by: no more than must be is said.
            logs = start_logs("WARNING", stream=log, console=False)
            try:
                if find_capacity:
                    from workers.entrypoints.loadtest_capacity import search

                    return uvloop.run(search(plan, out, settings, console, maker))
                return uvloop.run(_test(plan, out, settings, console, old, maker or make))
            finally:
                logs.close()
    except (AgentSpecError, LoadTestError, SettingsError) as error:
        return complain(error)
    except OSError as error:
        where = error.filename or out
        return complain(LoadTestError(f"{where} cannot be used: {error.strerror or error}."))
    except asyncio.CancelledError:
        console.print("Left at once: there is no report.")
        return INTERRUPTED


async def _test(
    plan: Plan,
    out: Path,
    settings: WorkerSettings,
    console: Console,
    old: LoadResult | None,
    maker: Maker,
) -> int:
    tell_plan(console, plan)
    made = await maker(plan, out, settings, console)
    sums, verdicts = judged(made.result)
    await asyncio.to_thread(leave, made, sums, verdicts, out)
    if missing := lost(made.result):
        console.print(Text(f"{missing} {NOT_VALID}", "bold red"))
    if late := slipped(made.result):
        console.print(Text(late, "bold red"))
        if all(call.ending is Ending.REFUSED for call in made.result.calls):
            # However late the callers were, that was not why.
            tell_endings(console, made.result)
        tell_file(console, "page", out / PAGE)
        return FAILED
    tell_endings(console, made.result)
    console.print(promises_table(verdicts))
    worse = 0
    if old is not None:
        from workers.entrypoints.loadtest_compared import tell_changes

        worse = tell_changes(console, old, made.result)
    tell_file(console, "page", out / PAGE)
    tell_file(console, "result", out / RESULT)
    if plan.target.voice_url is None:
        tell_file(console, "worker", out / WORKER_LOG)
    if not passed(made.result, verdicts):
        return FAILED
    return WORSE if worse else PASSED


def judged(result: LoadResult) -> tuple[Sums, tuple[Verdict, ...]]:
    """Sum a test up, and judge what was promised of it."""
    sums = sums_of(result.calls, figures_of(result.samples))
    return sums, judge(result.plan, sums)


def leave(made: Made, sums: Sums, verdicts: tuple[Verdict, ...], out: Path) -> None:
    """Write the page, and the result for machines unless the callers' own pacing slipped.

    Raises:
        OSError: they cannot be written.
    """
    # That of an earlier test would be taken for this one's, whatever happens now.
    (out / RESULT).unlink(missing_ok=True)
    wavs = {number: file.relative_to(out).as_posix() for number, file in made.wavs.items()}
    page = render_load_page(made.result, verdicts, wavs=wavs)
    (out / PAGE).write_text(page, encoding="utf-8")
    if slipped(made.result) is None:
        (out / RESULT).write_bytes(write_result(made.result, sums, verdicts))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise LoadTestError(f"{file} cannot be read: {error.strerror or error}.") from error
