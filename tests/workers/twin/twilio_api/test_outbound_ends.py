"""What an order of a call comes to: verdicts, voicemails, SIP codes, time that passes faster."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from tests.fakes.media_agent import MediaAgent
from tests.fakes.voice_worker import Received, VoiceWorker
from tests.tone import strongest_hz
from workers.twin import phone_audio
from workers.twin.caller import CallerScript, HangUp, Tone, WaitSeconds
from workers.twin.twilio_api.callee import CalleeBehaviour, Voicemail, blocked
from workers.twin.twilio_api.order import CallOrder, Detection, StatusCallback
from workers.twin.twilio_api.program import DocumentFetched, Fetch
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin
from workers.twin.twilio_api.states import EVENTS
from workers.twin.twilio_api.twiml import Document, Pause, Say

TO = "+15550100009"
FROM = "+15550100002"
HOLD = DocumentFetched(Document((Say("Hi"), Pause(30))), "")
GREETING = (Tone(440, 600),)


def order(worker: VoiceWorker, *, message_end: bool = False, **options: Any) -> CallOrder:
    return CallOrder(
        **{
            "first": HOLD,
            "status_callback": StatusCallback(
                f"{worker.base_url}/status?attempt=7", "POST", EVENTS
            ),
            "detection": Detection(message_end, callback=f"{worker.base_url}/amd"),
            **options,
        }
    )


async def dial(
    callee: CalleeBehaviour, *, twilio: TwilioTwin | None = None, **options: Any
) -> tuple[CallResult, list[Received], TwilioTwin]:
    """Dial somebody; give the result, the callbacks and the twin."""
    async with VoiceWorker() as worker, twilio or TwilioTwin() as twin:
        twin.on_dial = lambda _: callee
        result = await twin.place_outbound_call(TO, FROM, order(worker, **options)).wait(20)
    return result, worker.requests, twin


def told(requests: list[Received], path: str, name: str) -> list[str | None]:
    found = [r for r in requests if r.path.partition("?")[0] == path]
    found.sort(key=lambda r: int(r.params.get("SequenceNumber", 0)))
    return [r.params.get(name) for r in found]


@pytest.mark.parametrize(
    ("callee", "status", "sip"),
    [
        (CalleeBehaviour("busy", after_s=0), "busy", "486"),
        (CalleeBehaviour("no-answer", after_s=0), "no-answer", "487"),
        (CalleeBehaviour("failed", after_s=0, sip_code=404), "failed", "404"),
        (CalleeBehaviour("failed", after_s=0, sip_code=503), "failed", "503"),
        (CalleeBehaviour("failed", after_s=0), "failed", None),
        (blocked(after_s=0), "failed", "608"),
        (CalleeBehaviour(after_s=0, script=CallerScript.of(HangUp())), "completed", "200"),
    ],
)
async def test_last_callback_tells_the_sip_code(
    callee: CalleeBehaviour, status: str, sip: str | None
) -> None:
    """Only the last one does, and 32017 is in the debugger, not in the callback."""
    result, requests, twin = await dial(callee, detection=None)
    assert told(requests, "/status", "CallStatus")[-1] == result.status == status
    codes = told(requests, "/status", "SipResponseCode")
    assert codes == [None] * (len(codes) - 1) + [sip]
    assert result.warned(32017) == (callee.error_code == 32017)
    assert twin.ledger[result.sid].status == status


@pytest.mark.parametrize(
    ("ending", "message_end", "verdict"),
    [
        ("beep", False, "machine_start"),
        ("beep", True, "machine_end_beep"),
        ("silence", True, "machine_end_silence"),
        ("other", True, "machine_end_other"),
    ],
)
async def test_verdict_on_a_voicemail_goes_by_mode_and_ending(
    ending: Any, message_end: bool, verdict: str
) -> None:
    """It is in the callback and in the last status; with the mode's end it waits for that."""
    voicemail = Voicemail(GREETING, ending, beep_ms=300, record_s=1.5)
    callee = CalleeBehaviour.machine(voicemail, verdict_after_s=0.1)
    result, requests, _ = await dial(callee, message_end=message_end)
    assert told(requests, "/amd", "AnsweredBy") == [verdict]
    assert told(requests, "/status", "AnsweredBy") == [None, None, None, verdict]
    (amd,) = (hook for hook in result.webhooks if hook.kind == "amd")
    assert result.answered_at_s is not None
    after_s = amd.sent_at_s - result.answered_at_s
    greeting_s = {"beep": 0.9, "silence": 0.6 + 1.2, "other": 0.6}[ending]
    if message_end:
        assert after_s >= greeting_s - 0.05
        assert int(str(amd.params["MachineDetectionDuration"])) >= greeting_s * 1000 - 50
    else:
        assert after_s < greeting_s


async def test_greeting_longer_than_the_time_out_is_unknown() -> None:
    """So is one that the call's end cuts off."""
    callee = CalleeBehaviour.machine(Voicemail((Tone(440, 2000),), record_s=0.1))
    async with VoiceWorker() as worker, TwilioTwin() as twilio:
        twilio.on_dial = lambda _: callee
        late = Detection(True, 0.3, f"{worker.base_url}/amd")
        await twilio.place_outbound_call(TO, FROM, order(worker, detection=late)).wait(10)
        cut = twilio.place_outbound_call(TO, FROM, order(worker, message_end=True))
        async with asyncio.timeout(5):
            while cut.status != "in-progress":  # noqa: ASYNC110 - the twin's state
                await asyncio.sleep(0.01)
        cut.hang_up()
        await cut.wait(5)
    assert told(worker.requests, "/amd", "AnsweredBy") == ["unknown", "unknown"]


async def test_waiting_document_is_told_the_machines_verdict() -> None:
    """Without AsyncAmd the document is asked for when the greeting is over, with the verdict."""
    async with VoiceWorker() as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = "<Response><Say>Hi</Say></Response>"
        voicemail = Voicemail(GREETING, beep_ms=200)
        twilio.on_dial = lambda _: CalleeBehaviour.machine(voicemail)
        wanted = order(
            worker,
            first=Fetch(f"{worker.base_url}/voice"),
            detection=Detection(message_end=True),
        )
        await twilio.place_outbound_call(TO, FROM, wanted).wait(20)
    (voice,) = worker.sent_to("/voice")
    assert voice.params["AnsweredBy"] == "machine_end_beep"


async def test_message_after_the_beep_is_recorded() -> None:
    """The beep is heard on the stream; what is said before it is lost, what comes after is kept."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        worker.twiml["/message"] = "<Response><Say>agent_bye</Say></Response>"
        voicemail = Voicemail((Tone(440, 700),), beep_hz=1000, beep_ms=400)
        twilio.on_dial = lambda _: CalleeBehaviour.machine(voicemail)
        wanted = order(worker, first=Fetch(f"{worker.base_url}/voice"), message_end=True)
        call = twilio.place_outbound_call(TO, FROM, wanted)
        async with asyncio.timeout(10):
            while not worker.sent_to("/amd"):  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)
        call.replace(Fetch(f"{worker.base_url}/message"))
        result = await call.wait(20)
    said = phone_audio.said("agent_bye").ulaw()
    assert said[:4000] in result.recorded
    assert twilio.ledger[result.sid].recorded_ms == phone_audio.loud_ms(result.recorded)
    assert twilio.ledger[result.sid].recorded_ms > 300
    assert twilio.ledger[result.sid].query == {"attempt": "7"}
    sent = b"".join(base64.b64decode(one["media"]["payload"]) for one in agent.of("media"))
    parts = [sent[n : n + 1600] for n in range(0, len(sent), 1600)]
    heard = {
        round(strongest_hz(phone_audio.to_pcm(part), rate_hz=8000), -1)
        for part in parts
        if phone_audio.is_loud(part)
    }
    assert {440, 1000} <= heard


async def test_nothing_said_is_nothing_recorded() -> None:
    """A call that says its piece during the greeting has left no message."""
    voicemail = Voicemail((Tone(440, 2500),), beep_ms=200, record_s=0.5)
    result, _, twin = await dial(CalleeBehaviour.machine(voicemail))
    assert phone_audio.loud_ms(result.heard) > 100
    assert phone_audio.loud_ms(result.recorded) == 0
    assert 3800 <= len(result.recorded) <= 4400
    assert twin.ledger[result.sid].recorded_ms == 0


async def test_time_passes_faster_and_dates_are_of_the_wall_handed_in() -> None:
    """An hour of ringing, talk and verdict at speed 3600 is a second; the ledger counts hours."""
    began = time.monotonic()

    def wall() -> float:
        return 1_800_000_000 + (time.monotonic() - began) * 3600

    callee = CalleeBehaviour(
        after_s=1200, script=CallerScript.of(WaitSeconds(1800), HangUp()), verdict_after_s=20
    )
    result, requests, twin = await dial(
        callee,
        twilio=TwilioTwin(speed=3600, wall=wall),
        ring_timeout_s=3000,
        first=DocumentFetched(Document((Say("Hi"), Pause(7000))), ""),
    )
    entry = twin.ledger[result.sid]
    assert entry.status == "completed"
    assert entry.rang_at is not None
    assert entry.answered_at is not None
    assert entry.ended_at is not None
    assert 1_800_000_000 <= entry.asked_at <= entry.rang_at
    assert 1200 <= entry.answered_at - entry.rang_at < 3600
    assert 1800 <= entry.ended_at - entry.answered_at < 7200
    assert int(str(told(requests, "/status", "CallDuration")[-1])) >= 1800
    assert told(requests, "/amd", "MachineDetectionDuration") == ["20000"]
    assert str(told(requests, "/status", "Timestamp")[0]).startswith("Fri, 15 Jan 2027")
