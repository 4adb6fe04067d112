"""What is worse is told, and what only looks so is not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.workers.loadtest.measured_samples import answered, call, result
from workers.loadtest.compare import Change, Trend, compare, regressions
from workers.loadtest.measured import Ending, FramesCounted, WorkerSample
from workers.loadtest.result import LoadResult


def delays(seed: int, more_ms: float = 0.0, *, calls: int = 40) -> LoadResult:
    """A test whose added delays are spread around 20 ms, with a long tail."""
    chance = random.Random(seed)
    return result(
        *(
            call(
                number,
                answers=answered(*(chance.lognormvariate(3, 0.4) + more_ms for _ in range(5))),
            )
            for number in range(calls)
        )
    )


def named(changes: list[Change], name: str) -> Change:
    (found,) = (change for change in changes if change.name == name)
    return found


def test_two_runs_of_the_same() -> None:
    """Chance alone is no regression, for fifty pairs of tests."""
    false = [regressions(compare(delays(2 * n), delays(2 * n + 1))) for n in range(50)]
    assert sum(map(bool, false)) <= 1


@pytest.mark.parametrize(("more_ms", "trend"), [(15.0, Trend.WORSE), (-15.0, Trend.BETTER)])
def test_slower_bridge(more_ms: float, trend: Trend) -> None:
    """All answers 15 ms later are a regression; of the median at least."""
    changes = compare(delays(1, 20.0), delays(2, 20.0 + more_ms))
    assert named(changes, "added_delay_ms.p50").trend is trend


def test_less_than_a_seat_can_tell() -> None:
    """However many answers there are."""
    changes = compare(delays(1, calls=400), delays(1, 4.0, calls=400))
    assert regressions(changes) == []


def test_few_answers_prove_nothing() -> None:
    """One slow answer in each of two tests may be anything."""
    old = result(call(answers=answered(20.0, 22.0, 25.0)))
    new = result(call(answers=answered(20.0, 22.0, 60.0)))
    assert named(compare(old, new), "added_delay_ms.p99").trend is Trend.SAME


def test_losses_and_endings() -> None:
    """Rates are compared, and one more of a rare thing is chance."""
    calls = [call(n, agent_frames=FramesCounted(1000, 0, 0)) for n in range(100)]
    one_lost = [replace(calls[0], agent_frames=FramesCounted(1000, 1, 0)), *calls[1:]]
    many_lost = [replace(one, agent_frames=FramesCounted(1000, 1, 0)) for one in calls[:20]]
    dropped = [replace(one, ending=Ending.DROPPED) for one in calls[:20]]
    same = compare(result(*calls), result(*one_lost))
    assert named(same, "agent_frames_lost").trend is Trend.SAME
    worse = compare(result(*calls), result(*many_lost, *calls[20:]))
    found = named(worse, "agent_frames_lost")
    assert (found.trend, found.old) == (Trend.WORSE, 0.0)
    assert found.new == pytest.approx(0.2)
    (ended,) = regressions(compare(result(*calls), result(*dropped)))
    assert ended.name == "dropped"


def worker(cpu_s: float, **changes: object) -> LoadResult:
    looks = (WorkerSample(0.0, 10, 1.0, 100.0), WorkerSample(10.0, 20, 1.0 + cpu_s, 150.0))
    return result(call(), samples=looks, **changes)  # type: ignore[arg-type]


def test_cpu() -> None:
    """A tenth more is what equal runs may differ by; another machine tells nothing."""
    name = "cpu_ms_per_call_s"
    assert named(compare(worker(1.0), worker(1.09)), name).trend is Trend.SAME
    assert named(compare(worker(1.0), worker(1.2)), name).trend is Trend.WORSE
    assert named(compare(worker(1.0), worker(0.5)), name).trend is Trend.BETTER
    other = compare(worker(1.0), worker(1.2, processor="Another"))
    assert named(other, name).trend is Trend.UNKNOWN
    assert named(other, name).new == pytest.approx(8.0)


def test_what_only_one_has_measured() -> None:
    """It is told without a judgement; what neither has is not told."""
    changes = compare(result(call()), result(call(answers=answered(20.0))))
    assert named(changes, "added_delay_ms.p95").trend is Trend.UNKNOWN
    assert not [one for one in changes if one.name.startswith("barge_in_ms")]
