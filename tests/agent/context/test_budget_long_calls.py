"""An hour and a half on the phone: the estimate against the truth, ten times a second."""

from __future__ import annotations

import os
import random

import pytest

from agent.context.window import Window
from tests.agent.context.model_server import LongCall, Talk

SEED = int(os.environ.get("BUDGET_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
TOSS_UP = 60.0
"""Tokens: two seconds of speech. So near the trigger, or the target, nobody knows how it went."""
RATES = [(25.0, 25.0), (32.0, 32.0), (32.0, 25.0), (25.0, 32.0)]
CUT_OFTEN = [Window(10_000, 8_000, 4_000), Window(32_768, 20_000, 10_000)]
NEVER_CUT = Window(262_144)


def long_calls(window: Window, rates: tuple[float, float], talk: Talk) -> list[LongCall]:
    calls = [LongCall(SEED + number, window, rates, talk) for number in range(2)]
    for call in calls:
        call.run()
        assert call.moves == 9
        print(
            f"seed {call.seed}: {len(call.misses)} of {call.moments} moments are more than a tenth "
            f"out, in {len(call.missed_turns())} of {call.turns} turns, {call.cuts} cuts; "
            f"elsewhere at most {call.worst:.3f}"
        )
    return calls


@pytest.mark.parametrize("rates", RATES)
def test_estimate_is_within_a_tenth_at_every_moment_of_a_long_call(
    rates: tuple[float, float],
) -> None:
    """Moves, refills, interruptions, keys and functions included; 10 times a second."""
    for call in long_calls(NEVER_CUT, rates, Talk(uncounted=0.0)):
        assert call.misses == []
        assert call.budget.caller_tokens_per_s == pytest.approx(rates[0], rel=0.04)
        assert call.budget.model_tokens_per_s == pytest.approx(rates[1], rel=0.01)
        assert call.forgot == []
        assert call.cuts_seen == []


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("window", CUT_OFTEN, ids=["8k", "20k"])
def test_cuts_are_foreseen_unless_they_are_a_toss_up(
    window: Window, rates: tuple[float, float]
) -> None:
    """Then the estimate is more than a tenth out until the turn's count, and no longer."""
    for call in long_calls(window, rates, Talk(uncounted=0.0)):
        assert call.cuts > 5
        assert [miss for miss in call.misses if miss.margin > TOSS_UP] == []
        assert len(call.missed_turns()) <= max(2, 0.1 * call.cuts)
        assert len(call.misses) < 0.02 * call.moments
        assert call.forgot == []
        # Each is told, but for one whose turn the call's end or a move left without a count.
        assert call.cuts - 1 <= len(call.cuts_seen) <= call.cuts


def test_turns_without_a_count_are_made_up_for() -> None:
    """A server that ends interrupted turns silently; a line with noise; tools counted by it."""
    talk = Talk(interrupted=0.3, uncounted=0.8, view_ms=80, noise=0.1, tools_tokens=120)
    for call in long_calls(CUT_OFTEN[0], (32.0, 25.0), talk):
        assert len(call.misses) < 0.05 * call.moments
        assert call.forgot == []


@pytest.mark.parametrize("hears_more_ms", [300.0, 1_000.0])
def test_silence_that_the_server_counts_as_speech_is_learned(hears_more_ms: float) -> None:
    """It waits so long for the end of the caller's turn; ours ends sooner."""
    for call in long_calls(CUT_OFTEN[1], (25.0, 25.0), Talk(hears_more_ms=hears_more_ms)):
        assert call.budget.caller_tokens_per_s > 25.5
        assert len(call.misses) < 0.02 * call.moments


def test_interrupted_answers_that_the_server_forgets_do_no_harm() -> None:
    """Their rest is in no prompt; the caller's rate is not learned from that."""
    for call in long_calls(NEVER_CUT, (32.0, 25.0), Talk(keeps=0.4, interrupted=0.3)):
        assert call.budget.caller_tokens_per_s == pytest.approx(32.0, rel=0.1)
        # While the context is small, an answer of which little stays is much of it.
        assert len(call.misses) < 0.03 * call.moments
