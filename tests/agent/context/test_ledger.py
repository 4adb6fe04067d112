"""The sizes of exchanges: what a cut takes, and what becomes of differences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context.ledger import MAX_EXCHANGES, Ledger

SIZES = st.lists(st.floats(0, 5_000), max_size=20)


def test_cut_removes_whole_exchanges_from_the_oldest() -> None:
    """Until at most so much is left, and no more than needed."""
    ledger = Ledger([100, 200, 300, 400])
    assert ledger.cut(900) == [100]
    assert ledger.cut(899) == [200]
    assert list(ledger.sizes) == [300, 400]


def test_newest_exchange_is_never_cut() -> None:
    """It is being answered."""
    ledger = Ledger([100, 200])
    assert ledger.cut(0) == [100]
    assert ledger.cut(0) == []
    assert list(ledger.sizes) == [200]
    assert ledger.newest == 200
    assert Ledger().cut(0) == []
    ledger.add(50)
    ledger.keep_newest()
    assert list(ledger.sizes) == [50]


def test_cut_near_leaves_what_is_nearest() -> None:
    """Half an exchange too much is as good as half of one too little."""
    for tokens, left in ((901, 3), (801, 3), (799, 2), (551, 2), (549, 1), (0, 1)):
        ledger = Ledger([200, 300, 400])
        ledger.cut_near(tokens)
        assert len(ledger.sizes) == left


def test_what_was_cut_can_be_put_back() -> None:
    """Where a foreseen cut did not come."""
    ledger = Ledger([100, 200, 300, 400])
    ledger.restore(ledger.cut(450))
    assert list(ledger.sizes) == [100, 200, 300, 400]
    assert ledger.total == 1_000


def test_newest_exchange_takes_differences() -> None:
    """The one before it takes what it cannot, and what nobody can comes back."""
    ledger = Ledger([100, 200])
    assert ledger.grow(50) == 0
    assert list(ledger.sizes) == [100, 250]
    assert ledger.grow(-300) == 0
    assert list(ledger.sizes) == [50]
    assert ledger.grow(-80) == -30
    assert list(ledger.sizes) == []
    assert ledger.total == 0
    assert ledger.grow(-1) == -1
    assert ledger.grow(7) == 0
    assert list(ledger.sizes) == [7]


def test_scale_changes_each_in_proportion() -> None:
    """What is too much to take away is taken away as far as there is something."""
    ledger = Ledger([100, 300])
    assert ledger.scale(-100) == 0
    assert list(ledger.sizes) == [75, 225]
    assert ledger.scale(-301) == -1
    assert ledger.scale(40) == 0
    assert list(ledger.sizes) == [40]
    assert ledger.total == 40


def test_too_many_exchanges_are_joined_and_none_is_lost() -> None:
    """Bounded memory for calls of any length; the newest is never joined to another."""
    ledger = Ledger()
    for size in range(5 * MAX_EXCHANGES):
        ledger.add(size)
        assert len(ledger.sizes) <= MAX_EXCHANGES
        assert ledger.newest == size
    assert sum(ledger.sizes) == ledger.total == sum(range(5 * MAX_EXCHANGES))


@given(SIZES, st.lists(st.floats(-5_000, 5_000), max_size=10), st.floats(0, 20_000))
def test_total_is_the_sum_of_the_sizes(
    sizes: list[float], differences: list[float], most: float
) -> None:
    """Whatever happens, and no size is ever negative."""
    ledger = Ledger(sizes)
    for difference in differences:
        before = ledger.total
        rest = ledger.grow(difference) if difference > 0 else ledger.scale(difference)
        assert ledger.total == pytest.approx(before + difference - rest, abs=1e-6)
        cut = ledger.cut(most)
        ledger.restore(cut[: len(cut) // 2])
    assert ledger.total == pytest.approx(sum(ledger.sizes), abs=1e-6)
    assert min(ledger.sizes, default=0.0) >= 0
