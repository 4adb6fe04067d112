"""Whole calls between the twin and a small worker, over real sockets."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme
from starlette.responses import Response
from starlette.websockets import WebSocket
from twilio.request_validator import RequestValidator

from tests.fakes.media_agent import MediaAgent, b64
from tests.fakes.voice_worker import Received, VoiceWorker
from tests.tone import strongest_hz
from workers.twin import phone_audio
from workers.twin.caller import (
    CallerScript,
    DropSocket,
    HangUp,
    HoldFrames,
    Press,
    ReorderFrames,
    Say,
    SecondStream,
    SendRaw,
    SkipTime,
    Step,
    Tone,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.media.stream import StreamFaults
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

RATE_HZ = 8_000


def silent(ulaw: bytes) -> bool:
    return not any(phone_audio.is_loud(ulaw[n : n + 160]) for n in range(0, len(ulaw), 160))


async def run_call(
    worker: VoiceWorker, *steps: Step, faults: CallFaults | None = None, **options: Any
) -> CallResult:
    async with TwilioTwin() as twilio:
        call = await twilio.place_inbound_call(
            f"{worker.base_url}/voice", caller=CallerScript.of(*steps), faults=faults, **options
        )
        result = await call.wait(20)
        assert not twilio.live_calls
        assert not twilio.live_sockets
    return result


async def test_messages_of_a_stream_are_those_of_the_reference() -> None:
    """Order, fields, string counters and the close without status are as Twilio's."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream(parameters={"ticket": "t-1"})
        result = await run_call(worker, WaitStream(), WaitSeconds(0.3), Press("5"), HangUp())
    connected, start = agent.messages[:2]
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["sequenceNumber"] == "1"
    assert start["start"]["callSid"] == result.sid
    assert start["start"]["customParameters"] == {"ticket": "t-1"}
    assert start["start"]["mediaFormat"]["sampleRate"] == 8000
    media = agent.of("media")
    assert media[0]["media"]["chunk"] == "1"
    assert media[0]["media"]["timestamp"] == "73"
    assert media[1]["media"]["timestamp"] == "93"
    assert len(media[0]["media"]["payload"]) == 216
    (dtmf,) = agent.of("dtmf")
    assert dtmf["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert agent.messages[-1]["event"] == "stop"
    numbers = [int(message["sequenceNumber"]) for message in agent.messages[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert agent.close_code == 1005
    assert result.status == "completed"
    assert not result.warnings


async def test_caller_frames_keep_their_cadence() -> None:
    """Two seconds of call are a hundred frames, silence included, on an absolute schedule."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        await run_call(worker, WaitStream(), WaitSeconds(2.0), HangUp())
    assert 93 <= len(agent.of("media")) <= 98


async def test_tone_of_the_caller_comes_back_as_heard() -> None:
    """What the caller sings reaches the worker, and what the worker echoes reaches the caller."""
    agent = MediaAgent(echo=True)
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(
            worker, WaitStream(), WaitSeconds(0.2), Tone(440, 600), WaitSeconds(0.2), HangUp()
        )
    pcm = phone_audio.to_pcm(result.heard)
    assert strongest_hz(pcm, rate_hz=RATE_HZ) == pytest.approx(440, abs=5)
    spoken = phone_audio.to_pcm(result.spoken)
    assert strongest_hz(spoken, rate_hz=RATE_HZ) == pytest.approx(440, abs=5)


async def test_sound_is_dropped_where_nobody_wants_it_any_more() -> None:
    """Results that there are keep theirs."""
    agent = MediaAgent(speak_ms=100)
    async with VoiceWorker(media=agent) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        script = CallerScript.of(WaitAgentStarts(), WaitAgentDone(200), HangUp())
        call = await twilio.place_inbound_call(f"{worker.base_url}/voice", caller=script)
        result = await call.wait(10)
        call.drop_sound()
    assert not silent(result.heard)
    assert silent(call.so_far().heard)
    assert silent(call.so_far().spoken)


async def test_events_leave_marks_out_where_nobody_wants_them() -> None:
    """They are echoed all the same."""
    agent = MediaAgent(speak_ms=100)
    async with (
        VoiceWorker(media=agent) as worker,
        TwilioTwin(keep_marks=False) as twilio,
    ):
        worker.twiml["/voice"] = worker.stream()
        script = CallerScript.of(WaitAgentStarts(), WaitAgentDone(200), HangUp())
        call = await twilio.place_inbound_call(f"{worker.base_url}/voice", caller=script)
        result = await call.wait(10)
    assert [message["mark"]["name"] for message in agent.of("mark")] == ["greeting"]
    assert {"stream.started", "ended"} <= {event.kind for event in result.events}
    assert not any(event.kind.startswith("mark") for event in result.events)


async def test_mark_is_echoed_when_its_audio_has_played() -> None:
    """A mark behind 400 ms of audio comes back 400 ms later."""
    agent = MediaAgent(speak_ms=400)
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(worker, WaitAgentStarts(), WaitAgentDone(200), HangUp())
    (was_set,) = result.named("mark.set")
    (echoed,) = result.named("mark.echoed")
    ((start_ms, end_ms),) = result.played_ms
    assert end_ms - start_ms == 400
    assert 0 <= echoed.at_s * 1000 - end_ms < 60
    assert [message["mark"]["name"] for message in agent.of("mark")] == ["greeting"]
    # What was heard begins where the events say it did.
    assert silent(result.heard[: round(start_ms * 8)])
    assert 0 <= was_set.at_s * 1000 - start_ms < 60


async def test_clear_silences_and_echoes_every_mark() -> None:
    """After ``clear`` nothing more is heard and all outstanding marks come back at once."""

    class Clearing(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            await super().on_message(socket, message)
            if message["event"] == "start":
                for name in ("a", "b"):
                    payload = b64(phone_audio.tone(600, 1000).ulaw())
                    await self.send(socket, "media", media={"payload": payload})
                    await self.send(socket, "mark", mark={"name": name})
            if message["event"] == "dtmf":
                await self.send(socket, "clear")

    agent = Clearing()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(worker, WaitAgentSpoke(400), Press("1"), WaitSeconds(0.5), HangUp())
    assert [message["mark"]["name"] for message in agent.of("mark")] == ["a", "b"]
    (clear,) = result.named("clear")
    ((start_ms, end_ms),) = result.played_ms
    assert end_ms == pytest.approx(clear.at_s * 1000, abs=5)
    assert 350 <= end_ms - start_ms < 700
    assert silent(result.heard[round(end_ms * 8) + 160 :])


async def test_every_request_carries_a_signature_the_sdk_accepts() -> None:
    """Voice, stream status, call status and the upgrade verify with the real validator."""
    validator = RequestValidator("secret")
    async with VoiceWorker(media=MediaAgent()) as worker:
        worker.twiml["/voice"] = worker.stream()
        async with TwilioTwin(auth_token="secret") as twilio:
            call = await twilio.place_inbound_call(
                f"{worker.base_url}/voice?a=1&b=%2Fx",
                caller=CallerScript.of(WaitStream(), HangUp()),
                status_url=f"{worker.base_url}/status#rc=2",
            )
            await call.wait(10)
        assert {request.path.partition("?")[0] for request in worker.requests} == {
            "/voice",
            "/stream-status",
            "/status",
        }
        for request in worker.requests:
            signature = request.headers["x-twilio-signature"]
            assert request.params["CallSid"] == call.sid
            assert "i-twilio-idempotency-token" in request.headers
            assert validator.validate(worker.base_url + request.path, request.params, signature)
        (upgrade,) = worker.upgrades
        assert "origin" not in upgrade
        url = f"ws://{worker.host}/media"
        assert validator.validate(url, {}, upgrade["x-twilio-signature"])


async def test_voice_request_has_the_documented_fields() -> None:
    """An inbound call rings, and blank geography is sent and signed."""
    async with VoiceWorker(twiml={"/voice": "<Response><Hangup/></Response>"}) as worker:
        result = await run_call(worker)
        (voice,) = worker.sent_to("/voice")
    assert voice.params["CallStatus"] == "ringing"
    assert voice.params["Direction"] == "inbound"
    assert voice.params["From"] == voice.params["Caller"] == "+15550100001"
    assert voice.params["FromCity"] == ""
    assert result.status == "completed"


async def test_closed_socket_leads_to_the_next_verb() -> None:
    """When the worker closes, 31921 is logged and the Redirect after Connect is requested."""

    class Closing(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            if message["event"] == "start":
                await socket.close(1000)

    async with VoiceWorker(media=Closing()) as worker:
        worker.twiml["/voice"] = worker.stream(after="<Redirect>/continue?n=1</Redirect>")
        worker.twiml["/continue"] = "<Response><Hangup/></Response>"
        result = await run_call(worker)
        assert [r.params["CallStatus"] for r in worker.sent_to("/continue")] == ["in-progress"]
        events = [r.params["StreamEvent"] for r in worker.sent_to("/stream-status")]
    assert sorted(events) == ["stream-started", "stream-stopped"]
    assert result.warned(31921)
    assert [webhook.kind for webhook in result.webhooks if webhook.kind == "voice"] == ["voice"] * 2


async def test_hang_up_makes_no_redirect_request() -> None:
    """A caller who hangs up leaves no live call to steer."""
    async with VoiceWorker(media=MediaAgent()) as worker:
        worker.twiml["/voice"] = worker.stream(after="<Redirect>/continue</Redirect>")
        await run_call(worker, WaitStream(), HangUp())
        assert not worker.sent_to("/continue")


async def test_dropped_socket_is_a_reset_without_stop() -> None:
    """After a reset the worker has seen no ``stop``, and the call goes to the next verb."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream(after="<Redirect>/continue</Redirect>")
        worker.twiml["/continue"] = "<Response><Pause length='1'/></Response>"
        result = await run_call(worker, WaitStream(), WaitSeconds(0.2), DropSocket())
        assert worker.sent_to("/continue")
    assert not agent.of("stop")
    assert agent.close_code is not None
    assert result.status == "completed"


async def test_refused_upgrade_is_31920_and_a_stream_error() -> None:
    """A handshake that is not answered with 101 fails the stream and falls through."""
    async with VoiceWorker() as worker:
        worker.twiml["/voice"] = worker.stream(after="<Hangup/>")
        result = await run_call(worker)
        (error,) = worker.sent_to("/stream-status")
    assert result.warned(31920)
    assert error.params["StreamEvent"] == "stream-error"
    assert error.params["StreamError"].startswith("31920")


async def test_nobody_listening_is_31902() -> None:
    """A refused connection ends the stream with its own code."""
    twiml = '<Response><Connect><Stream url="ws://127.0.0.1:9/x"/></Connect><Hangup/></Response>'
    async with VoiceWorker(twiml={"/voice": twiml}) as worker:
        result = await run_call(worker)
    assert result.warned(31902)


@pytest.mark.parametrize(
    ("url", "code"),
    [("ws://voice.example/media", 31922), ("https://voice.example/", 31922), ("media", 31923)],
)
async def test_bad_stream_url_is_refused(url: str, code: int) -> None:
    """Only wss is dialled, save on loopback."""
    twiml = f'<Response><Connect><Stream url="{url}"/></Connect></Response>'
    async with VoiceWorker(twiml={"/voice": twiml}) as worker:
        result = await run_call(worker)
    assert result.warned(code)


async def test_server_frames_are_judged_strictly() -> None:
    """Binary frames, extra fields and foreign stream SIDs are warned of, and the stream goes on."""

    class Sloppy(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            await super().on_message(socket, message)
            if message["event"] == "start":
                await socket.send_bytes(b"\x00\x01")
                await self.send(socket, "clear", extra=1)
                await self.send(socket, "mark", mark={"name": "still here"})

    agent = Sloppy()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(worker, WaitStream(), WaitSeconds(0.2), HangUp())
    assert result.warned(31950)
    assert result.warned(31951)
    assert [message["mark"]["name"] for message in agent.of("mark")] == ["still here"]


async def test_malformed_message_kills_the_stream() -> None:
    """What is not JSON is 31924, and the next verb runs."""

    class Broken(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            if message["event"] == "start":
                await socket.send_text("{nonsense")

    async with VoiceWorker(media=Broken()) as worker:
        worker.twiml["/voice"] = worker.stream(after="<Hangup/>")
        result = await run_call(worker)
    assert result.warned(31924)


async def test_scripted_faults_reach_the_wire() -> None:
    """Garbage, jumps of time, withheld and reordered frames arrive as the script says."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        await run_call(
            worker,
            WaitStream(),
            WaitSeconds(0.2),
            SendRaw("garbage"),
            SendRaw(b"\xff\x00"),
            SendRaw("x" * 100_000),
            SkipTime(500),
            WaitSeconds(0.1),
            ReorderFrames(3),
            WaitSeconds(0.1),
            HoldFrames(200),
            WaitSeconds(0.4),
            HangUp(),
        )
    assert "garbage" in agent.raw
    assert b"\xff\x00" in agent.raw
    assert "x" * 100_000 in agent.raw
    chunks = [int(message["media"]["chunk"]) for message in agent.of("media")]
    assert chunks != sorted(chunks)
    assert sorted(chunks) == list(range(1, len(chunks) + 1))
    stamps = sorted(int(message["media"]["timestamp"]) for message in agent.of("media"))
    steps = [after - before for before, after in pairwise(stamps)]
    assert sorted(set(steps)) == [20, 520]


async def test_second_stream_is_opened_and_its_refusal_noted() -> None:
    """A second socket for the same call is dialled while the first goes on."""
    sids: list[str] = []

    class OneOnly(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            if message["event"] == "start":
                sids.append(message["start"]["callSid"])
                if len(sids) > 1:
                    await socket.close(1008, "second stream")

    async with VoiceWorker(media=OneOnly()) as worker:
        worker.twiml["/voice"] = worker.stream(parameters={"ticket": "t"})
        result = await run_call(
            worker, WaitStream(), SecondStream({"ticket": None}), WaitSeconds(0.5), HangUp()
        )
    assert sids == [result.sid] * 2
    (closed,) = result.named("second_stream.closed")
    assert closed.data["code"] == 1008


async def test_ticket_faults_change_what_start_carries() -> None:
    """Parameters can be forged or dropped stream by stream, signatures spoilt."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream(parameters={"ticket": "t", "other": "o"})
        faults = CallFaults(
            webhook_signing="bad",
            streams=(
                StreamFaults(signing="missing", parameters={"ticket": "forged", "other": None}),
            ),
        )
        await run_call(worker, WaitStream(), WaitSeconds(0.1), HangUp(), faults=faults)
        (voice,) = worker.sent_to("/voice")
        (upgrade,) = worker.upgrades
    assert agent.of("start")[0]["start"]["customParameters"] == {"ticket": "forged"}
    assert "x-twilio-signature" not in upgrade
    url = f"{worker.base_url}/voice"
    validator = RequestValidator("twin-auth-token")
    assert not validator.validate(url, voice.params, voice.headers["x-twilio-signature"])


async def test_failing_voice_url_falls_back_then_apologises() -> None:
    """The fallback is asked with the error's code; if it fails too the caller hears Twilio."""
    down = Response(status_code=500)
    async with VoiceWorker(twiml={"/voice": down, "/fallback": down}) as worker:
        result = await run_call(worker, fallback_url=f"{worker.base_url}/fallback")
        (fallback,) = worker.sent_to("/fallback")
    assert fallback.params["ErrorCode"] == "11200"
    assert fallback.params["ErrorUrl"] == f"{worker.base_url}/voice"
    assert not silent(result.heard)
    assert result.named("say")[0].data["text"] == (
        "We are sorry, an application error has occurred. Goodbye."
    )


async def test_reject_never_answers() -> None:
    """A rejected call is neither answered nor billed."""
    twiml = '<Response><Reject reason="busy"/></Response>'
    async with VoiceWorker(twiml={"/voice": twiml}) as worker:
        result = await run_call(worker)
    assert result.status == "busy"
    assert result.answered_at_s is None


async def test_caller_may_give_up_while_it_rings() -> None:
    """A hang-up during the voice request ends the call unanswered."""
    twiml = "<Response><Say>Hello</Say></Response>"
    async with VoiceWorker(twiml={"/voice": twiml}, delay_s=0.5) as worker:
        result = await run_call(worker, WaitSeconds(0.1), HangUp())
    assert result.status == "no-answer"
    assert silent(result.heard)


async def test_gather_posts_the_keys() -> None:
    """Keys pressed during the prompt end it and go to the action."""
    twiml = (
        '<Response><Gather numDigits="2" action="/digits"><Say>Press two keys now please, '
        "any two keys of your choice</Say></Gather></Response>"
    )
    async with VoiceWorker(twiml={"/voice": twiml, "/digits": "<Response/>"}) as worker:
        await run_call(worker, WaitAgentStarts(), Press("47"))
        (digits,) = worker.sent_to("/digits")
    assert digits.params["Digits"] == "47"


async def test_script_that_waits_in_vain_hangs_up() -> None:
    """A silent agent cannot hold a script for ever."""
    async with VoiceWorker(media=MediaAgent()) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(worker, WaitAgentStarts(timeout_s=0.3), Say("caller_hours"))
    assert any("TimedOut" in str(event.data) for event in result.named("script"))
    assert silent(result.spoken)


async def test_closing_the_twin_ends_every_call() -> None:
    """A twin that closes in the middle of calls leaves no task behind."""
    before = asyncio.all_tasks()
    async with VoiceWorker(media=MediaAgent()) as worker:
        worker.twiml["/voice"] = worker.stream()
        async with TwilioTwin() as twilio:
            calls = [await twilio.place_inbound_call(f"{worker.base_url}/voice") for _ in range(3)]
            while len(twilio.live_sockets) < 3:  # noqa: ASYNC110 - sockets are counted only
                await asyncio.sleep(0.01)
        assert [call.status for call in calls] == ["completed"] * 3
        assert not twilio.live_sockets
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    """An authority's certificate, and a certificate with its key for 127.0.0.1."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    return tmp_path / "ca.pem", tmp_path / "server.pem"


async def test_worker_behind_tls_is_reached_with_its_authority(
    authority: tuple[Path, Path],
) -> None:
    """Webhooks over https and a wss stream work, and the signature is over the wss URL."""
    ca_file, certificate = authority
    agent = MediaAgent(speak_ms=200)
    async with VoiceWorker(media=agent, certificate=certificate) as worker:
        worker.twiml["/voice"] = worker.stream()
        async with TwilioTwin(ca_file=ca_file) as twilio:
            call = await twilio.place_inbound_call(
                f"{worker.base_url}/voice", caller=CallerScript.of(WaitAgentDone(100), HangUp())
            )
            result = await call.wait(10)
        (upgrade,) = worker.upgrades
    assert not silent(result.heard)
    assert agent.close_code == 1005
    validator = RequestValidator("twin-auth-token")
    assert validator.validate(worker.media_url, {}, upgrade["x-twilio-signature"])


async def test_untrusted_certificate_is_refused(authority: tuple[Path, Path]) -> None:
    """Without the authority the webhook fails with 11220 and the caller hears the apology."""
    _, certificate = authority
    async with VoiceWorker(certificate=certificate) as worker:
        result = await run_call(worker)
    assert result.warned(11220)


async def test_untrusted_stream_certificate_is_31910(authority: tuple[Path, Path]) -> None:
    """The same on the stream has a code of its own."""
    _, certificate = authority
    async with VoiceWorker(certificate=certificate) as secure, VoiceWorker() as worker:
        worker.twiml["/voice"] = secure.stream()
        result = await run_call(worker)
    assert result.warned(31910)


async def test_worker_that_does_not_read_loses_caller_audio() -> None:
    """When the worker's socket is full, frames are dropped with 31930 and timestamps jump."""

    class Stuck(MediaAgent):
        async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
            if message["event"] == "start":
                await asyncio.sleep(1.0)

    # Large enough to fill every buffer of the operating system.
    agent = Stuck()
    flood = SendRaw(" " * 1_000_000, times=10)
    async with VoiceWorker(media=agent) as worker:
        worker.twiml["/voice"] = worker.stream()
        result = await run_call(
            worker, WaitStream(), WaitSeconds(0.2), flood, WaitSeconds(1.5), HangUp()
        )
    assert result.warned(31930)
    stamps = [int(message["media"]["timestamp"]) for message in agent.of("media")]
    assert max(after - before for before, after in pairwise(stamps)) > 100


async def test_calls_leave_nothing_behind() -> None:
    """After many short calls there are no more tasks or open files than before."""
    async with VoiceWorker(media=MediaAgent()) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()

        async def one() -> None:
            script = CallerScript.of(WaitStream(), HangUp())
            call = await twilio.place_inbound_call(f"{worker.base_url}/voice", caller=script)
            await call.wait(10)

        await asyncio.gather(*(one() for _ in range(10)))
        await asyncio.sleep(0.1)
        tasks, files = len(asyncio.all_tasks()), psutil.Process().num_fds()
        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(10)))
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) <= tasks
        assert psutil.Process().num_fds() <= files + 2
        assert not twilio.live_calls
        assert not twilio.live_sockets


async def test_status_callback_of_an_inbound_call_comes_at_its_end() -> None:
    """It carries seconds and rounded-up minutes, and nothing came before it."""
    async with VoiceWorker(
        twiml={"/voice": "<Response><Pause/><Say>Hi</Say></Response>"}
    ) as worker:
        await run_call(worker, status_url=f"{worker.base_url}/status")
        (status,) = worker.sent_to("/status")
    assert isinstance(status, Received)
    assert status.params["CallStatus"] == "completed"
    assert status.params["SequenceNumber"] == "0"
    assert status.params["CallDuration"] == "1"
    assert status.params["Duration"] == "1"
