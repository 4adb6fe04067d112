"""What the worker under test needed, from looks at it: sums that several machines can add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from workers.loadtest.measured import WorkerSample

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """Sums over looks; those of machines that look at one worker give the same figures.

    Attributes:
        looks: How many there were.
        cpu_s: CPU time between the first and the last.
        call_s: Seconds of call meanwhile, all calls together.
        calls: Sum of the calls under way.
        calls_squared: Of their squares.
        memory_mib: Of the memory.
        calls_memory: Of the products of both.
        loop_lag_ms: The worst; None: not told.
        queued: The most; None: not told.
        open_files: The most; None: not told.
    """

    looks: int = 0
    cpu_s: float = 0.0
    call_s: float = 0.0
    calls: float = 0.0
    calls_squared: float = 0.0
    memory_mib: float = 0.0
    calls_memory: float = 0.0
    loop_lag_ms: float | None = None
    queued: int | None = None
    open_files: int | None = None

    @property
    def cpu_ms_per_call_s(self) -> float | None:
        """CPU time for a second of call, in ms, an idle worker's own included; None: no calls."""
        return 1000 * self.cpu_s / self.call_s if self.call_s else None

    @property
    def mib_per_call(self) -> float | None:
        """What a further call takes: the slope of memory over calls; None: their number stayed."""
        spread = self.looks * self.calls_squared - self.calls**2
        # Of whole numbers: below a half there is no spread but what floats make.
        if spread < 0.5:
            return None
        return (self.looks * self.calls_memory - self.calls * self.memory_mib) / spread

    def __add__(self, other: WorkerFigures) -> WorkerFigures:
        return WorkerFigures(
            looks=self.looks + other.looks,
            cpu_s=self.cpu_s + other.cpu_s,
            call_s=self.call_s + other.call_s,
            calls=self.calls + other.calls,
            calls_squared=self.calls_squared + other.calls_squared,
            memory_mib=self.memory_mib + other.memory_mib,
            calls_memory=self.calls_memory + other.calls_memory,
            loop_lag_ms=most(self.loop_lag_ms, other.loop_lag_ms),
            queued=most(self.queued, other.queued),
            open_files=most(self.open_files, other.open_files),
        )


def figures_of(samples: Iterable[WorkerSample]) -> WorkerFigures:
    """Sum up looks at one worker, in the order of their times."""
    looks = list(samples)
    cpu_s = call_s = 0.0
    for before, after in pairwise(looks):
        # A process that was killed takes its CPU time with it.
        cpu_s += max(0.0, after.cpu_s - before.cpu_s)
        call_s += (after.at_s - before.at_s) * (before.calls + after.calls) / 2
    return WorkerFigures(
        looks=len(looks),
        cpu_s=cpu_s,
        call_s=call_s,
        calls=float(sum(look.calls for look in looks)),
        calls_squared=float(sum(look.calls**2 for look in looks)),
        memory_mib=sum(look.memory_mib for look in looks),
        calls_memory=sum(look.calls * look.memory_mib for look in looks),
        loop_lag_ms=max((x for look in looks if (x := look.loop_lag_ms) is not None), default=None),
        queued=max((x for look in looks if (x := look.queued) is not None), default=None),
        open_files=max((x for look in looks if (x := look.open_files) is not None), default=None),
    )


def most(one: _Number | None, other: _Number | None) -> _Number | None:
    """Return the greater of what was told."""
    return max((x for x in (one, other) if x is not None), default=None)
