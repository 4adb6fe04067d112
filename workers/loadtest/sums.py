"""Many calls as sums: what every figure and every promise of a test is read from.

Machines that share a test add their sums up; nothing in them is an average.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from workers.loadtest.histogram import Histogram
from workers.loadtest.measured import CallMeasured, Ending, FramesCounted
from workers.loadtest.plan import COUNTED, SHARES, Metric, Statistic
from workers.loadtest.worker_figures import WorkerFigures

DELAYS: Final = tuple(metric for metric in Metric if metric not in COUNTED and metric not in SHARES)
"""Metrics that have a histogram."""
PERCENT: Final[Mapping[Statistic, float]] = {
    Statistic.P50: 50.0,
    Statistic.P95: 95.0,
    Statistic.P99: 99.0,
    Statistic.MAX: 100.0,
}

_ENDINGS: Final = {Metric.REFUSED: Ending.REFUSED, Metric.DROPPED: Ending.DROPPED}


def _no_endings() -> dict[Ending, int]:
    return dict.fromkeys(Ending, 0)


def _no_delays() -> dict[Metric, Histogram]:
    return {metric: Histogram() for metric in DELAYS}


@dataclass(slots=True)
class Sums:
    """What was measured of all calls so far.

    Attributes:
        endings: How many calls ended how.
        delays: Histograms, of ``DELAYS`` each.
        unanswered: Questions without an answer.
        call_s: From ring to end, all calls together.
        late_frames: Frames that callers sent late.
        caller_frames: Towards the model.
        agent_frames: Towards the caller.
        loud_calls: Calls in which the agent said something.
        loudness_db: Sum of its loudness in those, in dBFS.
        quietest_dbfs: Of those; None: there are none.
        worker: What the worker needed.
    """

    endings: dict[Ending, int] = field(default_factory=_no_endings)
    delays: dict[Metric, Histogram] = field(default_factory=_no_delays)
    unanswered: int = 0
    call_s: float = 0.0
    late_frames: int = 0
    caller_frames: FramesCounted = field(default_factory=FramesCounted)
    agent_frames: FramesCounted = field(default_factory=FramesCounted)
    loud_calls: int = 0
    loudness_db: float = 0.0
    quietest_dbfs: float | None = None
    worker: WorkerFigures = field(default_factory=WorkerFigures)

    @property
    def calls(self) -> int:
        """Calls that are over."""
        return sum(self.endings.values())

    @property
    def loudness_dbfs(self) -> float | None:
        """How loud the agent is in a call, on average; None: it never said anything."""
        return self.loudness_db / self.loud_calls if self.loud_calls else None

    def add(self, call: CallMeasured) -> None:
        """Take in a call that is over."""
        self.endings[call.ending] += 1
        for metric, values in delays_of(call).items():
            for ms in values:
                self.delays[metric].add(ms)
        self.unanswered += call.unanswered
        self.call_s += call.duration_s
        self.late_frames += call.late_frames
        self.caller_frames = _added(self.caller_frames, call.caller_frames)
        self.agent_frames = _added(self.agent_frames, call.agent_frames)
        if call.loudness_dbfs is not None:
            self.loud_calls += 1
            self.loudness_db += call.loudness_dbfs
            self.quietest_dbfs = _least(self.quietest_dbfs, call.loudness_dbfs)

    def merge(self, other: Sums) -> None:
        """Take in all that another one has."""
        for ending, count in other.endings.items():
            self.endings[ending] += count
        for metric, histogram in other.delays.items():
            self.delays[metric].merge(histogram)
        self.unanswered += other.unanswered
        self.call_s += other.call_s
        self.late_frames += other.late_frames
        self.caller_frames = _added(self.caller_frames, other.caller_frames)
        self.agent_frames = _added(self.agent_frames, other.agent_frames)
        self.loud_calls += other.loud_calls
        self.loudness_db += other.loudness_db
        self.quietest_dbfs = _least(self.quietest_dbfs, other.quietest_dbfs)
        self.worker += other.worker

    def value(self, metric: Metric, statistic: Statistic | None = None) -> float | None:
        """Return a figure in the metric's unit; None: nothing was measured.

        Raises:
            ValueError: a delay without a statistic, or another metric with one.
        """
        if (statistic is None) == (metric in self.delays):
            raise ValueError(f"{metric} has {'no' if statistic else 'a'} statistic")
        if statistic is not None:
            return self.delays[metric].percentile(PERCENT[statistic])
        if metric in _ENDINGS:
            return float(self.endings[_ENDINGS[metric]]) if self.calls else None
        frames = self.frames(metric)
        return 1000 * frames.lost / frames.sent if frames.sent else None

    def frames(self, metric: Metric) -> FramesCounted:
        """Return what a share is one of."""
        return self.caller_frames if metric is Metric.CALLER_FRAMES_LOST else self.agent_frames


def sums_of(calls: Iterable[CallMeasured], worker: WorkerFigures | None = None) -> Sums:
    """Sum up calls, and what the worker needed for them."""
    sums = Sums(worker=worker or WorkerFigures())
    for call in calls:
        sums.add(call)
    return sums


def delays_of(call: CallMeasured) -> dict[Metric, tuple[float, ...]]:
    """Return every delay of one call in ms, by its metric."""
    return {
        Metric.FIRST_WORD_MS: () if call.first_word_ms is None else (call.first_word_ms,),
        Metric.ANSWER_DELAY_MS: tuple(one.delay_ms for one in call.answers),
        Metric.ADDED_DELAY_MS: tuple(
            one.delay_ms - one.model_ms for one in call.answers if one.model_ms is not None
        ),
        Metric.BARGE_IN_MS: tuple(one.stop_ms for one in call.barge_ins),
        Metric.GAP_MS: tuple(one.ms for one in call.gaps),
        Metric.RESET_GAP_MS: call.reset_gaps_ms,
    }


def figures(sums: Sums) -> dict[str, Any]:
    """Write the figures that a reader wants, as plain data; None where nothing was measured."""
    return {
        "calls": sums.calls,
        "endings": {str(ending): count for ending, count in sums.endings.items()},
        "delays": {
            str(metric): {
                "count": histogram.count,
                **{str(one): histogram.percentile(percent) for one, percent in PERCENT.items()},
            }
            for metric, histogram in sums.delays.items()
        },
        "unanswered": sums.unanswered,
        "call_s": sums.call_s,
        "caller_frames_lost_per_1000": sums.value(Metric.CALLER_FRAMES_LOST),
        "agent_frames_lost_per_1000": sums.value(Metric.AGENT_FRAMES_LOST),
        "loudness_dbfs": sums.loudness_dbfs,
        "cpu_ms_per_call_s": sums.worker.cpu_ms_per_call_s,
        "mib_per_call": sums.worker.mib_per_call,
        "loop_lag_ms": sums.worker.loop_lag_ms,
        "queued": sums.worker.queued,
    }


def _added(one: FramesCounted, other: FramesCounted) -> FramesCounted:
    return FramesCounted(one.sent + other.sent, one.lost + other.lost, one.twice + other.twice)


def _least(one: float | None, other: float | None) -> float | None:
    return min((x for x in (one, other) if x is not None), default=None)
