"""What Celery's workers run: each task looks into the database for what there is to do.

A message says "look", and nothing else: late, twice or never, it changes nothing, because rows are
claimed, and the next message comes within seconds. So no task fails: where the database is away it
says so and returns.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import structlog

from workers.dialling.choosing import tick
from workers.dialling.context import Context
from workers.dialling.delivery import TIMEOUT_S, Delivered, deliver
from workers.dialling.pump import Pump, Pumped
from workers.dialling.reconciling import Reconciled, reconcile
from workers.dialling.settling import settle
from workers.settings import SettingsError
from workers.store.database import is_away, is_conflict

DIAL_S: Final = 5.0
"""After so long a process is free for something else, and a worker can stop."""
PUMPS: Final = 2
"""At once on one machine: one goes on while the other waits for its last answers, and more would
only keep processes from everything else."""
OVERLAP_S: Final = 1.5
"""Where no other process dials, one goes on for longer than it takes until the next message comes:
else nobody would dial in between."""
DELIVER_S: Final = 5.0
CAMPAIGNS: Final = "campaigns"
"""The queue of all that dialling needs."""
AFTER: Final = "after"
"""The queue of what can wait, and does where customers' systems are slow."""
EXPIRES_S: Final = 30
"""Of every periodic message. The clocks of beat and worker must not be further apart."""

MOST_APART_S: Final = 20.0
"""Of our clock and the database's. What one host has asked Twilio for another must find by the time
at which that was; of two that are further apart than ``pacing.SKEW_S`` it would not."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Periodic:
    """A task that beat sends."""

    name: str
    work: Callable[[Context], object]
    every_s: float
    queue: str
    soft_limit_s: float
    """It is interrupted, and has time to say so."""
    hard_limit_s: float
    """Its process is killed."""


def run_tick(context: Context) -> object:
    """Choose whom to dial next."""
    return tick(context.engine, now=_now(context))


def run_dial(context: Context) -> object:
    """Dial for some seconds, unless enough of this machine's processes do."""

    async def dial(others: Callable[[], bool]) -> Pumped:
        async with context.rest() as rest:
            pump = Pump(
                context.engine,
                rest,
                context.limits,
                wall=context.wall,
                clock=context.clock,
                sleep=context.sleep,
            )
            done = await pump.run(DIAL_S)
            return done if others() else await pump.run(OVERLAP_S)

    def others() -> bool:
        # All places are taken: ours is one of them.
        with _one_of(context.locks, "dial", PUMPS) as place:
            return place is None

    with _one_of(context.locks, "dial", PUMPS) as place:
        return None if place is None else asyncio.run(dial(others))


def run_reconcile(context: Context) -> object:
    """Find out what became of attempts that nothing is heard of."""

    async def look() -> Reconciled:
        async with context.rest() as rest:
            return await reconcile(context.engine, rest, now=_now(context))

    with _one_of(context.locks, "reconcile", 1) as place:
        return None if place is None else asyncio.run(look())


def run_settle(context: Context) -> object:
    """Decide what comes after attempts that are over."""
    return settle(context.engine, now=_now(context))


def run_deliver(context: Context) -> object:
    """Tell customers' systems, unless another process of this machine does."""

    async def tell() -> Delivered:
        async with context.http() as http:
            return await deliver(
                context.engine,
                http,
                wall=context.wall,
                secret_of=context.secret_of,
                for_s=DELIVER_S,
            )

    with _one_of(context.locks, "deliver", 1) as place:
        return None if place is None else asyncio.run(tell())


# A request to Twilio ends within 10 s or so (TwilioSettings.rest_timeout_s), whatever happens.
PERIODIC: Final = (
    Periodic("evercall.tick", run_tick, 1.0, CAMPAIGNS, 30.0, 40.0),
    Periodic("evercall.dial", run_dial, 1.0, CAMPAIGNS, DIAL_S + 40.0, DIAL_S + 50.0),
    Periodic("evercall.reconcile", run_reconcile, 5.0, CAMPAIGNS, 60.0, 75.0),
    Periodic("evercall.settle", run_settle, 1.0, CAMPAIGNS, 30.0, 40.0),
    Periodic(
        "evercall.deliver",
        run_deliver,
        2.0,
        AFTER,
        DELIVER_S + TIMEOUT_S + 10.0,
        DELIVER_S + TIMEOUT_S + 20.0,
    ),
)


def register(app: Any, context_of: Callable[[], Context]) -> None:
    """Make the periodic tasks the Celery app's."""
    for periodic in PERIODIC:
        app.task(
            _guarded(periodic, context_of),
            name=periodic.name,
            shared=False,
            soft_time_limit=periodic.soft_limit_s,
            time_limit=periodic.hard_limit_s,
        )


def _guarded(periodic: Periodic, context_of: Callable[[], Context]) -> Callable[[], None]:
    def run() -> None:
        try:
            context = context_of()
            ahead_s = context.ahead_s()
            if abs(ahead_s) > MOST_APART_S:
                _log.error("task.clock_wrong", task=periodic.name, ahead_s=round(ahead_s, 1))
                return
            done = periodic.work(context)
        except SettingsError as error:
            _log.error("task.settings", task=periodic.name, error=str(error))
        except Exception as error:  # noqa: BLE001  the edge of a task
            if is_away(error) or is_conflict(error):
                # Its text may hold a statement; the next message is on its way.
                _log.warning("task.database_away", task=periodic.name, error=type(error).__name__)
            else:
                _log.exception("task.failed", task=periodic.name)
        else:
            if done is not None and not isinstance(done, int):
                done = {name: count for name, count in asdict(done).items() if count}  # type: ignore[call-overload]  # all are dataclasses
            if done:
                _log.debug("task.done", task=periodic.name, done=done)

    run.__name__ = periodic.name.rpartition(".")[2]
    run.__doc__ = periodic.work.__doc__
    return run


@contextmanager
def _one_of(folder: Path, name: str, most: int) -> Iterator[int | None]:
    """A place of ``most`` on this machine, from 0 on; None: all are taken, by processes alive."""
    with ExitStack() as held:
        for number in range(most):
            file = held.enter_context((folder / f"{name}-{number}").open("wb"))
            if _locked(file):
                yield number
                return
        yield None


def _locked(file: BinaryIO) -> bool:
    # Given back by the system when the file is closed, however that comes about.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _now(context: Context) -> datetime:
    return datetime.fromtimestamp(context.wall(), UTC)
