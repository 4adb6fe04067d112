"""Late frames are measured and judged."""

from __future__ import annotations

from workers.entrypoints.checks.finding import Outcome
from workers.entrypoints.checks.pacing import check_pacing, judge, lateness_ms


async def test_each_frame_is_measured_and_none_is_early() -> None:
    """The schedule is absolute: a frame is never sent before its time."""
    late = await lateness_ms(5)
    assert len(late) == 5
    assert min(late) >= 0


async def test_check_gives_one_line() -> None:
    """It has the two numbers in it."""
    (finding,) = await check_pacing(3)
    assert "p95" in finding.text
    assert "at most" in finding.text


def test_punctual_host_is_good() -> None:
    """A few late frames do not matter."""
    assert judge([0.5] * 145 + [30.0] * 5).outcome is Outcome.OK


def test_host_that_is_late_as_a_rule_is_warned_of() -> None:
    """More than one frame in twenty beyond 5 ms."""
    assert judge([0.5] * 140 + [6.0] * 10).outcome is Outcome.WARN


def test_stall_beyond_the_lead_is_warned_of() -> None:
    """The caller hears a gap."""
    assert judge([0.5] * 149 + [200.0]).outcome is Outcome.WARN
