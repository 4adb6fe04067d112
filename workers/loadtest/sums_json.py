"""Sums as JSON: what hosts that share a test send each other."""

from __future__ import annotations

from typing import Any

from workers.loadtest.histogram import Histogram
from workers.loadtest.measured import Ending, FramesCounted
from workers.loadtest.plain import plain, read_plain
from workers.loadtest.plan import Metric
from workers.loadtest.sums import DELAYS, Sums
from workers.loadtest.worker_figures import WorkerFigures


def encode_sums(sums: Sums) -> dict[str, Any]:
    """Write sums as plain data; histograms are base64."""
    return {
        "endings": {str(ending): count for ending, count in sums.endings.items()},
        "delays": {str(metric): one.encode() for metric, one in sums.delays.items()},
        "unanswered": sums.unanswered,
        "call_s": sums.call_s,
        "late_frames": sums.late_frames,
        "caller_frames": plain(sums.caller_frames),
        "agent_frames": plain(sums.agent_frames),
        "loud_calls": sums.loud_calls,
        "loudness_db": sums.loudness_db,
        "quietest_dbfs": sums.quietest_dbfs,
        "worker": plain(sums.worker),
    }


def decode_sums(data: object) -> Sums:
    """Read what ``encode_sums`` wrote.

    Raises:
        ValueError: it did not; the text names the place.
    """
    if not isinstance(data, dict) or data.keys() != encode_sums(Sums()).keys():
        raise ValueError("these are no sums of a load test")
    delays = read_plain(dict[Metric, str], data["delays"])
    endings = read_plain(dict[Ending, int], data["endings"])
    if delays.keys() != set(DELAYS) or endings.keys() != set(Ending):
        raise ValueError("these are sums of another version")
    quietest = data["quietest_dbfs"]
    return Sums(
        endings=endings,
        delays={metric: Histogram.decode(text) for metric, text in delays.items()},
        unanswered=read_plain(int, data["unanswered"]),
        call_s=read_plain(float, data["call_s"]),
        late_frames=read_plain(int, data["late_frames"]),
        caller_frames=read_plain(FramesCounted, data["caller_frames"]),
        agent_frames=read_plain(FramesCounted, data["agent_frames"]),
        loud_calls=read_plain(int, data["loud_calls"]),
        loudness_db=read_plain(float, data["loudness_db"]),
        quietest_dbfs=None if quietest is None else read_plain(float, quietest),
        worker=read_plain(WorkerFigures, data["worker"]),
    )
