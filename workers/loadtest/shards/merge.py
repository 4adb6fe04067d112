"""What shards have found, as one result: every call of all, and each shard's own clockwork."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime

from workers.loadtest.measured import CallMeasured, OwnSlip, WorkerSample
from workers.loadtest.plan import Plan
from workers.loadtest.result import Generator, LoadResult, Machine


def merged(
    plan: Plan,
    calls: Iterable[CallMeasured],
    generators: Sequence[Generator],
    *,
    began_at: datetime,
    took_s: float,
    machine: Machine,
    samples: Sequence[WorkerSample] = (),
    kills_s: Sequence[float] = (),
    broken_off: bool = False,
) -> LoadResult:
    """Put a test together; the arguments are the fields of ``LoadResult``.

    Calls are those of all shards, in any order; generators is one at least.
    """
    return LoadResult(
        plan=plan,
        began_at=began_at,
        took_s=took_s,
        machine=machine,
        calls=tuple(counted_together(calls)),
        samples=tuple(samples),
        slip=worst_of([one.slip for one in generators]),
        broken_off=broken_off,
        kills_s=tuple(kills_s),
        generators=tuple(generators),
    )


def counted_together(calls: Iterable[CallMeasured]) -> list[CallMeasured]:
    """Return calls by their numbers, each with how many there were of all when it began."""
    calls = sorted(calls, key=lambda call: call.number)
    begins = sorted(call.began_s for call in calls)
    ends = sorted(call.began_s + call.duration_s for call in calls)
    return [
        dataclasses.replace(
            call,
            # One that was over at once is not to miss itself.
            calls_at_once=max(
                1, bisect_right(begins, call.began_s) - bisect_right(ends, call.began_s)
            ),
        )
        for call in calls
    ]


def worst_of(slips: Sequence[OwnSlip]) -> OwnSlip:
    """Return how late at most any of these was, in each regard: nothing here is an average."""
    return OwnSlip(
        frames=sum(slip.frames for slip in slips),
        p99_ms=max(slip.p99_ms for slip in slips),
        worst_ms=max(slip.worst_ms for slip in slips),
        late_share=max(slip.late_share for slip in slips),
    )
