"""One call from its first ring to its end: runs its program, and lets others interrupt it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from workers.twin import dtmf, phone_audio
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Record,
    SecondStream,
)
from workers.twin.performer import Doing, KeyPressed, StepBegun
from workers.twin.twilio_api import states
from workers.twin.twilio_api.acts import do_to_stream, shown
from workers.twin.twilio_api.call_result import call_result
from workers.twin.twilio_api.callee import CalleeBehaviour, ring
from workers.twin.twilio_api.connect import second_stream
from workers.twin.twilio_api.desk import Desk
from workers.twin.twilio_api.detecting import detect
from workers.twin.twilio_api.fetching import fetch
from workers.twin.twilio_api.line import CallFaults, Line
from workers.twin.twilio_api.media.stream import MediaTap
from workers.twin.twilio_api.order import CallOrder, Detection
from workers.twin.twilio_api.program import (
    DocumentFetched,
    Fetch,
    Finish,
    Outcome,
    Program,
    Run,
    Step,
)
from workers.twin.twilio_api.resources import CallFacts
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.verbs import perform

# Status callbacks that are still on their way when the call has ended (Twilio's own ceiling).
CALLBACKS_TIMEOUT_S = 16.0


class TwinCall:
    """A live call; ``wait`` gives its result."""

    def __init__(
        self,
        desk: Desk,
        facts: CallFacts,
        order: CallOrder,
        *,
        script: CallerScript,
        callee: CalleeBehaviour | None = None,
        turn: asyncio.Future[None] | None = None,
        faults: CallFaults | None = None,
        tap: MediaTap | None = None,
    ) -> None:
        self.line = Line(
            desk,
            facts,
            script,
            on_doing=self._on_doing,
            status_callback=order.status_callback,
            faults=faults,
            tap=tap,
        )
        self._order = order
        self._callee = callee
        # Done when it leaves the queue; where there is none it has left already.
        self._turn = turn
        self._program = Program(fallback_url=order.fallback_url)
        self._interruption: asyncio.Future[Finish | Fetch | DocumentFetched] = _future()
        self._ended = asyncio.Event()
        self._heard_out = asyncio.Event()
        """Set when a voicemail records, or the call is over."""
        self._ended_at_s = 0.0
        self._error: Exception | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._extras: list[asyncio.Task[None]] = []

    @property
    def sid(self) -> str:
        """The call SID."""
        return self.line.facts.sid

    @property
    def status(self) -> str:
        """The call's state by Twilio's name."""
        return self.line.facts.state

    def hang_up(self) -> None:
        """Let the person at the phone hang up, whatever goes on."""
        self.line.journal.note("hung_up")
        answered = self.line.facts.answered_at is not None
        self.end(states.COMPLETED if answered else states.NO_ANSWER, "the far end hung up")

    def end(self, status: str, why: str) -> None:
        """End the call from outside; nothing happens if it is ending already."""
        self._interrupt(Finish(status, why))

    def replace(self, first: Fetch | DocumentFetched) -> None:
        """Run another document instead of what runs now; a stream is torn down."""
        self._interrupt(first)

    async def wait(self, timeout_s: float = 60.0) -> CallResult:
        """Wait for the end of the call and of its callbacks.

        Raises:
            TimeoutError: saying where the call had got to.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            last = [(round(e.at_s, 2), e.kind, e.data) for e in self.line.journal.events[-8:]]
            raise TimeoutError(
                f"call {self.sid} is {self.status} after {timeout_s} s; last: {last}"
            ) from None
        if self._error is not None:
            raise self._error
        if self.line.callbacks:
            await asyncio.wait(list(self.line.callbacks), timeout=CALLBACKS_TIMEOUT_S)
        return call_result(self.line, self._ended_at_s)

    def drop_sound(self) -> None:
        """Keep nothing more of what was heard and said: whoever wants it has a result.

        What is left of a call refers to itself, and waits for a garbage collection. One that frees
        the sound of many calls at a time stands still for long.
        """
        for line in (self.line, *self.line.legs):
            line.party.drop_sound()

    def so_far(self) -> CallResult:
        """Sum up a call that may not be over yet."""
        return call_result(self.line, self.line.journal.now_s())

    async def run(self) -> None:
        """Run the call to its end; the twin does this in a task."""
        finish = Finish(states.COMPLETED, "the twin closed")
        try:
            finish = await self._run()
        except Exception as error:  # noqa: BLE001 - the edge of a call
            # A fault of the twin itself; whoever waits for the call gets it.
            self._error = error
            finish = Finish(states.FAILED, repr(error))
        finally:
            if self._limit is not None:
                self._limit.cancel()
            for task in self._extras:
                task.cancel()
            self._finish(finish)

    async def _run(self) -> Finish:
        if self._callee is None:
            self._limit_time()
            self.line.party.start()
            step: Step = await self._take(self._order.first)
        else:
            step = await self._step_of(self._dial_out(self._callee))
        while not isinstance(step, Finish):
            step = await self._take(step)
        return step

    def _limit_time(self) -> None:
        limit_s = self._order.time_limit_s / self.line.desk.speed
        self._limit = asyncio.get_running_loop().call_later(
            limit_s, self.end, states.COMPLETED, "time limit"
        )

    async def _take(self, step: Step | DocumentFetched) -> Step:
        match step:
            case Fetch():
                return await self._step_of(fetch(self.line, step))
            case Run(verb, answers):
                if answers:
                    self.line.answer()
                return await self._step_of(perform(self.line, verb))
            case DocumentFetched():
                return self._program.next(step)
        return step

    async def _step_of(self, work: Coroutine[Any, Any, Outcome | Step | DocumentFetched]) -> Step:
        """Do the work unless something interrupts it; say what comes next."""
        task = asyncio.ensure_future(work)
        try:
            both: list[asyncio.Future[Any]] = [task, self._interruption]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            await asyncio.wait({task})
        if self._interruption.done():
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            what = self._interruption.result()
            if not isinstance(what, Finish):
                self._interruption = _future()
            return await self._take(what)
        outcome = task.result()
        if isinstance(outcome, Run | Fetch | Finish):
            return outcome
        return self._program.next(outcome)

    async def _dial_out(self, callee: CalleeBehaviour) -> Step | DocumentFetched:
        line = self.line
        if self._turn is not None:
            await self._turn
            line.restart()
        status = await ring(
            callee,
            timeout_s=self._order.ring_timeout_s,
            enter=line.enter,
            sleep=line.desk.sleep,
        )
        if status != states.IN_PROGRESS:
            if callee.outcome != "answer":
                line.facts.sip_code = callee.sip_code
                line.facts.error_code = callee.error_code
                if callee.error_code:
                    line.journal.warn(callee.error_code, f"SIP {callee.sip_code}")
            return Finish(status, "not answered")
        self._limit_time()
        line.party.start()
        line.enter(states.IN_PROGRESS)
        if self._order.send_digits:
            await line.play(dtmf.keys(self._order.send_digits))
        first = self._order.first
        detection = self._order.detection
        if detection is not None and detection.is_async:
            line.spawn(self._tell_verdict(callee, detection), "amd")
        elif detection is not None:
            # The document waits for the verdict, and the callee hears silence.
            verdict = await detect(self.line, callee, detection, self._heard_out)
            if isinstance(first, Fetch):
                first = Fetch(first.url, first.method, verdict)
        return first

    async def _tell_verdict(self, callee: CalleeBehaviour, detection: Detection) -> None:
        facts = self.line.facts
        verdict = await detect(self.line, callee, detection, self._heard_out)
        params = {"AccountSid": facts.account_sid, "CallSid": facts.sid, **verdict}
        await self.line.post_callback(
            "amd", detection.callback, params, method=detection.callback_method
        )

    def _interrupt(self, what: Finish | Fetch | DocumentFetched) -> None:
        if not self._interruption.done():
            self._interruption.set_result(what)
        elif not isinstance(self._interruption.result(), Finish):
            # Two writers in one turn of the loop: the later one wins, as at Twilio.
            self._interruption = _future()
            self._interruption.set_result(what)

    def _finish(self, finish: Finish) -> None:
        line = self.line
        state = line.facts.state
        if state not in states.TERMINAL:
            status = finish.status
            if status not in states.MOVES[state]:
                status = states.CANCELED if line.facts.answered_at is None else states.COMPLETED
            # Cancelling what is still queued tells nobody (docs/voice/api/call-resource).
            line.enter(status, silently=state == states.QUEUED)
        line.party.stop()
        line.journal.note("ended", why=finish.why)
        self._ended_at_s = line.journal.now_s()
        if line.recorded_from_s is not None:
            line.desk.ledger.recorded(line.facts.sid, phone_audio.loud_ms(line.recorded()))
        self._heard_out.set()
        self._ended.set()

    def _on_doing(self, doing: Doing) -> None:
        line, stream = self.line, self.line.stream
        line.journal.note("script", doing=shown(doing))
        if line.recorded_from_s is not None and line.recorded_until_s is None:
            line.recorded_until_s = line.journal.now_s()
        match doing:
            case StepBegun(Record()):
                line.recorded_from_s = line.journal.now_s()
                self._heard_out.set()
            case KeyPressed(digit):
                if line.on_key is not None:
                    line.on_key(digit)
            case HangUp():
                self.hang_up()
            case SecondStream(parameters):
                work = second_stream(line, parameters)
                self._extras.append(line.spawn(work, "second stream"))
        if stream is not None:
            do_to_stream(stream, doing)


def _future() -> asyncio.Future[Finish | Fetch | DocumentFetched]:
    return asyncio.get_running_loop().create_future()
