"""Dots and curves over one axis, panel under panel, as inline SVG with labels beside it in HTML.

Like the bars of a campaign's page they stretch to any width while labels and dots keep their size:
a dot is a stroke of no length with round ends, so that thousands of them are one short path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.dashboard.bars import Series
from workers.dashboard.markup import Markup, element
from workers.dashboard.scale import in_svg, round_levels

Points = Sequence[tuple[float, float]]

_WIDTH = 1000
# What lies so far above the 99th percentile is drawn at the edge: else one hanging answer would
# press all others into the axis.
_FAR = 3.0
_FEW = 20
# Of an axis; its steps and what is reckoned with them stay finite.
_HIGHEST = 1e300
# A label any nearer to the right end would be cut off.
_LAST_LABEL = 0.93


@dataclass(frozen=True, slots=True)
class Dots:
    """One dot each."""

    series: Series
    points: Points


@dataclass(frozen=True, slots=True)
class Curve:
    """A line from point to point; ``None`` for a value interrupts it."""

    series: Series
    points: Sequence[tuple[float, float | None]]
    stepped: bool = False
    """Each value holds until the next point; the area below is filled."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A level that was promised, drawn where it is not far beyond all values."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing of several under each other."""

    name: str
    layers: Sequence[Dots | Curve]
    shown: Callable[[float], str]
    """A value as text."""
    limits: Sequence[Limit] = ()
    whole: bool = False
    """Values are counts, so that the axis has whole steps."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Places on an axis at which something happened, drawn through all panels."""

    name: str
    places: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Across:
    """The axis from left to right, from 0; ``ticks`` are places on it with their labels."""

    until: float
    ticks: Sequence[tuple[float, str]]
    moments: Moments = Moments("")


def chart(name: str, told: str, panels: Sequence[Panel], across: Across, table: Markup) -> Markup:
    """A figure.

    Args:
        name: Of the figure.
        told: What it shows, in sentences, for who does not see it.
        panels: From above.
        across: Their common axis.
        table: Its numbers.
    """
    # What a moment is, is said once.
    drawn = [_panel(panel, across, names=not number) for number, panel in enumerate(panels)]
    return element(
        "figure",
        {"class": "plot"},
        element(
            "div",
            {"class": "panels", "role": "img", "aria-label": f"{name}. {told}"},
            *drawn,
            element("div", {"class": "xs", "aria-hidden": "true"}, *_ticks(across)),
        ),
        table,
    )


def top_of(values: Sequence[float]) -> float:
    """How high an axis must reach: to the highest, unless few lie far above all others."""
    highest = max(values, default=0.0)
    if len(values) < _FEW:
        return highest
    most = sorted(values)[math.ceil(0.99 * len(values)) - 1]
    return highest if highest <= _FAR * most else 1.5 * most


def _panel(panel: Panel, across: Across, *, names: bool) -> Markup:
    dots = [value for layer in panel.layers if isinstance(layer, Dots) for _, value in layer.points]
    lines = [
        value
        for layer in panel.layers
        if isinstance(layer, Curve)
        for _, value in layer.points
        if value is not None and math.isfinite(value)
    ]
    # A curve through dots lies among them.
    finite = [value for value in dots if math.isfinite(value)] or lines
    top = min(max(top_of(finite), 0.0), _HIGHEST)
    limits = [limit for limit in panel.limits if 0 < limit.value <= 2 * top]
    levels = round_levels(max([top, *(limit.value for limit in limits)]), whole=panel.whole)
    most = levels[-1]
    over = sum(value > most for value in dots)
    note = f"{over:,} above {panel.shown(most)} are drawn at the edge" if over else ""
    parts = [
        element("line", {"x1": 0, "x2": _WIDTH, "y1": y, "y2": y, "class": "level"})
        for y in (_y(level, most) for level in levels)
    ]
    parts += [_layer(layer, most, across.until) for layer in panel.layers]
    parts += [
        element("line", {"x1": 0, "x2": _WIDTH, "y1": y, "y2": y, "class": "limit"})
        for y in (_y(limit.value, most) for limit in limits)
    ]
    parts += _moments(across)
    legend = [layer.series for layer in panel.layers] if len(panel.layers) > 1 else []
    return element(
        "div",
        {"class": "panel", "aria-hidden": "true"},
        element(
            "p",
            {"class": "caption"},
            element("b", None, panel.name),
            *(element("span", None, element("i", {"class": one.kind}), one.name) for one in legend),
            *(
                element("span", None, element("i", {"class": "limit"}), limit.name)
                for limit in limits
            ),
            element("span", None, element("i", {"class": "moment"}), across.moments.name)
            if names and across.moments.places
            else "",
            element("span", None, note) if note else "",
        ),
        element(
            "div",
            {"class": "frame"},
            element(
                "div",
                {"class": "ys"},
                *(
                    element(
                        "span",
                        {"style": f"bottom:{in_svg(100 * (level / most))}%"},
                        panel.shown(level),
                    )
                    for level in levels
                ),
            ),
            element(
                "div",
                {"class": "area"},
                element(
                    "svg", {"viewBox": f"0 0 {_WIDTH} 100", "preserveAspectRatio": "none"}, *parts
                ),
            ),
        ),
    )


def _moments(across: Across) -> list[Markup]:
    # Those that fall on one place of a thousand are one line.
    places = dict.fromkeys(f"M{_x(at, across.until)} 0V100" for at in across.moments.places)
    return [element("path", {"class": "moment", "d": "".join(places)})] if places else []


def _layer(layer: Dots | Curve, most: float, until: float) -> Markup:
    if isinstance(layer, Dots):
        places = [
            f"M{_x(at, until)} {_y(value, most)}h0"
            for at, value in layer.points
            if math.isfinite(value)
        ]
        few = " few" if len(places) <= _FEW else ""
        return element("path", {"class": f"dots {layer.series.kind}{few}", "d": "".join(places)})
    if layer.stepped:
        return _steps(layer, most, until)
    path, drawing = "", False
    for at, value in layer.points:
        if value is None or not math.isfinite(value):
            drawing = False
            continue
        path += f"{'L' if drawing else 'M'}{_x(at, until)} {_y(value, most)}"
        drawing = True
    return element("path", {"class": f"line {layer.series.kind}", "d": path})


def _steps(curve: Curve, most: float, until: float) -> Markup:
    parts = [
        f"H{_x(at, until)}V{_y(value or 0.0, most)}"
        for at, value in curve.points
        if value is None or math.isfinite(value)
    ]
    path = f"M0 100{''.join(parts)}H{_WIDTH}V100Z" if parts else ""
    return element("path", {"class": f"filled {curve.series.kind}", "d": path})


def _ticks(across: Across) -> list[Markup]:
    places = [(at / across.until, name) for at, name in across.ticks]
    return [
        element(
            "span",
            # Every second one gives way where there is little room.
            {"style": f"left:{in_svg(100 * place)}%", "class": "spare" if number % 2 else ""},
            name,
        )
        for number, (place, name) in enumerate(places)
        if place < _LAST_LABEL
    ]


def _x(at: float, until: float) -> str:
    return in_svg(round(_WIDTH * min(max(at / until, 0.0), 1.0), 1))


def _y(value: float, most: float) -> str:
    return in_svg(round(100 - 100 * min(max(value / most, 0.0), 1.0), 1))
