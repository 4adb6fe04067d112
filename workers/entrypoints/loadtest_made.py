"""Makes one load test on a terminal: shows how it goes, and takes Ctrl-C for what it means."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from workers.entrypoints.loadtest_worker import account_of, own_worker
from workers.loadtest.measuring import Measuring
from workers.loadtest.plan import Plan
from workers.loadtest.progress import Progress, shown, told
from workers.loadtest.result import LoadResult
from workers.loadtest.run import LoadRun
from workers.loadtest.stage import staged
from workers.loadtest.under_test import StartWorker, given_target
from workers.loadtest.wavs import SlowestWavs
from workers.settings import WorkerSettings

CALLS: Final = "calls"
WORKER_LOG: Final = "worker.log"
_SHOWN_S: Final = 0.5
_TOLD_S: Final = 10.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Made:
    """A test that is over; ``wavs`` are files by the number of the call."""

    result: LoadResult
    wavs: Mapping[int, Path]


class Run(Protocol):
    """A test that is made here, or elsewhere."""

    @property
    def progress(self) -> Progress:
        """How it goes."""
        ...

    def break_off(self) -> None:
        """Let no call begin any more, and every caller hang up."""
        ...

    async def run(self) -> LoadResult:
        """Run it to its end."""
        ...


async def make(plan: Plan, out: Path, settings: WorkerSettings, console: Console) -> Made:
    """Make the calls of a plan; sound of the slowest and the worker's log are left in ``out``.

    The first signal breaks the test off, and it is measured as far as it got; the second cancels it
    at once, as does the first while nothing has begun.

    Raises:
        LoadTestError: it cannot be made.
        asyncio.CancelledError: cancelled by a signal.
    """
    wavs = SlowestWavs(out / CALLS)
    wavs.clear()
    start, account = worker_of(plan, out, settings), account_of(plan, settings)
    with signals() as on_signal:
        async with staged(plan, start, account=account) as stage, Measuring() as measuring:
            run = LoadRun(plan, stage, measuring, wavs=wavs)
            on_signal(broken_off_by(run, console))
            result = await watched(run, console)
        # Nothing more can be broken off.
        on_signal(None)
    return Made(result, wavs.files)


def worker_of(plan: Plan, out: Path, settings: WorkerSettings) -> StartWorker:
    """Return what starts the worker of a plan, or finds it."""
    if plan.target.voice_url is None:
        return own_worker(plan, log=out / WORKER_LOG, settings=settings)
    return given_target(plan.target.voice_url)


def broken_off_by(run: Run, console: Console) -> Callable[[], None]:
    """Return what the first signal does to a test."""

    def break_off() -> None:
        console.print(
            "Broken off: the callers hang up, and the report is written. Once more leaves at once.",
            highlight=False,
        )
        run.break_off()

    return break_off


async def watched(run: Run, console: Console) -> LoadResult:
    """Run it, and show how it goes: on a terminal in place, else a line now and then."""
    running = asyncio.create_task(run.run())
    try:
        with contextlib.ExitStack() as stack:
            live: Live | None = None
            if console.is_terminal:
                live = stack.enter_context(
                    Live(console=console, auto_refresh=False, transient=True)
                )
            while True:
                pause_s = _TOLD_S if live is None else _SHOWN_S
                done, _ = await asyncio.wait({running}, timeout=pause_s)
                if done:
                    return running.result()
                if live is None:
                    console.print(told(run.progress), highlight=False, soft_wrap=True)
                else:
                    live.update(shown(run.progress), refresh=True)
    finally:
        running.cancel()
        await asyncio.wait({running})


@contextlib.contextmanager
def signals() -> Iterator[Callable[[Callable[[], None] | None], None]]:
    """Have a signal do what it is told to, once; where that is nothing, it cancels this task."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    first: list[Callable[[], None]] = []

    def caught() -> None:
        if first:
            first.pop()()
        else:
            task.cancel()

    def on_signal(what: Callable[[], None] | None) -> None:
        first[:] = [what] if what is not None else []

    for number in _SIGNALS:
        loop.add_signal_handler(number, caught)
    try:
        yield on_signal
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
