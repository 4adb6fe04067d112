"""CPU per second of call: N calls on one core, both sides talking all the time, TLS to the model.

python -m tests.benchmarks.cost_per_call [--calls 40] [--seconds 20] [--rounds 3]
"""

import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.rig import BotName, judge, rig


def measure(bot: BotName, seconds: float, warm_up_s: float, log: Path | None, calls: int) -> float:
    """Milliseconds of CPU per second of call, in a fresh process.

    Raises:
        NotMeasured: See ``rig.judge``.
    """
    with rig(bot, log=log) as running:
        running.ask(do="ring", calls=calls)
        time.sleep(warm_up_s)
        before = running.cpu_s()
        window = running.ask(do="talk", seconds=seconds)
        used = running.cpu_s() - before
        judge(window)
        running.ask(do="hang_up")
    return used * 1000 / (calls * float(window["seconds"]))


def main() -> None:
    """Measure both bots in turn, several times, and compare the medians."""
    parser = report.arguments("CPU per second of call")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=5, metavar="SECONDS")
    options = parser.parse_args()
    names = report.bots(options.only)
    calls = dict.fromkeys(names, options.calls)
    rounds: dict[BotName, list[float]] = {name: [] for name in names}
    notes: dict[BotName, str] = dict.fromkeys(names, "")
    for _ in range(options.rounds):
        for name in names:
            one = partial(measure, name, options.seconds, options.warm_up, options.log)
            carried, cost, note = report.until_carried(calls[name], one)
            if carried != calls[name]:
                # Rounds with more calls than the bot carries in every round do not compare.
                calls[name], rounds[name] = carried, []
            rounds[name].append(cost)
            notes[name] = notes[name] or note
    medians = {name: statistics.median(rounds[name]) for name in names}
    rows = [
        (
            name,
            calls[name],
            " ".join(f"{each:.2f}" for each in rounds[name]),
            f"{medians[name]:.2f}",
            f"{medians['stock'] / medians[name]:.1f}" if "stock" in medians else "-",
        )
        for name in names
    ]
    text = [
        f"CPU per second of call, one core, TLS to the model, 20 ms frames both ways, "
        f"windows of {options.seconds:g} s",
        "",
        report.table(("bot", "calls", "rounds, ms", "median, ms", "stock / bot"), rows),
        *(f"{name}: {note}" for name, note in notes.items() if note),
    ]
    results: dict[str, Any] = {
        name: {
            "calls": calls[name],
            "rounds_ms": rounds[name],
            "median_ms": medians[name],
            "note": notes[name],
        }
        for name in names
    }
    report.publish("cost_per_call", results, "\n".join(text), options.json)


if __name__ == "__main__":
    report.run(main)
