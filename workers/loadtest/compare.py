"""What has become worse since an older test, and what better.

Two tests of the same software differ too. What a percentile owes to chance is told by its rank,
whatever the distribution: of n values, the rank of a percentile p is off by the square root of
n · p · (1 − p). A delay has changed where the intervals of twice that around both do not touch, and
are further apart than a caller's seat can tell; so fewer than 80 values say nothing of a p95, and
fewer than 400 nothing of a p99. Counts are compared as those of rare events, whose spread is the
square root of the count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workers.loadtest.histogram import Histogram
from workers.loadtest.plan import COUNTED, SHARES, Metric, Statistic
from workers.loadtest.result import LoadResult
from workers.loadtest.sums import PERCENT, Sums, sums_of
from workers.loadtest.worker_figures import figures_of

SEAT_MS: Final = 5.0
"""What delays are good to: a planted one is found within as much."""
WORKER_SHARE: Final = 0.1
"""CPU and memory are one figure of a test each, whose spread it cannot tell. That equal runs on one
machine differ by less is assumed, not measured."""
SIGMAS: Final = 2.0

# The greatest of many values is one value: it says nothing of the others.
_STATISTICS: Final = (Statistic.P50, Statistic.P95, Statistic.P99)


class Trend(StrEnum):
    """How a figure has changed; more of any of them is worse."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    """No more apart than chance makes it."""
    UNKNOWN = "unknown"
    """One of the tests has not measured it, or they ran on different machines."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both tests.

    Attributes:
        name: As promises have it, or of the worker.
        unit: Of the figures.
        old: None: not measured.
        new: None: not measured.
        trend: What that comes to.
    """

    name: str
    unit: str
    old: float | None
    new: float | None
    trend: Trend


def compare(old: LoadResult, new: LoadResult) -> list[Change]:
    """Compare two tests, figure by figure; those that neither has measured are left out."""
    before, after = (sums_of(one.calls, figures_of(one.samples)) for one in (old, new))
    alike = (old.machine.processor, old.machine.cores) == (new.machine.processor, new.machine.cores)
    changes = [*_delays(before, after), *_counts(before, after), *_worker(before, after, alike)]
    return [one for one in changes if one.old is not None or one.new is not None]


def regressions(changes: list[Change]) -> list[Change]:
    """Return what has become worse."""
    return [change for change in changes if change.trend is Trend.WORSE]


def _delays(before: Sums, after: Sums) -> Iterator[Change]:
    for metric, old in before.delays.items():
        new = after.delays[metric]
        for statistic in _STATISTICS:
            percent = PERCENT[statistic]
            yield Change(
                f"{metric}.{statistic}",
                "ms",
                old.percentile(percent),
                new.percentile(percent),
                _trend(_interval(old, percent), _interval(new, percent), SEAT_MS),
            )


def _counts(before: Sums, after: Sums) -> Iterator[Change]:
    for metric in Metric:
        if metric in SHARES:
            olds, news = before.frames(metric), after.frames(metric)
            of_old, of_new = (olds.lost, olds.sent), (news.lost, news.sent)
            unit = "per 1000 frames"
        elif metric in COUNTED:
            # As a rate: tests have different numbers of calls.
            of_old, of_new = (
                (int(sums.value(metric) or 0), sums.calls) for sums in (before, after)
            )
            unit = "per 1000 calls"
        else:
            continue
        old, new = _rate(*of_old), _rate(*of_new)
        yield Change(str(metric), unit, _per_1000(old), _per_1000(new), _trend(old, new, 0.0))


def _worker(before: Sums, after: Sums, alike: bool) -> Iterator[Change]:
    for name, unit, old, new in (
        (
            "cpu_ms_per_call_s",
            "ms",
            before.worker.cpu_ms_per_call_s,
            after.worker.cpu_ms_per_call_s,
        ),
        ("mib_per_call", "MiB", before.worker.mib_per_call, after.worker.mib_per_call),
    ):
        trend = Trend.UNKNOWN
        if alike and old is not None and new is not None:
            trend = _trend((old, old, old), (new, new, new), WORKER_SHARE * abs(old))
        yield Change(name, unit, old, new, trend)


_Interval = tuple[float, float, float]
"""The least it may be, what it is, the most it may be."""


def _trend(old: _Interval | None, new: _Interval | None, tolerance: float) -> Trend:
    if old is None or new is None:
        return Trend.UNKNOWN
    if new[0] > old[2] + tolerance:
        return Trend.WORSE
    if new[2] < old[0] - tolerance:
        return Trend.BETTER
    return Trend.SAME


def _interval(histogram: Histogram, percent: float) -> _Interval | None:
    count = histogram.count
    if not count:
        return None
    share = percent / 100
    off = 100 * SIGMAS * math.sqrt(share * (1 - share) / count)
    middle = histogram.percentile(percent)
    low = histogram.percentile(percent - off) if off < percent else 0.0
    # Beyond the greatest value nothing is known: too few values prove nothing.
    high = histogram.percentile(percent + off) if percent + off <= 100 else math.inf
    assert low is not None
    assert middle is not None
    assert high is not None
    return low, middle, high


def _rate(count: int, of: int) -> _Interval | None:
    if not of:
        return None
    off = SIGMAS * math.sqrt(count)
    return max(0.0, count - off) / of, count / of, (count + off) / of


def _per_1000(rate: _Interval | None) -> float | None:
    return None if rate is None else 1000 * rate[1]
