"""Shows on a terminal what a load test found that an older one did not."""

from __future__ import annotations

import dataclasses
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.loadtest.compare import Change, Trend, compare, regressions
from workers.loadtest.plan import Plan
from workers.loadtest.result import LoadResult

# On what is measured.
_OF_NO_EFFECT: Final = frozenset({"name", "promises"})
_STYLES: Final = {
    Trend.WORSE: "bold red",
    Trend.BETTER: "green",
    Trend.SAME: "",
    Trend.UNKNOWN: "dim",
}


def tell_changes(console: Console, old: LoadResult, new: LoadResult) -> int:
    """Print every figure of both; returns how many have become worse."""
    changes = compare(old, new)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "figure", "before", "now", "unit"):
        table.add_column(name, justify="right" if name in ("before", "now") else "left")
    for change in changes:
        style = _STYLES[change.trend]
        table.add_row(
            Text(str(change.trend).upper() if change.trend is Trend.WORSE else change.trend, style),
            *(Text(text, style) for text in _cells(change)),
        )
    console.print(table)
    if other := other_fields(old.plan, new.plan):
        console.print(
            f"The plans differ in {', '.join(other)}: what has changed may be due to that.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    worse = len(regressions(changes))
    since = f"{old.began_at:%Y-%m-%d %H:%M} UTC"
    told = f"{worse} figure(s) worse than on {since}" if worse else f"nothing worse than on {since}"
    console.print(Text(told, "bold red" if worse else ""))
    return worse


def other_fields(old: Plan, new: Plan) -> list[str]:
    """Return the fields in which two plans ask for different tests."""
    return [
        name
        for one in dataclasses.fields(Plan)
        if (name := one.name) not in _OF_NO_EFFECT and getattr(old, name) != getattr(new, name)
    ]


def _cells(change: Change) -> tuple[str, str, str, str]:
    before, now = (("–" if one is None else f"{one:.1f}") for one in (change.old, change.new))
    return change.name, before, now, change.unit
