"""Whether a worker stays as it is over many calls: memory and file descriptors, quarter by quarter.

python -m tests.benchmarks.soak [--calls 1000] [--at-once 12] [--call-s 8]

``evercall loadtest`` with as many callers at once, each of whom stays for a few seconds and is
replaced. Each line of the table has the medians of a quarter of the looks at the worker.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import report
from tests.benchmarks.rig import NotMeasured
from workers.loadtest.measured import Ending, WorkerSample
from workers.loadtest.result import LoadResult
from workers.loadtest.result_json import read_result

_QUARTERS = 4
_AROUND_S = 2.0
"""Between two calls of a caller, and until the agent has said goodbye."""
_NOT_VALID = 2
"""What the command ends with when nothing can be said."""
_PLAN = """\
name: soak
arrivals: {{profile: soak, calls: {at_once}, hold_s: {hold_s}}}
call_s: {call_s}
personas: {{talk: 3, interrupt: 2, keys: 1, silent: 1, early: 1}}
promises: {{gap_ms.max: 60, caller_frames_lost: 0, refused: 0, dropped: 0}}
"""


def soak(calls: int, at_once: int, call_s: float, folder: Path) -> LoadResult:
    """Run the test.

    Raises:
        NotMeasured: it did not come to a result.
    """
    hold_s = math.ceil(calls / at_once * (call_s + _AROUND_S))
    plan = folder / "soak.yaml"
    plan.write_text(_PLAN.format(at_once=at_once, hold_s=hold_s, call_s=call_s))
    evercall = Path(sys.executable).with_name("evercall")
    done = subprocess.run(
        [evercall, "loadtest", plan, "--out", folder / "out"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    file = folder / "out" / "result.json"
    if done.returncode >= _NOT_VALID or not file.exists():
        raise NotMeasured(f"evercall loadtest ended with {done.returncode}: {done.stderr.strip()}")
    return read_result(file.read_bytes(), name=file.name)


def quarters(samples: Sequence[WorkerSample]) -> list[tuple[str, float, float, float]]:
    """Time, and medians of calls, memory in MiB and open files; the first look is left out."""
    looks = samples[1:]
    rows = []
    for quarter in range(_QUARTERS):
        part = looks[len(looks) * quarter // _QUARTERS : len(looks) * (quarter + 1) // _QUARTERS]
        if not part:
            raise NotMeasured(f"the worker was looked at {len(samples)} times only")
        rows.append(
            (
                f"{part[0].at_s / 60:.1f} to {part[-1].at_s / 60:.1f} min",
                statistics.median(look.calls for look in part),
                statistics.median(look.memory_mib for look in part),
                statistics.median(look.open_files or 0 for look in part),
            )
        )
    return rows


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description="whether a worker stays as it is")
    parser.add_argument("--calls", type=int, default=1_000, help="in all, about")
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--call-s", type=float, default=8.0)
    asked = parser.parse_args()
    load = report.Load()
    with TemporaryDirectory() as folder:
        result = soak(asked.calls, asked.at_once, asked.call_s, Path(folder))
    rows = [
        (when, f"{calls:.0f}", f"{memory:.1f}", f"{files:.0f}")
        for when, calls, memory, files in quarters(result.samples)
    ]
    print(report.table(("looks", "calls", "memory, MiB", "open files"), rows))
    ended = {
        ending: sum(call.ending is ending for call in result.calls)
        for ending in (Ending.REFUSED, Ending.DROPPED)
    }
    print(
        f"{len(result.calls):,} calls, {ended[Ending.REFUSED]} refused, "
        f"{ended[Ending.DROPPED]} dropped. {report.processor()}, {load}"
    )


if __name__ == "__main__":
    report.run(main)
