"""Makes one load test whose callers are in several processes, on this machine or over Celery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from rich.console import Console

from workers.entrypoints.loadtest_callers import Callers, Workers
from workers.entrypoints.loadtest_made import (
    CALLS,
    Made,
    broken_off_by,
    signals,
    watched,
    worker_of,
)
from workers.entrypoints.loadtest_processes import PATIENCE, in_processes
from workers.entrypoints.loadtest_worker import account_of
from workers.loadtest.arrivals import Part
from workers.loadtest.errors import LoadTestError
from workers.loadtest.plan import Plan
from workers.loadtest.sessions import TwinSessions
from workers.loadtest.shards.desk import desk
from workers.loadtest.shards.lead import Link, Patience, ShardedRun
from workers.loadtest.shards.messages import OwnWorker, Prepare
from workers.loadtest.shards.switchboard import switchboard
from workers.loadtest.stage import ends_of, live_side
from workers.loadtest.under_test import UnderTest
from workers.loadtest.wavs import clear_wavs
from workers.settings import WorkerSettings

CALLERS_LOG: Final = "callers.log"

Maker: TypeAlias = Callable[[Plan, Path, WorkerSettings, Console], Awaitable[Made]]


def sharded(plan: Plan, callers: Callers) -> Maker:
    """Return what makes tests of this plan by these callers.

    Raises:
        LoadTestError: they cannot make it.
    """
    if callers.shards is not None:
        _check(plan, callers.shards)
    if callers.workers is Workers.CELERY and plan.target.voice_url is None:
        raise LoadTestError(
            "Callers on other hosts do not reach the simulated model and the worker that a test"
            " starts on this one: --workers celery needs a worker that runs already, by --target."
        )
    return partial(_make, callers=callers)


def _check(plan: Plan, shards: int) -> None:
    if shards > plan.arrivals.calls:
        raise LoadTestError(f"{shards} shards are more than {plan.arrivals.calls} calls at once.")


async def _make(
    plan: Plan, out: Path, settings: WorkerSettings, console: Console, *, callers: Callers
) -> Made:
    """Make the calls of a plan; signals mean what they do to ``loadtest_made.make``.

    Raises:
        LoadTestError: it cannot be made.
        asyncio.CancelledError: cancelled by a signal.
    """
    clear_wavs(out / CALLS)
    with signals() as on_signal:
        async with AsyncExitStack() as stack:
            runs: list[ShardedRun] = []
            worker, own = await stack.enter_async_context(_worker(plan, out, settings, runs))
            count, link, patience = await stack.enter_async_context(
                _link(plan, own, out, settings, callers)
            )
            run = ShardedRun(
                plan,
                count,
                link,
                worker,
                wavs=out / CALLS,
                patience=patience,
                models=own is not None,
            )
            runs.append(run)
            on_signal(broken_off_by(run, console))
            result = await watched(run, console)
        on_signal(None)
    return Made(result, run.wavs)


@asynccontextmanager
async def _worker(
    plan: Plan, out: Path, settings: WorkerSettings, runs: list[ShardedRun]
) -> AsyncIterator[tuple[UnderTest, OwnWorker | None]]:
    """Start the worker and its Live side here, or find it; the callers' end comes later."""
    account, start = account_of(plan, settings), worker_of(plan, out, settings)
    async with AsyncExitStack() as stack:
        if plan.target.voice_url is not None:
            # Its REST API is its own affair.
            ends = ends_of(account, "", None)
            yield await stack.enter_async_context(start(ends)), None
            return
        live = await stack.enter_async_context(live_side(plan))
        twilio_url = await stack.enter_async_context(
            switchboard(lambda: [url for run in runs for url in run.rest_urls])
        )
        worker = await stack.enter_async_context(start(ends_of(account, twilio_url, live)))
        sessions = None if live is None else TwinSessions(live)
        path = await stack.enter_async_context(desk(sessions, worker.reset_gaps_ms))
        yield worker, OwnWorker(worker.voice_url, worker.status_url, path)


@asynccontextmanager
async def _link(
    plan: Plan, own: OwnWorker | None, out: Path, settings: WorkerSettings, callers: Callers
) -> AsyncIterator[tuple[int, Link, Patience]]:
    """Ask all shards to prepare."""
    if callers.workers is Workers.CELERY:
        # Nobody else waits for Celery to be imported.
        from workers.entrypoints.loadtest_celery.link import over_celery

        async with over_celery(
            settings, callers.shards, lambda count: _asked(plan, own, count)
        ) as found:
            yield found
        return
    count = callers.shards or 1
    async with in_processes(_asked(plan, own, count), out / CALLERS_LOG) as link:
        yield count, link, PATIENCE


def _asked(plan: Plan, own: OwnWorker | None, count: int) -> list[Prepare]:
    _check(plan, count)
    return [Prepare(plan, Part(index, count), own) for index in range(count)]
