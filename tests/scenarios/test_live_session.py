"""A session against the simulated Live API: real TLS, real SDK, no phone."""

from __future__ import annotations

import array
import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from google.genai.live import AsyncSession

from agent import events
from agent.audio import PcmChunk
from agent.conversation.prompt import Opening, open_call
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.conversation.transcript import Transcript
from agent.errors import LiveConnectFailed, LiveConnectRefused
from agent.live import dialer as dialer_module
from agent.live.connection import Connection, DirectConnection, GenaiConnection
from agent.live.dialer import LiveDialer
from agent.live.models import ModelProfile
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd, SessionEvent
from agent.live.settings import LiveSettings
from agent.spec import AgentSpec, Greeting, Limits, Thinking
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import declare
from agent.tools.runner import ToolRunner
from tests.fakes.call_control import FakeCallControl
from workers.twin import speech
from workers.twin.live_api.faults import (
    Close,
    DelaySetup,
    Fault,
    Garbage,
    HangBeforeSetup,
    OversizedFrame,
    RefuseUpgrade,
)
from workers.twin.live_api.script import CallTool, LiveScript, Say, Silence, TextRule, Turn
from workers.twin.live_api.server import LiveTwin

# Short lines: the server holds ``turnComplete`` back for as long as a line takes to say.
GREETING, ORDER, READY, BYE = "Good morning.", "Type the number.", "It is ready.", "Goodbye."
SCRIPT = LiveScript(
    opening=(Say(GREETING),),
    turns=(
        Turn("caller_hours", (Say(ORDER),)),
        Turn("caller_bye", (CallTool("end_call"), Say(BYE))),
    ),
    texts=(
        TextRule(r"pressed (\d)", (CallTool("order_status", {"order_number": "{1}"}), Say(READY))),
    ),
)
MODELS = {
    "3.8": "gemini-3.8-live",
    "3.1": "gemini-3.1-flash-live-preview",
    "2.5": "gemini-2.5-flash-native-audio-preview-12-2025",
}


def agent(**fields: Any) -> AgentSpec:
    defaults: dict[str, Any] = {
        "name": "bakery",
        "system_instruction": "You are a baker.",
        "language": "en-US",
        "greeting": Greeting(GREETING),
        "tools": ("end_call",),
        "limits": Limits(connect_timeout_s=3, answer_timeout_s=3),
    }
    return AgentSpec(**defaults | fields)


def settings(twin: LiveTwin, **fields: Any) -> LiveSettings:
    defaults: dict[str, Any] = {
        "api_key": "test-key",
        "base_url": twin.base_url,
        "ca_file": twin.ca_file,
    }
    return LiveSettings(**defaults | fields)


class RealTimePlayout:
    """Plays what is offered at the pace of a phone, sped up."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._offered_ms = 0.0
        self._end_s = 0.0
        self._heard_to_ms = 0.0

    def offer(self, duration_ms: float) -> None:
        now = time.monotonic()
        self._offered_ms += duration_ms
        self._end_s = max(self._end_s, now) + duration_ms / 1000 / self._speed

    def clear(self) -> None:
        self._end_s = 0.0

    def offered_ms(self) -> float:
        return self._offered_ms

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        heard = self._offered_ms - self.pending_ms()
        return max(0.0, min(until_ms, heard) - since_ms)

    def pending_ms(self) -> float:
        return max(0.0, self._end_s - time.monotonic()) * 1000 * self._speed


class Phone:
    """A session, and a caller who keeps streaming: speech when they speak, silence otherwise."""

    SPEED = 5.0

    def __init__(self, spec: AgentSpec, dialer: LiveDialer, opening: Opening | None = None) -> None:
        async def order_status(order_number: str) -> str:
            """Look up an order."""
            return f"order {order_number} is ready"

        tools = built_in_tools(spec, FakeCallControl()) | {"order_status": declare(order_status)}
        self.playout = RealTimePlayout(self.SPEED)
        self.transcript = Transcript(self.playout)
        self.events: list[SessionEvent] = []
        self.greetings: list[PcmChunk] = []
        self.tools = ToolRunner(tools, timeout_s=2)
        self.session = LiveSession(
            spec=spec,
            opening=opening or open_call(spec, variables={}),
            dialer=dialer,
            tools=self.tools,
            transcript=self.transcript,
            playout=self.playout,
            on_greeting_audio=self.greetings.append,
        )
        self.session.listen(self)
        self._saying = bytearray()

    async def on_event(self, event: SessionEvent) -> None:
        self.events.append(event)
        if isinstance(event, events.AudioReceived):
            self.playout.offer(event.audio.duration_ms)
        elif isinstance(event, events.Interrupted):
            self.playout.clear()

    plays_on = True

    def play_on(self, audio: PcmChunk) -> None:
        self.events.append(events.AudioReceived(audio))
        self.playout.offer(audio.duration_ms)

    async def on_greeting(self, _text: str, audio: PcmChunk) -> None:
        self.playout.offer(audio.duration_ms)

    async def on_filler(self, audio: PcmChunk) -> None:
        self.playout.offer(audio.duration_ms)

    async def on_left(self) -> None:
        """What is queued plays on, as it does on the phone."""

    def say(self, name: str) -> None:
        """Speak a recorded line, 8 kHz, by doubling its samples."""
        samples = array.array("h", speech.line(name).pcm)
        self._saying += array.array("h", (s for sample in samples for s in (sample, sample)))

    async def stream(self) -> None:
        frame_s = 0.02 / self.SPEED
        due = time.monotonic()
        while True:
            frame = bytes(self._saying[:640]).ljust(640, b"\0")
            del self._saying[:640]
            await self.session.send_caller_audio(frame)
            due += frame_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def quiet(self) -> None:
        """Wait until the agent has been heard to its end."""
        await self.until(lambda: events.TurnCompleted in self.kinds())
        await self.until(lambda: self.playout.pending_ms() <= 0)
        self.events.clear()

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.005)

    def kinds(self) -> set[type[SessionEvent]]:
        return {type(event) for event in self.events}

    def said(self, speaker: str) -> list[str]:
        return [turn.said for turn in self.transcript.snapshot() if turn.speaker == speaker]


@asynccontextmanager
async def call(phone: Phone) -> AsyncIterator[asyncio.Task[SessionEnd]]:
    before = asyncio.all_tasks()
    talk = asyncio.create_task(phone.session.run())
    stream = asyncio.create_task(phone.stream())
    try:
        yield talk
    finally:
        stream.cancel()
        phone.session.end(EndReason.CALLER_HUNG_UP)
        async with asyncio.timeout(8):
            await asyncio.wait([talk, stream])
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() - before if "agent/" in repr(task)]


def only_the_sdk(
    session: AsyncSession,
    context: AbstractAsyncContextManager[AsyncSession],
    *,
    profile: ModelProfile,
    vertexai: bool,
) -> GenaiConnection:
    return GenaiConnection(session, context, profile=profile, vertexai=vertexai)


@pytest.mark.parametrize(
    ("profile", "direct"),
    [("3.8", True), ("3.1", True), ("2.5", True), ("3.8", False)],
    ids=["3.8", "3.1", "2.5", "3.8-sdk_only"],
)
async def test_whole_conversation(
    profile: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greeting, a question, a key with a tool, a goodbye; directly on the socket and without it."""
    if not direct:
        monkeypatch.setattr(dialer_module, "open_connection", only_the_sdk)
    async with LiveTwin(SCRIPT, speed=20) as twin:
        spec = agent(model=MODELS[profile])
        phone = Phone(spec, LiveDialer(settings(twin)))
        async with call(phone) as talk:
            await phone.quiet()
            phone.say("caller_hours")
            await phone.quiet()
            await phone.session.send_digit("7")
            await phone.quiet()
            phone.say("caller_bye")
            async with asyncio.timeout(15):
                end = await talk
        assert end.reason is EndReason.AGENT_HUNG_UP
        (log,) = twin.sessions
        assert log.closed_by == "client"
        assert log.oddities == []
        assert [item["name"] for item in log.tool_calls] == ["order_status", "end_call"]
        assert len(log.tool_responses) == 2
        assert log.stray_tool_responses == []
    lines = [GREETING, ORDER, READY, BYE]
    assert phone.said("agent") == lines
    assert [turn.heard for turn in phone.transcript.snapshot() if turn.speaker == "agent"] == lines
    assert phone.said("caller") == [speech.line(f"caller_{name}").text for name in ("hours", "bye")]
    assert [round(audio.duration_ms) for audio in phone.greetings] == [
        round(speech.line(GREETING).duration_ms)
    ]
    assert phone.session.usage.context_tokens > 0


async def test_vertex_in_express_mode() -> None:
    """Vertex: other path, names and ids, the same conversation."""
    async with LiveTwin(SCRIPT, speed=20) as twin:
        spec = agent(model="gemini-live-2.5-flash-native-audio")
        phone = Phone(spec, LiveDialer(settings(twin, vertexai=True)))
        async with call(phone):
            await phone.quiet()
            await phone.session.send_digit("7")
            await phone.until(lambda: len(phone.said("agent")) == 2)
            await phone.quiet()
        (log,) = twin.sessions
        assert len(log.tool_responses) == 1
    assert phone.said("agent")[0] == GREETING


async def test_second_silent_model_is_given_up() -> None:
    """A caller who gets no answer is not left in silence: a fresh session, then no more."""
    script = LiveScript(opening=(Say(GREETING),), otherwise=(Silence(),))
    async with LiveTwin(script, speed=20) as twin:
        phone = Phone(agent(limits=Limits(answer_timeout_s=0.8)), LiveDialer(settings(twin)))
        async with call(phone) as talk:
            await phone.quiet()
            phone.say("caller_hours")
            async with asyncio.timeout(10):
                end = await talk
        first, second = twin.sessions
        assert second.resumed_from is None
        # Both heard the question.
        assert len(first.heard) == len(second.heard) == 1
    assert end.reason is EndReason.MODEL_SILENT
    (move,) = phone.session.moves
    assert (move.cause, move.kind) == (MoveCause.SILENT, MoveKind.REFILL)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "sdk_only"])
async def test_garbage_is_skipped(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are no messages are counted; the greeting is heard all the same."""
    if not direct:
        monkeypatch.setattr(dialer_module, "open_connection", only_the_sdk)
    faults = (Garbage(after_s=0.0), OversizedFrame(after_s=0.0))
    async with LiveTwin(SCRIPT, speed=20, faults=faults) as twin:
        phone = Phone(agent(), LiveDialer(settings(twin)))
        async with call(phone):
            await phone.quiet()
    assert phone.said("agent") == [GREETING]
    assert phone.session.counters["live_malformed"] >= 5


async def test_close_in_the_middle_is_a_move_with_its_reason() -> None:
    """What the server says when it closes is in the reset report; the conversation goes on."""
    faults = (
        Close(
            sessions=frozenset({1}),
            answer=1,
            audio_ms=200,
            code=1011,
            reason="Internal error encountered.",
        ),
    )
    async with LiveTwin(SCRIPT, faults=faults) as twin:
        phone = Phone(agent(), LiveDialer(settings(twin)))
        async with call(phone):
            await phone.until(lambda: phone.session.moves)
            await phone.quiet()
            phone.say("caller_hours")
            await phone.until(lambda: ORDER in phone.said("agent"))
    (move,) = phone.session.moves
    assert (move.cause, move.moment) == (MoveCause.LOST, MoveMoment.ABRUPT)
    assert "1011: Internal error encountered." in move.detail
    assert move.tries == 1
    assert phone.session.counters["caller_audio_lost_ms"] == 0


async def refusal_of(
    twin: LiveTwin, spec: AgentSpec | None = None, **fields: Any
) -> LiveConnectRefused:
    with pytest.raises(LiveConnectRefused) as caught:
        await LiveDialer(settings(twin, **fields)).connect(spec or agent(), Opening("Be kind."))
    assert "\n" not in str(caught.value)
    return caught.value


async def test_what_is_wrong_is_named_in_one_line(tmp_path: Path) -> None:
    """No key, wrong key, model, voice, address or certificate: the setting comes first."""
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    async with LiveTwin(SCRIPT) as twin:
        assert (await refusal_of(twin, api_key=None)).setting == "GOOGLE_API_KEY"
        assert (await refusal_of(twin, api_key="wrong")).setting == "GOOGLE_API_KEY"
        assert (await refusal_of(twin, agent(model="gemini-9-dead"))).setting == "model"
        assert (await refusal_of(twin, agent(voice="Zed"))).setting == "voice"
        assert (await refusal_of(twin, agent(thinking=Thinking(level="low")))).setting == (
            "thinking.level"
        )
        plain_url = await refusal_of(twin, base_url="http://127.0.0.1:1")
        assert plain_url.setting == "GOOGLE_GEMINI_BASE_URL"
        assert (await refusal_of(twin, ca_file=str(stranger))).setting == "SSL_CERT_FILE"
        assert (await refusal_of(twin, ca_file="/nowhere.pem")).setting == "SSL_CERT_FILE"
        assert (await refusal_of(twin, vertexai=True, api_key=None)).setting == (
            "GOOGLE_CLOUD_PROJECT"
        )
    async with LiveTwin(SCRIPT, bad_key_closes=True) as twin:
        assert (await refusal_of(twin, api_key="wrong")).setting == "GOOGLE_API_KEY"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (RefuseUpgrade(status=503), "HTTP 503"),
        (RefuseUpgrade(status=429), "quota"),
        (HangBeforeSetup(), "in time"),
    ],
)
async def test_what_may_pass_is_a_failure(fault: Fault, said: str) -> None:
    """Another try may succeed, so the verdict is another one; and nothing hangs."""
    async with LiveTwin(SCRIPT, faults=(fault,)) as twin:
        spec = agent(limits=Limits(connect_timeout_s=0.4))
        started = time.monotonic()
        with pytest.raises(LiveConnectFailed, match=said):
            await LiveDialer(settings(twin)).connect(spec, Opening("Be kind."))
        assert time.monotonic() - started < 4
        await twin.until(lambda: not twin.open_sessions)


async def test_nobody_listening_is_a_failure() -> None:
    """The address is named, because it is ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gone = LiveSettings(api_key="test-key", base_url=f"https://127.0.0.1:{port}")
    with pytest.raises(LiveConnectFailed, match="GOOGLE_GEMINI_BASE_URL"):
        await LiveDialer(gone).connect(agent(), Opening("Be kind."))


async def test_caller_audio_arrives_whole_over_a_slow_dial() -> None:
    """Every byte the caller sent is received once, in order, dial or no dial."""
    async with LiveTwin(LiveScript(), faults=(DelaySetup(seconds=0.3),)) as twin:
        phone = Phone(agent(greeting=Greeting()), LiveDialer(settings(twin)))
        talk = asyncio.create_task(phone.session.run())
        sent = bytearray()
        for number in range(100):
            frame = array.array("h", [number] * 320).tobytes()
            sent += frame
            await phone.session.send_caller_audio(frame)
            await asyncio.sleep(0.005)
        await phone.until(lambda: twin.sessions and twin.sessions[0].audio_bytes >= len(sent))
        phone.session.end(EndReason.CALLER_HUNG_UP)
        await talk
        assert twin.sessions[0].caller_audio == bytes(sent)


async def test_setup_says_what_the_agent_file_says() -> None:
    """Both transcriptions are on; no compression and no pings on the socket."""
    async with LiveTwin(SCRIPT) as twin:
        connection: Connection = await LiveDialer(settings(twin)).connect(
            agent(voice="Puck", temperature=0.5), Opening("Be kind.\x00")
        )
        assert isinstance(connection, DirectConnection)
        await connection.close()
        (log,) = twin.sessions
    setup = log.setup
    assert setup["model"] == "models/gemini-3.8-live"
    assert setup["systemInstruction"]["parts"] == [{"text": "Be kind. "}]
    generation = setup["generationConfig"]
    assert generation["responseModalities"] == ["AUDIO"]
    assert generation["temperature"] == 0.5
    voice = generation["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"]
    assert voice == "Puck"
    assert {"inputAudioTranscription", "outputAudioTranscription"} <= setup.keys()
    assert "sec-websocket-extensions" not in log.headers
    assert "v1beta." in log.path
