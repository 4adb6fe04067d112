"""CPU per second of call: N calls on one core, both sides talking all the time, TLS to the model.

python -m tests.benchmarks.cost_per_call [--calls 40] [--seconds 20] [--rounds 3]
"""

import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.rig import BotName, NotMeasured, judge, rig

# Of the bot's core, used by others while it was measured; they empty its caches.
_MANY_OTHERS = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """One window.

    Args:
        cpu_ms: CPU of the bot's process per second of call.
        others: Share of the core that others used.
    """

    cpu_ms: float
    others: float


def measure(bot: BotName, seconds: float, warm_up_s: float, log: Path | None, calls: int) -> Cost:
    """Measure a fresh process.

    Raises:
        NotMeasured: See ``rig.judge``.
    """
    with rig(bot, log=log) as running:
        running.ask(do="ring", calls=calls)
        time.sleep(warm_up_s)
        used, busy = running.cpu_s(), running.core_busy_s()
        window = running.ask(do="talk", seconds=seconds)
        used, busy = running.cpu_s() - used, running.core_busy_s() - busy
        judge(window)
        running.ask(do="hang_up")
    took_s = float(window["seconds"])
    return Cost(cpu_ms=used * 1000 / (calls * took_s), others=max(0.0, busy - used) / took_s)


def main() -> None:
    """Measure both bots in turn, several times, and compare the medians."""
    parser = report.arguments("CPU per second of call")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=5, metavar="SECONDS")
    options = parser.parse_args()
    notes: list[str] = []
    costs: dict[tuple[BotName, int], list[Cost]] = {}
    for name in report.bots(options.only):
        one = partial(measure, name, options.seconds, options.warm_up, options.log)
        carried, cost, note = report.until_carried(options.calls, one)
        costs[name, carried] = [cost]
        notes += [f"{name}: {note}"] if note else []
    # Fewer calls cost more each, so where one bot carries fewer, the other is measured there, too.
    fewest = min(calls for _, calls in costs)
    for name in report.bots(options.only):
        costs.setdefault((name, fewest), [])
    for _ in range(options.rounds):
        for (name, calls), measured in costs.items():
            if len(measured) < options.rounds:
                one = partial(measure, name, options.seconds, options.warm_up, options.log)
                try:
                    measured.append(one(calls))
                except NotMeasured as verdict:
                    notes.append(f"{name}, a round at {calls} calls does not count: {verdict}")
    _publish(costs, notes, options.seconds, options.json)


def _publish(
    costs: dict[tuple[BotName, int], list[Cost]],
    notes: list[str],
    seconds: float,
    file: Path | None,
) -> None:
    medians = {
        key: statistics.median(each.cpu_ms for each in measured)
        for key, measured in costs.items()
        if measured
    }
    rows = [
        (
            name,
            calls,
            " ".join(f"{each.cpu_ms:.2f}" for each in costs[name, calls]),
            f"{median:.2f}",
            f"{medians['stock', calls] / median:.1f}" if ("stock", calls) in medians else "",
        )
        for (name, calls), median in medians.items()
    ]
    text = [
        f"CPU per second of call, one core, TLS to the model, 20 ms frames both ways, "
        f"windows of {seconds:g} s",
        "",
        report.table(("bot", "calls", "rounds, ms", "median, ms", "stock / bot"), rows),
        *notes,
    ]
    others = max(each.others for measured in costs.values() for each in measured)
    if others > _MANY_OTHERS:
        text.append(f"others used up to {others:.0%} of the bot's core: not a quiet machine")
    results: dict[str, Any] = {
        f"{name} at {calls} calls": {
            "rounds": [asdict(each) for each in costs[name, calls]],
            "median_ms": median,
        }
        for (name, calls), median in medians.items()
    }
    report.publish("cost_per_call", {**results, "notes": notes}, "\n".join(text), file)


if __name__ == "__main__":
    report.run(main)
