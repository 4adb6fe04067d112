"""The worker under test over time: its processor, its memory, its event loop and its queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from workers.dashboard.bars import Series
from workers.dashboard.loadtest_page.drawing import Across, Curve, Panel, chart
from workers.dashboard.loadtest_page.numbers import by_stretch, stretch_s
from workers.dashboard.loadtest_page.tables import data_table, note
from workers.dashboard.loadtest_page.words import ms
from workers.dashboard.markup import Markup
from workers.dashboard.story import at
from workers.loadtest.measured import WorkerSample
from workers.loadtest.worker_figures import figures_of

_COLUMNS = 200
_MOST_POINTS = 400


def worker_plot(samples: Sequence[WorkerSample], across: Across, killed: str = "") -> Markup:
    """Processor, memory and event loop over time, above the calls that the worker counted.

    Args:
        samples: Looks at it.
        across: The time of the test.
        killed: When its processes were, as a sentence that begins with a space.
    """
    if len(samples) < 2:
        return note("The worker did not let itself be looked at.")
    cpu = [
        (after.at_s, _cpu_percent(before, after))
        for before, after in pairwise(_every_nth(samples))
        if after.at_s > before.at_s
    ]
    memory = _highest(samples, across.until, lambda one: one.memory_mib)
    lag = _highest(samples, across.until, lambda one: one.loop_lag_ms)
    queued = _highest(samples, across.until, lambda one: one.queued)
    crowd = _highest(samples, across.until, lambda one: one.calls)
    panels = [
        Panel("Processor, of one core", [Curve(Series("CPU", "cpu"), cpu)], _percent),
        Panel("Memory", [Curve(Series("Resident", "memory"), memory)], _mib),
    ]
    if lag:
        panels.append(Panel("Event loop late by", [Curve(Series("Lag", "lag"), lag)], ms))
    if any(value for _, value in queued):
        panels.append(
            Panel("Queued", [Curve(Series("Queued", "queued"), queued)], _count, whole=True)
        )
    panels.append(
        Panel("Its calls", [Curve(Series("Calls", "crowd"), crowd, stepped=True)], _count)
    )
    figures = figures_of(samples)
    told = f"At most {_mib(max(one.memory_mib for one in samples))}"
    if figures.cpu_ms_per_call_s is not None:
        told += f"; {ms(figures.cpu_ms_per_call_s)} of CPU time per second of call"
    head = ("From", "Calls", "CPU", "Memory", "Loop lag", "Queued", "Files")
    table = data_table(head, _rows(samples, cpu, across.until))
    return chart("The worker over time", f"{told}.{killed}", panels, across, table)


def _rows(
    samples: Sequence[WorkerSample], cpu: Sequence[tuple[float, float | None]], until: float
) -> list[list[str]]:
    width = stretch_s(until)
    known = [(at_s, percent) for at_s, percent in cpu if percent is not None]
    shares = by_stretch(known, until, width)
    looks: list[list[WorkerSample]] = [[] for _ in shares]
    for one in samples:
        looks[min(int(max(one.at_s, 0.0) / width), len(looks) - 1)].append(one)
    return [
        [
            at(number * width).rpartition(".")[0],
            _count(max(one.calls for one in mine)),
            _percent(sum(share) / len(share)) if share else "–",
            _mib(max(one.memory_mib for one in mine)),
            *(
                "–" if value is None else shown(value)
                for value, shown in (
                    (_most(mine, lambda one: one.loop_lag_ms), ms),
                    (_most(mine, lambda one: one.queued), _count),
                    (_most(mine, lambda one: one.open_files), _count),
                )
            ),
        ]
        for number, (mine, share) in enumerate(zip(looks, shares, strict=True))
        if mine
    ]


def _most(
    samples: Sequence[WorkerSample], value: Callable[[WorkerSample], float | None]
) -> float | None:
    return max((found for one in samples if (found := value(one)) is not None), default=None)


def _highest(
    samples: Sequence[WorkerSample], until: float, value: Callable[[WorkerSample], float | None]
) -> list[tuple[float, float]]:
    """The highest of each column; where there are few looks, each of them."""
    points = [(one.at_s, float(found)) for one in samples if (found := value(one)) is not None]
    if len(points) <= _MOST_POINTS:
        return points
    best: dict[int, tuple[float, float]] = {}
    for point in points:
        column = int(point[0] / until * _COLUMNS)
        best[column] = max(best.get(column, point), point, key=lambda one: one[1])
    return list(best.values())


def _every_nth(samples: Sequence[WorkerSample]) -> Sequence[WorkerSample]:
    return samples[:: max(1, -(-len(samples) // _COLUMNS))]


def _cpu_percent(before: WorkerSample, after: WorkerSample) -> float | None:
    """Used between two looks, of one core; None where a process with its time was gone."""
    used_s = after.cpu_s - before.cpu_s
    return 100 * used_s / (after.at_s - before.at_s) if used_s >= 0 else None


def _percent(value: float) -> str:
    return f"{value:,.0f} %"


def _mib(value: float) -> str:
    return f"{value:,.0f} MiB"


def _count(value: float) -> str:
    return f"{value:,.0f}"
