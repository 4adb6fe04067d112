"""What ``evercall loadtest`` says on a terminal: the test, its promises, where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.loadtest.arrivals import duration_s
from workers.loadtest.measured import Ending
from workers.loadtest.plan import Plan, Promise
from workers.loadtest.result import LoadResult, Verdict

_REASONS_SHOWN = 3


def tell_plan(console: Console, plan: Plan) -> None:
    """Say what is about to be done."""
    arrivals = plan.arrivals
    where = plan.target.voice_url or f"a worker of its own, {plan.target.processes} process(es)"
    console.print(Text(plan.name, "bold"))
    console.print(
        f"{arrivals.profile} of {arrivals.calls} calls at once, {duration_s(arrivals):.0f} s,"
        f" on {where}",
        highlight=False,
        markup=False,
    )


def promises_table(verdicts: Sequence[Verdict]) -> Table:
    """Lay out promises: a mark, the promise, its limit, what was found."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "promise", "at most", "found"):
        table.add_column(name, justify="left" if name in ("", "promise") else "right")
    for verdict in verdicts:
        # The words say it too, for those who see no colours.
        mark, style = Text("✓ kept", "green"), ""
        if verdict.kept is None:
            mark, style = Text("– not measured", "yellow"), "yellow"
        elif not verdict.kept:
            mark, style = Text("✗ BROKEN", "bold red"), "bold red"
        promise = verdict.promise
        table.add_row(
            mark,
            Text(promise.name),
            Text(figure(promise, promise.limit)),
            Text(figure(promise, verdict.found), style),
        )
    return table


def figure(promise: Promise, value: float | None) -> str:
    """Write a figure with the unit of its promise."""
    if value is None:
        return "–"
    if promise.statistic is not None:
        return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"
    return f"{value:g}" if float(value).is_integer() else f"{value:.2f}"


def tell_endings(console: Console, result: LoadResult) -> None:
    """Say how many calls there were, and of those that did not go well why."""
    counts = {
        ending: sum(call.ending is ending for call in result.calls)
        for ending in Ending
        if any(call.ending is ending for call in result.calls)
    }
    told = ", ".join(f"{count} {ending}" for ending, count in counts.items()) or "none"
    console.print(f"calls: {told}", highlight=False)
    reasons: dict[str, int] = {}
    for call in result.calls:
        if call.reason:
            reasons[call.reason] = reasons.get(call.reason, 0) + 1
    most = sorted(reasons.items(), key=lambda one: -one[1])[:_REASONS_SHOWN]
    for reason, count in most:
        console.print(f"  {count} × {reason}", highlight=False, markup=False, soft_wrap=True)


def tell_file(console: Console, what: str, path: Path) -> None:
    """Say where something was left."""
    console.print(Text(f"{what:8}{path}"), highlight=False, soft_wrap=True)
