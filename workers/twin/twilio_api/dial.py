"""``<Dial>``: rings numbers, connects the first that answers, reports how it went."""

from __future__ import annotations

import asyncio

from workers.twin import dtmf
from workers.twin.caller import HangUp
from workers.twin.performer import Doing, KeyPressed
from workers.twin.twilio_api import states, twiml
from workers.twin.twilio_api.callee import CalleeBehaviour, ring
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.program import VerbEnded
from workers.twin.twilio_api.resources import CallFacts
from workers.twin.twilio_api.whisper import whisper


class Leg:
    """One dialled number: a line of its own, under the call that dials it."""

    def __init__(self, parent: Line, number: twiml.Number, caller_id: str) -> None:
        desk, facts = parent.desk, parent.facts
        self.number = number
        self.behaviour: CalleeBehaviour = desk.on_dial(number.number)
        self.hung_up = asyncio.Event()
        self.line = Line(
            desk,
            CallFacts(
                account_sid=facts.account_sid,
                # Without callerId the caller's own number is shown (docs/voice/twiml/dial).
                from_=caller_id or facts.from_,
                to=number.number,
                direction="outbound-dial",
                created_at=desk.wall(),
                parent_call_sid=facts.sid,
            ),
            self.behaviour.script,
            on_doing=self._on_doing,
            faults=parent.faults,
        )
        parent.legs.append(self.line)

    async def ring(self, timeout_s: float) -> str:
        """Ring until answered (``in-progress``, not entered yet) or not."""
        status = await ring(
            self.behaviour,
            timeout_s=timeout_s,
            enter=self.line.enter,
            sleep=self.line.desk.sleep,
        )
        if status != states.IN_PROGRESS:
            self.line.enter(status)
        return status

    def end(self) -> None:
        """End the leg, whatever it was doing."""
        state = self.line.facts.state
        if state not in states.TERMINAL:
            answered = state == states.IN_PROGRESS
            self.line.enter(states.COMPLETED if answered else states.CANCELED)
        self.line.party.stop()

    def _on_doing(self, doing: Doing) -> None:
        self.line.journal.note("script", doing=repr(doing))
        match doing:
            case HangUp():
                self.hung_up.set()
            case KeyPressed(digit) if self.line.on_key is not None:
                self.line.on_key(digit)


async def dial(line: Line, verb: twiml.Dial) -> VerbEnded:
    """Ring all numbers at once and stay with the first that answers."""
    if verb.caller_id not in ("", line.facts.from_) and not line.desk.owns(verb.caller_id):
        line.journal.warn(13214, verb.caller_id)
        return VerbEnded({"DialCallStatus": states.FAILED})
    legs = [Leg(line, number, verb.caller_id) for number in verb.numbers]
    line.journal.note("dial", to=[leg.number.number for leg in legs])
    if not legs:
        return VerbEnded({"DialCallStatus": states.FAILED})
    try:
        leg, status = await _first_to_answer(legs, verb.timeout_s)
        for other in legs:
            if other is not leg:
                other.end()
        params = {"DialCallStatus": status, "DialCallSid": leg.line.facts.sid}
        bridged = False
        if status == states.IN_PROGRESS:
            bridged = await _accepted(leg)
            if bridged:
                line.answer()
                await _bridge(line, leg, verb.time_limit_s)
            leg.end()
            # Also of somebody who answered and was not connected: their own call is completed
            # (seen in public services, which tell the two apart by DialBridged).
            params["DialCallStatus"] = states.COMPLETED
            params["DialCallDuration"] = str(leg.line.facts.duration_s)
        params["DialBridged"] = "true" if bridged else "false"
        line.journal.note("dial.ended", status=params["DialCallStatus"], bridged=bridged)
        return VerbEnded(params)
    finally:
        for leg in legs:
            leg.end()


async def _first_to_answer(legs: list[Leg], timeout_s: float) -> tuple[Leg, str]:
    ringing = {asyncio.ensure_future(leg.ring(timeout_s)): leg for leg in legs}
    last = legs[0], states.NO_ANSWER
    try:
        waiting = set(ringing)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                last = ringing[task], task.result()
                if last[1] == states.IN_PROGRESS:
                    return last
        return last
    finally:
        for task in ringing:
            task.cancel()
        await asyncio.gather(*ringing, return_exceptions=True)


async def _accepted(leg: Leg) -> bool:
    """Do with the callee what comes before the bridge; say whether there is to be one."""
    leg.line.party.start()
    leg.line.enter(states.IN_PROGRESS)
    if leg.number.send_digits:
        await leg.line.play(dtmf.keys(leg.number.send_digits))
    if not leg.number.url:
        return True
    whispering = asyncio.ensure_future(whisper(leg.line, leg.number))
    gone = asyncio.ensure_future(leg.hung_up.wait())
    try:
        await asyncio.wait({whispering, gone}, return_when=asyncio.FIRST_COMPLETED)
        return whispering.done() and whispering.result() and not leg.hung_up.is_set()
    finally:
        for task in (whispering, gone):
            task.cancel()
        await asyncio.gather(whispering, gone, return_exceptions=True)


async def _bridge(line: Line, leg: Leg, time_limit_s: float) -> None:
    line.journal.note("bridged", to=leg.number.number)
    leg.line.party.performer.streaming = True
    leg.line.party.sink = line.party.hear
    line.party.sink = leg.line.party.hear
    try:
        async with asyncio.timeout(time_limit_s / line.desk.speed):
            await leg.hung_up.wait()
    except TimeoutError:
        line.journal.note("dial.time_limit")
    finally:
        line.party.sink = leg.line.party.sink = None
