"""A turn was heard as far as there was time for it before its stream ended."""

from __future__ import annotations

import pytest

from agent.conversation.played import heard_until
from agent.conversation.record import TurnRecord

SAID = "One two three four five. Six seven eight nine ten."


def turn(started_s: float, *, said_ms: float = 10_000, **fields: object) -> TurnRecord:
    made = TurnRecord("agent", SAID, "One", started_s, started_s + 1, said_ms=said_ms)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_turn_that_was_cut_was_heard_up_to_there() -> None:
    """Word by word, and no word that was not finished."""
    given = turn(10.0)
    (found,) = heard_until([given], 15.0)
    assert found.heard_ms == 5_000
    assert found.heard.startswith("One two three four")
    assert "eight" not in found.heard
    assert found.ended_s == 15.0
    assert given.heard == "One"


def test_turn_that_had_time_was_heard_whole() -> None:
    """Also where nobody was left to note its last words."""
    (found,) = heard_until([turn(10.0)], 20.5)
    assert (found.heard, found.heard_ms) == (SAID, 10_000)


def test_turn_that_had_not_begun_was_not_heard() -> None:
    """It was still queued behind another."""
    (found,) = heard_until([turn(10.0)], 9.0)
    assert (found.heard, found.heard_ms) == ("", 0.0)


@pytest.mark.parametrize(
    "given",
    [
        turn(10.0, interrupted=True, heard="One two", heard_ms=900.0),
        turn(10.0, speaker="caller", said_ms=0.0, heard=SAID),
        turn(1.0, heard="One two", heard_ms=9_990.0),
    ],
)
def test_what_was_noted_for_good_stays(given: TurnRecord) -> None:
    """The caller's words, what was heard of an interrupted turn, and a turn played to its end."""
    assert heard_until([given], 12.0) == [given]


def test_turns_of_earlier_streams_stay() -> None:
    """Each was noted, or cut, when its own stream ended."""
    earlier, later = turn(2.0), turn(30.0)
    found = heard_until([earlier, later], 35.0, since_s=20.0)
    assert found[0] == earlier
    assert found[1].heard_ms == 5_000
