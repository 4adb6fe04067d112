"""Names the machine that a test runs on: figures without it are worth nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workers.loadtest.result import Machine

_CPUINFO = Path("/proc/cpuinfo")


def this_machine() -> Machine:
    """Look at this one."""
    try:
        evercall = version("evercall")
    except PackageNotFoundError:
        evercall = "not installed"
    return Machine(_processor(), _cores(), platform.python_version(), evercall)


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    # Not everywhere has a processor a name there (ARM).
    return next(names, "") or platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
