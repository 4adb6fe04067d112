"""Reads a worker's metrics page: what a load test wants of it, all its processes together.

A page of several processes names the process in each sample; counters of one that was replaced
begin anew under the same name. A page of no worker of ours has none of it, and nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_CALLS: Final = "evercall_live_streams"
_CPU: Final = "process_cpu_seconds_total"
_MEMORY: Final = "process_resident_memory_bytes"
_FILES: Final = "process_open_fds"
_QUEUES: Final = ("evercall_store_waiting_writes", "evercall_log_records_waiting")
_LAG: Final = "evercall_event_loop_lag_seconds_bucket"
_NAMES: Final = frozenset({_CALLS, _CPU, _MEMORY, _FILES, *_QUEUES, _LAG})

# Exposition format 0.0.4: name, labels in braces, value; no label of these holds a brace.
_SAMPLE: Final = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """What one page said.

    Attributes:
        calls: Streams under way; None: it is no page of a worker of ours.
        cpu_s: By process, since it was started.
        memory_mib: Resident, of all.
        open_files: Of all; None: not told.
        queued: Writes and log records that wait; None: not told.
        lags: By process, how many looks at its loop found it no later than so many seconds.
    """

    calls: int | None
    cpu_s: Mapping[str, float]
    memory_mib: float
    open_files: int | None
    queued: int | None
    lags: Mapping[str, Mapping[float, float]] = field(default_factory=dict)


def read_page(text: str) -> WorkerPage:
    """Read a page in Prometheus' text format; what is not wanted is passed over."""
    sums: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    lags: dict[str, dict[float, float]] = {}
    for name, written, value in _SAMPLE.findall(text):
        if name not in _NAMES:
            continue
        labels = dict(_LABEL.findall(written))
        process = labels.get("process", "")
        if name == _LAG:
            lags.setdefault(process, {})[float(labels["le"])] = float(value)
        elif name == _CPU:
            cpu_s[process] = float(value)
        else:
            sums[name] = sums.get(name, 0.0) + float(value)
    waiting = [sums[name] for name in _QUEUES if name in sums]
    return WorkerPage(
        calls=int(sums[_CALLS]) if _CALLS in sums else None,
        cpu_s=cpu_s,
        memory_mib=sums.get(_MEMORY, 0.0) / 2**20,
        open_files=int(sums[_FILES]) if _FILES in sums else None,
        queued=int(sum(waiting)) if waiting else None,
        lags=lags,
    )


def worst_lag_ms(before: WorkerPage, after: WorkerPage) -> float | None:
    """The worst lateness of a loop between two pages, in ms, by the upper edge of its bucket.

    None: no loop was looked at meanwhile. Beyond the last edge it is that edge: at least so much.
    """
    worst: float | None = None
    for process, counts in after.lags.items():
        known = before.lags.get(process, {})
        edges = sorted(counts)
        if known and counts[edges[-1]] < known.get(edges[-1], 0.0):
            known = {}  # Another process has taken its place.
        news = [(edge, counts[edge] - known.get(edge, 0.0)) for edge in edges]
        total = news[-1][1]
        if total <= 0:
            continue
        edge = next(edge for edge, count in news if count >= total)
        finite = [one for one in edges if one != float("inf")]
        found = (edge if edge in finite else finite[-1]) * 1000
        worst = found if worst is None else max(worst, found)
    return worst


class CpuSum:
    """CPU time of processes of which some die and others begin, by what is seen of each."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._gone_s = 0.0

    def add(self, cpu_s: Mapping[str, float]) -> float:
        """Take in the CPU time of each process so far; returns that of all there ever were."""
        for process, seconds in self._seen.items():
            now_s = cpu_s.get(process)
            if now_s is None or now_s < seconds:
                self._gone_s += seconds
        self._seen = dict(cpu_s)
        return self._gone_s + sum(cpu_s.values())
