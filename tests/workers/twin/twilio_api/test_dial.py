"""``<Dial>`` from a live call: answered, busy, unanswered, and what its action is told."""

from __future__ import annotations

import pytest

from tests.fakes.voice_worker import Received, VoiceWorker
from tests.tone import amplitude_at
from workers.twin import phone_audio
from workers.twin.caller import CallerScript, HangUp, StaySilent, Step, Tone, WaitSeconds
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

DIAL = (
    '<Response><Dial action="/transfer-result" timeout="1"><Number>+15550107777</Number></Dial>'
    "<Say>after</Say></Response>"
)


async def dial(
    callee: CalleeBehaviour, *caller: Step, twiml: str = DIAL
) -> tuple[CallResult, TwilioTwin, list[Received]]:
    async with VoiceWorker(twiml={"/voice": twiml}) as worker:
        worker.twiml["/transfer-result"] = "<Response><Hangup/></Response>"
        async with TwilioTwin(numbers=["+15550100002"]) as twilio:
            twilio.on_dial = lambda _: callee
            call = await twilio.place_inbound_call(
                f"{worker.base_url}/voice", caller=CallerScript.of(*caller)
            )
            result = await call.wait(15)
        return result, twilio, worker.sent_to("/transfer-result")


async def test_both_hear_each_other_and_the_action_learns_of_it() -> None:
    """Tones cross the bridge; when the callee hangs up the action says ``completed``."""
    script = CallerScript.of(Tone(900, 600), WaitSeconds(0.1), HangUp())
    result, twilio, (action,) = await dial(
        CalleeBehaviour(script=script), WaitSeconds(0.3), Tone(500, 300), StaySilent()
    )
    pcm = phone_audio.to_pcm(result.heard)
    assert amplitude_at(pcm, 900, rate_hz=8000) > 1000
    assert amplitude_at(pcm, 500, rate_hz=8000) < 100
    assert action.params["DialCallStatus"] == "completed"
    assert action.params["DialBridged"] == "true"
    assert action.params["CallSid"] == result.sid
    leg = twilio.facts[action.params["DialCallSid"]]
    assert (leg.parent_call_sid, leg.direction) == (result.sid, "outbound-dial")
    assert leg.state == "completed"
    # The bridge is seamless: no holes between the callee's frames.
    assert result.gaps_ms(longest_ms=200) == ()


@pytest.mark.parametrize(
    ("callee", "status"),
    [
        (CalleeBehaviour("busy"), "busy"),
        (CalleeBehaviour("no-answer", after_s=0.3), "no-answer"),
        (CalleeBehaviour(after_s=9), "no-answer"),
        (CalleeBehaviour("failed"), "failed"),
    ],
)
async def test_action_learns_why_nobody_answered(callee: CalleeBehaviour, status: str) -> None:
    """The caller stays on the line and the action decides what follows."""
    result, twilio, (action,) = await dial(callee)
    assert action.params["DialCallStatus"] == status
    assert action.params["CallStatus"] == "in-progress"
    assert twilio.facts[action.params["DialCallSid"]].state == status
    assert result.status == "completed"


async def test_without_action_the_next_verb_runs() -> None:
    """``<Dial>`` without an action falls through."""
    twiml = DIAL.replace('action="/transfer-result" ', "")
    result, _, actions = await dial(CalleeBehaviour("busy"), twiml=twiml)
    assert not actions
    assert result.named("say")


async def test_caller_who_hangs_up_ends_the_other_leg() -> None:
    """No action is requested, and the dialled leg is over too."""
    result, twilio, actions = await dial(CalleeBehaviour(), WaitSeconds(0.5), HangUp())
    assert not actions
    assert {facts.state for facts in twilio.facts.values()} == {"completed"}
    assert result.status == "completed"


async def test_foreign_caller_id_is_refused() -> None:
    """Only an owned number or the caller's own may be shown; otherwise nobody is dialled."""
    twiml = DIAL.replace("<Dial ", '<Dial callerId="+15559999999" ')
    result, twilio, (action,) = await dial(CalleeBehaviour(), twiml=twiml)
    assert result.warned(13214)
    assert action.params["DialCallStatus"] == "failed"
    assert len(twilio.facts) == 1
