"""What it costs that another worker could go on with a call: CPU, and writes to the database.

python -m tests.benchmarks.checkpoint_cost [--calls 20] [--seconds 10] [--rounds 5]

One worker with N calls that talk in turns, both twins in another process. In the same worker and
with the same calls the journal is switched on and off in turn: the difference of the process's CPU
is what it costs, the machine's moods included. Beside that its own code is timed, by the clocks of
the threads it runs in: the event loop's part, the thread that compares and redacts, and the thread
that writes. What the server of PostgreSQL takes is not the worker's and not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop

from tests.benchmarks import report
from tests.benchmarks.rig import NotMeasured
from tests.scenarios.fleet.database import KINDS
from tests.scenarios.fleet.fleet import Fleet, fleet
from tests.scenarios.fleet.seen import FleetCall
from tests.scenarios.fleet.talk import ANSWERS, LONG_ANSWER, QUESTIONS, greeted
from tests.scenarios.rig import GREETING
from workers.call.journal import CallJournal
from workers.call.ticks import Ticks
from workers.entrypoints.cli import main as evercall
from workers.store.sql import SqlCallStore
from workers.store.writer import Writer
from workers.twin import caller
from workers.twin.live_api import script
from workers.twin.live_api.script import LiveScript, Turn

ALLOWED_MS, ALLOWED_WRITES = 0.2, 1.0
"""For each second of a call."""
_ON, _OFF = signal.SIGUSR1, signal.SIGUSR2
_SETTLE_S = 1.5  # longer than the journal takes to write what had come together
_WARM_UP_S = 8.0
_PAUSE_S = 1.0
_TURNS = 400
_FILE = "EVERCALL_BENCH_FILE"
_COMMAND = "from tests.benchmarks.checkpoint_cost import serve; serve()"
_WRITER = "store-writer"


# -- in the worker -----------------------------------------------------------------------------


class Switch:
    """Switches the journal of every call of this process, and counts what it does."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._on = True
        self._asked = 0
        self._inside = False
        self._loop_s = 0.0
        self._keep_s = 0.0
        self._writes = 0
        self._transactions = 0

    def install(self) -> None:
        """Take hold of the journal; what it does stays what it is."""
        for owner, method in ((CallJournal, CallJournal.changed), (Ticks, Ticks._tick)):
            setattr(owner, method.__name__, self._switched(method))
        keep, checkpoint, transact = (
            CallJournal._keep,
            SqlCallStore.checkpoint,
            Writer._transact,
        )

        def timed_keep(*given: Any) -> None:
            before = time.thread_time()
            keep(*given)
            self._keep_s += time.thread_time() - before

        def counted_checkpoint(*given: Any, **named: Any) -> None:
            self._writes += 1
            checkpoint(*given, **named)

        def counted_transact(*given: Any) -> Any:
            self._transactions += 1
            return transact(*given)

        setattr(CallJournal, "_keep", timed_keep)  # noqa: B010  mypy forbids to assign methods
        setattr(SqlCallStore, "checkpoint", counted_checkpoint)  # noqa: B010
        setattr(Writer, "_transact", counted_transact)  # noqa: B010
        signal.signal(_ON, self._switch)
        signal.signal(_OFF, self._switch)

    def _switched(self, method: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*given: Any, **named: Any) -> None:
            # A tick that was wanted before is still made, or those that follow would wait for it.
            if not self._on and method.__name__ == "changed":
                return
            if self._inside:
                method(*given, **named)
                return
            self._inside, before = True, time.thread_time()
            method(*given, **named)
            self._loop_s += time.thread_time() - before
            self._inside = False

        return wrapped

    def _switch(self, number: int, _frame: object) -> None:
        self._on = number == _ON
        self._asked += 1
        threads = {
            thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            for thread in threading.enumerate()
            if thread.ident is not None
        }
        now = {
            "asked": self._asked,
            "at_s": time.monotonic(),
            "process_s": time.process_time(),
            "loop_s": self._loop_s,
            "keep_s": self._keep_s,
            "writes": self._writes,
            "transactions": self._transactions,
            "threads": threads,
        }
        half = self._file.with_suffix(".half")
        half.write_text(json.dumps(now))
        half.rename(self._file)


def serve() -> None:
    """Run a worker whose journal can be switched by signals."""
    Switch(Path(os.environ[_FILE])).install()
    evercall()


# -- outside -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """What one second of one call took; CPU in milliseconds."""

    on: bool
    process_ms: float
    loop_ms: float
    keep_ms: float
    writer_ms: float
    writes: float
    transactions: float
    """Of the whole process, in a second."""
    turns: float
    """Completed by the model, in a second of a call."""

    @property
    def journal_ms(self) -> float:
        """All that is timed of the journal itself."""
        return self.loop_ms + self.keep_ms + self.writer_ms


def _conversation() -> tuple[list[caller.Step], LiveScript]:
    """Short questions and answers in turn, one answer in eight a long one."""
    steps: list[caller.Step] = [*greeted()]
    turns = []
    for number in range(_TURNS):
        at = number % len(QUESTIONS)
        said = LONG_ANSWER if at == len(QUESTIONS) - 1 else ANSWERS[at]
        turns.append(Turn(QUESTIONS[at], (script.Say(said),)))
        steps += [
            caller.Say(QUESTIONS[at]),
            caller.WaitAgentDone(400, timeout_s=60),
            caller.WaitSeconds(_PAUSE_S),
        ]
    model = LiveScript(opening=(script.Say(GREETING),), turns=tuple(turns), answer_delay_s=0.3)
    return steps, model


async def _ask(pid: int, number: signal.Signals, file: Path, asked: int) -> dict[str, Any]:
    os.kill(pid, number)
    async with asyncio.timeout(5):
        while True:
            found = _read(file)
            if found.get("asked", 0) >= asked:
                return found
            await asyncio.sleep(0.005)


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _answers(calls: list[FleetCall]) -> int:
    return sum(call.answers for call in calls)


async def _windows(
    it: Fleet, calls: list[FleetCall], file: Path, seconds: float, rounds: int
) -> list[Window]:
    pid = it.workers["w1"].pid
    windows: list[Window] = []
    asked = 0
    for number in [_ON, _OFF] * rounds:
        await _ask(pid, number, file, asked + 1)
        await asyncio.sleep(_SETTLE_S)
        said, before = _answers(calls), await _ask(pid, number, file, asked + 2)
        await asyncio.sleep(seconds)
        after, said = await _ask(pid, number, file, asked + 3), _answers(calls) - said
        asked += 3
        if any(call.is_over for call in calls):
            raise NotMeasured("a call has ended")
        took_s = after["at_s"] - before["at_s"]
        per = 1 / (took_s * len(calls))

        def grown(name: str, was: dict[str, Any] = before, now: dict[str, Any] = after) -> float:
            return float(now[name] - was[name])

        writer = after["threads"][_WRITER] - before["threads"][_WRITER]
        windows.append(
            Window(
                on=number == _ON,
                process_ms=grown("process_s") * 1000 * per,
                loop_ms=grown("loop_s") * 1000 * per,
                keep_ms=grown("keep_s") * 1000 * per,
                writer_ms=writer * 1000 * per,
                writes=grown("writes") * per,
                transactions=grown("transactions") / took_s,
                turns=said * per,
            )
        )
    await _ask(pid, _ON, file, asked + 1)
    return windows


async def measure(kind: str, *, calls: int, seconds: float, rounds: int) -> list[Window]:
    """Measure one worker with one kind of database.

    Raises:
        NotMeasured: A call has ended.
    """
    with tempfile.TemporaryDirectory(prefix="evercall-bench-") as name:
        folder = Path(name)
        file = folder / "switch.json"
        settings = {_FILE: str(file), "EVERCALL_MAX_CALLS": "1000"}
        steps, model = _conversation()
        cores = sorted(os.sched_getaffinity(0))
        with patch("tests.scenarios.fleet.process._COMMAND", _COMMAND):
            async with fleet(folder, kind=kind, workers=("w1",), settings=settings) as it:
                # The worker on a core of its own, as far as others leave it alone.
                os.sched_setaffinity(it.workers["w1"].pid, {cores[0]})
                ringing = []
                for _ in range(calls):
                    ringing.append(await it.ring(*steps, model=model))
                    await asyncio.sleep(0.15)
                await asyncio.sleep(_WARM_UP_S)
                found = await _windows(it, ringing, file, seconds, rounds)
                for call in ringing:
                    call.twin.hang_up()
    return found


def _median(windows: list[Window], on: bool, name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in windows if one.on == on))


def _row(kind: str, windows: list[Window]) -> tuple[list[str], dict[str, float]]:
    on, off = ([one for one in windows if one.on == wanted] for wanted in (True, False))
    pairs = [a.process_ms - b.process_ms for a, b in zip(on, off, strict=True)]
    # The writer's thread also notes that the worker lives, which goes on without a journal.
    beside = _median(windows, False, "writer_ms")
    figures = {
        "on_ms": _median(windows, True, "process_ms"),
        "off_ms": _median(windows, False, "process_ms"),
        "difference_ms": statistics.median(pairs),
        "loop_ms": _median(windows, True, "loop_ms"),
        "keep_ms": _median(windows, True, "keep_ms"),
        "writer_ms": _median(windows, True, "writer_ms") - beside,
        "writes": _median(windows, True, "writes"),
        "transactions": _median(windows, True, "transactions"),
        "turns": _median(windows, True, "turns"),
    }
    figures["own_ms"] = figures["loop_ms"] + figures["keep_ms"] + figures["writer_ms"]
    cells = [
        kind,
        f"{figures['on_ms']:.2f}",
        f"{figures['off_ms']:.2f}",
        f"{figures['difference_ms']:.2f} ({min(pairs):.2f} to {max(pairs):.2f})",
        f"{figures['own_ms']:.3f}",
        f"{figures['loop_ms']:.3f} + {figures['keep_ms']:.3f} + {figures['writer_ms']:.3f}",
        f"{figures['writes']:.2f}",
        f"{figures['transactions']:.1f}",
        f"{figures['turns']:.2f}",
    ]
    return cells, figures


_HEAD = (
    "database",
    "CPU with, ms/s",
    "without",
    "difference (of pairs)",
    "journal's own",
    "loop + keep + write",
    "writes/s",
    "transactions/s, all",
    "turns/s",
)


def main() -> None:
    """Measure both kinds of database and print a table."""
    parser = report.arguments("What checkpoints cost", calls=20, seconds=10)
    parser.add_argument("--rounds", type=int, default=5, help="windows with, and as many without")
    parser.add_argument("--database", choices=KINDS, help="measure one kind")
    options: argparse.Namespace = parser.parse_args()
    load = report.Load()
    rows, results = [], {}
    for kind in [options.database] if options.database else KINDS:
        windows = uvloop.run(
            measure(kind, calls=options.calls, seconds=options.seconds, rounds=options.rounds)
        )
        cells, figures = _row(kind, windows)
        rows.append(cells)
        results[kind] = {**figures, "windows": [asdict(one) for one in windows]}
    text = [
        f"CPU of a worker with {options.calls} calls, ms per second of call; medians of "
        f"{options.rounds} windows of {options.seconds:g} s with the journal and as many without",
        "",
        report.table(_HEAD, rows),
        "",
        f"Allowed: {ALLOWED_MS:g} ms and {ALLOWED_WRITES:g} write for each second of a call.",
        str(load),
    ]
    report.publish("checkpoint_cost", results, "\n".join(text), options.json)


if __name__ == "__main__":
    report.run(main)
