"""The search finds what the machine can do to a step, in few tries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.loadtest.capacity import Capacity, CapacitySearch


def search(real: int, *, start: int = 4, most: int = 1000, step: int = 4) -> Capacity:
    """Search on a machine that carries so many calls."""
    looking = CapacitySearch(start=start, most=most, step=step, cores=2)
    while (level := looking.next_level()) is not None:
        looking.report(level, level <= real)
    return looking.found


def test_doubled_then_halved() -> None:
    """From the first level up, then between the last kept and the first broken."""
    found = search(50)
    assert [level for level, _ in found.levels] == [4, 8, 16, 32, 64, 48, 56, 52]
    assert (found.calls, found.broken_at, found.calls_per_core) == (48, 52, 24.0)


def test_room_for_more() -> None:
    """It ends at the most that was wanted, and says that nothing broke."""
    found = search(10_000, most=100)
    assert (found.calls, found.broken_at) == (100, None)


def test_not_even_the_first() -> None:
    """Fewer are tried, down to a step."""
    assert search(2, start=16, step=1).calls == 2
    none = search(0, start=16, step=4)
    assert (none.calls, none.broken_at) == (0, 4)


@given(st.integers(0, 600), st.integers(1, 50), st.integers(1, 20), st.integers(0, 500))
def test_to_a_step(real: int, start: int, step: int, more: int) -> None:
    """What was found is kept, what is a step above it is not, and neither is guessed."""
    most = start + more
    found = search(real, start=start, most=most, step=step)
    tried = dict(found.levels)
    assert found.calls == 0 or tried[found.calls]
    assert found.calls <= real
    assert len(found.levels) == len(tried)
    assert all(1 <= level <= most for level in tried)
    if found.broken_at is None:
        assert found.calls == most
    else:
        assert not tried[found.broken_at]
        assert found.broken_at - found.calls <= step
    assert len(tried) <= 2 * math.log2(most) + 4


def test_report_of_another_level() -> None:
    """A level that nobody asked for would make nonsense of the bounds."""
    with pytest.raises(ValueError, match="not what is to be tried"):
        CapacitySearch(start=4, most=8, step=1, cores=1).report(5, True)


@pytest.mark.parametrize(("start", "most", "step"), [(0, 10, 1), (1, 10, 0), (11, 10, 1)], ids=str)
def test_search_that_cannot_be(start: int, most: int, step: int) -> None:
    """Its numbers are refused at once."""
    with pytest.raises(ValueError, match="no search"):
        CapacitySearch(start=start, most=most, step=step, cores=1)
