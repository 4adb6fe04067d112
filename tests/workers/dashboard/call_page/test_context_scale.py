"""Heights of the plot of the context."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import ContextRecord, ContextSample, CutRecord
from workers.dashboard.call_page.context_scale import (
    MOST_SAMPLES,
    Corner,
    Scale,
    corners_of,
    held_at,
    pieces,
    scale_of,
    thinned,
)


def sample(at_s: float, tokens: int, *, reported: bool = True) -> ContextSample:
    return ContextSample(at_s, tokens, reported)


def test_limits_are_drawn_unless_they_press_the_curve_flat() -> None:
    """A trigger at twice the size belongs in the plot, a window at thirty times does not."""
    context = ContextRecord(131_072, 9_000, 4_500, samples=[sample(1.0, 4_000)])
    assert 9_000 < scale_of(context).top < 11_000
    context.samples.append(sample(2.0, 100_000))
    assert scale_of(context).top > 131_072
    context.samples.append(sample(3.0, 200_000))
    assert scale_of(context).top > 200_000


@given(st.floats(1.2, 5e6))
def test_the_scale_has_a_few_round_ticks(top: float) -> None:
    """Two to six, evenly apart, none so high that it would be cut in two."""
    ticks = Scale(top).ticks
    assert 2 <= len(ticks) <= 6
    assert ticks[-1] <= 0.92 * top
    assert f"{ticks[0]:e}"[0] in "125"
    assert ticks == pytest.approx([ticks[0] * number for number in range(1, len(ticks) + 1)])


def test_many_samples_are_thinned_and_their_peaks_kept() -> None:
    """Thousands of samples draw the same highest and lowest points, first and last, in order."""
    chance = random.Random(7)
    many = [sample(float(n), chance.randint(2_000, 9_000)) for n in range(20_000)]
    many[7_777] = sample(7_777.0, 12_345)
    many[8_888] = sample(8_888.0, 12)
    few = thinned(many)
    assert len(few) <= MOST_SAMPLES
    assert {many[0], many[7_777], many[8_888], many[-1]} <= set(few)
    assert few == sorted(few, key=lambda one: one.at_s)
    assert thinned(many[:MOST_SAMPLES]) == many[:MOST_SAMPLES]


@pytest.mark.parametrize("seen", [420, 890])
def test_a_cut_is_a_drop_at_its_own_time(seen: int) -> None:
    """Not a slope between two samples; a sample of that moment lies on the side it belongs to."""
    samples = [sample(1.0, 700), sample(5.0, seen), sample(9.0, 600)]
    cut = CutRecord(5.0, 900, 400)
    corners = corners_of(samples, ContextRecord(samples=samples, cuts=[cut]))
    tokens = [corner.tokens for corner in corners]
    assert tokens == ([700, 900, 400, 420, 600] if seen < 650 else [700, 890, 900, 400, 600])
    assert [corner.at_s for corner in corners] == [1.0, 5.0, 5.0, 5.0, 9.0]


def test_height_between_two_corners_lies_on_the_line() -> None:
    """Before the first and after the last, it is theirs; at a drop, what is left."""
    corners = [
        Corner(1.0, 100, True), Corner(3.0, 300, True), Corner(3.0, 50, True), Corner(5.0, 60, True)
    ]  # fmt: skip
    at = {at_s: held_at(corners, at_s) for at_s in (0.0, 2.0, 3.0, 4.0, 99.0)}
    assert at == {0.0: 100, 2.0: 200, 3.0: 50, 4.0: 55, 99.0: 60}


def test_only_estimates_in_a_row_are_a_guess() -> None:
    """A count of the server at either end holds a piece of the curve."""
    corners = [
        Corner(float(n), 1, reported) for n, reported in enumerate((False, False, True, False))
    ]
    held, guessed = pieces(corners)
    assert [a.at_s for a, _ in held] == [1.0, 2.0]
    assert [a.at_s for a, _ in guessed] == [0.0]


def test_shares_stay_within_the_plot() -> None:
    """What cannot be, a negative size, is drawn at the bottom."""
    scale = Scale(200.0)
    assert [scale.share(tokens) for tokens in (-5, 50, 1e9, math.inf)] == [0, 25, 100, 100]
