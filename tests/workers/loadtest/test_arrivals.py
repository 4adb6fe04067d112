"""How many callers there are, on numbers for time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.loadtest.arrivals import LOOK_S, WHOLE, Due, Part, due, duration_s, until_s, wanted
from workers.loadtest.plan import Arrivals, Profile

RAMP = Arrivals(Profile.RAMP, calls=10, rise_s=10.0, hold_s=50.0)
STEPS = Arrivals(Profile.STEPS, calls=10, steps=4, hold_s=30.0)
SPIKE = Arrivals(Profile.SPIKE, calls=20, base=2, spike_s=20.0, hold_s=100.0)
SOAK = Arrivals(Profile.SOAK, calls=7, hold_s=600.0)


@pytest.mark.parametrize(
    ("arrivals", "at"),
    [
        (RAMP, {-1: 0, 0: 1, 0.9: 1, 1: 2, 5: 6, 9: 10, 10: 10, 59.9: 10, 60: 0}),
        (STEPS, {0: 3, 29.9: 3, 30: 5, 60: 8, 90: 10, 119.9: 10, 120: 0}),
        (SPIKE, {0: 2, 39.9: 2, 40: 20, 59.9: 20, 60: 2, 99.9: 2, 100: 0}),
        (SOAK, {0: 7, 599.9: 7, 600: 0}),
        (Arrivals(Profile.RAMP, calls=5, rise_s=0.0, hold_s=10.0), {0: 5, 9: 5, 10: 0}),
    ],
)
def test_a_profile_says_how_many(arrivals: Arrivals, at: dict[float, int]) -> None:
    """From its beginning to its end; before and after that nobody is wanted."""
    assert {time: wanted(arrivals, time) for time in at} == at


def test_a_test_lasts_as_long_as_its_profile() -> None:
    """A ramp rises and holds, steps hold each; hold is all of the others."""
    lengths = [duration_s(arrivals) for arrivals in (RAMP, STEPS, SPIKE, SOAK)]
    assert lengths == [60.0, 120.0, 100.0, 600.0]


def test_callers_of_a_spike_leave_with_it() -> None:
    """Those before and after it stay to the end of the test, if they like."""
    assert [until_s(SPIKE, at) for at in (0.0, 39.9, 40.0, 59.0, 60.0)] == [100, 100, 60, 60, 100]
    assert until_s(RAMP, 3.0) == 60.0


def test_a_missing_caller_is_replaced_at_the_next_look() -> None:
    """While all are there nobody calls; it is looked again soon."""
    assert due(SOAK, 100.0, 7, 1.0) == Due(begins=False, again_s=100.0 + LOOK_S)
    assert not due(SOAK, 100.0, 8, 1.0).begins
    assert due(SOAK, 100.0, 6, 1.0).begins


def test_a_stall_makes_no_crowd() -> None:
    """After a second in which nobody looked, calls begin one at a time as before."""
    slow = Arrivals(Profile.SOAK, calls=50, hold_s=600.0, calls_per_second=20.0)
    assert due(slow, 10.0, 0, 9.0).begins
    after = due(slow, 10.0, 1, 10.0)
    assert not after.begins
    assert after.again_s == pytest.approx(10.05)


def test_nobody_calls_at_the_very_end() -> None:
    """In the last seconds of a test none begins, nor in those of a spike while that lasts."""
    assert due(SOAK, 594.0, 0, None).begins
    assert due(SOAK, 595.0, 0, None) == due(SOAK, 700.0, 0, None)
    assert due(SOAK, 595.0, 0, None).again_s is None
    assert due(SPIKE, 57.9, 2, None).begins
    assert not due(SPIKE, 58.0, 2, None).begins
    assert due(SPIKE, 60.0, 1, None).begins


@given(
    arrivals=st.builds(
        Arrivals,
        st.sampled_from(Profile),
        calls=st.integers(2, 60),
        hold_s=st.floats(20, 60),
        rise_s=st.floats(0, 20),
        steps=st.integers(1, 5),
        spike_s=st.floats(2, 15),
        calls_per_second=st.floats(0.5, 50),
    ),
    stay_s=st.floats(3, 90),
)
def test_there_are_never_more_than_wanted_nor_too_many_a_second(
    arrivals: Arrivals, stay_s: float
) -> None:
    """Whatever the profile: followed look by look, it is kept, and it ends."""
    now, last, began = 0.0, None, 0
    ends: list[float] = []
    while (look := due(arrivals, now, len(ends), last)).again_s is not None:
        if look.begins:
            assert last is None or now - last >= 1 / arrivals.calls_per_second - 1e-6
            ends.append(min(now + stay_s, until_s(arrivals, now)))
            last, began = now, began + 1
            assert len(ends) <= wanted(arrivals, now)
        assert look.again_s > now
        now = look.again_s
        ends = [end for end in ends if end > now]
    assert began > 0
    assert now <= duration_s(arrivals) + LOOK_S


def parts(of: int) -> list[Part]:
    return [Part(index, of) for index in range(of)]


plans = st.one_of(
    st.builds(
        Arrivals,
        st.just(Profile.RAMP),
        st.integers(1, 60),
        st.floats(5, 60),
        rise_s=st.floats(0, 30),
        calls_per_second=st.floats(1, 40),
    ),
    st.builds(
        Arrivals,
        st.just(Profile.STEPS),
        st.integers(5, 60),
        st.floats(3, 10),
        steps=st.integers(1, 5),
        calls_per_second=st.floats(1, 40),
    ),
    st.builds(
        Arrivals,
        st.just(Profile.SPIKE),
        st.integers(6, 60),
        st.floats(40, 60),
        base=st.integers(0, 5),
        spike_s=st.floats(5, 30),
        calls_per_second=st.floats(1, 40),
    ),
    st.builds(Arrivals, st.just(Profile.SOAK), st.integers(1, 60), st.floats(5, 60)),
)


@given(plans, st.integers(1, 9), st.lists(st.floats(-1, 70), max_size=20))
def test_parts_add_up_to_the_whole_at_any_moment(
    arrivals: Arrivals, of: int, times: list[float]
) -> None:
    """Of each profile; no part has two calls more than another."""
    for at_s in times:
        shares = [part.share(wanted(arrivals, at_s)) for part in parts(of)]
        assert sum(shares) == wanted(arrivals, at_s)
        assert max(shares) - min(shares) <= 1


def test_numbers_of_parts_are_those_of_the_whole() -> None:
    """Each once: so are the telephone numbers that callers call from."""
    numbers = [part.number(nth) for part in parts(3) for nth in range(1, 5)]
    assert sorted(numbers) == list(range(1, 13))
    assert [WHOLE.number(nth) for nth in (1, 2, 3)] == [1, 2, 3]
    assert Part(1, 3).number(2) == 5


def begun(arrivals: Arrivals, part: Part, stay_s: float) -> list[float]:
    """When the calls of a part begin, where each is over after ``stay_s``."""
    found: list[float] = []
    at_s: float | None = 0.0
    while at_s is not None:
        running = sum(start + stay_s > at_s for start in found)
        now = due(arrivals, at_s, running, found[-1] if found else None, part)
        if now.begins:
            found.append(at_s)
        at_s = now.again_s
    return found


@settings(max_examples=40, deadline=None)
@given(plans, st.integers(2, 5), st.floats(2, 80))
def test_parts_together_make_the_load_of_the_whole(
    arrivals: Arrivals, of: int, stay_s: float
) -> None:
    """Never more at once than at the top, nor more in a second than may begin, but for one each.

    In the end there were as many as where nobody shares, give or take a look.
    """
    each = [begun(arrivals, part, stay_s) for part in parts(of)]
    starts = sorted(start for part in each for start in part)
    for at_s in starts:
        running = sum(start <= at_s < start + stay_s for start in starts)
        assert running <= arrivals.calls
        within_s = sum(at_s <= start < at_s + 1 for start in starts)
        assert within_s <= arrivals.calls_per_second + of + 1
    alone = begun(arrivals, WHOLE, stay_s)
    rounds = 2 + 60 / stay_s
    assert abs(len(starts) - len(alone)) <= of * rounds + 0.1 * len(alone)


def test_parts_of_a_ramp_take_turns() -> None:
    """One call after the other begins, as where nobody shares."""
    each = [begun(RAMP, part, 1e6) for part in parts(2)]
    assert [len(starts) for starts in each] == [5, 5]
    alternating = [start for both in zip(*each, strict=True) for start in both]
    assert alternating == sorted(alternating)
    assert alternating == pytest.approx(begun(RAMP, WHOLE, 1e6), abs=LOOK_S)
