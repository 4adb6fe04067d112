"""The plots of a load test's page: delays over time and load, gaps, resets, endings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workers.dashboard.bars import Bar, Series, bar_plot
from workers.dashboard.loadtest_page.drawing import (
    Across,
    Curve,
    Dots,
    Limit,
    Moments,
    Panel,
    chart,
)
from workers.dashboard.loadtest_page.numbers import (
    Crowd,
    Wait,
    by_stretch,
    quantile,
    stretch_s,
    thinned,
)
from workers.dashboard.loadtest_page.tables import data_table, note
from workers.dashboard.loadtest_page.words import ENDING_WORDS, calls, ms, promise_words
from workers.dashboard.markup import Markup
from workers.dashboard.scale import round_levels
from workers.dashboard.story import at
from workers.loadtest.measured import CallMeasured
from workers.loadtest.plan import Metric, Plan
from workers.loadtest.result import LoadResult

MOST_DOTS = 1_500
"""In one plot: more are neither told apart nor small."""
FEW = {0.5: 5, 0.95: 20}
"""A percentile of fewer values than this is one of the extremes, or nearly."""
_COLUMNS = 300
_TIMES_TOLD = 10
_MOST_TICKS = 8
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200)
_MOST_LEVELS = 12
_BINS_MS = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_MOST_BINS = 16


def until_s(result: LoadResult) -> float:
    """Where the time axis of every plot ends: at the end of the test, at 1 s at the least."""
    ends = [call.began_s + call.duration_s for call in result.calls]
    return max([result.took_s, 1.0, *ends, *(sample.at_s for sample in result.samples)])


def time_axis(until: float, kills_s: Sequence[float] = ()) -> Across:
    """The time of the test with its labels, and when a process of the worker was killed."""
    step = next((one for one in _TICKS_S if until / one <= _MOST_TICKS), _TICKS_S[-1])
    ticks = [(tick, clock(tick)) for tick in range(0, int(until) + 1, step)]
    return Across(until, ticks, Moments("Process killed", kills_s))


def killed_words(result: LoadResult) -> str:
    """When processes were killed, as a sentence behind another one; nothing where none was."""
    times = [clock(at_s) for at_s in result.kills_s]
    if not times:
        return ""
    more = f" and {len(times) - _TIMES_TOLD:,} more" if len(times) > _TIMES_TOLD else ""
    return f" Processes were killed at {', '.join(times[:_TIMES_TOLD])}{more}."


def clock(seconds: float) -> str:
    """A time of the test in whole seconds: ``1:30``."""
    return at(seconds).rpartition(".")[0]


def delays_plot(result: LoadResult, waits: Sequence[Wait], crowd: Crowd) -> Markup:
    """Answers over time with their percentiles, above how many calls there were."""
    if not waits:
        return note("Nobody was answered.")
    until = until_s(result)
    delays = [(wait.at_s, wait.delay_ms) for wait in waits]
    added = _added(waits, lambda wait: wait.at_s)
    width = stretch_s(until)
    panels = [_delay_panel(result.plan, Metric.ANSWER_DELAY_MS, delays, until, width)]
    if added:
        panels.append(_delay_panel(result.plan, Metric.ADDED_DELAY_MS, added, until, width))
    panels.append(calls_panel(crowd, until))
    head = ("From", "Calls", "Answers", "p50", "p95", "Longest", *(["Added p95"] if added else []))
    most = crowd.columns(until, len(by_stretch(delays, until, width)))
    rows = []
    both = (by_stretch(delays, until, width), by_stretch(added, until, width))
    for number, (mine, ours) in enumerate(zip(*both, strict=True)):
        row = [clock(number * width), f"{most[number]:,}", *_percentiles(mine)]
        rows.append([*row, *([ms(quantile(ours, 0.95)) if ours else "–"] if added else [])])
    told = (
        f"{len(waits):,} answers, half of them within {ms(quantile(_second(delays), 0.5))}, "
        f"19 of 20 within {ms(quantile(_second(delays), 0.95))}; "
        f"up to {calls(crowd.most)} at once.{killed_words(result)}"
    )
    return chart(
        "Delays over time", told, panels, time_axis(until, result.kills_s), data_table(head, rows)
    )


def load_plot(result: LoadResult, waits: Sequence[Wait]) -> Markup:
    """Delays by how many calls there were when the caller stopped."""
    if not waits:
        return note("Nobody was answered.")
    until = round_levels(max(wait.calls for wait in waits), whole=True)[-1]
    width = max(1.0, until / _MOST_LEVELS)
    added = _added(waits, lambda wait: wait.calls)
    metric = Metric.ADDED_DELAY_MS if added else Metric.ANSWER_DELAY_MS
    points = added or [(float(wait.calls), wait.delay_ms) for wait in waits]
    # Stretches begin after their lower end, so that the axis's last number is in the last one.
    shifted = [(calls_at_once - 0.5, value) for calls_at_once, value in points]
    panel = _delay_panel(result.plan, metric, points, until, width, curve=shifted)
    rows = [
        [_levels_name(number, width), *_percentiles(mine)]
        for number, mine in enumerate(by_stretch(shifted, until, width))
        if mine
    ]
    told = f"{len(points):,} answers by how many calls there were at once; at most {until:,.0f}."
    across = Across(until, [(level, f"{level:,.0f}") for level in round_levels(until, whole=True)])
    head = ("Calls at once", "Answers", "p50", "p95", "Longest")
    return chart("Delay against load", told, [panel], across, data_table(head, rows))


def gaps_plot(result: LoadResult) -> Markup:
    """Every gap, by when it was heard and how long it was."""
    gaps = [(call.began_s + gap.at_s, gap.ms) for call in result.calls for gap in call.gaps]
    if not gaps:
        return note("No caller heard a gap.")
    until = until_s(result)
    width = stretch_s(until)
    panel = Panel(
        "Gaps",
        [Dots(Series("Gap", "gap"), thinned(sorted(gaps), until, MOST_DOTS))],
        ms,
        _limits(result.plan, Metric.GAP_MS),
    )
    rows = [
        [clock(number * width), *_percentiles(mine)]
        for number, mine in enumerate(by_stretch(gaps, until, width))
        if mine
    ]
    told = f"{len(gaps):,} gaps, the longest {ms(max(_second(gaps)))}.{killed_words(result)}"
    head = ("From", "Gaps", "p50", "p95", "Longest")
    return chart(
        "Gaps over time", told, [panel], time_axis(until, result.kills_s), data_table(head, rows)
    )


def resets_plot(result: LoadResult) -> Markup:
    """Reset gaps by their length; the worker reports how long they were, not when."""
    gaps = [one for call in result.calls for one in call.reset_gaps_ms]
    if not gaps:
        return note("No reset was reported.")
    longest = max(gaps)
    width = next((one for one in _BINS_MS if longest / one < _MOST_BINS), _BINS_MS[-1])
    bins = by_stretch([(one, one) for one in gaps], longest + 1, width)
    bars = [
        Bar(
            f"{number * width:,} to {(number + 1) * width:,} ms",
            (float(len(mine)),),
            f"{number * width:,}" if number % 2 == 0 else "",
        )
        for number, mine in enumerate(bins)
    ]
    told = f"{len(gaps):,} resets by how long no sound came; the longest {ms(longest)}."
    return bar_plot(
        "Reset gaps by length",
        told,
        bars,
        [Series("Resets", "reset")],
        shown=lambda value: f"{value:,.0f}",
        head="Gap",
    )


def endings_plot(result: LoadResult) -> Markup:
    """Calls by when they ended, stacked by how."""
    if not result.calls:
        return note("There was no call.")
    until = until_s(result)
    width = stretch_s(until)
    there = [one for one in ENDING_WORDS if any(call.ending is one for call in result.calls)]
    ends = by_stretch(
        ((_end_s(call), there.index(call.ending)) for call in result.calls), until, width
    )
    ticks = {int(tick / width): name for tick, name in time_axis(until).ticks}
    bars = [
        Bar(
            f"{clock(number * width)} to {clock((number + 1) * width)}",
            tuple(float(mine.count(index)) for index in range(len(there))),
            ticks.get(number, ""),
        )
        for number, mine in enumerate(ends)
    ]
    counts = {one: sum(call.ending is one for call in result.calls) for one in there}
    told = ", ".join(f"{ENDING_WORDS[one].lower()} {count:,}" for one, count in counts.items())
    return bar_plot(
        "Endings over time",
        f"{calls(len(result.calls))}: {told}.",
        bars,
        [Series(f"{ENDING_WORDS[one]} {counts[one]:,}", f"e-{one}") for one in there],
        shown=lambda value: f"{value:,.0f}",
        head="From",
    )


def calls_panel(crowd: Crowd, until: float) -> Panel:
    """How many calls there were, to stand below what they may have caused."""
    columns = crowd.columns(until, _COLUMNS)
    points = [(until * index / _COLUMNS, float(count)) for index, count in enumerate(columns)]
    curve = Curve(Series("Calls at once", "crowd"), points, stepped=True)
    return Panel("Calls at once", [curve], lambda value: f"{value:,.0f}", whole=True)


def thinning_note(waits: Sequence[Wait]) -> str:
    """How dots were thinned; nothing where all are drawn."""
    if len(waits) <= MOST_DOTS:
        return ""
    return (
        f"Of {len(waits):,} answers some {MOST_DOTS:,} are drawn: the slowest of every stretch, "
        "and of the others every n-th. Lines and tables count all."
    )


def _delay_panel(
    plan: Plan,
    metric: Metric,
    points: Sequence[tuple[float, float]],
    until: float,
    width: float,
    *,
    curve: Sequence[tuple[float, float]] | None = None,
) -> Panel:
    stretches = by_stretch(curve if curve is not None else points, until, width)
    kind = "added" if metric is Metric.ADDED_DELAY_MS else "answer"
    layers: list[Dots | Curve] = [
        Dots(Series("Answer", kind), thinned(sorted(points), until, MOST_DOTS))
    ]
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        line = [
            (
                min((number + 0.5) * width, until),
                quantile(mine, share) if len(mine) >= FEW[share] else None,
            )
            for number, mine in enumerate(stretches)
        ]
        if any(value is not None for _, value in line):
            layers.append(Curve(Series(name, name), line))
    name = "Added delay" if metric is Metric.ADDED_DELAY_MS else "Answer delay"
    return Panel(name, layers, ms, _limits(plan, metric))


def _limits(plan: Plan, metric: Metric) -> list[Limit]:
    return [
        Limit(f"{promise_words(one).rpartition(', ')[2]} promised", one.limit)
        for one in plan.promises
        if one.metric is metric
    ]


def _added(waits: Sequence[Wait], place: Callable[[Wait], float]) -> list[tuple[float, float]]:
    return [(place(wait), wait.added_ms) for wait in waits if wait.added_ms is not None]


def _percentiles(values: Sequence[float]) -> list[str]:
    if not values:
        return ["0", "–", "–", "–"]
    return [
        f"{len(values):,}",
        ms(quantile(values, 0.5)),
        ms(quantile(values, 0.95)),
        ms(max(values)),
    ]


def _levels_name(number: int, width: float) -> str:
    first, last = int(number * width) + 1, int((number + 1) * width)
    return f"{first:,}" if first >= last else f"{first:,} to {last:,}"


def _second(points: Sequence[tuple[float, float]]) -> list[float]:
    return [value for _, value in points]


def _end_s(call: CallMeasured) -> float:
    return call.began_s + call.duration_s
