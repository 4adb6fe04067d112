"""The plots of a campaign's page: what came of its calls over time, who answers when, how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from workers.campaign.model import LineOutcome
from workers.dashboard.bars import Bar, Line, Series, bar_plot, meter
from workers.dashboard.campaign_page.plan import periods, planned
from workers.dashboard.campaign_words import OUTCOME_WORDS, percent, width_words
from workers.dashboard.markup import Markup, element
from workers.store.campaigns.overview import Overview
from workers.store.campaigns.series import Rate

FEW = 10
"""A share of fewer calls says little."""
_MOST_ZONES = 12
_MOST_TICKS = 8
_TICKS_S = (
    1, 5, 15, 60, 300, 900, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_419_200,
)  # fmt: skip
_BINS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
_MOST_BINS = 24


def outcomes_plot(overview: Overview) -> Markup:
    """Attempts by when they were dialled, stacked by how they ended."""
    if not overview.over_time:
        return _nothing("No call has ended yet.")
    there = [one for one in OUTCOME_WORDS if overview.outcomes.get(one)]
    begins = _buckets(overview.over_time, overview.every)
    bars = [
        Bar(
            _span(begin, overview.every),
            tuple(float(overview.over_time.get(begin, {}).get(one, 0)) for one in there),
            tick,
        )
        for begin, tick in zip(begins, _ticks(begins, overview.every), strict=True)
    ]
    busiest = max(bars, key=lambda bar: sum(bar.values))
    told = (
        f"{overview.settled:,} attempts by {width_words(overview.every)}, stacked by how they "
        f"ended; most of them at {busiest.name}: {sum(busiest.values):,.0f}."
    )
    series = [Series(OUTCOME_WORDS[one], f"o-{one}") for one in there]
    return bar_plot("Outcomes over time", told, bars, series, shown=_count, head="From, UTC")


def dials_plot(overview: Overview) -> Markup:
    """Calls started per minute beside what the pace and its ramp had planned."""
    if not overview.dials:
        return _nothing("Nobody has been dialled yet.")
    every = overview.every
    dialled = periods(overview.events, overview.at)
    begins = _buckets(overview.dials, every)
    minutes = every.total_seconds() / 60
    plan = tuple(
        planned(dialled, overview.campaign.definition.pace, begin, begin + every) / minutes
        for begin in begins
    )
    bars = [
        Bar(_span(begin, every), (overview.dials.get(begin, 0) / minutes,), tick)
        for begin, tick in zip(begins, _ticks(begins, every), strict=True)
    ]
    calls, wanted = sum(overview.dials.values()), sum(plan) * minutes
    told = (
        f"{calls:,} calls were started in all; pace and ramp allowed {wanted:,.0f}. "
        f"Each bar is the mean of {_a(width_words(every))}."
    )
    return bar_plot(
        "Dials per minute against plan",
        told,
        bars,
        [Series("Started", "dials")],
        line=Line(Series("Plan", "plan"), plan),
        shown=_decimal,
        head="From, UTC",
        whole=False,
    )


def hours_plot(overview: Overview) -> Markup:
    """Share of calls that a person answered, by the callee's hour."""
    rates = overview.rates.by_hour
    if not rates:
        return _nothing("No call has reached a telephone yet.")
    bars = [
        Bar(
            f"{hour:02d}:00",
            (100 * rate.share,),
            f"{hour:02d}" if hour % 3 == 0 else "",
            _of(rate) if rate.calls else "",
            faint=rate.calls < FEW,
        )
        for hour, rate in ((hour, rates.get(hour, Rate(0, 0))) for hour in range(24))
    ]
    best = max(
        (hour for hour in rates if rates[hour].calls >= FEW),
        key=lambda hour: rates[hour].share,
        default=None,
    )
    told = "Share of calls that a person answered, by the hour of the callee's own clock."
    if best is not None:
        told += f" Highest at {best:02d}:00: {_of(rates[best])}."
    return bar_plot(
        "Answer rate by hour",
        told,
        bars,
        [Series("Answered by a person", "people")],
        shown=lambda value: f"{value:.0f} %",
        head="Hour",
    )


def zones_table(overview: Overview) -> Markup:
    """The same by zone; those with the most calls, and the others as one row."""
    rates = list(overview.rates.by_zone.items())
    if not rates:
        return _nothing("No call has reached a telephone yet.")
    shown, others = rates[:_MOST_ZONES], rates[_MOST_ZONES:]
    if others:
        rest = Rate(sum(rate.calls for _, rate in others), sum(rate.people for _, rate in others))
        shown.append((f"{len(others)} other zones", rest))
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, name.replace("_", " ") or "Not known"),
            element("td", {"class": "wide"}, meter(rate.share, "people")),
            element("td", {"class": "number"}, percent(rate.share)),
            element("td", {"class": "number muted"}, f"{rate.calls:,}"),
        )
        for name, rate in shown
    ]
    heads = [
        element("th", {"scope": "col"}, "Zone"),
        element("th", {"scope": "col", "class": "number", "colspan": 2}, "Answered"),
        element("th", {"scope": "col", "class": "number"}, "Calls"),
    ]
    return element(
        "table",
        {"class": "zones"},
        element("thead", None, element("tr", None, *heads)),
        element("tbody", None, *rows),
    )


def lengths_plot(overview: Overview) -> Markup:
    """Answered calls by their length, people's and machines'."""
    people, machines = overview.lengths.people, overview.lengths.machines
    both = {
        length: people.get(length, 0) + machines.get(length, 0) for length in {*people, *machines}
    }
    if not both:
        return _nothing("No call was answered yet.")
    # A few calls that went on for long would leave no room for the others.
    long_s = quantile(both, 0.98)
    width = next((size for size in _BINS_S if long_s < size * _MOST_BINS), _BINS_S[-1])
    last = min(long_s // width, _MOST_BINS)
    bars = [
        Bar(
            f"{index * width}–{(index + 1) * width} s"
            if index < last
            else f"from {last * width} s",
            (_between(people, index, width, last), _between(machines, index, width, last)),
            _tick_of_length(index, width, last),
        )
        for index in range(last + 1)
    ]
    told = f"{sum(both.values()):,} answered calls by their length."
    if people:
        told += f" Half of those with a person lasted {quantile(people, 0.5)} s or longer."
    series = [Series("With a person", "people"), Series("With a machine", "machines")]
    return bar_plot("Length of calls", told, bars, series, shown=_count, head="Length")


def quantile(lengths: Mapping[int, int], share: float) -> int:
    """The length that this share of calls does not exceed; there is at least one call."""
    left = share * sum(lengths.values())
    for length in sorted(lengths):
        left -= lengths[length]
        if left <= 0:
            return length
    return max(lengths)


def outcome_meter(outcome: LineOutcome, share: float) -> Markup:
    """The bar beside an outcome's count."""
    return meter(share, f"o-{outcome}")


def _between(lengths: Mapping[int, int], index: int, width: int, last: int) -> float:
    return float(
        sum(count for length, count in lengths.items() if min(length // width, last) == index)
    )


def _tick_of_length(index: int, width: int, last: int) -> str:
    every = max(1, round((last + 1) / 6))
    return f"{index * width} s" if index % every == 0 else ""


def _buckets(found: Mapping[datetime, object], every: timedelta) -> list[datetime]:
    """All from the first to the last, those without anything among them."""
    first, last = min(found), max(found)
    return [first + every * number for number in range((last - first) // every + 1)]


def _ticks(begins: Sequence[datetime], every: timedelta) -> list[str]:
    span_s = every.total_seconds() * len(begins)
    step = next((step for step in _TICKS_S if span_s / step <= _MOST_TICKS), _TICKS_S[-1])
    step = max(step, int(every.total_seconds()))
    return [_tick(begin, step) if begin.timestamp() % step == 0 else "" for begin in begins]


def _tick(begin: datetime, step_s: int) -> str:
    if step_s >= 86_400 or (begin.hour, begin.minute, begin.second) == (0, 0, 0):
        return f"{begin.day} {begin:%b}"
    return f"{begin:%H:%M:%S}" if step_s < 60 else f"{begin:%H:%M}"


def _span(begin: datetime, every: timedelta) -> str:
    begin = begin.astimezone(UTC)
    if every >= timedelta(days=1):
        return f"{begin.day} {begin:%b %Y}"
    return (
        f"{begin.day} {begin:%b}, {begin:%H:%M:%S}"
        if every < timedelta(minutes=1)
        else f"{begin.day} {begin:%b}, {begin:%H:%M}"
    )


def _of(rate: Rate) -> str:
    return f"{percent(rate.share)} of {rate.calls:,} calls"


def _a(width: str) -> str:
    return width if width[0].isdigit() else f"an {width}" if width == "hour" else f"a {width}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _decimal(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _nothing(text: str) -> Markup:
    return element("p", {"class": "note"}, text)
