"""What a call left behind: the numbered frames of both directions."""

from __future__ import annotations

import base64
from itertools import pairwise

from starlette.websockets import WebSocket

from telephony.audio.resample import Resampler
from tests.fakes.media_agent import MediaAgent
from tests.fakes.voice_worker import VoiceWorker
from workers.twin import phone_audio, speech
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Speak,
    Step,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitSeconds,
)
from workers.twin.position_code import Found
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin


class CodedAgent(MediaAgent):
    """Says coded lines of 24 kHz as the bridge would: resampled, in frames of 20 ms."""

    def __init__(self, *lines: str, clear_at_s: float = 0.0) -> None:
        super().__init__()
        self._lines = lines
        self._clear_at_chunk = clear_at_s * 50

    async def on_message(self, socket: WebSocket, message: dict[str, object]) -> None:
        await super().on_message(socket, message)
        if message["event"] == "start":
            for line in self._lines:
                resampler = Resampler(24_000, 8_000)
                pcm = resampler.push(speech.line(line).pcm) + resampler.flush()
                for frame in phone_audio.from_pcm(pcm).frames:
                    await self.send(socket, "media", media={"payload": frame.text})
        if message["event"] == "media" and len(self.of("media")) == self._clear_at_chunk:
            await self.send(socket, "clear")

    def received_codes(self) -> list[int]:
        payloads = [message["media"]["payload"] for message in self.of("media")]
        return codes(phone_audio.codes(b"".join(base64.b64decode(text) for text in payloads)))


def codes(found: list[Found]) -> list[int]:
    return [one.code for one in found]


async def run_call(agent: MediaAgent, *steps: Step, coded: bool = True) -> CallResult:
    async with VoiceWorker(media=agent) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        call = await twilio.place_inbound_call(
            f"{worker.base_url}/voice", caller=CallerScript.of(*steps, coded=coded)
        )
        return await call.wait(20)


async def test_codes_of_a_coded_line_come_out_at_the_phone_whole() -> None:
    """Every frame of a 24 kHz line is heard once, in order and at its time."""
    agent = CodedAgent("coded:4000:1600", "coded:9000:300")
    result = await run_call(agent, WaitAgentDone(quiet_ms=300), HangUp())
    found = result.heard_codes()
    assert codes(found) == [*range(4000, 4080), *range(9000, 9015)]
    ((start_ms, _),) = result.played_ms
    # The bridge's filter delays by 1.7 ms.
    assert abs(found[0].at_ms - start_ms - 1.7) < 2
    for before, after in pairwise(found[:80]):
        assert abs(after.at_ms - before.at_ms - 20) <= 2.5


async def test_codes_after_a_clear_are_not_heard() -> None:
    """What is heard ends where the clear fell, at a whole frame, and nothing comes after it."""
    agent = CodedAgent("coded:100:3000", clear_at_s=1)
    result = await run_call(agent, WaitSeconds(2), HangUp())
    found = result.heard_codes()
    assert 20 < len(found) < 100
    assert codes(found) == list(range(100, 100 + len(found)))
    ((_, end_ms),) = result.played_ms
    # The last frame that counts may lack 5 ms, the first that does not may have 15, each 1 ms off.
    assert -6 <= end_ms - (found[-1].at_ms + 20) <= 17


async def test_coded_caller_sends_every_number_once() -> None:
    """From 0 at the answer, loud where it speaks; the stream's end carries the same numbers."""
    agent = CodedAgent("coded:0:1000")
    result = await run_call(agent, WaitAgentSpoke(300), Speak(500), WaitSeconds(0.3), HangUp())
    assert result.script_finished
    spoken = result.spoken_codes()
    assert codes(spoken) == list(range(len(spoken)))
    assert result.answered_at_s is not None
    assert abs(spoken[0].at_ms - result.answered_at_s * 1000) < 100
    received = agent.received_codes()
    # Twilio sends nothing in a stream's first 70 ms.
    assert received == list(range(received[0], received[-1] + 1))
    assert 3 <= received[0] < 50
    assert received[-1] >= spoken[-1].code - 3
    at = [round(one.at_ms * 8) for one in spoken]
    loud = sum(phone_audio.is_loud(result.spoken[begin + 40 : begin + 120]) for begin in at)
    assert loud == 25


async def test_echo_of_the_caller_tells_the_delay_of_the_path() -> None:
    """The same numbers in both directions, so that their times can be compared."""
    result = await run_call(MediaAgent(echo=True), WaitSeconds(1), HangUp())
    sent = {one.code: one.at_ms for one in result.spoken_codes()}
    heard = result.heard_codes()
    assert len(heard) > 35
    delays = [one.at_ms - sent[one.code] for one in heard]
    assert min(delays) > -3
    assert max(delays) < 300


def test_call_without_codes_has_none() -> None:
    """Recorded speech and a quiet line carry no numbers."""
    quiet = b"".join(frame.ulaw for frame in phone_audio.QUIET * 10)
    ulaw = phone_audio.said("caller_hours").ulaw() + quiet
    result = CallResult("CA", "completed", 0.0, 1.0, ulaw, b"", (), (), (), (), True, 0)
    assert result.heard_codes() == []
    assert result.spoken_codes() == []
