"""Dots and curves: what is drawn where, and that nothing leaves the frame."""

from __future__ import annotations

import re
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from workers.dashboard.bars import Series
from workers.dashboard.loadtest_page.drawing import (
    Across,
    Curve,
    Dots,
    Limit,
    Moments,
    Panel,
    chart,
    top_of,
)
from workers.dashboard.markup import Markup

ONE = Series("One", "one")


def drawn(*layers: Dots | Curve, until: float = 10.0, limits: tuple[Limit, ...] = ()) -> str:
    panel = Panel("P", layers, lambda value: f"{value:g}", limits)
    return chart("N", "Told.", [panel], Across(until, [(0.0, "0")]), Markup(""))


def numbers(page: str) -> list[float]:
    paths = " ".join(re.findall(r' d="(.*?)"', page))
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", paths)]


def test_a_dot_lies_at_its_time_and_value() -> None:
    """Values from below, the axis up to a round number."""
    page = drawn(Dots(ONE, [(0.0, 0.0), (5.0, 50.0), (10.0, 100.0)]))
    assert 'd="M0 100h0M500 50h0M1000 0h0"' in page


def test_a_curve_is_interrupted_where_there_is_no_value() -> None:
    """It does not lead across what was not measured."""
    points = [(0.0, 100.0), (2.0, 50.0), (4.0, None), (6.0, 50.0), (10.0, 0.0)]
    assert 'd="M0 0L200 50M600 50L1000 100"' in drawn(Curve(ONE, points))


def test_steps_hold_until_the_next() -> None:
    """The area below them is filled."""
    page = drawn(Curve(ONE, [(0.0, 50.0), (5.0, 100.0)], stepped=True))
    assert 'd="M0 100H0V50H500V0H1000V100Z"' in page


def test_one_far_above_all_does_not_press_them_into_the_axis() -> None:
    """It is drawn at the edge, and the caption says so."""
    values = [100.0] * 200 + [30_000.0]
    assert top_of(values) == 150.0
    page = drawn(Dots(ONE, [(float(n % 10), value) for n, value in enumerate(values)]))
    assert "1 above 150 are drawn at the edge" in page
    assert top_of([1.0, 30.0]) == 30.0


def test_a_limit_far_above_everything_is_left_out() -> None:
    """It would leave no room for what was found."""
    dots = Dots(ONE, [(1.0, 10.0)])
    assert "near" in drawn(dots, limits=(Limit("near", 20.0),))
    assert "far" not in drawn(dots, limits=(Limit("far", 500.0),))


@example([(0.0, sys.float_info.max)])
@example([(0.0, 8.000000000000001e307)])
@given(
    st.lists(
        st.tuples(st.floats(-10, 1e6), st.floats(allow_infinity=True, allow_nan=True)), max_size=40
    )
)
def test_nothing_leaves_the_frame(points: list[tuple[float, float]]) -> None:
    """Whatever the values are; those that are no numbers are not drawn."""
    page = drawn(Dots(ONE, points), Curve(ONE, points), Curve(ONE, points, stepped=True))
    assert "nan" not in page
    assert "inf" not in page
    assert all(0 <= one <= 1000 for one in numbers(page))


def test_moments_stand_in_every_panel_and_are_named_once() -> None:
    """As a line from top to bottom; two at one place are one."""
    panels = [
        Panel(name, [Curve(Series("Line", "line"), [(0.0, 1.0), (10.0, 2.0)])], str)
        for name in ("Upper", "Lower")
    ]
    across = Across(10.0, [(0.0, "0")], Moments("Process killed", (2.5, 2.500001, 5.0)))
    drawn = chart("Any", "Told.", panels, across, Markup(""))
    assert drawn.count('class="moment" d="M250 0V100M500 0V100"') == 2
    assert drawn.count("Process killed") == 1
    assert "moment" not in chart("Any", "Told.", panels, Across(10.0, []), Markup(""))
