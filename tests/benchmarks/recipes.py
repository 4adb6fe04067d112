"""What each packaged recipe costs the caller, as a table for the README.

python -m tests.benchmarks.recipes [--runs 3] [--at-once 3] [--only PREFIX]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop
from loguru import logger

from workers.entrypoints.drill.gaps import heard_gaps_ms
from workers.entrypoints.drill.recipe import Recipe
from workers.entrypoints.drill.recipe_file import load_recipe, packaged
from workers.entrypoints.drill.run import run_recipe
from workers.entrypoints.drill.verdict import judge
from workers.logs import start_logs


@dataclass(slots=True)
class Measured:
    """All runs of one recipe, whatever the model."""

    recipe: Recipe
    kinds: list[str] = field(default_factory=list)
    reported_ms: list[float] = field(default_factory=list)
    """The longest gap of each call."""
    heard_ms: list[float] = field(default_factory=list)
    lost_ms: float = 0.0
    calls: int = 0
    failed: list[str] = field(default_factory=list)


async def measure(recipes: Sequence[Recipe], runs: int, at_once: int) -> dict[str, Measured]:
    """Make every call ``runs`` times, ``at_once`` at a time."""
    found = {recipe.name: Measured(recipe) for recipe in recipes}
    places = asyncio.Semaphore(at_once)

    async def call(recipe: Recipe) -> None:
        async with places:
            observed = await run_recipe(recipe)
        one = found[recipe.name]
        one.calls += 1
        moves = observed.moves
        one.kinds = [move.kind.value if move.kind else "none" for move in moves]
        one.reported_ms.append(max((move.gap_ms for move in moves), default=0.0))
        one.heard_ms.append(max(heard_gaps_ms(recipe, observed), default=0.0))
        one.lost_ms += sum(move.lost_ms for move in moves)
        one.failed += [f"{check.name}: {check.observed}" for check in judge(recipe, observed)
                       if not check.ok]  # fmt: skip

    async with asyncio.TaskGroup() as group:
        for recipe in recipes:
            for variant in recipe.variants():
                for _ in range(runs):
                    group.create_task(call(variant))
    return found


def row(one: Measured) -> str:
    """One line of the table."""
    ways = ", ".join(one.kinds) or "no move"
    gap = f"{statistics.median(one.reported_ms):.0f} / {max(one.reported_ms):.0f}"
    return f"| `{one.recipe.name}` | {one.recipe.title} | {ways} | {gap} | {one.lost_ms:.0f} |"


def main() -> int:
    """Print the table; the exit code is 0 when every check of every call held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="calls of each recipe and model")
    parser.add_argument("--at-once", type=int, default=3, help="calls at the same time")
    parser.add_argument("--only", default="", metavar="PREFIX", help="recipes that begin so")
    options = parser.parse_args()
    logger.remove()
    recipes = [load_recipe(file) for file in packaged() if file.stem.startswith(options.only)]
    logs = start_logs("ERROR", stream=sys.stderr, console=False)
    try:
        found = uvloop.run(measure(recipes, options.runs, options.at_once))
    finally:
        logs.close()
    calls = sum(one.calls for one in found.values())
    print("| recipe | what happens | moves | longest gap, ms: median / worst | lost, ms |")
    print("|---|---|---|---|---|")
    for one in found.values():
        print(row(one))
    held = sum(not one.failed for one in found.values())
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{calls} calls; {held} of {len(found)} recipes held every time; load {load}")
    for one in found.values():
        for failure in sorted(set(one.failed)):
            print(f"  {one.recipe.name}: {failure}")
    return 0 if held == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
