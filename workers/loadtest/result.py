"""What a load test leaves behind: everything measured, in sum, and what was promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workers.loadtest.measured import CallMeasured, OwnSlip, WorkerSample
from workers.loadtest.plan import Plan, Promise


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran.

    Attributes:
        processor: By its own name (``/proc/cpuinfo``).
        cores: Those this process may use.
        python: Version.
        evercall: Version.
    """

    processor: str
    cores: int
    python: str
    evercall: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise, and what came of it.

    Attributes:
        promise: What was promised.
        found: The figure; None: nothing was measured, which keeps no promise.
        kept: None where nothing was measured.
    """

    promise: Promise
    found: float | None
    kept: bool | None


@dataclass(frozen=True, slots=True)
class Generator:
    """One of several processes that made a test together.

    Attributes:
        name: Which one, and where: ``callers 2 of 3 on host-b``.
        machine: Where it ran.
        calls: That it made.
        slip: How late its own clockwork was.
        lost: Why it did not come to its end, as a sentence; empty: it did.
    """

    name: str
    machine: Machine
    calls: int
    slip: OwnSlip
    lost: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One load test that has ended.

    Attributes:
        plan: What was asked for.
        began_at: Aware, in UTC.
        took_s: Until the last call was over.
        machine: Where the callers were, and the worker unless the plan names a target.
        calls: Every call, in the order in which they began.
        samples: Looks at the worker; none where it does not let itself be looked at.
        slip: How late the callers' own clockwork was; of several, the worst.
        broken_off: Whether somebody broke it off (Ctrl-C).
        kills_s: When a process of the worker was killed.
        generators: Who made it; empty where one process made all of it.
    """

    plan: Plan
    began_at: datetime
    took_s: float
    machine: Machine
    calls: tuple[CallMeasured, ...]
    samples: tuple[WorkerSample, ...]
    slip: OwnSlip
    broken_off: bool = False
    kills_s: tuple[float, ...] = ()
    generators: tuple[Generator, ...] = ()
