"""Bars: the axis, the table beside the drawing, and what is drawn."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.dashboard.bars import Bar, Line, Series, bar_plot, meter

SERIES = (Series("Good", "good"), Series("Bad", "bad"))


def plot(*bars: Bar, line: Line | None = None) -> str:
    return bar_plot("N", "Told.", bars, SERIES, shown=lambda v: f"{v:g}", head="At", line=line)


def rects(page: str) -> list[dict[str, float]]:
    found = re.findall(r'<rect class="\w+" x="(.*?)" width="(.*?)" y="(.*?)" height="(.*?)">', page)
    return [dict(zip(("x", "width", "y", "height"), map(float, one), strict=True)) for one in found]


def test_values_are_stacked_from_below() -> None:
    """The axis ends at a round number; each bar stands in its own bucket."""
    first, second, third = rects(plot(Bar("a", (3, 1)), Bar("b", (0, 2))))
    assert (first["y"], first["height"]) == (25, 75)
    assert (second["y"], second["height"]) == (0, 25)
    assert third["x"] > 1
    assert third["height"] == 50


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_nothing_leaves_the_frame(values: list[float]) -> None:
    """Whatever the values are."""
    page = plot(*(Bar(str(index), (value, value / 3)) for index, value in enumerate(values)))
    for rect in rects(page):
        assert rect["y"] >= -0.01
        assert rect["y"] + rect["height"] <= 100.01
    assert 2 <= page.count("<line") <= 6


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (7, ["0", "2", "4", "6", "8"]),
        (76, ["0", "20", "40", "60", "80"]),
        (900, ["0", "500", "1000"]),
    ],
)
def test_axis_of_counts_has_whole_steps(highest: float, labels: list[str]) -> None:
    """1, 2, 5, 10 and so on."""
    page = plot(Bar("a", (highest, 0)))
    found = re.findall(r'<span style="bottom:[^>]*">([\d.]+)</span>', page)
    assert found == labels


def test_a_line_is_drawn_over_the_bars_and_has_its_column() -> None:
    """In steps; higher than the bars it stretches the axis."""
    line = Line(Series("Plan", "plan"), (4.0, 2.0))
    page = plot(Bar("a", (1, 0)), Bar("b", (1, 1)), line=line)
    assert 'd="M0 0H1L1 50H2"' in page
    assert '<th scope="row">b</th><td>1</td><td>1</td><td>2</td>' in page


def test_a_meter_has_its_limit_in_the_middle_until_it_is_far_exceeded() -> None:
    """So that limits of 3 % and of 30 % can be read alike."""
    assert 'width="25"' in meter(0.015, "good", limit=0.03)
    assert 'x1="50"' in meter(0.015, "good", limit=0.03)
    assert 'x1="30"' in meter(0.1, "bad", limit=0.03)
    assert 'width="100"' in meter(0.1, "bad", limit=0.03)
