"""How a load test goes, while it does: figures so far, and the lines that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.table import Table
from rich.text import Text

from workers.loadtest.histogram import Histogram
from workers.loadtest.measured import CallMeasured, Ending, OwnSlip, WorkerSample

_SLOW_SLIP_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a test.

    Attributes:
        at_s: Of the test, which takes ``of_s`` and what the last calls need.
        of_s: See there.
        wanted: Calls at once.
        running: Calls at once that there are.
        waiting: Calls that are over and not measured yet.
        ended: Calls that were measured; of these ``refused`` and ``dropped`` were so.
        refused: See there.
        dropped: See there.
        delay_p50_ms: From the end of a question to its answer; None: there was none.
        delay_p95_ms: Likewise.
        gaps: So far, ``worst_gap_ms`` the longest.
        worst_gap_ms: See there.
        cpu_ms: Of the worker, for each second of a call, lately; None: not known.
        memory_mib: Of the worker; None: not known.
        slip: Of our own clockwork.
    """

    at_s: float
    of_s: float
    wanted: int
    running: int
    waiting: int
    ended: int
    refused: int
    dropped: int
    delay_p50_ms: float | None
    delay_p95_ms: float | None
    gaps: int
    worst_gap_ms: float
    cpu_ms: float | None
    memory_mib: float | None
    slip: OwnSlip


class Tally:
    """Adds up what the lines show; the report has sums of its own."""

    def __init__(self) -> None:
        self.ended = 0
        self.refused = 0
        self.dropped = 0
        self.gaps = 0
        self.worst_gap_ms = 0.0
        self.delays = Histogram()

    def add(self, call: CallMeasured) -> None:
        """Count a call."""
        self.ended += 1
        self.refused += call.ending is Ending.REFUSED
        self.dropped += call.ending is Ending.DROPPED
        self.gaps += len(call.gaps)
        self.worst_gap_ms = max([self.worst_gap_ms, *(gap.ms for gap in call.gaps)])
        for answer in call.answers:
            self.delays.add(answer.delay_ms)


def cpu_ms_lately(samples: Sequence[WorkerSample]) -> float | None:
    """CPU time of a worker for a second of call, by its last two looks; None: not known."""
    return cpu_ms_per_call_second(*samples[-2:]) if len(samples) > 1 else None


def cpu_ms_per_call_second(before: WorkerSample, after: WorkerSample) -> float | None:
    """CPU time of a worker for each second of a call between two looks; None: it had no calls."""
    call_s = (before.calls + after.calls) / 2 * (after.at_s - before.at_s)
    return (after.cpu_s - before.cpu_s) * 1000 / call_s if call_s > 0 else None


def shown(progress: Progress) -> Table:
    """Lay a look out for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, text in _rows(progress):
        table.add_row(name, text)
    return table


def told(progress: Progress) -> str:
    """Write a look as one line, for a log or a terminal that is none."""
    return "; ".join(f"{name} {text.plain}" for name, text in _rows(progress))


def _rows(one: Progress) -> list[tuple[str, Text]]:
    bad = "bold red"
    over = f", {one.waiting} to be measured" if one.waiting else ""
    refused = Text(f"{one.refused} refused", bad if one.refused else "")
    dropped = Text(f"{one.dropped} dropped", bad if one.dropped else "")
    rows = [
        ("time", Text(f"{_clock(one.at_s)} of {_clock(one.of_s)}")),
        ("calls", Text(f"{one.running} of {one.wanted}{over}")),
        ("ended", Text(", ").join([Text(str(one.ended)), refused, dropped])),
        ("answers", Text(_delays(one))),
        ("gaps", Text(f"{one.gaps}, worst {one.worst_gap_ms:.0f} ms" if one.gaps else "none")),
    ]
    if one.memory_mib is not None:
        cpu = "" if one.cpu_ms is None else f"{one.cpu_ms:.1f} ms CPU for a second of call, "
        rows.append(("worker", Text(f"{cpu}{one.memory_mib:.0f} MiB")))
    slip = one.slip
    late = slip.p99_ms > _SLOW_SLIP_MS
    rows.append(
        (
            "own slip",
            Text(f"p99 {slip.p99_ms:.1f} ms, worst {slip.worst_ms:.0f} ms", bad if late else ""),
        )
    )
    return rows


def _delays(one: Progress) -> str:
    if one.delay_p50_ms is None or one.delay_p95_ms is None:
        return "none yet"
    return f"p50 {one.delay_p50_ms:.0f} ms, p95 {one.delay_p95_ms:.0f} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
