"""Axes of plots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.dashboard.scale import in_svg, round_levels


@given(st.floats(0, 1e9), st.booleans())
def test_an_axis_begins_at_nothing_and_ends_above_the_highest(highest: float, whole: bool) -> None:
    """With few lines between, all as far apart."""
    found = round_levels(highest, whole=whole)
    assert found[0] == 0
    assert found[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(found) <= 6


def test_numbers_are_as_short_as_they_can_be() -> None:
    """A drawing holds thousands of them."""
    assert [in_svg(number) for number in (0.0, 12.5, 100.0, 1 / 3)] == ["0", "12.5", "100", "0.333"]
