"""Percentiles, calls at once, stretches, and dots that are left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.dashboard.loadtest_page.sample import sample_result
from workers.dashboard.loadtest_page.numbers import (
    Crowd,
    by_stretch,
    quantile,
    stretch_s,
    thinned,
    waits,
)
from workers.loadtest.measured import Answered

CALL = sample_result(1).calls[0]


@pytest.mark.parametrize(
    ("share", "found"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.91, 10), (1.0, 10), (0.01, 1)]
)
def test_percentiles_are_values_that_there_were(share: float, found: float) -> None:
    """The least one that so many do not exceed, as histograms have it."""
    assert quantile(list(range(10, 0, -1)), share) == found


def test_calls_at_once_are_told_at_any_moment() -> None:
    """Who hangs up makes room for who calls in the same instant."""
    crowd = Crowd(
        [
            replace(CALL, began_s=1.0, duration_s=2.0),
            replace(CALL, began_s=2.0, duration_s=1.0),
            replace(CALL, began_s=3.0, duration_s=4.0),
        ]
    )
    assert [crowd.at(moment) for moment in (-1.0, 0.5, 1.0, 2.5, 3.0, 6.9, 7.0)] == [
        0, 0, 1, 2, 1, 1, 0,
    ]  # fmt: skip
    assert crowd.most == 2
    assert crowd.columns(8.0, 4) == [1, 2, 1, 1]


def test_waits_are_placed_in_the_time_of_the_test() -> None:
    """What the model took is left out where it is known."""
    call = replace(
        CALL,
        began_s=10.0,
        duration_s=20.0,
        answers=(Answered(3.0, 500.0, 460.0), Answered(8.0, 700.0)),
    )
    first, second = waits([call], Crowd([call]))
    assert (first.at_s, first.delay_ms, first.added_ms, first.calls) == (13.0, 500.0, 40.0, 1)
    assert (second.at_s, second.added_ms) == (18.0, None)


@given(st.floats(0.1, 86_400))
def test_a_test_of_any_length_has_some_forty_stretches_at_most(until: float) -> None:
    """Up to a day."""
    assert len(by_stretch([], until, stretch_s(until))) <= 40


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e6)), max_size=400),
    st.integers(6, 90),
)
def test_thinning_keeps_the_highest_and_the_order(
    points: list[tuple[float, float]], most: int
) -> None:
    """Never more than wanted; none is left out while there are no more."""
    points.sort()
    found = thinned(points, 100.0, most)
    assert len(found) <= most or len(points) <= most
    assert found == sorted(found)
    if len(points) <= most:
        assert found == points
    else:
        assert max(value for _, value in found) == max(value for _, value in points)
