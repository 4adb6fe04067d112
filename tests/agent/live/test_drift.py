"""Slow sessions and forgetful ones, by their answers alone."""

from __future__ import annotations

import pytest

from agent.live.drift import LatencyDrift, MemoryCheck


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


def reports(*tokens: int, before: int, resumed: bool = True) -> list[str | None]:
    check = MemoryCheck()
    check.reported(before)
    check.connected(resumed=resumed)
    return [check.reported(count) for count in tokens]


def test_collapsed_prompt_after_a_resume_is_amnesia() -> None:
    """From 2,758 to 351 tokens, as was seen; told once."""
    assert reports(351, 360, before=2_758) == ["the prompt fell from 2758 to 351 tokens", None]


def test_prompt_that_stays_is_a_memory() -> None:
    """Compression may halve it."""
    assert reports(1_380, before=2_758) == [None]
    assert reports(2_900, before=2_758) == [None]


def test_samples_without_a_prompt_tell_nothing() -> None:
    """3.1 reports per chunk of audio; the first sample with a prompt counts."""
    assert reports(0, -1, 351, before=2_758) == [
        None,
        None,
        "the prompt fell from 2758 to 351 tokens",
    ]


def test_later_fall_is_compression() -> None:
    """Only the first sample after a resume is held against the one before."""
    assert reports(2_800, 300, before=2_758) == [None, None]


def test_fresh_session_has_nothing_to_lose() -> None:
    """Its prompt is short by nature, and is what the next resume is held against."""
    check = MemoryCheck()
    check.reported(2_758)
    check.connected(resumed=False)
    assert check.reported(351) is None
    check.connected(resumed=True)
    assert check.reported(340) is None


def test_short_prompt_is_instruction_and_little_else() -> None:
    """Nothing is to be concluded from it."""
    assert reports(60, before=299) == [None]


def test_two_moves_without_a_sample_between_still_tell() -> None:
    """What the prompt was before the first counts."""
    check = MemoryCheck()
    check.reported(2_758)
    check.connected(resumed=True)
    check.connected(resumed=True)
    assert check.reported(351) is not None
