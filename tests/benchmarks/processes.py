"""What ``serve --processes`` costs: CPU per second of call in one process and in several.

python -m tests.benchmarks.processes [--calls 12] [--seconds 10] [--rounds 3] [--most 3]

Each process is given as many calls as the only one has. Where several cost the same for each call,
they share nothing that a further core would wait for. All of them run on one core, because the far
ends need the other: what several cores take from each other (memory, caches) is not measured.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from tests.benchmarks import report
from tests.benchmarks.rig import NotMeasured, judge, rig


@dataclass(frozen=True, slots=True)
class Shared:
    """One window.

    Args:
        cpu_ms: CPU of parent and processes per second of call.
        parent_ms: The parent's part of it; 0 where there is none.
        busiest: CPU of the busiest process, in shares of an even one's.
    """

    cpu_ms: float
    parent_ms: float
    busiest: float


def measure(
    processes: int, each: int, seconds: float, warm_up_s: float, log: Path | None
) -> Shared:
    """Measure fresh processes with ``each`` calls for every one of them.

    Raises:
        NotMeasured: See ``rig.judge``.
    """
    calls = processes * each
    with rig(
        "evercall",
        log=log,
        options=("--processes", str(processes)),
        # A connection that is dialled in one process is of no use to a stream in another, and the
        # far model would take it for a call.
        settings={"EVERCALL_PREWARM": "false"},
    ) as running:
        if processes > 1:
            _wait_for_all(running.url, processes)
        running.ask(do="ring", calls=calls)
        time.sleep(warm_up_s)
        parent, before = running.cpu_s(), running.children_cpu_s()
        window = running.ask(do="talk", seconds=seconds)
        parent = running.cpu_s() - parent
        spent = [after - before[pid] for pid, after in running.children_cpu_s().items()]
        judge(window)
        running.ask(do="hang_up")
    per_call = 1000 / (calls * float(window["seconds"]))
    return Shared(
        cpu_ms=(parent + sum(spent)) * per_call,
        parent_ms=parent * per_call if spent else 0.0,
        busiest=max(spent) * len(spent) / sum(spent) if spent else 1.0,
    )


def _wait_for_all(url: str, processes: int, timeout_s: float = 30) -> None:
    """Wait until each process takes calls."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        metrics = httpx.get(f"{url}/metrics", timeout=5).text
        if all(f'process="{place}"' in metrics for place in range(processes)):
            return
        time.sleep(0.1)
    raise NotMeasured(f"not all of {processes} processes take calls")


def main() -> None:
    """Measure one process and several in turn, and compare the medians."""
    parser = report.arguments("CPU per second of call by processes", calls=12, seconds=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=3, help="processes at most")
    parser.add_argument("--warm-up", type=float, default=5, metavar="SECONDS")
    options = parser.parse_args()
    windows: dict[int, list[Shared]] = {count: [] for count in range(1, options.most + 1)}
    load = report.Load()
    for _ in range(options.rounds):
        for count, measured in windows.items():
            measured.append(
                measure(count, options.calls, options.seconds, options.warm_up, options.log)
            )
    medians = {
        count: statistics.median(window.cpu_ms for window in measured)
        for count, measured in windows.items()
    }
    rows = [
        (
            count,
            count * options.calls,
            " ".join(f"{window.cpu_ms:.2f}" for window in measured),
            f"{medians[count]:.2f}",
            f"{medians[count] / medians[1]:.2f}",
            f"{max(window.parent_ms for window in measured):.2f}",
            f"{max(window.busiest for window in measured):.2f}",
        )
        for count, measured in windows.items()
    ]
    head = (
        "processes",
        "calls",
        "rounds, ms",
        "median, ms",
        "of one",
        "parent at most, ms",
        "busiest of an even share",
    )
    text = (
        f"CPU per second of call, {options.calls} calls for each process, all on one core, "
        f"windows of {options.seconds:g} s\n\n{report.table(head, rows)}\n{load}"
    )
    results = {
        str(count): {"median_ms": medians[count], "rounds": [asdict(each) for each in measured]}
        for count, measured in windows.items()
    }
    report.publish("processes", results, text, options.json)


if __name__ == "__main__":
    report.run(main)
