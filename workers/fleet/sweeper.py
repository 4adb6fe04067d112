"""Carries out what ``Sweep`` decides about calls that nobody serves.

One worker sweeps at a time, the living one with the smallest name; for a moment two may think they
are it, and then each call is taken by one of them. What has been taken is brought to its end,
whoever sweeps by then. It goes on with every sign of life that the store answered, and has no timer
of its own: without the store nothing can be done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Protocol

import structlog

from telephony.calls.status import CallStatus
from telephony.errors import CallAlreadyOver, CarrierError, OutcomeUnknown
from workers.fleet.sweep import Act, Answer, Outcome, Step, Sweep
from workers.fleet.watch import FleetWatch
from workers.store.calls import CallRow, StoredCall, StoreUnavailable

IDLE_S = 60.0
"""As long as a process remembers a call without a stream (workers.call.active)."""
OVER_S = 5.0
"""After a report that a call is over, for whoever had its last stream: longer than that stream gets
to end by itself (workers.call.active)."""
# Room for the transfers of a whole fleet, which may go on for hours and are found every time.
LIMIT = 1_000
CLOSE_S = 3.0

_TERMINAL = frozenset(status.value for status in CallStatus if status.terminal)
_FINISHED = "finished"

_log = structlog.get_logger(__name__)


class SweepStore(Protocol):
    """As much of ``workers.store.calls.CallStore`` as is needed, and described there."""

    async def unserved(
        self,
        dead: Collection[str],
        *,
        idle_s: float,
        over_s: float,
        limit: int = 100,
        deadline_s: float = 2.0,
    ) -> list[StoredCall]:
        """Calls that are not over and that nobody serves."""

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        """Take a call away from a dead owner."""

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        """The call as it is now."""

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        """Take a worker off the list."""


class Fetched(Protocol):
    """A call as Twilio shows it (``telephony.calls.rest.Call``)."""

    @property
    def status(self) -> CallStatus | None:
        """None for a value of tomorrow."""


class Rest(Protocol):
    """As much of ``telephony.calls.rest.TwilioRest`` as is needed."""

    async def redirect(self, call_sid: str, document: str) -> None:
        """Replace what the call is doing by a TwiML document.

        Raises:
            CallAlreadyOver: it is not in progress.
            CarrierError: it was not done, or nobody knows.
        """

    async def fetch(self, call_sid: str) -> Fetched | None:
        """A call; None where there is none."""


class FleetMetrics(Protocol):
    """Who counts."""

    def worker_died(self) -> None:
        """A worker was found dead. To be counted by the one that sweeps."""

    def call_steered(self, outcome: str) -> None:
        """What became of a call that nobody served, by ``Outcome``."""


class Sweeper:
    """Looks after the calls of a whole fleet, where it is our turn.

    Args:
        store: Knows the calls.
        rest: Twilio; None: nothing is done at all.
        document: The TwiML that sends a call to ``/voice/continue``.
        finalise: Closes the books of a call that is over, or (True) of which nobody knows and that
            nobody can reach. Its row has the fencing number to write under. It may be told of a
            call that somebody else has closed, and raise ``StoreUnavailable``: it is told again.
        metrics: Counts.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: SweepStore,
        rest: Rest | None,
        *,
        document: Callable[[CallRow], str],
        finalise: Callable[[StoredCall, bool], Awaitable[None]],
        metrics: FleetMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rest = rest
        self._document = document
        self._finalise = finalise
        self._metrics = metrics
        self._clock = clock
        self._sweep = Sweep()
        self._finding: asyncio.Task[None] | None = None
        # Bounded by AT_ONCE, and the one that asks the store.
        self._tasks: set[asyncio.Task[None]] = set()
        self._mourned: set[str] = set()
        self._watch: FleetWatch | None = None
        self._leaving = False

    def looked(self, watch: FleetWatch) -> None:
        """Begin what is to be done by now; to be called after each look that succeeded."""
        if self._rest is None or self._leaving:
            return
        self._watch = watch
        if watch.is_leader and (self._finding is None or self._finding.done()):
            self._mourn(watch.dead)
            self._finding = self._spawn(self._find(watch.dead))
        self._go_on(self._rest)

    async def close(self) -> None:
        """Bring to an end what has been taken, bounded, and begin nothing new.

        What is left then has no owner: another worker finds it after ``IDLE_S``.
        """
        self._leaving = True
        self._sweep.leave()
        until = asyncio.get_running_loop().time() + CLOSE_S
        while self._tasks and (left_s := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(
                set(self._tasks), timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fleet-sweeper")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _go_on(self, rest: Rest) -> None:
        for step in self._sweep.steps(self._clock()):
            self._spawn(self._carry_out(step, rest))

    async def _find(self, dead: frozenset[str]) -> None:
        self._sweep.asking()
        try:
            calls = await self._store.unserved(dead, idle_s=IDLE_S, over_s=OVER_S, limit=LIMIT)
            without_calls = self._sweep.found(calls, dead, self._clock(), all_=len(calls) < LIMIT)
            for worker in sorted(without_calls):
                await self._store.forget_worker(worker)
                self._mourned.discard(worker)
                _log.info("fleet.worker_forgotten", worker=worker)
        except StoreUnavailable as error:
            _log.warning("fleet.not_swept", error=str(error))
        except Exception:  # noqa: BLE001  the edge of a task: it is tried again in a second
            _log.exception("fleet.sweep_failed")
        if self._rest is not None:
            self._go_on(self._rest)

    def _mourn(self, dead: frozenset[str]) -> None:
        for worker in sorted(dead - self._mourned):
            _log.warning("fleet.worker_dead", worker=worker)
            self._metrics.worker_died()
        self._mourned |= dead

    async def _carry_out(self, step: Step, rest: Rest) -> None:
        row, sid = step.call.row, step.call.row.call_sid
        try:
            answer, row = await self._try(step, rest)
        except CallAlreadyOver:
            answer = Answer.OVER
        except (CarrierError, StoreUnavailable) as error:
            answer = Answer.DOUBT if isinstance(error, OutcomeUnknown) else Answer.FAILED
            _log.warning("fleet.step_failed", call_sid=sid, act=step.act.value, error=str(error))
        except Exception:  # noqa: BLE001  the edge of a task: it is tried again, beside the others
            answer = Answer.FAILED
            _log.exception("fleet.step_failed", call_sid=sid, act=step.act.value)
        outcome = self._sweep.done(sid, answer, self._clock(), row=row)
        if outcome is not None:
            self._tell(step, outcome)
        self._go_on(rest)

    async def _try(self, step: Step, rest: Rest) -> tuple[Answer, CallRow]:
        row = step.call.row
        match step.act:
            case Act.TAKE:
                taken = await self._take(step)
                return (Answer.GONE, row) if taken is None else (Answer.DONE, taken)
            case Act.LOOK:
                return _looked(row, await self._store.load_call(row.call_sid)), row
            case Act.STEER:
                await rest.redirect(row.call_sid, self._document(row))
            case Act.ASK:
                return _asked(await rest.fetch(row.call_sid)), row
            case Act.FINALISE:
                await self._finalise(step.call, step.lost)
        return Answer.DONE, row

    async def _take(self, step: Step) -> CallRow | None:
        sid, fence = step.call.row.call_sid, step.call.row.fence
        if step.again:
            # An attempt without an answer may have succeeded; else it is found only after IDLE_S.
            now = await self._store.load_call(sid)
            if now is not None and now.row.fence == fence + 1 and not now.row.owner:
                return now.row
        if self._watch is None or not self._watch.is_gone(step.call.row.owner):
            # It moves again; or the database was away meanwhile, and nobody knows.
            return None
        return await self._store.take_from(sid, fence=fence)

    def _tell(self, step: Step, outcome: Outcome) -> None:
        row = step.call.row
        _log.info("fleet.call_swept", call_sid=row.call_sid, outcome=outcome.value, state=row.state)
        self._metrics.call_steered(outcome.value)


def _looked(before: CallRow, now: StoredCall | None) -> Answer:
    if now is None or now.row.state == _FINISHED or now.row.fence != before.fence:
        return Answer.GONE
    return Answer.OVER if now.row.status in _TERMINAL else Answer.DONE


def _asked(call: Fetched | None) -> Answer:
    if call is None or (call.status is not None and call.status.terminal):
        return Answer.OVER
    # What is still ringing cannot be redirected (error 21220), and is not over.
    return Answer.DONE if call.status is CallStatus.IN_PROGRESS else Answer.GONE
