"""What is counted is found again to a thousandth, and sums are sums."""

from __future__ import annotations

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from workers.loadtest.histogram import MOST_MS, Histogram

values = st.lists(st.floats(0, MOST_MS), max_size=40)


def test_nothing_counted() -> None:
    """There is no percentile of nothing."""
    assert Histogram().percentile(50) is None
    assert Histogram().max_ms is None
    assert Histogram.decode(Histogram().encode()) == Histogram()


def test_percentiles() -> None:
    """They are values that were counted, to 0.1 ms."""
    found = Histogram(float(ms) for ms in range(1, 101))
    assert [found.percentile(percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]


def test_what_is_out_of_bounds_counts_as_the_bound() -> None:
    """Nothing is left out: an hour breaks a promise as ten minutes do."""
    found = Histogram([-3.0, 1e9])
    assert found.count == 2
    assert found.percentile(1) == 0
    assert found.max_ms == pytest.approx(MOST_MS, rel=1e-3)


@given(values)
def test_values_are_good_to_a_thousandth(ms: list[float]) -> None:
    """Or to half a step, where they are small; so is every percentile, by its nearest rank."""
    found = Histogram(ms)
    assert found.count == len(ms)
    for percent in (50.0, 95.0, 99.0, 100.0):
        if ms:
            rank = max(1, int(percent * len(ms) / 100 + 0.5))
            assert found.percentile(percent) == pytest.approx(
                sorted(ms)[rank - 1], rel=1.1e-3, abs=0.051
            )


@given(values, values)
def test_sum_of_two_is_the_histogram_of_all(one: list[float], other: list[float]) -> None:
    """Percentiles of a sum are those of all values, however they were shared out."""
    both = Histogram(one)
    both.merge(Histogram(other))
    assert both == Histogram([*one, *other])
    assert both.percentile(95) == Histogram([*one, *other]).percentile(95)


@given(values, values)
def test_written_and_read_again(one: list[float], other: list[float]) -> None:
    """A histogram that was sent is the one it was, and goes on counting."""
    found = Histogram.decode(Histogram(one).encode())
    assert found == Histogram(one)
    for ms in other:
        found.add(ms)
    assert found == Histogram([*one, *other])


@pytest.mark.parametrize("text", ["", "nonsense", "HISTFAAAACF4nJNpmSzMwMD", "é", "A" * 64])
def test_text_that_is_none(text: str) -> None:
    """The reader says so, whatever the library makes of it."""
    with pytest.raises(ValueError, match="no histogram"):
        Histogram.decode(text)


def test_other_steps() -> None:
    """Values would be taken for others."""
    strange = HdrHistogram(1, 1000, 2)
    strange.record_value(5)
    with pytest.raises(ValueError, match="other steps"):
        Histogram.decode(strange.encode().decode())
