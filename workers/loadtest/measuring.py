"""Measures calls that are over, in a process of its own: on the callers' loop it would delay them.

It has what is left of the processor, and is done with a call some time after its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Protocol

from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import CallMeasured
from workers.loadtest.plan import LineTrouble, Persona
from workers.loadtest.seat import measure
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.result import CallResult

_LAST = 19


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over, and all that was kept of it; the fields are those of ``measure``."""

    call: CallResult
    number: int
    persona: Persona
    lines: tuple[LineTrouble, ...]
    began_s: float
    calls_at_once: int
    rang_at: float
    sessions: tuple[SessionLog, ...] = ()
    model_lines: tuple[range, ...] = ()
    stopped: bool = False
    late_frames: int = 0
    reset_gaps_ms: tuple[float, ...] = ()


class Measurer(Protocol):
    """Measures calls."""

    async def measure(self, ended: Ended) -> CallMeasured:
        """Measure one."""
        ...


class Measuring:
    """Use as an async context manager; enter raises ``LoadTestError``, exit waits for nothing."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._burial: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Measuring:
        # Not forked: threads and sockets of this process are none of its business.
        self._pool = ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_settle
        )
        # Started now: it is not to import beside the first calls, nor to meet a Ctrl-C that it does
        # not ignore yet.
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, os.getpid)
        except BrokenProcessPool as error:
            await self._bury(self._pool)
            raise LoadTestError("The process that measures the calls does not start.") from error
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def measure(self, ended: Ended) -> CallMeasured:
        """Measure one.

        Raises:
            LoadTestError: the process has died.
        """
        assert self._pool is not None
        loop = asyncio.get_running_loop()
        try:
            # One at a time: what is handed over is pickled in one breath, in which nobody speaks,
            # and a call of ten minutes has tens of megabytes.
            for log in ended.sessions:
                await loop.run_in_executor(self._pool, _take_session, ended.number, log)
            return await loop.run_in_executor(
                self._pool, _measure_with_sessions, replace(ended, sessions=())
            )
        except BrokenProcessPool as error:
            await self._bury(self._pool)
            raise LoadTestError("The process that measures the calls has died.") from error

    async def _bury(self, pool: ProcessPoolExecutor) -> None:
        """Wait until a pool whose process has died is done with itself."""
        # One that is collected meanwhile may wait for its own lock for ever, and with it the end of
        # this process (3.13.0, observed; like python/cpython#125451). Once: every call that is over
        # at that moment comes here.
        if self._burial is None:
            self._burial = asyncio.ensure_future(asyncio.to_thread(pool.shutdown))
        await asyncio.shield(self._burial)


def _settle() -> None:
    # A terminal's Ctrl-C is for the one that makes the calls, as is the SIGTERM that a supervisor
    # sends to all processes of a command; what was made is still measured.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _give_way()
    # Whoever is killed shuts no pool down, whose process would wait for its next task for ever.
    threading.Thread(target=_leave_with_parent, name="parent", daemon=True).start()


def _give_way() -> None:
    """Take only what nobody else wants of the processor.

    Who wakes up runs at once where an idle process had it (sched(7), SCHED_IDLE); one that is
    merely nice may keep it for its slice of some milliseconds (Linux 6.6, kernel/sched/features.h,
    RUN_TO_PARITY), by which callers then are late.
    """
    os.nice(_LAST)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # a sandbox that allows no such thing
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


_sessions: dict[int, list[SessionLog]] = {}
"""In the process that measures: those that came before their call."""


def _take_session(number: int, log: SessionLog) -> None:
    _sessions.setdefault(number, []).append(log)


def _measure_with_sessions(ended: Ended) -> CallMeasured:
    return measure_ended(replace(ended, sessions=tuple(_sessions.pop(ended.number, ()))))


def measure_ended(ended: Ended) -> CallMeasured:
    """Measure one here and now."""
    return measure(
        ended.call,
        number=ended.number,
        persona=ended.persona,
        lines=ended.lines,
        began_s=ended.began_s,
        calls_at_once=ended.calls_at_once,
        rang_at=ended.rang_at,
        sessions=ended.sessions,
        model_lines=ended.model_lines,
        stopped=ended.stopped,
        late_frames=ended.late_frames,
        reset_gaps_ms=ended.reset_gaps_ms,
    )
