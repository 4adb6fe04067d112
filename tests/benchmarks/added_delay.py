"""Added delay each way at N calls, first marked byte in to first marked byte out.

A quarter of the calls is probed once a second, the others talk. Caller to model the mark is a step
after silence in a stream that never pauses; model to caller it is the first audio of a turn that
arrives in real time, the hardest case for whatever holds audio back. ``to the sample`` adds what
lies before the mark in the frame that carries it: time spent in filters and in half-full frames.

    python -m tests.benchmarks.added_delay [--calls 40] [--seconds 20]
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.rig import BotName, NotMeasured, judge, rig

_WARM_UP_S = 3.0
_MAX_WRONG = 0.01
_DIRECTIONS = {"up": "caller to model", "down": "model to caller"}


def measure(bot: BotName, seconds: float, log: Path | None, calls: int) -> dict[str, Any]:
    """Delays of one fresh process, as far_end's ``probe`` answers.

    Raises:
        NotMeasured: See ``rig.judge``; or probes went astray.
    """
    with rig(bot, log=log) as running:
        running.ask(do="ring", calls=calls)
        time.sleep(_WARM_UP_S)
        window = running.ask(do="probe", seconds=seconds)
        judge(window)
        running.ask(do="hang_up")
    for name in _DIRECTIONS:
        found, wrong = window[name]["probes"], window[name]["wrong"]
        if not found or wrong > _MAX_WRONG * found:
            raise NotMeasured(f"{bot}, {_DIRECTIONS[name]}: {wrong} probes lost, {found} found")
    return window


def main() -> None:
    """Measure both bots and print p50, p95 and the worst of each direction."""
    options = report.arguments("Added delay each way").parse_args()
    results: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    notes: list[str] = []
    for bot in report.bots(options.only):
        one = partial(measure, bot, options.seconds, options.log)
        calls, window, note = report.until_carried(options.calls, one)
        results[bot] = {"calls": calls, "note": note, **window}
        notes += [f"{bot}: {note}"] if note else []
        for name, direction in _DIRECTIONS.items():
            spreads = (window[name]["frame_ms"], window[name]["onset_ms"])
            figures = (f"{spread[p]:.1f}" for spread in spreads for p in ("p50", "p95", "max"))
            rows.append((bot, calls, direction, window[name]["probes"], *figures))
    head = ("bot", "calls", "direction", "probes", "p50", "p95", "max", "to the sample: p50")
    text = [
        "Added delay, ms, first byte in to first byte out",
        "",
        report.table((*head, "p95", "max"), rows),
        *notes,
        *(
            f"{bot}: far end's own timer late by {result['slip_ms']['p95']:.1f} ms (p95)"
            for bot, result in results.items()
        ),
    ]
    report.publish("added_delay", results, "\n".join(text), options.json)


if __name__ == "__main__":
    report.run(main)
