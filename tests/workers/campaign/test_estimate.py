"""When campaigns finish, worked out by hand and by the simulation."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

import pytest

from workers.campaign.estimate import (
    ENDS_FIRST,
    NOT_WITHIN,
    Estimate,
    Pool,
    estimate,
    retry_after,
)
from workers.campaign.model import Attempts, Hours, LineOutcome, Pace, Weekday, Window

NINE_TO_FIVE = (Window(time(9), time(17)),)
WEEKDAYS = Hours(dict.fromkeys(list(Weekday)[:5], NINE_TO_FIVE))
ALWAYS = Hours({day: (Window(time(0), time(0)),) for day in Weekday})
FLAT = Pace(calls_per_second=1.0, calls_at_once=1000, ramp=())
MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
FRIDAY = datetime(2026, 11, 27, 16, 50, tzinfo=UTC)
LONDON, NEW_YORK = ("Europe/London",), ("America/New_York",)
CALL = timedelta(seconds=20)


def guess(
    pools: Iterable[Pool],
    pace: Pace = FLAT,
    *,
    hours: Hours = WEEKDAYS,
    now: datetime = MONDAY,
    reached: float = 1.0,
    attempts: Attempts = Attempts(),  # noqa: B008 - frozen
    ends_on: date | None = None,
    started_at: datetime | None = None,
    talk_s: float = 0.0,
    price: float | None = None,
) -> Estimate:
    """Calls of 20 s unless somebody talks; all of them reach their contact."""
    return estimate(
        pools,
        pace,
        hours=hours,
        now=now,
        talk_s=talk_s,
        answer_share=0.5,
        attempts=attempts,
        reached_share=reached,
        ring_s=CALL.total_seconds(),
        ends_on=ends_on,
        started_at=started_at,
        price_per_minute=price,
    )


def finished(found: Estimate) -> datetime:
    """When the last call begins, to the second."""
    assert found.finish_at is not None
    assert found.reason == ""
    return (found.finish_at - CALL + timedelta(milliseconds=500)).replace(microsecond=0)


def test_one_zone_takes_its_count_by_the_pace() -> None:
    """1,200 calls at one a second are 20 minutes."""
    found = guess([Pool(LONDON, MONDAY, 1200)])
    assert finished(found) == MONDAY + timedelta(minutes=20)
    assert found.dials == pytest.approx(1200)
    assert (found.left_over, found.never_open) == (0, 0)


def test_nobody_left_is_finished_now() -> None:
    """Also where all have been called as often as allowed."""
    for pools in ([], [Pool(LONDON, MONDAY, 0)], [Pool(LONDON, MONDAY, 9, attempts=3)]):
        assert guess(pools) == Estimate(MONDAY, 0, 0, None)


def test_nobody_is_called_before_they_are_due() -> None:
    """Nor before the hours."""
    due = MONDAY + timedelta(hours=3)
    assert finished(guess([Pool(LONDON, due, 60)])) == due + timedelta(minutes=1)
    early = MONDAY - timedelta(hours=5)
    found = guess([Pool(LONDON, early, 60)], now=early)
    assert finished(found) == MONDAY + timedelta(minutes=1)


def test_two_zones_are_called_in_their_own_hours() -> None:
    """New York opens at 14:00 UTC, when London has been done for long."""
    found = guess([Pool(LONDON, MONDAY, 600), Pool(NEW_YORK, MONDAY, 600)])
    assert finished(found) == MONDAY + timedelta(hours=5, minutes=10)
    # Both at once share the pace.
    noon = MONDAY + timedelta(hours=5)
    found = guess([Pool(LONDON, noon, 600), Pool(NEW_YORK, noon, 600)])
    assert finished(found) == noon + timedelta(minutes=20)


def test_what_may_be_in_two_zones_is_called_when_both_are_open() -> None:
    """From 14:00 until 17:00 UTC: three hours a day."""
    found = guess([Pool(LONDON + NEW_YORK, MONDAY, 4 * 3600)])
    assert finished(found) == MONDAY + timedelta(days=1, hours=6)


def test_a_weekend_is_waited_for() -> None:
    """Ten minutes on Friday, the rest on Monday."""
    found = guess([Pool(LONDON, FRIDAY, 1500)], now=FRIDAY)
    assert finished(found) == datetime(2026, 11, 30, 9, 15, tzinfo=UTC)


def test_who_is_left_over_on_the_last_day_is_counted() -> None:
    """Ten minutes are left for 1,500 calls."""
    found = guess([Pool(LONDON, FRIDAY, 1500)], now=FRIDAY, ends_on=FRIDAY.date())
    assert found.finish_at is None
    assert found.reason == ENDS_FIRST
    assert found.left_over == pytest.approx(900)
    assert found.dials == pytest.approx(600)


def test_a_last_day_that_suffices_changes_nothing() -> None:
    """It is over only where somebody would have been called later."""
    pools = [Pool(LONDON, MONDAY, 1200)]
    assert guess(pools, ends_on=MONDAY.date()) == guess(pools)


def test_more_than_sixty_days_are_not_looked_at() -> None:
    """Some of it is done by then."""
    slow = Pace(calls_per_second=0.001, calls_at_once=1, ramp=())
    found = guess([Pool(LONDON, MONDAY, 10_000)], slow, hours=ALWAYS)
    assert found.finish_at is None
    assert found.reason == NOT_WITHIN
    assert found.dials == pytest.approx(60 * 86.4, rel=1e-3)
    assert found.dials + found.left_over == pytest.approx(10_000)


def test_a_ramp_delays_and_counts_from_the_start() -> None:
    """At a tenth for 2 minutes, a quarter for 3, half for 5: 12 + 45 + 150 calls, then all."""
    ramped = Pace(calls_at_once=1000)
    pools = [Pool(LONDON, MONDAY, 807)]
    assert finished(guess(pools, ramped)) == MONDAY + timedelta(minutes=20)
    found = guess(pools, ramped, started_at=MONDAY - timedelta(hours=1))
    assert finished(found) == MONDAY + timedelta(seconds=807)


def test_calls_at_once_bound_the_pace() -> None:
    """Two slots and calls of 20 + 0.5 * 80 = 60 s: two calls a minute, whatever the pace."""
    pace = Pace(calls_per_second=5.0, calls_at_once=2, ramp=())
    found = guess([Pool(LONDON, MONDAY, 60)], pace, talk_s=80)
    assert found.finish_at is not None
    last = found.finish_at - timedelta(seconds=60)
    assert abs(last - (MONDAY + timedelta(minutes=30))) < timedelta(seconds=1)


def test_answered_calls_are_billed_in_whole_minutes() -> None:
    """Half of 100 calls, 61 s each: two minutes."""
    found = guess([Pool(LONDON, MONDAY, 100)], talk_s=61, price=0.02)
    assert found.minutes == pytest.approx(100)
    assert found.cost == pytest.approx(2.0)
    assert guess([Pool(LONDON, MONDAY, 100)], talk_s=61).cost is None


def test_whoever_is_not_reached_is_called_again_a_day_later() -> None:
    """1 + 0.6 + 0.36 attempts each, by default one in 24 hours."""
    found = guess([Pool(LONDON, MONDAY, 600)], reached=0.4)
    assert found.dials == pytest.approx(600 * 1.96)
    day = MONDAY + timedelta(days=2)
    assert day < finished(found) <= day + timedelta(minutes=15)
    # One who has been called twice has one attempt left.
    found = guess([Pool(LONDON, MONDAY, 600, attempts=2)], reached=0.4)
    assert found.dials == pytest.approx(600)


def test_nobody_known_to_be_anywhere_holds_up_the_finish() -> None:
    """They are counted apart."""
    found = guess([Pool((), MONDAY, 7), Pool(("No/Where",), MONDAY, 1), Pool(LONDON, MONDAY, 60)])
    assert finished(found) == MONDAY + timedelta(minutes=1)
    assert (found.never_open, found.left_over) == (8, 0)


def test_the_next_attempt_is_as_after_no_answer_within_the_limit_of_a_day() -> None:
    """None where nothing is tried again."""
    hours = timedelta(hours=1)
    assert retry_after(Attempts()) == 24 * hours
    assert retry_after(Attempts(most=5, per_day=4)) == 6 * hours
    assert retry_after(Attempts(per_day=24)) == 4 * hours
    # All three may be made within a day.
    assert retry_after(Attempts(per_day=3)) == 4 * hours
    assert retry_after(Attempts(most=2, per_day=2)) == 4 * hours
    assert retry_after(Attempts(per_day=24, spacing={LineOutcome.BUSY: 2 * hours})) == 2 * hours
    assert retry_after(Attempts(spacing={})) is None


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_nothing_to_all(share: float) -> None:
    """Whatever else is a mistake of the caller's."""
    with pytest.raises(ValueError, match="reached_share"):
        guess([], reached=share)
