"""Handles: which is newest, whether it knows everything, once each; and when to leave."""

from __future__ import annotations

import math

import pytest

from agent.conversation.record import MoveCause
from agent.events import GoAwayReceived, ResumptionUpdated
from agent.live.resumption import (
    Departure,
    Handles,
    after_go_away,
    handing_over,
    merged,
    of_age,
)


def handles(*updates: tuple[str | None, bool, float]) -> Handles:
    found = Handles()
    for handle, resumable, now in updates:
        found.updated(ResumptionUpdated(handle, resumable), now)
    return found


def test_newest_handle_is_taken_once() -> None:
    """A handle is a session's way back, and is tried once."""
    found = handles(("h-1", True, 1.0), ("h-2", True, 2.0))
    assert found.take() == "h-2"
    assert not found.known
    assert found.take() is None


def test_handle_is_fresh_until_something_is_said() -> None:
    """Leaving with a fresh handle loses nothing."""
    found = handles(("h-1", True, 1.0))
    fresh = [found.fresh]
    found.conversation_changed(2.0)
    fresh.append(found.fresh)
    found.updated(ResumptionUpdated("h-2", True), 2.5)
    assert [*fresh, found.fresh] == [True, False, True]
    assert found.known


def test_handle_in_the_same_message_as_the_end_of_the_turn_knows_it() -> None:
    """Both come at one moment."""
    found = handles()
    found.conversation_changed(2.0)
    found.updated(ResumptionUpdated("h-1", True), 2.0)
    assert found.fresh


def test_session_that_is_not_resumable_keeps_its_handle_but_not_its_freshness() -> None:
    """While it generates or runs tools the server says so; the handle before is still good."""
    for update in ((None, False, 2.0), ("", False, 2.0), ("h-2", False, 2.0), (None, True, 2.0)):
        found = handles(("h-1", True, 1.0), update)
        assert not found.fresh
        assert found.take() == "h-1"


def test_handle_that_no_server_saw_is_given_back_unless_there_is_a_newer_one() -> None:
    """A newer one knows more."""
    found = handles(("h-1", True, 1.0))
    handle = found.take()
    assert handle is not None
    found.give_back(handle)
    assert found.take() == "h-1"
    found.updated(ResumptionUpdated("h-2", True), 2.0)
    found.give_back("h-1")
    assert found.take() == "h-2"


def test_handle_of_a_session_given_up_is_forgotten() -> None:
    """Nothing leads back to it."""
    found = handles(("h-1", True, 1.0))
    found.forget()
    assert not found.known
    assert not found.fresh


@pytest.mark.parametrize(
    ("left_s", "force_s"), [(60.0, 155.0), (10.0, 107.5), (4.0, 103.0), (0.0, 100.0), (None, 125.0)]
)
def test_go_away_leaves_a_margin_before_the_servers_deadline(
    left_s: float | None, force_s: float
) -> None:
    """Five seconds, a quarter where there is less; without ``timeLeft`` thirty are assumed."""
    departure = after_go_away(GoAwayReceived(left_s), 100.0)
    assert departure.cause is MoveCause.GO_AWAY
    assert departure.wanted_s == 100.0
    assert departure.force_s == force_s
    assert not departure.fresh_session


def test_old_connection_is_left_within_a_grace() -> None:
    """Nine minutes and three quarters: before the server's own ten."""
    departure = of_age(540.0, 1_000.0)
    assert (departure.cause, departure.force_s) == (MoveCause.AGE, 1_045.0)
    assert "540 s old" in departure.detail


def test_two_wishes_keep_the_first_cause_and_the_sooner_deadline() -> None:
    """What began it is reported; what hurries counts."""
    slow = Departure(MoveCause.LATENCY, 10.0, math.inf, fresh_session=True, detail="slow")
    going = Departure(MoveCause.GO_AWAY, 20.0, 65.0, detail="goAway")
    assert merged(None, going) is going
    assert merged(slow, going) == Departure(MoveCause.LATENCY, 10.0, 65.0, True, "slow")
    assert merged(going, slow) == Departure(MoveCause.GO_AWAY, 20.0, 65.0, True, "goAway")


def test_newest_handle_can_be_looked_at_without_being_spent() -> None:
    """Until it is tried: another worker must not try it as well."""
    found = handles(("h-1", True, 1.0), ("h-2", True, 2.0), (None, False, 3.0))
    assert found.peek() == ("h-2", 2.0)
    assert found.peek() == ("h-2", 2.0)
    assert found.take() == "h-2"
    assert found.peek() is None
    found.give_back("h-2")
    assert found.peek() == ("h-2", 2.0)
    found.forget()
    assert found.peek() is None


def test_handle_of_another_worker_is_one_like_any_other() -> None:
    """It came when it came."""
    found = Handles()
    found.restore("h-1", 5.0)
    assert (found.known, found.peek()) == (True, ("h-1", 5.0))
    assert found.take() == "h-1"


def test_wish_to_hand_over_stays_whatever_else_is_wished() -> None:
    """A goAway meanwhile can only make it sooner."""
    away = after_go_away(GoAwayReceived(50.0), 10.0)
    wanted = handing_over(30.0, 12.0)
    for found in (merged(away, wanted), merged(wanted, away)):
        assert found.hand_over
        assert found.force_s == 42.0
        assert found.not_before_s == 0.0
    assert not merged(away, away).hand_over
    assert merged(wanted, handing_over(5.0, 13.0)).force_s == 18.0
    assert merged(wanted, handing_over(60.0, 13.0)).force_s == 42.0
