"""Sums of calls are the same however the calls were shared out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.loadtest.measured_samples import answered, call, calls, samples
from workers.loadtest.measured import (
    BargedIn,
    CallMeasured,
    Ending,
    FramesCounted,
    Gap,
    WorkerSample,
)
from workers.loadtest.plan import COUNTED, SHARES, Metric, Statistic
from workers.loadtest.sums import Sums, figures, sums_of
from workers.loadtest.sums_json import decode_sums, encode_sums
from workers.loadtest.worker_figures import WorkerFigures, figures_of

some = st.lists(calls, max_size=3)
looks = st.lists(samples, max_size=5)
# Each example makes dozens of histograms.
few = settings(max_examples=25)


def test_figures_of_calls() -> None:
    """Each metric is what its calls have of it."""
    sums = sums_of(
        [
            call(
                1,
                answers=answered(20.0, 40.0),
                first_word_ms=300.0,
                barge_ins=(BargedIn(1.0, 90.0),),
                gaps=(Gap(2.0, 70.0),),
                reset_gaps_ms=(15.0,),
                agent_frames=FramesCounted(900, 2, 0),
                loudness_dbfs=-20.0,
            ),
            call(
                2,
                ending=Ending.DROPPED,
                agent_frames=FramesCounted(100, 0, 0),
                loudness_dbfs=None,
            ),
            call(3, ending=Ending.REFUSED, loudness_dbfs=-30.0),
        ]
    )
    assert sums.value(Metric.ADDED_DELAY_MS, Statistic.MAX) == 40.0
    assert sums.value(Metric.ANSWER_DELAY_MS, Statistic.P50) == pytest.approx(620, rel=1e-3)
    assert sums.value(Metric.FIRST_WORD_MS, Statistic.P99) == pytest.approx(300, rel=1e-3)
    assert sums.value(Metric.BARGE_IN_MS, Statistic.P95) == 90.0
    assert sums.value(Metric.GAP_MS, Statistic.MAX) == 70.0
    assert sums.value(Metric.RESET_GAP_MS, Statistic.MAX) == 15.0
    assert sums.value(Metric.AGENT_FRAMES_LOST) == 2.0
    assert sums.value(Metric.CALLER_FRAMES_LOST) is None
    assert (sums.value(Metric.REFUSED), sums.value(Metric.DROPPED)) == (1.0, 1.0)
    assert (sums.calls, sums.loudness_dbfs, sums.quietest_dbfs) == (3, -25.0, -30.0)


def test_nothing_measured() -> None:
    """There is no figure, and none is made up."""
    sums = Sums()
    for metric in Metric:
        counted = metric in COUNTED or metric in SHARES
        assert sums.value(metric, None if counted else Statistic.P95) is None
    assert sums.loudness_dbfs is None
    assert json.dumps(figures(sums), allow_nan=False)


def test_delay_of_a_model_that_says_nothing_is_not_added() -> None:
    """What is added is known only where the model's share is."""
    sums = sums_of([call(answers=answered(500.0, model_ms=None))])
    assert sums.delays[Metric.ANSWER_DELAY_MS].count == 1
    assert sums.delays[Metric.ADDED_DELAY_MS].count == 0


@pytest.mark.parametrize(
    ("metric", "statistic"), [(Metric.GAP_MS, None), (Metric.DROPPED, Statistic.MAX)]
)
def test_figures_that_there_are_not(metric: Metric, statistic: Statistic | None) -> None:
    """A delay needs a statistic; a count has none."""
    with pytest.raises(ValueError, match="statistic"):
        Sums().value(metric, statistic)


@few
@given(some, some, looks, looks)
def test_merged_sums_are_the_sums_of_all(
    one: list[CallMeasured],
    other: list[CallMeasured],
    here: list[WorkerSample],
    there: list[WorkerSample],
) -> None:
    """Two hosts that share the callers tell what one would have told."""
    merged = sums_of(one, figures_of(here))
    merged.merge(sums_of(other, figures_of(there)))
    assert merged == sums_of([*one, *other], figures_of(here) + figures_of(there))


@few
@given(some, looks)
def test_written_and_read_again(one: list[CallMeasured], here: list[WorkerSample]) -> None:
    """As JSON, nothing is lost or changed."""
    sums = sums_of(one, figures_of(here))
    assert decode_sums(json.loads(json.dumps(encode_sums(sums), allow_nan=False))) == sums


def test_sums_that_nobody_wrote() -> None:
    """The reader says what is wrong with them."""
    good = encode_sums(sums_of([call()], WorkerFigures(looks=1)))
    others: list[object] = [None, [], {}, good | {"more": 1}]
    for bad in others:
        with pytest.raises(ValueError, match="no sums"):
            decode_sums(bad)
    with pytest.raises(ValueError, match="another version"):
        decode_sums(good | {"delays": {}})
    with pytest.raises(ValueError, match="no histogram"):
        decode_sums(good | {"delays": dict.fromkeys(good["delays"], "nonsense")})
    with pytest.raises(ValueError, match=r"^looks: "):
        decode_sums(good | {"worker": {"looks": "many"}})
