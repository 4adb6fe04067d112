"""Pace, ramp, room and leases: what may start, and what never may."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import astuple
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.model import Pace
from workers.campaign.pacing import (
    SKEW_S,
    Allowed,
    Bucket,
    Lease,
    alive,
    allowed,
    late_s,
    poll_s,
    renew,
    room,
    share,
    take,
    wait_s,
)

T0_S = 1_760_000_000.0
RATES = (0.1, 0.5, 0.95, 1.0, 1.5, 2.0, 2.7, 2.99, 5.0, 10.0, 30.0)
rates = st.one_of(st.sampled_from(RATES), st.floats(0.05, 40.0))


def most_in(starts: Sequence[float], window_s: float) -> int:
    """The most calls that start in any window; both its ends belong to it."""
    most = first = 0
    for last, start in enumerate(starts):
        while start - starts[first] > window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    rate=rates,
    gaps=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200),
    want=st.integers(1, 5),
)
def test_no_second_has_more_than_one_call_above_the_rate(
    rate: float, gaps: list[float], want: int
) -> None:
    """However often and however irregularly somebody asks, and for however many."""
    bucket, starts = Bucket(1.0, T0_S), []
    for now_s in itertools.accumulate(gaps, initial=T0_S):
        bucket, got = take(bucket, rate, now_s, want)
        starts += [now_s] * got
    # A window of exactly one second is shortened by what a double of today cannot tell apart.
    assert most_in(starts, 1.0 - 1e-6) <= rate + 1.0


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_minute_has_the_rate(rate: float, seed: int) -> None:
    """Asked at random but often enough, a minute is within 2 % or one call."""
    source = random.Random(seed)
    bucket, starts, now_s, end_s = Bucket(1.0, T0_S), [], T0_S, T0_S + 400.0
    while now_s < end_s:
        bucket, got = take(bucket, rate, now_s)
        starts += [now_s] * got
        now_s += source.uniform(0.0, poll_s(rate))
    assert most_in(starts, 1.0 - 1e-6) <= rate + 1.0
    due, slack = rate * 60.0, max(1.0, 0.02 * rate * 60.0)
    for begin in range(10, 330, 3):
        seen = sum(T0_S + begin <= start < T0_S + begin + 60.0 for start in starts)
        assert abs(seen - due) <= slack + 1e-6, begin


@pytest.mark.parametrize("rate", RATES)
def test_asking_when_due_gives_the_rate(rate: float) -> None:
    """Whoever sleeps for as long as told loses nothing."""
    bucket, now_s, calls = Bucket(1.0, T0_S), T0_S, 0
    while now_s < T0_S + 120.0:
        bucket, got = take(bucket, rate, now_s)
        calls += got
        now_s += max(1e-6, wait_s(bucket, rate, now_s))
    assert abs(calls - rate * 120.0) <= 2.0


def test_a_long_pause_is_no_burst() -> None:
    """After a night one call starts at once, and the others at their pace."""
    night_s = T0_S + 36_000.0
    bucket, got = take(Bucket(0.0, T0_S), 5.0, night_s, want=100)
    assert got == 1
    bucket, got = take(bucket, 5.0, night_s, want=100)
    assert got == 0
    calls = 1
    for step in range(1, 101):
        bucket, got = take(bucket, 5.0, night_s + step / 100.0, want=100)
        calls += got
    assert calls == 6


@given(
    rate=rates,
    steps=st.lists(
        st.tuples(st.floats(0.0, 2.0), st.one_of(st.just(0.0), st.floats(0.0, 10_000.0))),
        min_size=1,
        max_size=120,
    ),
)
def test_a_clock_that_steps_back_gives_nothing_early(
    rate: float, steps: list[tuple[float, float]]
) -> None:
    """By the time that really passes, no call comes before its turn."""
    bucket, real_s, behind_s, starts = Bucket(1.0, T0_S), T0_S, 0.0, []
    for gap_s, back_s in steps:
        real_s += gap_s
        behind_s += back_s
        bucket, got = take(bucket, rate, real_s - behind_s)
        starts += [real_s] * got
    assert most_in(starts, 1.0 - 1e-6) <= rate + 1.0
    assert len(starts) <= math.floor(1.5 + rate * (real_s - T0_S) + 1e-3)


@given(rate=rates, skew_s=st.floats(0.0, SKEW_S), gaps=st.lists(st.floats(0.0, 1.0), max_size=150))
def test_workers_with_different_clocks_share_one_pace(
    rate: float, skew_s: float, gaps: list[float]
) -> None:
    """One clock ahead of the other gives no more than both in step."""
    bucket, starts = Bucket(1.0, T0_S), []
    for asked, now_s in enumerate(itertools.accumulate(gaps, initial=T0_S + 100.0)):
        # A little less: the subtraction must not round to just beyond the limit.
        bucket, got = take(bucket, rate, now_s - (asked % 2) * skew_s * 0.999)
        starts += [now_s] * got
    assert most_in(starts, 1.0 - 1e-6) <= rate + 1.0


def test_a_clock_set_back_by_hours_does_not_stop_the_campaign() -> None:
    """It starts again from the new time, with nothing in hand."""
    back_s = T0_S - 7200.0
    bucket, got = take(Bucket(1.5, T0_S), 2.0, back_s)
    assert (bucket, got) == (Bucket(0.0, back_s), 0)
    assert take(bucket, 2.0, back_s + 0.49)[1] == 0
    assert take(bucket, 2.0, back_s + 0.5)[1] == 1


def test_a_clock_set_back_by_a_little_is_waited_for() -> None:
    """What has been saved is kept, and given when the clock is where it was."""
    bucket, got = take(Bucket(1.0, T0_S), 2.0, T0_S - 30.0)
    assert (bucket, got) == (Bucket(1.0, T0_S), 0)
    assert wait_s(bucket, 2.0, T0_S - 30.0) == 30.0
    assert take(bucket, 2.0, T0_S)[1] == 1


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 19.0])
def test_calls_as_late_as_they_may_be_crowd_no_second(rate: float) -> None:
    """The worst: all of a time late by that, and the next ones in time."""
    bucket, now_s, at = Bucket(1.0, T0_S), T0_S, []
    while now_s < T0_S + 60 / rate:
        now_s += wait_s(bucket, rate, now_s) + 1e-5
        bucket, got = take(bucket, rate, now_s)
        assert got == 1
        at.append(now_s)
    turn_s = T0_S + 30 / rate
    started = [when if when > turn_s else min(when + late_s(rate), turn_s) for when in at]
    assert max(sum(one <= other < one + 1 for other in started) for one in started) <= rate + 1


@given(
    rate=rates,
    tokens=st.floats(0.0, 2.0),
    offset_s=st.floats(-1000.0, 1000.0),
)
def test_the_wait_is_neither_short_nor_long(rate: float, tokens: float, offset_s: float) -> None:
    """After it there is a call, before it there is none."""
    bucket, now_s = Bucket(tokens, T0_S), T0_S + offset_s
    wait = wait_s(bucket, rate, now_s)
    if wait > 1e-4:
        # Whoever is told to wait and asks all the same changes nothing by it.
        bucket, got = take(bucket, rate, now_s)
        assert got == 0
        assert take(bucket, rate, now_s + wait * 0.99 - 1e-5)[1] == 0
    assert take(bucket, rate, now_s + wait + 1e-5)[1] == 1


def test_a_lower_rate_holds_at_once() -> None:
    """What was saved at a faster pace does not outlive it."""
    bucket, _ = take(Bucket(1.5, T0_S), 1.999, T0_S, want=0)
    assert bucket.tokens == 1.0


def test_what_was_taken_is_not_given_twice() -> None:
    """Two workers that ask at the same instant, one after the other, get one call."""
    bucket, first = take(Bucket(1.0, T0_S), 1.0, T0_S)
    _, second = take(bucket, 1.0, T0_S)
    assert (first, second) == (1, 0)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    """A mistake is not a standstill."""
    with pytest.raises(ValueError, match="rate"):
        take(Bucket(1.0, T0_S), rate, T0_S)
    with pytest.raises(ValueError, match="rate"):
        wait_s(Bucket(1.0, T0_S), rate, T0_S)


def test_less_than_nothing_cannot_be_wanted() -> None:
    """It would put calls back into the bucket."""
    with pytest.raises(ValueError, match="want"):
        take(Bucket(1.0, T0_S), 1.0, T0_S, -1)


def test_a_bucket_is_two_numbers() -> None:
    """A row holds it."""
    assert astuple(Bucket(0.25, T0_S)) == (0.25, T0_S)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, 0.1), (0, 0.1), (119, 0.1), (120, 0.25), (300, 0.5), (599, 0.5), (600, 1.0), (9999, 1.0)],
)
def test_the_ramp_goes_up_by_steps(seconds: int, expected: float) -> None:
    """A step begins at its time; before the start it is the lowest."""
    assert share(Pace().ramp, timedelta(seconds=seconds)) == expected


def test_a_ramp_that_begins_late_begins_with_its_first_step() -> None:
    """What the file does not say is taken for the slowest it says."""
    assert share(((timedelta(minutes=1), 0.2),), timedelta(0)) == 0.2


def test_without_steps_there_is_no_ramp() -> None:
    """The whole pace from the start."""
    assert share((), timedelta(0)) == 1.0


@pytest.mark.parametrize(
    ("at_once", "part", "expected"),
    [(10, 0.1, 1), (10, 0.25, 2), (3, 0.1, 1), (1, 0.01, 1), (100, 0.29, 29), (10, 1.0, 10)],
)
def test_the_ramp_leaves_whole_calls_and_at_least_one(
    at_once: int, part: float, expected: int
) -> None:
    """Rounded down, never to nothing, and not by an error of floats."""
    pace = Pace(calls_per_second=2.0, calls_at_once=at_once, ramp=((timedelta(0), part),))
    assert allowed(pace, timedelta(0)) == Allowed(2.0 * part, expected)


@pytest.mark.parametrize(
    ("campaign", "overall", "kept", "expected"),
    [
        ((10, 3), (40, 3), 5, 7),
        ((10, 3), (10, 3), 5, 2),
        ((10, 3), (10, 5), 5, 0),
        ((10, 3), (10, 9), 5, 0),
        ((2, 4), (40, 4), 0, 0),
        ((10, 0), (3, 0), 5, 0),
    ],
)
def test_room_is_the_smaller_of_the_two(
    campaign: tuple[int, int], overall: tuple[int, int], kept: int, expected: int
) -> None:
    """Never negative, and what is kept for inbound calls stays free."""
    assert (
        room(
            campaign_limit=campaign[0],
            campaign_running=campaign[1],
            overall_limit=overall[0],
            overall_running=overall[1],
            kept_for_inbound=kept,
        )
        == expected
    )


def test_a_lease_that_nobody_renews_frees_itself() -> None:
    """At its end, not after it."""
    leases = [Lease(T0_S + 10.0), Lease(T0_S + 30.0)]
    assert alive(leases, T0_S + 9.9) == tuple(leases)
    assert alive(leases, T0_S + 10.0) == (leases[1],)
    assert alive(leases, T0_S + 30.0) == ()


def test_renewing_never_shortens_a_lease() -> None:
    """Also when the clock has been set back."""
    lease = renew(Lease(T0_S), T0_S, 60.0)
    assert lease == Lease(T0_S + 60.0)
    assert renew(lease, T0_S - 3600.0, 60.0) == lease
