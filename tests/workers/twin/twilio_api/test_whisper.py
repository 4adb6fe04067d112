"""``<Number url>``: the callee hears a document, the caller does not, then they are connected."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from tests.fakes.voice_worker import Received, VoiceWorker
from tests.tone import amplitude_at
from workers.twin import phone_audio
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Press,
    StaySilent,
    Step,
    Tone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

TEXT = "Anna wants two loaves."
SAY = f"<Response><Say>{TEXT}</Say></Response>"
DIAL = (
    '<Response><Dial action="/result"><Number url="whisper?for=1">+15550107777</Number></Dial>'
    "</Response>"
)
SPOKEN = phone_audio.said(TEXT).ulaw()


async def dial(
    whisper: str | list[str] | Response | None, *callee: Step, twiml: str = DIAL
) -> tuple[CallResult, CallResult, Received, VoiceWorker]:
    """Call somebody who is put through; the caller's result, the callee's, and the action."""
    async with VoiceWorker(twiml={"/voice": twiml}) as worker:
        worker.twiml["/result"] = "<Response><Hangup/></Response>"
        if whisper is not None:
            worker.twiml["/whisper"] = whisper
        async with TwilioTwin(numbers=["+15550100002"]) as twilio:
            twilio.on_dial = lambda _: CalleeBehaviour(script=CallerScript.of(*callee))
            caller = CallerScript.of(Tone(500, 8_000), StaySilent())
            call = await twilio.place_inbound_call(f"{worker.base_url}/voice", caller=caller)
            result = await call.wait(20)
        (leg,) = result.legs
        (action,) = worker.sent_to("/result")
        return result, leg, action, worker


def loudness(ulaw: bytes, hz: float) -> float:
    return amplitude_at(phone_audio.to_pcm(ulaw), hz, rate_hz=8_000)


async def test_callee_hears_it_and_the_caller_does_not() -> None:
    """Then the two are connected: before that neither hears the other."""
    steps = (WaitStream(), Tone(900, 600), WaitSeconds(0.2), HangUp())
    result, leg, action, _ = await dial(SAY, *steps)
    at = leg.heard.find(SPOKEN)
    assert at > 0
    assert SPOKEN not in result.heard
    end = at + len(SPOKEN)
    assert set(leg.heard[:at]) == {0xFF}
    assert loudness(leg.heard[end:], 500) > 1_000
    (bridged,) = result.named("bridged")
    assert loudness(result.heard[round(bridged.at_s * 8_000) :], 900) > 1_000
    assert bridged.at_s >= leg.dialled_at_s + (at + len(SPOKEN)) / 8_000 - 0.05
    assert result.played_ms[0][0] / 1_000 >= bridged.at_s - 0.05
    assert (action.params["DialCallStatus"], action.params["DialBridged"]) == ("completed", "true")
    assert not result.warnings
    assert not leg.warnings


async def test_request_is_the_legs_own() -> None:
    """Signed like any, with the SIDs of leg and call, to an address relative to the document's."""
    result, leg, _, worker = await dial(SAY, WaitStream(), HangUp())
    (asked,) = worker.sent_to("/whisper")
    assert asked.path == "/whisper?for=1"
    assert (asked.params["CallSid"], asked.params["ParentCallSid"]) == (leg.sid, result.sid)
    assert (asked.params["CallStatus"], asked.params["Direction"]) == (
        "in-progress",
        "outbound-dial",
    )
    assert asked.params["To"] == "+15550107777"
    assert asked.headers["x-twilio-signature"]
    (hook,) = leg.webhooks
    assert (hook.status, hook.body.decode()) == (200, SAY)


async def test_callee_who_hangs_up_meanwhile_is_not_connected() -> None:
    """Their own call is completed, but nobody was bridged; the action decides what follows."""
    result, leg, action, _ = await dial(SAY, WaitSeconds(0.4), HangUp())
    assert not result.named("bridged")
    assert (action.params["DialCallStatus"], action.params["DialBridged"]) == ("completed", "false")
    assert leg.status == "completed"
    assert leg.duration_s < 2
    assert result.played_ms == ()
    assert SPOKEN not in leg.heard


async def test_hangup_in_the_document_declines() -> None:
    """As a screening does."""
    result, leg, action, _ = await dial(
        f"<Response><Say>{TEXT}</Say><Hangup/></Response>", StaySilent()
    )
    assert SPOKEN in leg.heard
    assert not result.named("bridged")
    assert action.params["DialBridged"] == "false"


@pytest.mark.parametrize(("key", "bridged"), [("1", "true"), ("2", "false")])
async def test_callee_may_choose(key: str, bridged: str) -> None:
    """Keys are collected from the callee, and lead to the next document."""
    gather = (
        '<Response><Gather numDigits="1" action="chosen"><Say>One to accept.</Say></Gather>'
        "<Hangup/></Response>"
    )
    chosen = "<Response/>" if key == "1" else "<Response><Hangup/></Response>"
    async with VoiceWorker(twiml={"/voice": DIAL, "/whisper": gather, "/chosen": chosen}) as worker:
        worker.twiml["/result"] = "<Response><Hangup/></Response>"
        async with TwilioTwin() as twilio:
            steps = (WaitSeconds(0.5), Press(key), WaitSeconds(1), HangUp())
            twilio.on_dial = lambda _: CalleeBehaviour(script=CallerScript.of(*steps))
            call = await twilio.place_inbound_call(f"{worker.base_url}/voice")
            await call.wait(20)
        assert worker.sent_to("/chosen")[0].params["Digits"] == key
        assert worker.sent_to("/result")[0].params["DialBridged"] == bridged


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (None, 12300),
        (Response("nothing here", status_code=404), 11200),
        (Response("not twiml", media_type="text/xml"), 12100),
    ],
)
async def test_document_that_cannot_be_had_is_done_without(
    answer: Response | None, code: int
) -> None:
    """Assumed; the debugger tells, and nobody hears an error."""
    result, leg, action, _ = await dial(answer, WaitSeconds(0.5), HangUp())
    assert leg.warned(code)
    assert leg.named("whisper.failed")
    assert action.params["DialBridged"] == "true"
    assert not result.named("say")
    assert not leg.named("say")


async def test_empty_document_connects_at_once() -> None:
    """There was nothing to say."""
    result, leg, action, _ = await dial("<Response/>", WaitSeconds(0.5), HangUp())
    assert action.params["DialBridged"] == "true"
    (bridged,) = result.named("bridged")
    assert leg.answered_at_s is not None
    assert bridged.at_s - leg.dialled_at_s - leg.answered_at_s < 0.3


async def test_another_dial_is_not_allowed() -> None:
    """It is skipped, and the debugger tells."""
    _, leg, action, _ = await dial(
        "<Response><Dial><Number>+15550108888</Number></Dial></Response>",
        WaitSeconds(0.5),
        HangUp(),
    )
    assert leg.warned(12200)
    assert leg.legs == ()
    assert action.params["DialBridged"] == "true"


async def test_caller_who_hangs_up_meanwhile_ends_both() -> None:
    """Nothing is left of the whisper."""
    async with VoiceWorker(twiml={"/voice": DIAL, "/whisper": SAY}) as worker:
        async with TwilioTwin() as twilio:
            twilio.on_dial = lambda _: CalleeBehaviour()
            call = await twilio.place_inbound_call(
                f"{worker.base_url}/voice", caller=CallerScript.of(WaitSeconds(0.6), HangUp())
            )
            result = await call.wait(20)
            assert {facts.state for facts in twilio.facts.values()} == {"completed"}
        (leg,) = result.legs
        assert SPOKEN not in leg.heard
        assert not worker.sent_to("/result")


async def test_call_on_hold_is_answered_at_the_bridge() -> None:
    """With ``answerOnBridge`` the caller hears ringing until then."""
    twiml = DIAL.replace("<Dial ", '<Dial answerOnBridge="true" ')
    steps = (WaitStream(), HangUp())
    result, leg, _, _ = await dial(SAY, *steps, twiml=twiml)
    assert result.answered_at_s is not None
    assert result.answered_at_s - leg.dialled_at_s >= len(SPOKEN) / 8_000
