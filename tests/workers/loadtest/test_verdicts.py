"""Promises are kept, broken, or nobody knows."""

from __future__ import annotations

import pytest

from tests.workers.loadtest.measured_samples import answered, call
from workers.loadtest.measured import Ending, FramesCounted, Gap
from workers.loadtest.plan import Metric, Plan, Promise, Statistic
from workers.loadtest.result import Verdict
from workers.loadtest.sums import Sums, sums_of
from workers.loadtest.verdicts import all_kept, judge


def verdict(promise: Promise, sums: Sums) -> Verdict:
    (found,) = judge(Plan(promises=(promise,)), sums)
    return found


@pytest.mark.parametrize(("limit", "kept"), [(29.9, False), (30.0, True), (30.1, True)])
def test_limit_is_still_kept(limit: float, kept: bool) -> None:
    """A promise is broken by more than its limit."""
    promise = Promise(Metric.ADDED_DELAY_MS, Statistic.P95, limit)
    found = verdict(promise, sums_of([call(answers=answered(30.0))]))
    assert (found.found, found.kept) == (30.0, kept)


def test_counts_and_shares() -> None:
    """Calls are counted, frames are thousandths."""
    sums = sums_of([call(ending=Ending.DROPPED, caller_frames=FramesCounted(2000, 1, 0))])
    assert verdict(Promise(Metric.DROPPED, None, 0.0), sums).kept is False
    assert verdict(Promise(Metric.REFUSED, None, 0.0), sums).kept is True
    lost = verdict(Promise(Metric.CALLER_FRAMES_LOST, None, 0.4), sums)
    assert (lost.found, lost.kept) == (0.5, False)


def test_nothing_measured_keeps_no_promise_and_breaks_none() -> None:
    """A test of callers who say nothing is judged by the rest."""
    promise = Promise(Metric.ADDED_DELAY_MS, Statistic.P95, 30.0)
    unknown = verdict(promise, sums_of([call()]))
    assert (unknown.found, unknown.kept) == (None, None)
    assert all_kept([unknown, Verdict(promise, 1.0, True)])
    assert not all_kept([unknown, Verdict(promise, 50.0, False)])


def test_no_gap_is_the_best_of_gaps() -> None:
    """Where there were calls; without any nothing is known."""
    promise = Promise(Metric.GAP_MS, Statistic.MAX, 60.0)
    assert verdict(promise, sums_of([call()])) == Verdict(promise, 0.0, True)
    assert verdict(promise, Sums()) == Verdict(promise, None, None)
    assert verdict(promise, sums_of([call(gaps=(Gap(1.0, 61.0),))])).kept is False


def test_order_is_the_plans() -> None:
    """The first broken one is the one that is told first."""
    plan = Plan()
    assert [one.promise for one in judge(plan, Sums())] == list(plan.promises)
