"""``evercall drill``: rehearse one failure and see what was expected beside what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.conversation.record import MoveRecord
from agent.errors import AgentSpecError
from workers.entrypoints.drill.check import Check
from workers.entrypoints.drill.gaps import heard_gaps_ms
from workers.entrypoints.drill.observed import Observed
from workers.entrypoints.drill.recipe import Recipe
from workers.entrypoints.drill.recipe_file import find_recipe, load_recipe, packaged
from workers.entrypoints.drill.run import run_recipe
from workers.entrypoints.drill.verdict import judge
from workers.logs import start_logs

GOOD, BAD, UNUSABLE = 0, 1, 2


def list_recipes(console: Console | None = None) -> int:
    """Print the packaged recipes, a line each."""
    console = console or Console()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for file in packaged():
        table.add_row(Text(file.stem, "bold"), Text(load_recipe(file).title))
    console.print(table)
    return GOOD


def run_drill(name: str, out: Path | None = None) -> int:
    """Make the calls of a recipe; 0 when all held, 1 when not, 2 when it cannot be used."""
    console = Console()
    try:
        recipe = load_recipe(find_recipe(name))
    except AgentSpecError as error:
        errors = Console(stderr=True)
        for issue in error.issues:
            errors.print(str(issue), markup=False, highlight=False, soft_wrap=True)
        return UNUSABLE
    out = out or Path("evercall-drill") / recipe.name
    out.mkdir(parents=True, exist_ok=True)
    with (out / "drill.log").open("w", encoding="utf-8") as log:
        logs = start_logs("INFO", stream=log, console=False)
        try:
            held = uvloop.run(_drill(console, recipe, out))
        finally:
            logs.close()
    _saved(console, "log", str(out / "drill.log"))
    return GOOD if held else BAD


async def _drill(console: Console, recipe: Recipe, out: Path) -> bool:
    console.print(Text(recipe.title, "bold"))
    console.print(Text(recipe.what_must_hold))
    variants = recipe.variants()
    held = True
    for variant in variants:
        # One model needs no folder of its own.
        folder = out if len(variants) == 1 else out / variant.variant.model
        held &= await _drill_model(console, variant, folder)
    return held


async def _drill_model(console: Console, recipe: Recipe, out: Path) -> bool:
    console.print()
    console.print(Text(f"model {recipe.variant.model}", "dim"))
    gaps: list[float] = []
    held = True
    for number in range(1, recipe.repeat + 1):
        try:
            observed = await run_recipe(recipe, out)
        except TimeoutError as error:
            console.print(Text(f"The call did not end: {error}", "bold red"))
            return False
        checks = judge(recipe, observed)
        gaps += heard_gaps_ms(recipe, observed)
        held &= all(check.ok for check in checks)
        # Of many calls the first that failed is worth reading, else the last.
        if not held or number == recipe.repeat:
            _told(console, checks, observed)
            break
    if recipe.repeat > 1 and len(gaps) > 1:
        _spread(console, gaps)
    return held


def _told(console: Console, checks: Sequence[Check], observed: Observed) -> None:
    console.print(verdict_table(checks))
    for number, move in enumerate(observed.moves, start=1):
        console.print(Text(f"move {number}  {report(move)}"), highlight=False)
    for what, path in observed.files:
        _saved(console, what, path)


def verdict_table(checks: Sequence[Check]) -> Table:
    """Lay out a verdict: a mark, the check, what was expected, what was observed."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "check", "expected", "observed"):
        table.add_column(name, overflow="fold")
    for check in checks:
        # The words say it too, for those who see no colours.
        mark = Text("✓", "green") if check.ok else Text("✗ FAILED", "bold red")
        style = "" if check.ok else "bold red"
        table.add_row(mark, Text(check.name), Text(check.expected), Text(check.observed, style))
    return table


def report(move: MoveRecord) -> str:
    """Write a reset report as one line."""
    kind = move.kind.value if move.kind is not None else "no connection"
    parts = [
        f"{move.left_s:.2f} s: {move.cause.value}, {move.moment.value}, {kind}",
        f"took {(move.done_s - move.left_s) * 1000:.0f} ms",
        f"gap {move.gap_ms:.0f} ms",
        f"held {move.held_ms:.0f} ms",
        f"replayed {move.replayed_ms:.0f} ms",
        f"lost {move.lost_ms:.0f} ms",
        f"cut {move.cut_ms:.0f} ms",
        f"tries {move.tries}",
    ]
    return "; ".join([*parts, move.detail] if move.detail else parts)


def _spread(console: Console, gaps: Sequence[float]) -> None:
    cuts = statistics.quantiles(gaps, n=20, method="inclusive")
    told = f"{len(gaps)} moves, gap as heard: median {cuts[9]:.0f} ms, p95 {cuts[18]:.0f} ms"
    console.print(Text(f"{told}, most {max(gaps):.0f} ms"))


def _saved(console: Console, what: str, path: str) -> None:
    console.print(Text(f"{what:8}{path}"), highlight=False, soft_wrap=True)
