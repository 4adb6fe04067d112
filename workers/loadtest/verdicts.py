"""Which promises of a plan were kept."""

from __future__ import annotations

from collections.abc import Iterable

from workers.loadtest.plan import Metric, Plan, Promise
from workers.loadtest.result import Verdict
from workers.loadtest.sums import Sums

# What does not happen is not measured: no gap at all is the best of gaps.
_NONE_IS_GOOD = frozenset({Metric.GAP_MS, Metric.RESET_GAP_MS})


def judge(plan: Plan, sums: Sums) -> tuple[Verdict, ...]:
    """Judge each promise of a plan, in the plan's order."""
    return tuple(_judge(promise, sums) for promise in plan.promises)


def all_kept(verdicts: Iterable[Verdict]) -> bool:
    """Whether no promise was broken; one about which nothing was measured is not."""
    return all(verdict.kept is not False for verdict in verdicts)


def _judge(promise: Promise, sums: Sums) -> Verdict:
    found = sums.value(promise.metric, promise.statistic)
    if found is None and promise.metric in _NONE_IS_GOOD and sums.calls:
        found = 0.0
    return Verdict(promise, found, None if found is None else found <= promise.limit)
