"""Every packaged recipe, on every model it names, over real sockets with the real SDKs.

All calls are made once, several at a time, before the first test looks at its own.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from dataclasses import dataclass, field

import pytest
import structlog
import uvloop

from workers.entrypoints.drill.finished import Finished, observe
from workers.entrypoints.drill.observed import Observed
from workers.entrypoints.drill.recipe import Recipe
from workers.entrypoints.drill.recipe_file import load_recipe, packaged
from workers.entrypoints.drill.run import run_recipe, stage, waits_s
from workers.entrypoints.drill.verdict import judge
from workers.logs import start_logs

# Above this, gaps measure this machine and no longer the worker.
AT_ONCE = 10
# A worker's first call loads certificates and builds a client; ten at once would starve each other.
APART_S = 0.25
# A caller who waits longer than this has no part in a batch, which would have to wait as well.
LONG_S = 20.0
# Callers of recipes take 0.4 s of silence for the end of an answer.
STALL_S = 0.25
WATCH_S = 0.02
# A call's own time-outs are shorter; together they are bounded all the same.
ALL_S = 600.0

DRILLS = {
    f"{file.stem}[{recipe.profile.name}]": recipe
    for file in packaged()
    for recipe in load_recipe(file).variants()
}


@dataclass(frozen=True, slots=True)
class Runs:
    """What came of each drill: the call as observed, or why there is none."""

    # Neither is for pytest to print.
    calls: dict[str, Observed | Exception] = field(repr=False)
    log: str = field(repr=False)


async def run_all() -> dict[str, Observed | Exception]:
    """Make all calls; what takes the processor for long is done before and after, not meanwhile."""
    calls: dict[str, Finished | Exception] = {}
    long = [name for name in DRILLS if waits_s(DRILLS[name]) > LONG_S]
    rest = [name for name in DRILLS if name not in long]
    stalled: set[str] = set()
    async with asyncio.timeout(ALL_S), asyncio.TaskGroup() as beside:
        for name in long:
            beside.create_task(run_batch([name], calls))
        for at in range(0, len(rest), AT_ONCE):
            batch = rest[at : at + AT_ONCE]
            if await run_batch(batch, calls) > STALL_S:
                stalled.update(batch)
    found = {
        name: call if isinstance(call, Exception) else observe(call) for name, call in calls.items()
    }
    for name, seen in found.items():
        recipe = DRILLS[name]
        if not isinstance(seen, Exception) and deserves_another(recipe, seen, name in stalled):
            found[name] = await run_recipe(recipe)
    return found


def deserves_another(recipe: Recipe, observed: Observed, stalled: bool) -> bool:
    """Say whether a call is made again, alone: no failure is forgiven because it is rare.

    What is promised of gaps is their 95th percentile, so that one may be too long. And where this
    process got no time for so long that a caller could not wait, the call says nothing.
    """
    failed = [check.name for check in judge(recipe, observed) if not check.ok]
    return bool(failed) and (stalled or all(name.startswith("gap, ") for name in failed))


async def run_batch(names: list[str], calls: dict[str, Finished | Exception]) -> float:
    """Set everything up, make the calls at once, take everything down; the longest stall meanwhile.

    A stall is how much later than it wanted a task of the same loop got its turn, in seconds.
    """
    ready, over = asyncio.Barrier(len(names)), asyncio.Barrier(len(names))

    async def run(number: int, name: str) -> None:
        async with stage(DRILLS[name]) as drill:
            await ready.wait()
            await asyncio.sleep(APART_S * number)
            try:
                calls[name] = await drill.call()
            except Exception as error:  # noqa: BLE001  told by the test of this recipe
                calls[name] = error
            await over.wait()

    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(WATCH_S)
            longest_s = max(longest_s, time.monotonic() - before_s - WATCH_S)

    watching = asyncio.create_task(watch())
    try:
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                group.create_task(run(number, name))
    finally:
        watching.cancel()
    return longest_s


@pytest.fixture(scope="session")
def runs() -> Runs:
    """Make all calls on one uvloop of their own; their logs are kept together, away from pytest."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    pipe = start_logs("INFO", stream=stream, console=False)
    try:
        calls = uvloop.run(run_all())
    finally:
        pipe.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    return Runs(calls, stream.getvalue())


# The first test waits for all calls.
@pytest.mark.alone
@pytest.mark.timeout(ALL_S + 60)
@pytest.mark.parametrize("name", DRILLS)
def test_recipe_holds(name: str, runs: Runs) -> None:
    """Each check of the verdict; a failure names what was expected beside what was observed."""
    observed = runs.calls[name]
    if isinstance(observed, Exception):
        raise observed
    recipe = DRILLS[name]
    failed = [
        f"{check.name}: expected {check.expected}, observed {check.observed}"
        for check in judge(recipe, observed)
        if not check.ok
    ]
    lines = [line for line in runs.log.splitlines() if observed.record.call_sid in line]
    told = "\n".join([recipe.title, *failed, *map(str, observed.moves), *lines[-30:]])
    assert not failed, told
