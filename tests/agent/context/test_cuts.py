"""Where the server cuts: foreseen, confirmed, taken back, and unlearned where it does otherwise."""

from __future__ import annotations

import math

import pytest

from agent.context.cuts import Cuts
from agent.context.ledger import Ledger
from agent.context.window import Window

FIXED = 200.0


def cuts(trigger: int | None = 1_000, target: int | None = 500) -> Cuts:
    return Cuts(Window(131_072, trigger, target))


def test_cut_comes_with_the_first_turn_over_the_trigger() -> None:
    """At it is not over it."""
    ledger, foreseen = Ledger([300, 300, 200]), cuts()
    foreseen.turn_begins(ledger, FIXED, 1_000)
    assert ledger.total == 800
    foreseen.turn_begins(ledger, FIXED, 1_001)
    assert list(ledger.sizes) == [200]


def test_confirmed_cut_is_told_once() -> None:
    """With the size before it, as estimated, and after it, as counted."""
    ledger, foreseen = Ledger([300, 300, 250]), cuts()
    foreseen.turn_begins(ledger, FIXED, 1_050)
    assert foreseen.left(ledger, FIXED) == 450
    assert foreseen.counted(ledger, FIXED, 452, 0) == (1_050, 452)
    assert list(ledger.sizes) == [250]
    assert foreseen.counted(ledger, FIXED, 452, 0) is None


def test_cut_that_did_not_come_is_taken_back() -> None:
    """The trigger was not quite reached."""
    ledger, foreseen = Ledger([300, 300, 201]), cuts()
    foreseen.turn_begins(ledger, FIXED, 1_001)
    assert foreseen.counted(ledger, FIXED, 999, 0) is None
    assert list(ledger.sizes) == [300, 300, 201]
    assert foreseen.at_tokens == 1_000


def test_cut_that_nobody_foresaw_is_seen() -> None:
    """The trigger was passed by what we did not hear."""
    ledger, foreseen = Ledger([300, 300, 199]), cuts()
    foreseen.turn_begins(ledger, FIXED, 999)
    assert foreseen.counted(ledger, FIXED, 402, 0) == (999, 402)
    assert list(ledger.sizes) == [199]


def test_count_says_how_many_exchanges_are_gone() -> None:
    """One more than foreseen, or one less."""
    for prompt, left in ((400, [200]), (610, [210, 200]), (840, [230, 210, 200])):
        ledger, foreseen = Ledger([500, 230, 210, 200]), cuts(target=650)
        foreseen.turn_begins(ledger, FIXED, 1_340)
        assert list(ledger.sizes) == [210, 200]
        assert foreseen.counted(ledger, FIXED, prompt, 0) is not None
        assert list(ledger.sizes) == left


def test_far_from_the_trigger_only_a_fall_is_a_cut() -> None:
    """What is somewhat less was estimated wrongly, or heard in part only."""
    assert cuts().counted(Ledger([300, 300]), FIXED, 500, 0) is None
    assert cuts().counted(Ledger([300, 300]), FIXED, 470, 0) == (800, 470)


def test_small_cut_is_not_made_of_an_error() -> None:
    """Where a cut would leave nearly all there is, a count that is a little less is no cut."""
    ledger, foreseen = Ledger([5, 300, 494]), cuts(1_000, 995)
    foreseen.turn_begins(ledger, FIXED, 1_001)
    assert foreseen.counted(ledger, FIXED, 990, 0) is None


def test_what_is_told_in_a_turn_does_not_count_for_its_beginning() -> None:
    """A long result of a function takes the prompt over the trigger, not the turn."""
    foreseen = cuts()
    assert foreseen.counted(Ledger([300, 900]), FIXED, 1_400, 600) is None
    assert foreseen.at_tokens == 1_000


def test_size_that_was_not_cut_is_not_expected_to_be() -> None:
    """3.1 outgrows its trigger: a few turns are foreseen wrongly, not all of them."""
    foreseen, ledger = cuts(10_000, 5_000), Ledger([100.0] * 90)
    wrong = 0
    while FIXED + ledger.total < 28_000:
        ledger.add(100)
        held = FIXED + ledger.total
        foreseen.turn_begins(ledger, FIXED, held)
        wrong += FIXED + ledger.total < held
        assert foreseen.counted(ledger, FIXED, round(held), 0) is None
        assert FIXED + ledger.total == pytest.approx(held)
    assert 3 <= wrong <= 15
    assert foreseen.at_tokens > 25_000


def test_cut_is_expected_where_the_last_one_came() -> None:
    """At the trigger, unless the server held clearly more than that."""
    late, obedient = cuts(), cuts()
    for foreseen, held in ((late, 2_800), (obedient, 1_040)):
        foreseen.counted(Ledger([held - FIXED]), FIXED, held, 0)
        assert foreseen.counted(Ledger([held - 300, 200.0]), FIXED, 400, 0) is not None
    assert late.at_tokens == 2_800
    assert obedient.at_tokens == 1_000


def test_without_compression_nothing_is_foreseen() -> None:
    """But a fall is told."""
    foreseen, ledger = cuts(None, None), Ledger([50_000.0, 50_000.0])
    assert foreseen.at_tokens == math.inf
    foreseen.turn_begins(ledger, FIXED, 130_000)
    assert ledger.total == 100_000
    assert foreseen.counted(ledger, FIXED, 99_000, 0) is None
    assert foreseen.counted(ledger, FIXED, 50_200, 0) == (100_200, 50_200)
    assert list(ledger.sizes) == [50_000.0]


def test_new_connection_was_not_cut() -> None:
    """What was foreseen for the one before is forgotten."""
    ledger, foreseen = Ledger([300, 300, 201]), cuts()
    foreseen.turn_begins(ledger, FIXED, 1_001)
    foreseen.connected()
    assert foreseen.counted(Ledger([300, 300]), FIXED, 800, 0) is None


def test_two_cuts_between_counts_are_both_taken_back() -> None:
    """Turns may end without a count."""
    ledger, foreseen = Ledger([300, 300, 201]), cuts()
    foreseen.turn_begins(ledger, FIXED, 1_001)
    for size in (400, 500):
        ledger.add(size)
    foreseen.turn_begins(ledger, FIXED, 1_301)
    assert list(ledger.sizes) == [500]
    assert foreseen.counted(ledger, FIXED, 1_901, 0) is None
    assert list(ledger.sizes) == [300, 300, 201, 400, 500]


def test_one_turn_a_little_over_the_trigger_is_forgiven_after_each_cut() -> None:
    """What a turn is told takes it over the trigger now and then."""
    foreseen = cuts()
    for _ in range(3):
        assert foreseen.counted(Ledger([820.0]), FIXED, 1_020, 0) is None
        assert foreseen.at_tokens == 1_000
        assert foreseen.counted(Ledger([700, 200]), FIXED, 400, 0) is not None
    foreseen.counted(Ledger([820.0]), FIXED, 1_020, 0)
    foreseen.counted(Ledger([830.0]), FIXED, 1_030, 0)
    assert foreseen.at_tokens == 1_050


def test_lenience_begins_anew_after_a_cut() -> None:
    """It doubles with each turn that proves it too little, so that a late cut is soon found."""
    foreseen = cuts()
    for _ in range(2):
        foreseen.counted(Ledger([1_100]), FIXED, 1_300, 0)
        assert foreseen.at_tokens == 1_320
        foreseen.counted(Ledger([1_300]), FIXED, 1_500, 0)
        assert foreseen.at_tokens == 1_540
        foreseen.counted(Ledger([1_300]), FIXED, 1_000, 0)
        assert foreseen.counted(Ledger([700, 200]), FIXED, 400, 0) is not None
        assert foreseen.at_tokens == 1_000
