"""How long a context lasts, at the rate of the last minutes."""

from __future__ import annotations

import pytest

from agent.context.growth import Growth


def test_rate_is_unknown_at_first() -> None:
    """Half a minute of talk is the least that tells one."""
    growth = Growth()
    assert growth.seconds_to(1_000, 0, 10.0) is None
    assert growth.seconds_to(900, 100, 20.0) is None
    assert growth.seconds_to(700, 300, 40.0) == pytest.approx(70.0)


def test_rate_is_that_of_the_last_minutes() -> None:
    """A lively beginning is forgotten."""
    growth = Growth()
    grown = 0.0
    for second in range(0, 1_200, 10):
        grown += 500 if second < 600 else 100
        growth.seconds_to(1_000, grown, second)
    assert growth.seconds_to(1_000, grown, 1_190.0) == pytest.approx(100.0)


def test_seldom_asked_is_answered_from_longer_ago() -> None:
    """The rate is then that since the last time but one."""
    growth = Growth()
    growth.seconds_to(0, 0, 0.0)
    assert growth.seconds_to(1_000, 600, 600.0) == pytest.approx(1_000.0)
    assert growth.seconds_to(1_000, 1_800, 1_200.0) == pytest.approx(500.0)


def test_nothing_is_left_at_the_limit() -> None:
    """And over it."""
    growth = Growth()
    growth.seconds_to(0, 0, 0.0)
    assert growth.seconds_to(0, 600, 60.0) == 0.0
    assert growth.seconds_to(-50, 700, 70.0) == 0.0


def test_silence_leaves_it_unknown() -> None:
    """What does not grow never gets there; nor does what shrank."""
    growth = Growth()
    for second in (0.0, 60.0, 120.0):
        assert growth.seconds_to(1_000, 500, second) is None
    assert growth.seconds_to(1_000, 400, 180.0) is None


def test_time_that_goes_back_is_a_new_beginning() -> None:
    """The points after it are forgotten."""
    growth = Growth()
    for second in range(0, 300, 10):
        growth.seconds_to(1_000, second, second)
    assert growth.seconds_to(1_000, 0, -5.0) is None
    assert growth.seconds_to(1_000, 400, 35.0) == pytest.approx(100.0)


def test_points_are_bounded() -> None:
    """Whoever asks, however often."""
    growth = Growth()
    for tenth in range(60_000):
        growth.seconds_to(1_000, tenth, tenth / 10)
    assert len(growth._points) < 50
