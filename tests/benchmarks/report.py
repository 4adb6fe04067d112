"""What the benchmarks share at their edges: arguments, a plain table, a JSON file, overload."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tests.benchmarks.rig import BotName, NotMeasured, Overloaded
from workers.loadtest.machine import this_machine

Result = TypeVar("Result")

_FEWEST_CALLS = 5


def arguments(description: str, *, calls: int = 40, seconds: float = 20) -> argparse.ArgumentParser:
    """The options every benchmark has; a benchmark adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--calls", type=int, default=calls, help="calls at once")
    parser.add_argument("--seconds", type=float, default=seconds, help="length of a window")
    parser.add_argument("--only", choices=("evercall", "stock"), help="measure one bot")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the bots' output there")
    return parser


def bots(only: BotName | None) -> tuple[BotName, ...]:
    """Which bots to measure, in this order."""
    return (only,) if only else ("stock", "evercall")


def until_carried(calls: int, measure: Callable[[int], Result]) -> tuple[int, Result, str]:
    """Measure with a quarter fewer calls as often as the bot cannot carry them.

    Returns:
        The number of calls it carried, what was measured, and a note about those it did not.

    Raises:
        NotMeasured: It cannot even carry a few, or something else went wrong.
    """
    note = ""
    while True:
        try:
            return calls, measure(calls), note
        except Overloaded as overload:
            note = note or f"{calls} calls are too many for it: {overload}"
            calls = calls * 3 // 4
            if calls < _FEWEST_CALLS:
                raise


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Left-aligned first column, right-aligned numbers, two blanks between."""
    cells = [[str(each) for each in row] for row in (head, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table to be pasted into a README."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


class Load:
    """How busy the machine was, from now to when it is written out."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]

    def __str__(self) -> str:
        cores = len(os.sched_getaffinity(0))
        after = os.getloadavg()[0]
        return f"{cores} cores, load {self._before:.1f} before and {after:.1f} at the end."


def publish(name: str, results: Mapping[str, Any], text: str, file: Path | None) -> None:
    """Print the table; write the numbers with what they were measured on."""
    print(text)
    if file is None:
        return
    document = {"benchmark": name, "machine": _machine(), "results": dict(results)}
    file.write_text(json.dumps(document, indent=2) + "\n")


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; a refusal to report ends it with one line and code 1."""
    try:
        main()
    except NotMeasured as verdict:
        sys.exit(f"not measured: {verdict}")


def processor() -> str:
    """Cores and processor of this machine."""
    machine = this_machine()
    return f"{machine.cores} x {machine.processor}"


def _machine() -> dict[str, str]:
    return {
        "cpu": processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("pipecat-ai", "google-genai", "uvloop", "websockets")},
    }
