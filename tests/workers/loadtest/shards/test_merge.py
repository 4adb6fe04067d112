"""What shards have found is what one generator would have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.loadtest.measured_samples import call, calls
from workers.loadtest.measured import CallMeasured, OwnSlip
from workers.loadtest.plan import Plan, Statistic
from workers.loadtest.result import Generator, LoadResult, Machine
from workers.loadtest.shards.merge import counted_together, merged, worst_of
from workers.loadtest.sums import DELAYS, Sums, sums_of
from workers.loadtest.sums_json import decode_sums, encode_sums
from workers.loadtest.validity import lost, slipped

MACHINE = Machine("Any", 2, "3.11.9", "0.1.0")
GOOD = OwnSlip(1000, 0.5, 3.0, 0.0)
LATE = OwnSlip(1000, 40.0, 90.0, 0.053)


def result_of(measured: list[CallMeasured], *generators: Generator) -> LoadResult:
    return merged(
        Plan(),
        measured,
        generators or (Generator("callers 1 of 1", MACHINE, len(measured), GOOD),),
        began_at=datetime(2026, 11, 27, tzinfo=UTC),
        took_s=60.0,
        machine=MACHINE,
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(calls, max_size=8), st.integers(1, 4))
def test_percentiles_of_the_merged_are_those_of_all(
    measured: list[CallMeasured], shards: int
) -> None:
    """By sums that shards have sent, and by the calls in whatever order they came."""
    measured = [replace(one, number=n) for n, one in enumerate(measured, start=1)]
    each = [measured[index::shards] for index in range(shards)]
    together = Sums()
    for part in each:
        together.merge(decode_sums(encode_sums(sums_of(part))))
    result = result_of([one for part in reversed(each) for one in part])
    whole = sums_of(measured)
    assert [one.number for one in result.calls] == list(range(1, len(measured) + 1))
    for metric in DELAYS:
        for statistic in Statistic:
            expected = whole.value(metric, statistic)
            assert together.value(metric, statistic) == expected
            assert sums_of(result.calls).value(metric, statistic) == expected
    assert together.endings == whole.endings


def test_calls_at_once_are_those_of_all_shards() -> None:
    """Each shard has counted its own."""
    found = counted_together(
        [
            call(3, began_s=4.0, duration_s=5.0, calls_at_once=1),
            call(1, began_s=0.0, duration_s=10.0, calls_at_once=1),
            call(4, began_s=20.0, duration_s=0.0, calls_at_once=1),
            call(2, began_s=1.0, duration_s=3.0, calls_at_once=1),
        ]
    )
    assert [(one.number, one.calls_at_once) for one in found] == [(1, 1), (2, 2), (3, 2), (4, 1)]


def test_slip_of_all_is_the_worst_of_each() -> None:
    """None of it is an average: one that is late is not hidden by those that are not."""
    assert worst_of([GOOD, LATE]) == OwnSlip(2000, 40.0, 90.0, 0.053)


def test_shard_whose_pacing_slipped_is_named() -> None:
    """With by how much; the others need not suffer a guess."""
    result = result_of(
        [],
        Generator("callers 1 of 2 on host-a", MACHINE, 9, GOOD),
        Generator("callers 2 of 2 on host-b", MACHINE, 9, LATE),
    )
    said = slipped(result)
    assert said is not None
    assert said.startswith("The pacing of callers 2 of 2 on host-b slipped: 5.3% of its frames")
    assert "host-a" not in said
    assert slipped(result_of([])) is None


def test_shard_that_is_lost_is_named_with_why() -> None:
    """What there is of the others is no test that was planned."""
    gone = Generator("callers 2 of 2", MACHINE, 3, GOOD, "Callers 2 of 2 has not been heard of.")
    assert lost(result_of([], gone)) == "Callers 2 of 2 has not been heard of."
    assert lost(result_of([])) == ""
