"""A contact is always called from the same number."""

from __future__ import annotations

import pytest

from workers.campaign.callers import caller_for

CALLERS = tuple(f"+1212555010{n}" for n in range(4))
NUMBERS = [f"+1415{n:07}" for n in range(2_000)]


def test_each_caller_has_its_share() -> None:
    """A quarter each, within what chance allows."""
    chosen = [caller_for(number, CALLERS) for number in NUMBERS]
    assert all(400 < chosen.count(caller) < 600 for caller in CALLERS)


def test_caller_that_goes_takes_only_its_own_contacts_along() -> None:
    """And the order of the list means nothing."""
    left = CALLERS[2::-1]
    for number in NUMBERS:
        before = caller_for(number, CALLERS)
        assert before == CALLERS[3] or caller_for(number, left) == before


def test_nobody_is_called_from_nowhere() -> None:
    """It says so."""
    with pytest.raises(ValueError, match="no number"):
        caller_for(NUMBERS[0], ())
