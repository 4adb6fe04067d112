"""Places on the time axis."""

from __future__ import annotations

import pytest

from workers.dashboard.call_page.axis import LEAST_PX, MOST_PX, Axis, ruler


def test_nothing_is_placed_outside_the_axis() -> None:
    """Cut audio that would have gone on past the end of the call stops there."""
    axis = Axis(10.0)
    assert axis.place(8.0, 25.0) == "left:80.000%;width:20.000%"
    assert axis.place(-1.0) == "left:0.000%"


@pytest.mark.parametrize("seconds", [1.0, 9.0, 61.0, 700.0, 3480.0, 86_400.0])
def test_the_ruler_stays_readable(seconds: float) -> None:
    """Between one and fifteen named ticks, whatever the length of the call."""
    assert 1 <= ruler(Axis(seconds)).count("<b>") <= 15


def test_the_ruler_of_a_long_call_names_more_where_somebody_zooms_in() -> None:
    """Names of small ticks are there, and hidden until labels have room; not in a short call."""
    assert ruler(Axis(3_600.0)).count('<b class="fine">') == 48
    assert ruler(Axis(60.0)).count('class="fine"') == 0


@pytest.mark.parametrize("seconds", [1.0, 61.0, 3480.0])
def test_labels_have_room_within_bounds(seconds: float) -> None:
    """A short call is not squeezed, a long one does not make an endless page."""
    assert LEAST_PX <= Axis(seconds).width_px <= MOST_PX
