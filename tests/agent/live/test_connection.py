"""One connection over the SDK's own session, with a socket in memory."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, cast

import pytest
from google import genai
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.protocol import State

from agent import events
from agent.audio import PcmChunk
from agent.commands import ToolResponse
from agent.errors import LiveConnectionLost
from agent.live import connection as connection_module
from agent.live.connection import DirectConnection, GenaiConnection, open_connection
from agent.live.models import profile_for

PCM = bytes(range(128)) * 5
AUDIO = {
    "serverContent": {
        "modelTurn": {
            "parts": [
                {
                    "inlineData": {
                        "mimeType": "audio/pcm;rate=24000",
                        "data": base64.b64encode(PCM).decode(),
                    }
                }
            ]
        }
    }
}


class Transport:
    def __init__(self) -> None:
        self.unsent_bytes = 0
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class Socket:
    """The socket under the SDK: keeps what is sent, returns what is to be received."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.sent: list[dict[str, Any]] = []
        self.incoming: list[bytes | str] = []
        self.stuck = False
        self.close_frame: Close | None = None
        self.state = State.OPEN

    async def send(self, message: bytes | str, text: bool | None = None) -> None:
        if self.close_frame is not None:
            raise ConnectionClosedError(self.close_frame, None)
        if self.stuck:
            await asyncio.Event().wait()
        assert text or type(message) is str  # clients send text frames
        self.sent.append(json.loads(message))

    async def recv(self, decode: bool | None = None) -> bytes | str:
        if not self.incoming:
            raise ConnectionClosedError(self.close_frame, None)
        message = self.incoming.pop(0)
        return message if decode or type(message) is bytes else cast(str, message).encode()


@pytest.fixture(scope="module")
def client() -> genai.Client:
    return genai.Client(api_key="test-key")


def connect(
    client: genai.Client,
    *,
    direct: bool = True,
    model: str = "gemini-3.8-live",
    vertexai: bool = False,
) -> tuple[GenaiConnection, Socket]:
    socket = Socket()
    session = AsyncSession(api_client=client._api_client, websocket=cast(Any, socket))
    context = cast(AbstractAsyncContextManager[AsyncSession], nullcontext(session))
    kind = DirectConnection if direct else GenaiConnection
    profile = profile_for(model, vertexai=vertexai)
    return kind(session, context, profile=profile, vertexai=vertexai), socket


both = pytest.mark.parametrize("direct", [True, False], ids=["direct", "sdk_only"])


@both
async def test_audio_goes_out_as_one_realtime_input(client: genai.Client, direct: bool) -> None:
    """Either path sends the same audio, whatever the casing and alphabet of its JSON."""
    connection, socket = connect(client, direct=direct)
    await connection.send_audio(PCM)
    (message,) = socket.sent
    blob = next(iter(message.values()))["audio"]
    assert (blob.get("mimeType") or blob.get("mime_type")) == "audio/pcm;rate=16000"
    assert base64.b64decode(blob["data"], altchars=b"+/" if direct else b"-_") == PCM


@both
async def test_frames_come_in_as_events(client: genai.Client, direct: bool) -> None:
    """Text and binary frames, audio and everything else."""
    connection, socket = connect(client, direct=direct)
    socket.incoming = [
        json.dumps(AUDIO).encode(),
        json.dumps(AUDIO),
        b'{"serverContent":{"turnComplete":true}}',
        b'{"serverContent":{}}',
    ]
    audio = [events.AudioReceived(PcmChunk(PCM, 24_000))]
    assert await connection.receive() == audio
    assert await connection.receive() == audio
    assert await connection.receive() == [events.TurnCompleted()]
    assert await connection.receive() == []


@both
@pytest.mark.parametrize(
    "raw", [b"{", b'{"unheardOf":1}', b'{"serverContent":{"turnComplete":[]}}', b'{"code":400}']
)
async def test_frame_that_cannot_be_read_is_one_event(
    client: genai.Client, direct: bool, raw: bytes
) -> None:
    """The connection goes on after it."""
    connection, socket = connect(client, direct=direct)
    socket.incoming = [raw, b'{"serverContent":{"turnComplete":true}}']
    (event,) = await connection.receive()
    assert isinstance(event, events.MalformedReceived | events.Unrecognised)
    assert await connection.receive() == [events.TurnCompleted()]


@both
async def test_closed_connection_says_its_code_and_reason(
    client: genai.Client, direct: bool
) -> None:
    """Sending and receiving both find out, with the same words."""
    connection, socket = connect(client, direct=direct)
    socket.close_frame = Close(1011, "Internal error encountered.")
    for attempt in (
        connection.receive(),
        connection.send_audio(PCM),
        connection.send_text("hm"),
        connection.send_tool_responses([ToolResponse("id-1", "f", {})]),
    ):
        with pytest.raises(LiveConnectionLost) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (1011, "Internal error encountered.")


@both
async def test_end_is_known_without_reading(client: genai.Client, direct: bool) -> None:
    """By the state of the socket, whoever closed it; where there is no socket, by our own close."""
    for state, ended in ((State.OPEN, False), (State.CLOSING, True), (State.CLOSED, True)):
        connection, socket = connect(client, direct=direct)
        socket.state = state
        assert connection.ended is ended
    profile = profile_for("gemini-3.8-live", vertexai=False)
    bare = cast(AsyncSession, object())
    context = cast(AbstractAsyncContextManager[AsyncSession], nullcontext())
    connection = GenaiConnection(bare, context, profile=profile, vertexai=False)
    assert not connection.ended
    await connection.close()
    assert connection.ended


async def test_socket_that_takes_nothing_is_lost(
    client: genai.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-dead peer does not block a call for ever."""
    monkeypatch.setattr(connection_module, "SEND_TIMEOUT_S", 0.01)
    connection, socket = connect(client)
    socket.stuck = True
    socket.transport.unsent_bytes = 32_000
    assert connection.congested
    for attempt in (connection.send_audio(PCM), connection.send_text("hm")):
        with pytest.raises(LiveConnectionLost, match="took no data"):
            await attempt


async def test_text_goes_where_the_model_takes_it(client: genai.Client) -> None:
    """Openings of 2.5 are ``clientContent``, everything else realtime text; both are cleaned."""
    connection, socket = connect(client, model="gemini-2.5-flash-native-audio-latest")
    await connection.send_text("Greet.\x00", opening=True)
    await connection.send_text("A key.\ud800")
    opening, middle = socket.sent
    assert opening == {
        "client_content": {
            "turns": [{"parts": [{"text": "Greet. "}], "role": "user"}],
            "turnComplete": True,
        }
    }
    assert middle == {"realtime_input": {"text": "A key. "}}


async def test_tool_responses_go_out_in_one_message(client: genai.Client) -> None:
    """All calls of a message are answered together, each by its id, results untouched."""
    connection, socket = connect(client)
    await connection.send_tool_responses(
        [
            ToolResponse("id-1", "order_status", {"output": {"order_number": "7"}}),
            ToolResponse("id-2", "opt_out", {"error": "no"}),
        ]
    )
    (message,) = socket.sent
    assert message == {
        "tool_response": {
            "functionResponses": [
                {
                    "id": "id-1",
                    "name": "order_status",
                    "response": {"output": {"order_number": "7"}},
                },
                {"id": "id-2", "name": "opt_out", "response": {"error": "no"}},
            ]
        }
    }


@both
async def test_nothing_that_ends_a_session_is_sent(client: genai.Client, direct: bool) -> None:
    """In texts, and in a response wherever it may stand: its name and id, keys and values."""
    connection, socket = connect(client, direct=direct)
    bad = "a\x00\ud800\u202eb"
    await connection.send_text(bad)
    await connection.send_text(bad, opening=True)
    await connection.send_tool_responses([ToolResponse(bad, bad, {bad: [{bad: bad}]})])
    (text,) = re.findall(r"a +b", json.dumps(socket.sent[0]))
    assert json.dumps(socket.sent).count(text) == 7
    for code in ("u0000", "ud800", "u202e"):
        assert code not in json.dumps(socket.sent)


async def test_response_of_a_model_that_does_not_wait_interrupts(client: genai.Client) -> None:
    """Results that wait for silence are never spoken while audio flows."""
    connection, socket = connect(client, model="gemini-3.8-live-extended-thinking")
    await connection.send_tool_responses([ToolResponse("id-1", "f", {"output": 1})])
    (response,) = socket.sent[0]["tool_response"]["functionResponses"]
    assert response["scheduling"] == response["response"]["scheduling"] == "INTERRUPT"


def test_socket_is_used_where_it_is_to_be_had(client: genai.Client) -> None:
    """Without the SDK's private socket everything goes through its methods."""
    profile = profile_for("gemini-3.8-live", vertexai=False)
    context = cast(AbstractAsyncContextManager[AsyncSession], nullcontext())
    session = AsyncSession(api_client=client._api_client, websocket=cast(Any, Socket()))
    found = open_connection(session, context, profile=profile, vertexai=False)
    assert type(found) is DirectConnection
    bare = cast(AsyncSession, object())
    found = open_connection(bare, context, profile=profile, vertexai=False)
    assert type(found) is GenaiConnection


async def test_close_is_bounded_and_happens_once(client: genai.Client) -> None:
    """A peer that says nothing is broken off after a while; a second close does nothing."""
    closes = 0

    class Silent:
        async def __aexit__(self, *_: object) -> None:
            nonlocal closes
            closes += 1
            await asyncio.Event().wait()

    profile = profile_for("gemini-3.8-live", vertexai=False)
    socket = Socket()
    session = AsyncSession(api_client=client._api_client, websocket=cast(Any, socket))
    context = cast(AbstractAsyncContextManager[AsyncSession], Silent())
    connection = GenaiConnection(session, context, profile=profile, vertexai=False)
    async with asyncio.timeout(1):
        await connection.close(timeout_s=0.05)
        await connection.close()
    assert closes == 1
    assert socket.transport.aborted


async def test_close_that_is_cancelled_leaves_no_socket(client: genai.Client) -> None:
    """The server would take the session for connected, and refuse its handle."""

    class Silent:
        async def __aexit__(self, *_: object) -> None:
            await asyncio.Event().wait()

    profile = profile_for("gemini-3.8-live", vertexai=False)
    socket = Socket()
    session = AsyncSession(api_client=client._api_client, websocket=cast(Any, socket))
    context = cast(AbstractAsyncContextManager[AsyncSession], Silent())
    connection = GenaiConnection(session, context, profile=profile, vertexai=False)
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert socket.transport.aborted
