"""``evercall loadtest --find-capacity``: more and more calls at once, until a promise breaks."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.text import Text

from workers.entrypoints.loadtest import FAILED, PASSED, judged, leave
from workers.entrypoints.loadtest_made import make
from workers.entrypoints.loadtest_sharded import Maker
from workers.entrypoints.loadtest_told import promises_table, tell_file
from workers.loadtest.capacity import Capacity, CapacitySearch
from workers.loadtest.machine import this_machine
from workers.loadtest.plan import Arrivals, Plan, Profile
from workers.loadtest.result import LoadResult
from workers.loadtest.validity import lost, slipped
from workers.loadtest.verdicts import passed
from workers.settings import WorkerSettings

MOST: Final = 4_096
"""Calls at once: more than a process that makes them can keep apart."""
FOUND: Final = "capacity.json"
REACHED: Final = 0.9
"""Of a level: callers who hang up are missing for a moment."""
# Between two levels that are told apart, of the first one.
_STEPS: Final = 4


async def search(
    plan: Plan,
    out: Path,
    settings: WorkerSettings,
    console: Console,
    maker: Maker | None = None,
) -> int:
    """Look for the most calls at once that keep every promise; each level leaves a report.

    It ends at a level at which the callers' own pacing slipped, or that was never reached: of that
    nothing can be said.
    ``maker`` makes each of them; None: this process does.

    Returns:
        0 where some level kept them all, 1 where none did.

    Raises:
        LoadTestError: a test cannot be made.
    """
    machine = await asyncio.to_thread(this_machine)
    start = plan.arrivals.calls
    found = CapacitySearch(
        start=start, most=max(start, MOST), step=max(1, start // _STEPS), cores=machine.cores
    )
    ended = ""
    while (level := found.next_level()) is not None:
        console.print(Text(f"{level} calls at once", "bold"))
        folder = out / f"level-{level:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        made = await (maker or make)(level_of(plan, level), folder, settings, console)
        sums, verdicts = judged(made.result)
        await asyncio.to_thread(leave, made, sums, verdicts, folder)
        ended = slipped(made.result) or lost(made.result)
        if made.result.broken_off:
            ended = "The search was broken off."
        if ended:
            break
        console.print(promises_table(verdicts))
        kept = passed(made.result, verdicts)
        if kept and (ended := never_reached(made.result, level)):
            break
        found.report(level, kept)
    capacity = found.found
    (out / FOUND).write_bytes(
        orjson.dumps(
            {**dataclasses.asdict(capacity), "calls_per_core": capacity.calls_per_core}
            | {"ended": ended, "machine": dataclasses.asdict(machine)},
            option=orjson.OPT_INDENT_2,
        )
    )
    console.print(conclusion(capacity, ended, ours=plan.target.voice_url is None), soft_wrap=True)
    tell_file(console, "result", out / FOUND)
    return PASSED if capacity.calls else FAILED


def never_reached(result: LoadResult, level: int) -> str:
    """Say that a level kept its promises without ever being one; empty: it was."""
    most = max((call.calls_at_once for call in result.calls), default=0)
    if most >= REACHED * level:
        return ""
    arrivals = result.plan.arrivals
    return (
        f"Of {level} calls at once there were never more than {most}:"
        f" {arrivals.calls_per_second:g} begin in a second and last {result.plan.call_s:g} s."
        " Longer calls, or more in a second, would tell more."
    )


def level_of(plan: Plan, calls: int) -> Plan:
    """Return the plan of one level: a ramp to so many calls, and as long a hold as planned."""
    arrivals = plan.arrivals
    ramp = Arrivals(
        Profile.RAMP,
        calls=calls,
        hold_s=arrivals.hold_s,
        rise_s=max(arrivals.rise_s, calls / arrivals.calls_per_second),
        calls_per_second=arrivals.calls_per_second,
    )
    return dataclasses.replace(plan, name=f"{plan.name}: {calls} calls", arrivals=ramp)


def conclusion(capacity: Capacity, ended: str, *, ours: bool) -> Text:
    """Say what was found; ``ours``: the worker shared this machine with its callers."""
    if not capacity.calls:
        found = Text("No number of calls that was tried kept every promise.", "bold red")
    else:
        cores = f" ({capacity.cores} cores, callers included)" if ours else ""
        per_core = f", {capacity.calls_per_core:.1f} per core" if ours else ""
        found = Text(f"{capacity.calls} calls at once{per_core}, on this machine{cores}", "bold")
        if not ours:
            found = Text(f"{capacity.calls} calls at once, at the target", "bold")
        if capacity.broken_at is not None:
            found.append(f"; {capacity.broken_at} broke a promise")
        elif not ended:
            found.append("; no promise broke, there may be room for more")
    if ended:
        found.append(f"\n{ended}")
    return found
