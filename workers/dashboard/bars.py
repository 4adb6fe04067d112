"""Bars over an axis, as inline SVG with its labels beside it in HTML.

The drawing stretches to any width while its labels keep their size, so that it can be read on a
telephone. Each has a sentence for who cannot see it, and its numbers as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.dashboard.markup import Markup, element, joined
from workers.dashboard.scale import in_svg, round_levels

# Of its bucket; the rest is the gap to the next.
_BAR_SHARE = 0.82
# A label any nearer to the right end would be cut off.
_LAST_LABEL = 0.91


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of value, which every bar may have a part of."""

    name: str
    kind: str
    """Class that gives it its colour."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bucket of the axis."""

    name: str
    """Of the bucket, in full."""
    values: tuple[float, ...]
    """One for each series, stacked from below."""
    tick: str = ""
    """What stands below its beginning."""
    detail: str = ""
    """Stands for the values where somebody points at it."""
    faint: bool = False
    """Too little is behind it to go by."""


@dataclass(frozen=True, slots=True)
class Line:
    """A step line over the bars, one value for each."""

    series: Series
    values: tuple[float, ...]


def bar_plot(
    name: str,
    told: str,
    bars: Sequence[Bar],
    series: Sequence[Series],
    *,
    shown: Callable[[float], str],
    head: str,
    line: Line | None = None,
    whole: bool = True,
    top: float | None = None,
) -> Markup:
    """A figure.

    Args:
        name: of the figure.
        told: what it shows, in sentences, for who does not see it.
        bars: from left to right; there is at least one.
        series: what each bar's values are.
        shown: a value as text.
        head: over the bars' names in the table.
        line: to be drawn over the bars.
        whole: values are counts, so that the axis has whole steps.
        top: of the axis at the least; found out where it is not given.
    """
    highest = max(
        [sum(bar.values) for bar in bars] + list(line.values if line else ()) + [top or 0.0]
    )
    levels = round_levels(highest, whole=whole)
    most = levels[-1]
    parts = [
        element("line", {"x1": 0, "x2": len(bars), "y1": y, "y2": y, "class": "level"})
        for y in (_y(level, most) for level in levels)
    ]
    parts += [_stack(index, bar, series, most, shown) for index, bar in enumerate(bars)]
    if line:
        parts.append(
            element("path", {"class": f"line {line.series.kind}", "d": _steps(line, most)})
        )
    drawing = element(
        "svg",
        {
            "viewBox": f"0 0 {len(bars)} 100",
            "preserveAspectRatio": "none",
            "role": "img",
            "aria-label": f"{name}. {told}",
        },
        *parts,
    )
    legend = [*series, *([line.series] if line else [])]
    return element(
        "figure",
        {"class": "plot"},
        element(
            "div",
            {"class": "frame"},
            element("div", {"class": "ys", "aria-hidden": "true"}, *_y_labels(levels, most, shown)),
            element("div", {"class": "area"}, drawing),
            element("div", {"class": "xs", "aria-hidden": "true"}, *_x_labels(bars)),
        ),
        _legend(legend) if len(legend) > 1 else "",
        _table(head, bars, series, shown, line),
    )


def meter(share: float, kind: str, *, limit: float | None = None) -> Markup:
    """A share as a short bar, with a mark where its limit is; full at 1 or at the limit's double.

    Says nothing to who does not see it: the number stands beside it.
    """
    full = 1.0 if limit is None else max(limit * 2, share, 1e-9)
    parts = [
        element("rect", {"class": "ground", "width": 100, "height": 10}),
        element("rect", {"class": kind, "width": in_svg(100 * min(share / full, 1)), "height": 10}),
    ]
    if limit is not None:
        x = in_svg(100 * limit / full)
        parts.append(element("line", {"class": "limit", "x1": x, "x2": x, "y1": 0, "y2": 10}))
    return element(
        "svg",
        {
            "class": "meter",
            "viewBox": "0 0 100 10",
            "preserveAspectRatio": "none",
            "aria-hidden": "true",
        },
        *parts,
    )


def _stack(
    index: int,
    bar: Bar,
    series: Sequence[Series],
    most: float,
    shown: Callable[[float], str],
) -> Markup:
    drawn: list[Markup] = []
    below = 0.0
    for value, one in zip(bar.values, series, strict=True):
        if value <= 0:
            continue
        drawn.append(
            element(
                "rect",
                {
                    "class": f"{one.kind} faint" if bar.faint else one.kind,
                    "x": in_svg(index + (1 - _BAR_SHARE) / 2),
                    "width": _BAR_SHARE,
                    "y": _y(below + value, most),
                    "height": in_svg(100 * value / most),
                },
                element("title", None, bar.detail or f"{bar.name}: {one.name}, {shown(value)}"),
            )
        )
        below += value
    return joined(*drawn)


def _steps(line: Line, most: float) -> str:
    places = [f"{index} {_y(value, most)}H{index + 1}" for index, value in enumerate(line.values)]
    return "M" + "L".join(places)


def _y(value: float, most: float) -> str:
    return in_svg(100 - 100 * value / most)


def _y_labels(levels: Sequence[float], most: float, shown: Callable[[float], str]) -> list[Markup]:
    return [
        element("span", {"style": f"bottom:{in_svg(100 * level / most)}%"}, shown(level))
        for level in levels
    ]


def _x_labels(bars: Sequence[Bar]) -> list[Markup]:
    places = [(index / len(bars), bar.tick) for index, bar in enumerate(bars) if bar.tick]
    return [
        element(
            "span",
            # Every second one gives way where there is little room.
            {"style": f"left:{in_svg(100 * place)}%", "class": "spare" if number % 2 else ""},
            tick,
        )
        for number, (place, tick) in enumerate(places)
        if place < _LAST_LABEL
    ]


def _legend(series: Sequence[Series]) -> Markup:
    return element(
        "ul",
        {"class": "legend"},
        *(element("li", None, element("i", {"class": one.kind}), one.name) for one in series),
    )


def _table(
    head: str,
    bars: Sequence[Bar],
    series: Sequence[Series],
    shown: Callable[[float], str],
    line: Line | None,
) -> Markup:
    names = [*(one.name for one in series), *([line.series.name] if line else [])]
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, bar.name),
            *(element("td", None, shown(value)) for value in bar.values),
            element("td", None, shown(line.values[index])) if line else "",
            element("td", {"class": "words"}, bar.detail) if bar.detail else "",
        )
        for index, bar in enumerate(bars)
        if sum(bar.values) > 0 or bar.detail
    ]
    return element(
        "details",
        None,
        element("summary", None, "As a table"),
        element(
            "div",
            {"class": "box"},
            element(
                "table",
                {"class": "data"},
                element(
                    "thead",
                    None,
                    element(
                        "tr",
                        None,
                        *(element("th", {"scope": "col"}, name) for name in (head, *names)),
                        element("th", {"scope": "col"}, "Of") if _has_detail(bars) else "",
                    ),
                ),
                element("tbody", None, *rows),
            ),
        ),
    )


def _has_detail(bars: Sequence[Bar]) -> bool:
    return any(bar.detail for bar in bars)
