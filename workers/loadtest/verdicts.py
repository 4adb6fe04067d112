"""Which promises of a plan were kept."""

from __future__ import annotations

from collections.abc import Iterable

from workers.loadtest.plan import Faults, Metric, Plan, Promise
from workers.loadtest.result import LoadResult, Verdict
from workers.loadtest.sums import Sums
from workers.loadtest.validity import lost


def judge(plan: Plan, sums: Sums) -> tuple[Verdict, ...]:
    """Judge each promise of a plan, in the plan's order."""
    return tuple(_judge(promise, plan, sums) for promise in plan.promises)


def all_kept(verdicts: Iterable[Verdict]) -> bool:
    """Whether every promise was kept; one that nothing was measured of was not."""
    judged = [verdict.kept for verdict in verdicts]
    return bool(judged) and all(judged)


def passed(result: LoadResult, verdicts: Iterable[Verdict]) -> bool:
    """Whether a test says that all is well: made to its end, and every promise kept."""
    return all_kept(verdicts) and not result.broken_off and not lost(result)


def _judge(promise: Promise, plan: Plan, sums: Sums) -> Verdict:
    found = sums.value(promise.metric, promise.statistic)
    if found is None and _is_none_good(promise.metric, plan, sums):
        found = 0.0
    return Verdict(promise, found, None if found is None else found <= promise.limit)


def _is_none_good(metric: Metric, plan: Plan, sums: Sums) -> bool:
    """Whether none at all is the best there can be: what does not happen is not measured."""
    if metric is Metric.GAP_MS:
        # Where no agent was heard there was nothing to have a gap in.
        return sums.loud_calls > 0
    # What was to happen and did not, or was not told, keeps no promise.
    return metric is Metric.RESET_GAP_MS and sums.calls > 0 and plan.faults == Faults()
