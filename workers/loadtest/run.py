"""Makes the calls of a plan, all of them or its part, and looks at its own clockwork meanwhile.

Each call is a task that places it, waits for its end and has it measured elsewhere. Broken off, no
call begins any more and every caller hangs up; what there was is measured all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from workers.loadtest.arrivals import WHOLE, Part, due, duration_s, wanted
from workers.loadtest.beside import Beside
from workers.loadtest.casting import Role, cast
from workers.loadtest.clockwork import Clockwork
from workers.loadtest.errors import LoadTestError
from workers.loadtest.machine import this_machine
from workers.loadtest.measured import CallMeasured, Ending
from workers.loadtest.measuring import Ended, Measurer
from workers.loadtest.model import LINES
from workers.loadtest.pacing import CallerPacing
from workers.loadtest.plan import Plan
from workers.loadtest.progress import Progress, Tally, cpu_ms_lately
from workers.loadtest.result import LoadResult
from workers.loadtest.stage import LONGER_S, Stage
from workers.loadtest.wavs import SlowestWavs
from workers.twin.twilio_api.call import CALLBACKS_TIMEOUT_S, TwinCall
from workers.twin.twilio_api.result import CallResult

# The telephone rings and hangs up; what is left of the wait says that the twin is at fault.
_MARGIN_S: Final = 30.0
# So many collections of the middle generation come before one of the oldest.
_NEVER: Final = 1_000_000
# What is left of a call refers to itself: some 1.5 MB wait for the end of the test then (measured).
_CALLS_KEPT: Final = 1_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A call that was placed."""

    number: int
    role: Role
    began_s: float
    calls_at_once: int
    call: TwinCall
    pacing: CallerPacing


class LoadRun:
    """One test, to be run once.

    Args:
        plan: What is to be done.
        stage: With what.
        measurer: Measures calls that are over.
        wavs: Keeps the sound of some; None: of none.
        part: The calls of this run, where others make the rest.
        begins_at_s: By the clock, when the test begins; None: when it is run.
        on_measured: Told of every call, in the order in which they are measured.
        clock: Seconds, monotonic: that of the twins.
    """

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        measurer: Measurer,
        *,
        wavs: SlowestWavs | None = None,
        part: Part = WHOLE,
        begins_at_s: float | None = None,
        on_measured: Callable[[CallMeasured], object] = lambda _call: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._measurer = measurer
        self._wavs = wavs
        self._part = part
        self._begins_at_s = begins_at_s
        self._on_measured = on_measured
        self._clock = clock
        self._start_s = clock()
        self._clockwork = Clockwork(clock=clock)
        self._live: dict[int, TwinCall] = {}
        """Calls that are not over, by their number."""
        self._stopped: set[int] = set()
        """Calls that were under way when the test was broken off."""
        self._begun = 0
        self._measured: list[CallMeasured] = []
        self._beside = Beside(
            stage.worker, plan.faults, at_s=self._at_s, calls=lambda: len(self._live)
        )
        self._tally = Tally()
        self._broken_off = asyncio.Event()

    def break_off(self) -> None:
        """Let no call begin any more, and every caller hang up."""
        if self._broken_off.is_set():
            return
        self._broken_off.set()
        self._beside.kill_no_more()
        self._stopped = set(self._live)
        for call in self._live.values():
            call.hang_up()

    async def run(self) -> LoadResult:
        """Run it to its end.

        Raises:
            LoadTestError: calls cannot be measured.
        """
        with _short_collections(self._plan):
            await self._wait_for_begin()
            began_at = datetime.now(UTC)
            self._clockwork.start()
            try:
                async with self._beside:
                    await self._make_calls()
            finally:
                slip = self._clockwork.stop()
        return LoadResult(
            plan=self._plan,
            began_at=began_at,
            took_s=self._at_s(),
            machine=await asyncio.to_thread(this_machine),
            calls=tuple(sorted(self._measured, key=lambda call: call.number)),
            samples=tuple(self._beside.samples),
            kills_s=tuple(self._beside.kills_s),
            slip=slip,
            broken_off=self._broken_off.is_set(),
        )

    async def _wait_for_begin(self) -> None:
        """Wait until the test begins, by now or at the moment it was given."""
        if self._begins_at_s is None:
            self._start_s = self._clock()
            return
        await asyncio.sleep(max(0.0, self._begins_at_s - self._clock()))
        # Late or not: what others of this test do now has the same time.
        self._start_s = self._begins_at_s

    @property
    def progress(self) -> Progress:
        """How it goes."""
        tally, at_s = self._tally, self._at_s()
        samples = self._beside.samples
        return Progress(
            at_s=at_s,
            of_s=duration_s(self._plan.arrivals),
            wanted=0
            if self._broken_off.is_set()
            else self._part.share(wanted(self._plan.arrivals, at_s)),
            running=len(self._live),
            waiting=self._begun - len(self._live) - tally.ended,
            ended=tally.ended,
            refused=tally.refused,
            dropped=tally.dropped,
            delay_p50_ms=tally.delays.percentile(50.0),
            delay_p95_ms=tally.delays.percentile(95.0),
            gaps=tally.gaps,
            worst_gap_ms=tally.worst_gap_ms,
            cpu_ms=cpu_ms_lately(samples),
            memory_mib=samples[-1].memory_mib if samples else None,
            slip=self._clockwork.slip,
        )

    def _at_s(self) -> float:
        return self._clock() - self._start_s

    # -- calls -------------------------------------------------------------------------------------

    async def _make_calls(self) -> None:
        try:
            async with asyncio.TaskGroup() as calls:
                await self._arrive(calls)
        except ExceptionGroup as group:
            unmeasured = group.subgroup(LoadTestError)
            if unmeasured is None:
                raise
            # Every call that was over says the same.
            raise LoadTestError(str(unmeasured.exceptions[0])) from group

    async def _arrive(self, calls: asyncio.TaskGroup) -> None:
        """Begin calls as the plan has them come, until none comes any more."""
        last_begun_s: float | None = None
        while not self._broken_off.is_set():
            at_s = self._at_s()
            now = due(self._plan.arrivals, at_s, len(self._live), last_begun_s, self._part)
            if now.begins:
                last_begun_s = at_s
                placed = await self._place(at_s)
                calls.create_task(self._see_through(placed), name=f"call {placed.number}")
            if now.again_s is None:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, now.again_s - self._at_s())):
                    await self._broken_off.wait()

    async def _place(self, at_s: float) -> _Placed:
        self._begun += 1
        number, plan, worker = self._part.number(self._begun), self._plan, self._stage.worker
        role, pacing = cast(plan, number, at_s), CallerPacing()
        call = await self._stage.twilio.place_inbound_call(
            worker.voice_url,
            caller=role.script,
            from_=role.from_,
            to=plan.target.to,
            status_url=worker.status_url,
            max_call_s=plan.call_s + LONGER_S,
            faults=role.faults,
            tap=pacing,
        )
        self._live[number] = call
        return _Placed(number, role, at_s, len(self._live), call, pacing)

    async def _see_through(self, placed: _Placed) -> None:
        """Wait for the end of a call, and have it measured."""
        call = placed.call
        longest_s = self._plan.call_s + LONGER_S + CALLBACKS_TIMEOUT_S + _MARGIN_S
        try:
            result = await call.wait(longest_s)
        except Exception as error:  # noqa: BLE001  the edge of a call
            # The twin's own fault, and nobody else's: one call of thousands.
            _log.exception("loadtest.call_failed", call_sid=call.sid)
            self._count(_failed(placed, error))
            return
        finally:
            self._live.pop(placed.number, None)
        call.drop_sound()
        sessions = self._stage.sessions
        logs = () if sessions is None else tuple(await sessions.take(placed.number))
        measured = await self._measurer.measure(
            Ended(
                call=result,
                number=placed.number,
                persona=placed.role.persona,
                lines=placed.role.lines,
                began_s=placed.began_s,
                calls_at_once=placed.calls_at_once,
                rang_at=call.line.journal.start_s,
                sessions=logs,
                model_lines=() if sessions is None else LINES,
                stopped=placed.number in self._stopped,
                late_frames=placed.pacing.late_frames,
                reset_gaps_ms=await self._reset_gaps_ms(result),
            )
        )
        self._count(measured)
        for log in logs:
            log.drop_audio()
        if self._wavs is not None:
            try:
                await asyncio.to_thread(self._wavs.offer, measured, result)
            except OSError as error:
                # A full disk: figures are worth more than sound.
                _log.warning("loadtest.sound_not_kept", call_sid=call.sid, why=str(error))

    def _count(self, measured: CallMeasured) -> None:
        self._measured.append(measured)
        self._tally.add(measured)
        self._on_measured(measured)

    async def _reset_gaps_ms(self, result: CallResult) -> tuple[float, ...]:
        if result.answered_at_s is None or not result.voices:
            return ()
        return await self._stage.worker.reset_gaps_ms(result.sid)


@contextlib.contextmanager
def _short_collections(plan: Plan) -> Iterator[None]:
    """Keep garbage collections from holding up the callers: meanwhile no frame is sent.

    What start-up leaves is not walked at all, and what has outlived some collections not again,
    where the calls of the plan are few enough: of 100 at once that took 54 ms, in which all of them
    stood still (observed).
    """
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    calls = plan.arrivals.calls * (1 + duration_s(plan.arrivals) / plan.call_s)
    if calls <= _CALLS_KEPT:
        gc.set_threshold(*before[:2], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _failed(placed: _Placed, error: Exception) -> CallMeasured:
    return CallMeasured(
        number=placed.number,
        sid=placed.call.sid,
        persona=placed.role.persona,
        lines=placed.role.lines,
        began_s=placed.began_s,
        calls_at_once=placed.calls_at_once,
        ending=Ending.DROPPED,
        reason=f"the simulated caller failed: {error!r}",
    )
