"""Promises are kept, broken, or nobody knows."""

from __future__ import annotations

import dataclasses

import pytest

from tests.workers.loadtest.measured_samples import answered, call, result
from workers.loadtest.measured import Ending, FramesCounted, Gap, OwnSlip
from workers.loadtest.plan import Faults, Metric, Plan, Promise, Statistic
from workers.loadtest.result import Generator, Machine, Verdict
from workers.loadtest.sums import Sums, sums_of
from workers.loadtest.verdicts import all_kept, judge, passed


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
    """Whatever else was kept: an agent that answers nobody is not quick."""
    promise = Promise(Metric.ADDED_DELAY_MS, Statistic.P95, 30.0)
    unknown = verdict(promise, sums_of([call()]))
    assert (unknown.found, unknown.kept) == (None, None)
    kept = Verdict(promise, 1.0, True)
    assert all_kept([kept])
    assert not all_kept([kept, unknown])
    assert not all_kept([kept, Verdict(promise, 50.0, False)])
    assert not all_kept([])


def test_no_gap_is_the_best_of_gaps() -> None:
    """Where an agent was heard; a silent one has none either."""
    promise = Promise(Metric.GAP_MS, Statistic.MAX, 60.0)
    assert verdict(promise, sums_of([call()])) == Verdict(promise, 0.0, True)
    mute = sums_of([call(loudness_dbfs=None)])
    assert verdict(promise, mute) == verdict(promise, Sums()) == Verdict(promise, None, None)
    assert verdict(promise, sums_of([call(gaps=(Gap(1.0, 61.0),))])).kept is False


def test_no_reset_is_the_best_of_resets_unless_there_were_to_be_some() -> None:
    """A worker whose reports are not to be had may have been silent for seconds."""
    promise = Promise(Metric.RESET_GAP_MS, Statistic.MAX, 500.0)
    plan = Plan(promises=(promise,))
    reset = dataclasses.replace(plan, faults=Faults(resets_every_s=5.0))
    calls = sums_of([call()])
    assert judge(plan, calls)[0].kept is True
    assert judge(reset, calls)[0].kept is None
    assert judge(reset, sums_of([call(reset_gaps_ms=(80.0,))]))[0].kept is True


@pytest.mark.parametrize(("lost", "broken_off"), [("", True), ("Callers 2 of 2 are gone.", False)])
def test_test_that_did_not_come_to_its_end_has_not_passed(lost: str, broken_off: bool) -> None:
    """What was kept until then was kept by fewer calls than were planned."""
    machine = Machine("Any", 2, "3.11.9", "0.1.0")
    part = Generator("callers 2 of 2", machine, 1, OwnSlip(900, 0.4, 2.0, 0.0))
    kept = [Verdict(Promise(Metric.DROPPED, None, 0.0), 0.0, True)]
    assert passed(result(call(), generators=(part,)), kept)
    part = dataclasses.replace(part, lost=lost)
    assert not passed(result(call(), generators=(part,), broken_off=broken_off), kept)


def test_order_is_the_plans() -> None:
    """The first broken one is the one that is told first."""
    plan = Plan()
    assert [one.promise for one in judge(plan, Sums())] == list(plan.promises)
