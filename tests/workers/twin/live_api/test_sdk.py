"""The simulated server under the real google-genai client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import errors, live, types
from google.oauth2.credentials import Credentials
from websockets.exceptions import InvalidStatus

from workers.twin import speech
from workers.twin.live_api.faults import Close, GoAway
from workers.twin.live_api.script import CallTool, LiveScript, Say, TextRule, Turn
from workers.twin.live_api.server import LiveTwin

_SCRIPT = LiveScript(
    opening=(Say("agent_greeting"),),
    turns=(Turn("caller_hours", (Say("agent_hours"),)), Turn("caller_bye", (Say("agent_bye"),))),
    texts=(
        TextRule(
            r"pressed (\d)", (CallTool("order_status", {"order_number": "{1}"}), Say("agent_ready"))
        ),
    ),
)


def client_of(twin: LiveTwin, **options: Any) -> genai.Client:
    if "vertexai" not in options:
        options.setdefault("api_key", "test-key")
    ssl = {"ssl": twin.client_ssl()}
    http_options = types.HttpOptions(base_url=twin.base_url, async_client_args=ssl)
    return genai.Client(http_options=http_options, **options)


def configuration(**fields: Any) -> types.LiveConnectConfig:
    """Every setting that the SDK's converter treats in a way of its own."""
    full: dict[str, Any] = {
        "response_modalities": ["AUDIO"],
        "temperature": 0.7,
        "speech_config": {
            "voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}},
            "language_code": "en-US",
        },
        "system_instruction": "You are a baker.",
        "tools": [{"function_declarations": [_ORDER_STATUS]}, {"google_search": {}}],
        "realtime_input_config": {
            "automatic_activity_detection": {
                "start_of_speech_sensitivity": "START_SENSITIVITY_HIGH",
                "end_of_speech_sensitivity": "END_SENSITIVITY_LOW",
                "prefix_padding_ms": 20,
                "silence_duration_ms": 500,
            },
            "activity_handling": "START_OF_ACTIVITY_INTERRUPTS",
            "turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY",
        },
        "session_resumption": {},
        "context_window_compression": {
            "trigger_tokens": 100000,
            "sliding_window": {"target_tokens": 50000},
        },
        "input_audio_transcription": {},
        "output_audio_transcription": {},
    }
    return types.LiveConnectConfig.model_validate(full | fields)


_ORDER_STATUS: dict[str, Any] = {
    "name": "order_status",
    "description": "Looks an order up.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"order_number": {"type": "STRING"}},
        "required": ["order_number"],
    },
}


class Talk:
    """One SDK session, and every message it received."""

    def __init__(self, session: live.AsyncSession) -> None:
        self.session = session
        self.messages: list[types.LiveServerMessage] = []

    async def receive(self) -> None:
        while True:
            async for message in self.session.receive():
                self.messages.append(message)

    async def until(self, condition: Callable[[types.LiveServerMessage], Any]) -> Any:
        """Return what ``condition`` finds in the first message where it finds something."""
        async with asyncio.timeout(10):
            while True:
                for message in self.messages:
                    found = condition(message)
                    if found:
                        return found
                await asyncio.sleep(0.01)

    async def say(self, name: str) -> None:
        """Send a caller's line and the silence after it, faster than real time."""
        pcm = speech.line(name).at_rate(16_000).pcm + bytes(64_000)
        for at in range(0, len(pcm), 1280):
            blob = types.Blob(data=pcm[at : at + 1280], mime_type="audio/pcm;rate=16000")
            await self.session.send_realtime_input(audio=blob)

    @property
    def audio(self) -> bytes:
        return b"".join(message.data or b"" for message in self.messages)

    def text(self, side: str) -> str:
        contents = [m.server_content for m in self.messages if m.server_content]
        pieces = [getattr(content, f"{side}_transcription") for content in contents]
        return "".join(piece.text or "" for piece in pieces if piece)


@asynccontextmanager
async def talk(
    client: genai.Client, model: str, config: types.LiveConnectConfig
) -> AsyncIterator[Talk]:
    async with asyncio.timeout(5):
        manager = client.aio.live.connect(model=model, config=config)
        session = await manager.__aenter__()
    talk_ = Talk(session)
    reader = asyncio.create_task(talk_.receive())
    try:
        yield talk_
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await manager.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "model",
    [
        "gemini-3.8-live",
        "gemini-3.1-flash-live-preview",
        "gemini-2.5-flash-native-audio-preview-12-2025",
    ],
)
async def test_the_sdk_talks_to_every_developer_profile(model: str) -> None:
    """Greeting by text, a spoken turn, transcripts of both sides, usage and a handle."""
    async with LiveTwin(_SCRIPT, speed=50) as twin:
        async with talk(client_of(twin), model, configuration()) as call:
            await call.session.send_realtime_input(text="Greet the caller.")
            await call.until(lambda m: m.server_content and m.server_content.generation_complete)
            assert call.audio == speech.line("agent_greeting").pcm
            call.messages.clear()
            await call.say("caller_hours")
            await call.until(lambda m: m.server_content and m.server_content.interrupted)
            await call.until(lambda m: m.server_content and m.server_content.generation_complete)
            await call.until(
                lambda m: m.session_resumption_update and m.session_resumption_update.new_handle
            )
            usage = await call.until(lambda m: m.usage_metadata)
            if not model.startswith("gemini-3.1"):
                assert usage.prompt_token_count > 0
            assert call.text("input").strip() == speech.line("caller_hours").text
            assert call.text("output").strip() == speech.line("agent_hours").text
        log = twin.sessions[0]
        assert log.oddities == []
        assert log.setup["generationConfig"]["speechConfig"]["languageCode"] == "en-US"


async def test_the_sdk_answers_a_tool_call() -> None:
    """The call arrives with its arguments, and its answer is spoken."""
    async with LiveTwin(_SCRIPT, speed=50) as twin:
        async with talk(client_of(twin), "gemini-3.8-live", configuration()) as call:
            await call.session.send_realtime_input(text="The caller pressed 7.")
            (wanted,) = await call.until(lambda m: m.tool_call and m.tool_call.function_calls)
            assert (wanted.name, wanted.args) == ("order_status", {"order_number": "7"})
            response = types.FunctionResponse(
                id=wanted.id, name=wanted.name, response={"output": "ready"}
            )
            await call.session.send_tool_response(function_responses=[response])
            await call.until(lambda m: m.data)
        assert twin.sessions[0].tool_responses[0]["response"] == {"output": "ready"}


async def test_the_sdk_talks_to_vertex() -> None:
    """Project and location with a bearer token; ``candidates`` counts are renamed by the SDK."""
    script = LiveScript(opening=(Say("agent_transfer"),))
    async with LiveTwin(script) as twin:
        client = client_of(
            twin,
            vertexai=True,
            project="project",
            location="us-central1",
            credentials=Credentials(token="test-key"),  # type: ignore[no-untyped-call]  # google-auth
        )
        model = "gemini-live-2.5-flash-native-audio"
        config = configuration(explicit_vad_signal=True)
        async with talk(client, model, config) as call:
            await call.session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="Greet the caller.")])
            )
            usage = await call.until(lambda m: m.usage_metadata)
            assert usage.response_token_count > 0
            await call.say("caller_bye")
            await call.until(lambda m: m.voice_activity)
        assert twin.sessions[0].setup["model"].startswith("projects/project/locations/")


@pytest.mark.parametrize(
    ("model", "fields", "code"),
    [
        ("gemini-9-live", {}, 1008),
        ("gemini-3.8-live", {"response_modalities": ["TEXT"]}, 1007),
        (
            "gemini-3.8-live",
            {
                "speech_config": {
                    "voice_config": {"prebuilt_voice_config": {"voice_name": "Nobody"}}
                }
            },
            1007,
        ),
    ],
)
async def test_a_refused_setup_is_an_api_error_of_the_sdk(
    model: str, fields: dict[str, Any], code: int
) -> None:
    """The SDK's ``connect`` raises with the close code."""
    async with LiveTwin() as twin:
        with pytest.raises(errors.APIError) as refused:
            async with talk(client_of(twin), model, configuration(**fields)):
                pass
        assert refused.value.code == code


async def test_a_bad_key_is_an_invalid_status_of_the_sdk() -> None:
    """The upgrade fails with 403, which the SDK does not translate."""
    async with LiveTwin() as twin:
        with pytest.raises(InvalidStatus) as refused:
            async with talk(client_of(twin, api_key="wrong"), "gemini-3.8-live", configuration()):
                pass
        assert refused.value.response.status_code == 403


async def test_a_closed_connection_is_an_api_error_of_the_sdk() -> None:
    """In the middle of an answer, with the code and the reason that were scripted."""
    async with (
        LiveTwin(_SCRIPT, faults=[Close(answer=1, audio_ms=500)]) as twin,
        client_of(twin).aio.live.connect(
            model="gemini-3.8-live", config=configuration()
        ) as session,
    ):
        await session.send_realtime_input(text="hello")
        with pytest.raises(errors.APIError, match="Internal error") as closed:
            async for _ in session.receive():
                pass
        assert closed.value.code == 1011


async def test_the_sdk_moves_by_handle_when_it_is_told_to_go_away() -> None:
    """``timeLeft`` is parsed, the handle is taken, and the session goes on where it was."""
    fault = GoAway(turn=1, time_left_s=9.5, sessions=frozenset({1}))
    script = LiveScript(opening=(Say("Hello."),), turns=(Turn("caller_hours", (Say("At nine."),)),))
    async with LiveTwin(script, faults=[fault], speed=50) as twin:
        client = client_of(twin)
        async with talk(client, "gemini-3.8-live", configuration()) as call:
            await call.session.send_realtime_input(text="Greet the caller.")
            go_away = await call.until(lambda m: m.go_away)
            assert go_away.time_left == "9.5s"
            handle = await call.until(
                lambda m: m.session_resumption_update and m.session_resumption_update.new_handle
            )
        await twin.until(lambda: not twin.open_sessions)
        config = configuration(session_resumption={"handle": handle})
        async with talk(client, "gemini-3.8-live", config) as call:
            await call.say("caller_hours")
            await call.until(lambda m: m.server_content and m.server_content.turn_complete)
        old, new = twin.sessions
        assert (new.resumed_from, new.handle) == (1, handle)
        assert new.memory[:2] == old.memory
        assert new.memory[-1] == ("model", "At nine.")
