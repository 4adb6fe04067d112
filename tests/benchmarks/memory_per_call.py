"""Memory per further call: the process at ten calls and at forty, and the slope between them.

python -m tests.benchmarks.memory_per_call [--few 10] [--calls 40]
"""

from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.rig import BotName, NotMeasured, rig


def measure(
    bot: BotName, few: int, many: int, settle_s: float, log: Path | None
) -> dict[str, float]:
    """MiB of the bot's process with no, few and many calls, all talking.

    Raises:
        NotMeasured: Calls were lost.
    """
    with rig(bot, log=log) as running:
        idle = running.memory_mib()
        running.ask(do="ring", calls=few)
        running.ask(do="talk", seconds=settle_s)
        at_few = running.memory_mib()
        running.ask(do="ring", calls=many - few)
        window = running.ask(do="talk", seconds=settle_s)
        at_many = running.memory_mib()
        if window["lost"]:
            raise NotMeasured(f"{bot}: {window['lost']} sockets of {many} calls were lost")
        running.ask(do="hang_up")
    return {
        "idle_mib": idle,
        "few_mib": at_few,
        "many_mib": at_many,
        "per_call_mib": (at_many - at_few) / (many - few),
    }


def main() -> None:
    """Measure both bots and print what each further call takes."""
    parser = report.arguments("Memory per further call", seconds=5)
    parser.add_argument("--few", type=int, default=10, metavar="CALLS")
    options = parser.parse_args()
    names = report.bots(options.only)
    results: dict[str, dict[str, float]] = {
        name: measure(name, options.few, options.calls, options.seconds, options.log)
        for name in names
    }
    rows = [(name, *(f"{value:.2f}" for value in results[name].values())) for name in names]
    head = ("bot", "no call", f"{options.few} calls", f"{options.calls} calls", "per further call")
    text = f"Resident memory of the process, MiB, both sides talking\n\n{report.table(head, rows)}"
    report.publish("memory_per_call", results, text, options.json)


if __name__ == "__main__":
    report.run(main)
