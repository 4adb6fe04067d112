"""Times and numbers are read at a glance."""

from __future__ import annotations

import pytest

from workers.entrypoints.calls.words import age, counted


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 ms"),
        (48, "48 s"),
        (725, "12 min 05 s"),
        (3600, "1 h 00 min"),
        (11_105, "3 h 05 min"),
        (86_399, "1 d 0 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_age_has_two_units_at_most(seconds: float, words: str) -> None:
    """A clock that is set back makes no negative times."""
    assert age(seconds) == words


def test_one_is_no_plural() -> None:
    """Nor does a thousand run together."""
    assert (counted(1, "call"), counted(1_200, "call")) == ("1 call", "1,200 calls")
