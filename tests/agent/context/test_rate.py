"""Tokens for a second of speech, from counts that are sometimes wrong."""

from __future__ import annotations

import random

import pytest

from agent.context.rate import Rate


def test_first_count_is_believed() -> None:
    """What it began with was a guess."""
    rate = Rate(28.0)
    assert rate.per_s == 28.0
    assert rate.learn(100, 4_000)
    assert rate.per_s == 25.0
    assert rate.per_ms == 0.025


@pytest.mark.parametrize("tokens", [-50, 0, 1, 19, 401, 5_000])
def test_what_cannot_be_a_rate_is_passed_over(tokens: float) -> None:
    """A function's result, a cut answer, audio that was not counted."""
    rate = Rate(28.0)
    assert not rate.learn(tokens, 4_000)
    assert rate.per_s == 28.0


def test_too_little_speech_tells_nothing() -> None:
    """A count is a whole number of tokens, and our ears are some ten milliseconds out."""
    rate = Rate(28.0)
    assert rate.learn(9, 100)
    assert rate.per_s == 28.0


def test_half_of_the_counts_less_one_may_be_wrong() -> None:
    """In whichever direction: it is a median."""
    for wrong in (6.0, 95.0):
        rate = Rate(28.0)
        for number in range(41):
            rate.learn(wrong * 3 if number % 5 in (1, 3) else 32.0 * 3, 3_000)
        assert rate.per_s == 32.0


def test_long_speech_weighs_more() -> None:
    """Its count is more exact; but one speech alone is not everything."""
    rate = Rate(28.0)
    for _ in range(4):
        rate.learn(25.0, 1_000)
    rate.learn(32.0 * 10, 10_000)
    assert rate.per_s == 32.0
    rate = Rate(28.0)
    for _ in range(5):
        rate.learn(25.0 * 10, 10_000)
    rate.learn(50.0 * 3_600, 3_600_000)
    assert rate.per_s == 25.0


def test_another_rate_is_followed() -> None:
    """After a move to another model."""
    rate = Rate(28.0)
    for _ in range(50):
        rate.learn(25.0 * 4, 4_000)
    for _ in range(8):
        rate.learn(32.0 * 4, 4_000)
    assert rate.per_s == 32.0


def test_noise_is_evened_out() -> None:
    """Counts that are a tenth out make a rate that is a twentieth out at most."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"{seed=}")
    noise = random.Random(seed)
    rate = Rate(28.0)
    for _ in range(60):
        rate.learn(32.0 * 4 * noise.uniform(0.95, 1.05), 4_000)
    assert rate.per_s == pytest.approx(32.0, rel=0.05)
