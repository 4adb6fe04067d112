"""How streams end, and what a call does next: dead, hung and refusing servers, faults of Twilio."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.fakes.voice_worker import VoiceWorker
from tests.workers.twin.twilio_api.raw_media import RawMediaServer
from workers.twin.caller import (
    CallerScript,
    DropSocket,
    HangUp,
    LoseStream,
    SecondStream,
    Step,
    WaitSeconds,
    WaitStream,
)
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.media.stream import StreamFaults, StreamTiming
from workers.twin.twilio_api.result import TwinEvent, Webhook
from workers.twin.twilio_api.server import TwilioTwin

CONTINUE = "<Redirect>/continue?n=1</Redirect>"
HANG_UP = "<Response><Hangup/></Response>"


@dataclass
class Stage:
    """Two media servers, the worker that names the first in its TwiML, and the twin."""

    media: RawMediaServer
    other: RawMediaServer
    worker: VoiceWorker
    twilio: TwilioTwin

    async def ring(
        self,
        *steps: Step,
        faults: StreamFaults | None = None,
        timing: StreamTiming | None = None,
        up: bool = True,
    ) -> TwinCall:
        """Place a call and wait until its first stream is up."""
        call = await self.twilio.place_inbound_call(
            f"{self.worker.base_url}/voice",
            caller=CallerScript.of(*steps),
            faults=CallFaults(streams=(faults or StreamFaults(),), timing=timing or StreamTiming()),
        )
        if up and self.media.status == 101:
            await until(lambda: len(self.media.of("media")) > 5)
        return call

    async def update(self, call: TwinCall, document: str) -> int:
        """Ask for another document by REST; return the HTTP status."""
        url = f"{self.twilio.base_url}/2010-04-01/Accounts/{self.twilio.account_sid}"
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{url}/Calls/{call.sid}.json",
                data={"Twiml": document},
                auth=(self.twilio.account_sid, self.twilio.auth_token),
            )
        return answer.status_code

    @property
    def asking(self) -> str:
        """A document that only asks what is next, for REST: by a complete address."""
        return f"<Response><Redirect>{self.worker.base_url}/continue?n=1</Redirect></Response>"

    def dial_the_other(self) -> None:
        """Let the question after the first stream be answered with a stream to the second."""
        self.worker.media_url = self.other.url
        self.worker.twiml["/continue"] = self.worker.stream(after="<Hangup/>")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with (
        RawMediaServer(speech_ms=400) as media,
        RawMediaServer(speech_ms=200) as other,
        VoiceWorker(twiml={"/continue": HANG_UP}) as worker,
        TwilioTwin() as twilio,
    ):
        worker.media_url = media.url
        worker.twiml["/voice"] = worker.stream(after=CONTINUE)
        yield Stage(media, other, worker, twilio)


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110 - the state of two servers is what is tested
            await asyncio.sleep(0.005)


@asynccontextmanager
async def process() -> AsyncIterator[tuple[Process, str]]:
    """A media server in a process of its own, and its address."""
    module = "tests.workers.twin.twilio_api.dying_media"
    root = Path(__file__).parents[4]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdout=PIPE, cwd=root
    )
    try:
        assert running.stdout is not None
        yield running, (await running.stdout.readline()).decode().strip()
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def asked_next(call: TwinCall) -> Webhook:
    """The question that followed the first stream."""
    (hook,) = (hook for hook in call.line.journal.webhooks if "/continue" in hook.url)
    assert hook.status == 200
    return hook


def one(call: TwinCall, kind: str) -> TwinEvent:
    (event,) = (event for event in call.line.journal.events if event.kind == kind)
    return event


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end of file"])
async def test_dead_server_is_noticed_after_a_while(stage: Stage, reset: bool) -> None:
    """31903, not 31921; what was queued plays on until then, and then the next verb runs."""
    stage.media.speech_ms = 2_000
    call = await stage.ring(timing=StreamTiming(detection_s=0.4))
    stage.media.kill(reset=reset)
    result = await call.wait(10)
    assert result.warned(31903)
    assert not result.warned(31921)
    broken, closed = one(call, "stream.broken"), one(call, "stream.closed")
    assert 0.39 < closed.at_s - broken.at_s < 0.6
    assert 0 <= asked_next(call).sent_at_s - closed.at_s < 0.1
    ((_, played_until_ms),) = result.played_ms
    assert played_until_ms == pytest.approx(closed.at_s * 1000, abs=20)
    (voice,) = result.voices
    assert voice.cut_ms > 500
    assert not stage.media.of("stop")


async def test_dead_server_is_noticed_in_time_by_default(stage: Stage) -> None:
    """Some 50 ms, since no page says how long."""
    call = await stage.ring()
    stage.media.kill()
    await call.wait(10)
    assert 0.04 < asked_next(call).sent_at_s - one(call, "stream.broken").at_s < 0.2


async def test_close_in_order_is_noticed_at_once(stage: Stage) -> None:
    """31921, and no detection delay."""
    call = await stage.ring(timing=StreamTiming(detection_s=5))
    await stage.media.connections[0].close(1001)
    result = await call.wait(10)
    assert result.warned(31921)
    assert not result.warned(31903)
    assert asked_next(call).sent_at_s - one(call, "stream.closed").at_s < 0.1


async def test_next_verb_may_be_late(stage: Stage) -> None:
    """A pause between the end of the stream and the next request."""
    call = await stage.ring(timing=StreamTiming(next_verb_s=0.3))
    await stage.media.connections[0].close()
    result = await call.wait(10)
    assert 0.29 < asked_next(call).sent_at_s - one(call, "stream.closed").at_s < 0.5
    assert result.status == "completed"


@pytest.mark.parametrize(("status", "code"), [(403, 31920), (404, 31920), (503, 31920), (0, 31901)])
async def test_refused_handshake_falls_through(stage: Stage, status: int, code: int) -> None:
    """Whatever the server answers, or if it answers nothing, Twilio asks what is next."""
    stage.media.status = status
    call = await stage.ring(timing=StreamTiming(handshake_s=0.3))
    result = await call.wait(10)
    assert result.warned(code)
    assert len(stage.worker.sent_to("/continue")) == 1
    assert not result.voices
    (error,) = stage.worker.sent_to("/stream-status")
    assert error.params["StreamError"].startswith(str(code))


async def test_nobody_listening_falls_through(stage: Stage) -> None:
    """The worker that is asked next may be another one."""
    stage.worker.media_url = "ws://127.0.0.1:9/media"
    stage.worker.twiml["/voice"] = stage.worker.stream(after=CONTINUE)
    stage.dial_the_other()
    call = await stage.twilio.place_inbound_call(
        f"{stage.worker.base_url}/voice", caller=CallerScript.of(WaitStream(), HangUp())
    )
    result = await call.wait(10)
    assert result.warned(31902)
    assert [voice.number for voice in result.voices] == [1]


@pytest.mark.parametrize("fallback", [False, True])
async def test_worker_that_is_dead_when_it_is_asked_ends_the_call(
    stage: Stage, fallback: bool
) -> None:
    """One more try, then the fallback address where there is one, else Twilio's own apology."""
    after = "<Redirect>http://127.0.0.1:9/continue</Redirect>"
    stage.worker.twiml["/voice"] = stage.worker.stream(after=after)
    stage.dial_the_other()
    call = await stage.twilio.place_inbound_call(
        f"{stage.worker.base_url}/voice",
        fallback_url=f"{stage.worker.base_url}/continue" if fallback else "",
        caller=CallerScript.of(WaitSeconds(0.5), WaitStream(), WaitSeconds(0.2), HangUp()),
    )
    await until(lambda: len(stage.media.of("media")) > 5)
    stage.media.kill()
    result = await call.wait(10)
    asked = [hook for hook in result.webhooks if hook.url == "http://127.0.0.1:9/continue"]
    assert [(hook.attempts, hook.status) for hook in asked] == [(2, None)]
    assert result.warned(11205)
    assert len(result.voices) == 1 + fallback
    assert len(result.named("say")) == 1 - fallback
    if fallback:
        (request,) = stage.worker.sent_to("/continue")
        assert request.params["ErrorCode"] == "11205"


async def test_hung_server_loses_audio_and_holds_nothing_up(stage: Stage) -> None:
    """31930 once its buffers are full; an update ends its stream though it answers no close."""
    call = await stage.ring(
        faults=StreamFaults(send_buffer_bytes=1), timing=StreamTiming(close_s=0.3)
    )
    stage.media.hang()
    stream = call.line.stream
    assert stream is not None
    # Fill what the operating system would take some minutes of frames for.
    for _ in range(10):
        stream.send_raw(" " * 1_000_000)
    await until(lambda: any(code == 31930 for code, _ in call.line.journal.warnings))
    began_s = call.line.journal.now_s()
    assert await stage.update(call, stage.asking) == 200
    result = await call.wait(10)
    assert asked_next(call).sent_at_s - began_s < 0.6
    assert result.status == "completed"
    assert not result.open_sockets


async def test_update_of_a_call_with_a_hung_server_is_bounded(stage: Stage) -> None:
    """Nobody answers the close; the server finds ``stop`` when it reads again."""
    call = await stage.ring(timing=StreamTiming(close_s=0.2))
    stage.media.hang()
    await stage.media.say(400)
    assert await stage.update(call, stage.asking) == 200
    await call.wait(10)
    assert asked_next(call).sent_at_s - one(call, "stream.closed").at_s < 0.1
    stage.media.connections[0].transport.resume_reading()
    await until(lambda: stage.media.of("stop"))


async def test_nothing_is_heard_once_a_stream_is_torn_down(stage: Stage) -> None:
    """Not while the server takes its time to answer the close, either."""
    call = await stage.ring(timing=StreamTiming(close_s=0.5))
    await until(lambda: call.so_far().voices[0].frames == 20)
    stage.media.hang()
    assert await stage.update(call, HANG_UP) == 200
    over_at_s = call.line.journal.now_s()
    await asyncio.sleep(0.1)
    await stage.media.say(1_000)
    result = await call.wait(10)
    (voice,) = result.voices
    assert (voice.frames, voice.unheard.frames) == (20, 50)
    assert max(end for _, end in result.played_ms) <= over_at_s * 1000 + 20


async def test_later_of_two_updates_wins(stage: Stage) -> None:
    """Two writers who know nothing of each other, while the stream is being torn down."""
    call = await stage.ring(timing=StreamTiming(close_s=0.3))
    stage.media.hang()
    stage.worker.twiml |= {"/first": HANG_UP, "/second": HANG_UP}
    for path in ("/first", "/second"):
        document = f"<Response><Redirect>{stage.worker.base_url}{path}</Redirect></Response>"
        assert await stage.update(call, document) == 200
    await call.wait(10)
    assert stage.worker.sent_to("/second")
    assert not stage.worker.sent_to("/first")
    assert not stage.worker.sent_to("/continue")


async def test_update_of_an_ended_call_is_refused(stage: Stage) -> None:
    """400 for one that Twilio knows; 404 for one that it does not."""
    call = await stage.ring(WaitSeconds(0.3), HangUp())
    await call.wait(10)
    assert await stage.update(call, HANG_UP) == 400
    stage.twilio.forget(call.sid)
    assert await stage.update(call, HANG_UP) == 404


async def test_process_that_is_killed_is_noticed(stage: Stage) -> None:
    """With real signals: the system ends the connection, and Twilio asks what is next."""
    async with process() as (dying, url):
        stage.worker.media_url = url
        stage.worker.twiml["/voice"] = stage.worker.stream(after=CONTINUE)
        call = await stage.ring(up=False)
        await until(lambda: any(voice.frames for voice in call.so_far().voices))
        dying.kill()
        result = await call.wait(10)
    assert result.warned(31903)
    assert 0.04 < asked_next(call).sent_at_s - one(call, "stream.broken").at_s < 0.3


async def test_process_that_is_stopped_keeps_its_stream(stage: Stage) -> None:
    """Nobody notices, until an update tears it down; when it wakes up it speaks to nobody."""
    async with process() as (dying, url):
        stage.worker.media_url = url
        stage.worker.twiml["/voice"] = stage.worker.stream(after=CONTINUE)
        stage.dial_the_other()
        call = await stage.ring(up=False, timing=StreamTiming(close_s=0.2))
        await until(lambda: any(voice.frames for voice in call.so_far().voices))
        dying.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        assert call.line.stream is not None
        assert not call.line.journal.warnings
        assert await stage.update(call, stage.asking) == 200
        await until(lambda: stage.other.of("media"))
        dying.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.2)
        call.hang_up()
        result = await call.wait(10)
    assert not result.two_voices(unheard=True)
    assert [voice.frames for voice in result.voices] == [20, 10]


async def test_lost_stream_is_silent_then_broken(stage: Stage) -> None:
    """Nothing passes either way and nobody knows but by the callback; then a reset, no ``stop``."""
    call = await stage.ring(WaitSeconds(0.3), LoseStream(ms=600))
    await until(lambda: call.line.journal.warnings)
    await asyncio.sleep(0.1)  # what was sent just before is still read
    got = len(stage.media.messages[0])
    await stage.media.say(200)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(await stage.media.connections[0].ping(), 0.3)
    assert len(stage.media.messages[0]) == got
    assert [r.params["StreamEvent"] for r in stage.worker.sent_to("/stream-status")] == [
        "stream-started",
        "stream-error",
    ]
    assert not stage.worker.sent_to("/continue")
    result = await call.wait(10)
    await until(lambda: stage.media.codes)
    assert stage.media.codes == [1006]
    assert not stage.media.of("stop")
    assert [code for code, _ in result.warnings] == [31924]
    lost = next(event for event in result.events if event.kind == "warning")
    assert 0.59 < asked_next(call).sent_at_s - lost.at_s < 0.8
    (voice,) = result.voices
    assert (voice.frames, voice.unheard.frames) == (20, 10)


async def test_stream_may_be_lost_by_plan(stage: Stage) -> None:
    """At a time after its start, without a caller's doing."""
    call = await stage.ring(faults=StreamFaults(lost_after_s=0.4, lost_s=0.1))
    result = await call.wait(10)
    lost = next(event for event in result.events if event.kind == "warning")
    assert 0.39 < lost.at_s - result.voices[0].started_s < 0.5
    assert stage.worker.sent_to("/continue")


async def test_lost_stream_is_ended_by_an_update(stage: Stage) -> None:
    """That is what a server can do about it."""
    call = await stage.ring(faults=StreamFaults(lost_after_s=0.2))
    await until(lambda: call.line.journal.warnings)
    assert await stage.update(call, stage.asking) == 200
    await call.wait(5)
    await until(lambda: stage.media.codes)
    assert stage.media.codes == [1006]


@pytest.mark.parametrize(
    ("ending", "stops", "codes"),
    [("stop", 1, [1005]), ("no_stop", 0, [1005]), ("reset", 0, [1006]), ("half_open", 0, [])],
)
async def test_hang_up_reaches_the_server_in_several_ways(
    stage: Stage, ending: str, stops: int, codes: list[int]
) -> None:
    """As it should, without ``stop``, by a reset, or not at all."""
    faults = StreamFaults(ending=ending)  # type: ignore[arg-type]  # one of the literals
    call = await stage.ring(WaitSeconds(0.3), HangUp(), faults=faults)
    result = await call.wait(10)
    await asyncio.sleep(0.1)
    assert (len(stage.media.of("stop")), stage.media.codes) == (stops, codes)
    assert result.status == "completed"
    assert not result.open_sockets
    assert len(stage.twilio.half_open_sockets) == (ending == "half_open")
    stage.media.kill()
    await until(lambda: not stage.twilio.half_open_sockets)


async def test_half_open_stream_leaves_two_servers_that_believe(stage: Stage) -> None:
    """Twilio has gone on to the next one; the first talks on, unheard, and that is told."""
    stage.dial_the_other()
    call = await stage.ring(
        WaitSeconds(0.3), DropSocket(half_open=True), WaitStream(), WaitSeconds(0.6), HangUp()
    )
    await until(lambda: stage.other.of("media"))
    assert not stage.media.codes
    await asyncio.sleep(0.2)
    await stage.media.say(400)
    result = await call.wait(10)
    assert not result.two_voices()
    (both,) = result.two_voices(unheard=True)
    assert (both.earlier.number, both.later.number) == (1, 2)
    assert both.from_s == result.voices[1].first_s
    assert both.until_s == result.voices[0].unheard.last_s
    played_ms = sum(end - start for start, end in result.played_ms)
    assert played_ms == pytest.approx(400 - result.voices[0].cut_ms + 200, abs=25)


async def test_second_stream_that_speaks_is_a_second_voice(stage: Stage) -> None:
    """The earlier one's word after the later one's first is what counts."""
    call = await stage.ring(WaitSeconds(0.2), SecondStream(), WaitSeconds(0.8), HangUp())
    await until(lambda: [voice.frames for voice in call.so_far().voices] == [20, 20])
    assert not call.so_far().two_voices()
    await stage.media.say(100)
    result = await call.wait(10)
    (both,) = result.two_voices()
    assert both.later.second
    assert both.from_s < both.until_s
    assert not result.stream_gaps


async def test_gap_between_two_streams_is_measured(stage: Stage) -> None:
    """From the end of one, over question and answer, to the first word of the next."""
    stage.dial_the_other()
    stage.worker.delay_s = 0.2
    call = await stage.ring(WaitSeconds(0.5), WaitStream(), WaitSeconds(0.8), HangUp())
    stage.media.kill()
    result = await call.wait(10)
    assert [voice.frames for voice in result.voices] == [20, 10]
    (gap,) = result.stream_gaps
    assert gap.asked_s is not None
    assert gap.answered_s is not None
    assert gap.spoke_s is not None
    assert gap.ended_s <= gap.asked_s < gap.answered_s < gap.started_s < gap.spoke_s
    assert 0.2 < gap.deaf_s < 0.5
    assert gap.silent_s is not None
    assert gap.silent_s > gap.deaf_s
    heard_from_ms = result.played_ms[-1][0]
    assert gap.spoke_s * 1000 == pytest.approx(heard_from_ms, abs=10)
    assert gap.cut_ms == result.voices[0].cut_ms > 0
