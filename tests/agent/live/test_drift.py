"""Slow sessions, by their answers alone."""

from __future__ import annotations

import pytest

from agent.live.drift import LatencyDrift


def heard(delays: list[float], budget_s: float = 1.0) -> list[float | None]:
    drift = LatencyDrift(budget_s)
    return [drift.answered(delay) for delay in delays]


def test_drift_is_the_newest_answers_against_the_first() -> None:
    """From 0.3 to 1.4 s within minutes, as was seen."""
    found = heard([0.3, 0.4, 0.3, 0.9, 1.3, 1.4, 1.5])
    assert found[:6] == [None] * 6
    assert found[6] == pytest.approx(1.1)


def test_one_slow_answer_is_no_drift() -> None:
    """A median forgives one, whether at the beginning or later."""
    assert heard([0.3, 0.4, 0.3, 0.5, 9.0, 0.5, 0.4, 9.0, 0.5]) == [None] * 9
    assert heard([5.0, 0.3, 0.3, 0.5, 0.5, 0.5]) == [None] * 6


def test_slow_from_the_start_is_no_drift() -> None:
    """Another session of the same model would be as slow."""
    assert heard([3.0] * 12) == [None] * 12


def test_budget_is_the_agents() -> None:
    """What one agent bears another does not."""
    delays = [0.5, 0.5, 0.5, 1.2, 1.2, 1.2]
    assert heard(delays, budget_s=1.0)[-1] is None
    assert heard(delays, budget_s=0.5)[-1] == pytest.approx(0.7)
