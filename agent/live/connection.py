"""One WebSocket of a session: open, send, receive, close.

The SDK dials, authenticates and completes the setup. After that plain audio goes straight over its
socket (``_ws``, a private attribute: google-genai 2.34 to below 3) and everything else through the
SDK's methods. Where the socket is not to be had, all of it goes through the SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol, cast

from google.genai import errors as genai_errors
from google.genai import types
from google.genai.live import AsyncSession
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from agent.audio import INPUT_RATE_HZ
from agent.commands import ToolResponse
from agent.context.seed import SeedTurn
from agent.errors import LiveConnectionLost
from agent.events import AudioReceived, LiveEvent, MalformedReceived
from agent.live.codec import LOCAL_ID_PREFIX, clean_text, decode, encode_audio, events_of
from agent.live.models import ModelProfile, SeedPath, TextPath
from agent.live.refusal import close_of, close_reason
from agent.live.websocket import LiveSocket
from agent.text import sendable, sendable_value

SEND_TIMEOUT_S = 5.0
"""A socket that takes nothing for so long is dead, whatever TCP thinks."""
CLOSE_TIMEOUT_S = 2.0
"""The SDK's own close waits up to 10 s for a peer that says nothing."""
# websockets stops reading the application at 32 KiB of unsent data; half of it leaves room for one
# more frame of audio, so that sending one never waits.
_CONGESTED_BYTES = 16 * 1024

_AUDIO_MIME = f"audio/pcm;rate={INPUT_RATE_HZ}"


class Connection(Protocol):
    """What a session needs of a connection. Everything but ``receive`` is bounded in time."""

    @property
    def congested(self) -> bool:
        """Whether sending audio now might wait for the network."""

    @property
    def ended(self) -> bool:
        """Whether it is known, without reading it, that the connection is over or closing."""

    def listen(self, take: Callable[[AudioReceived], bool]) -> None:
        """Have ``take`` offered the model's audio as it comes, unless something waits before it.

        What it refuses (False) is received in its turn. Not every connection offers it.
        """

    def write_audio(self, pcm: bytes) -> bool:
        """Send caller audio at once; False where that is for ``send_audio``, which may wait."""

    async def send_audio(self, pcm: bytes) -> None:
        """Send caller audio, PCM16 at 16 kHz."""

    async def send_text(self, text: str, *, opening: bool = False) -> None:
        """Tell the model something in text."""

    async def send_tool_responses(self, responses: Sequence[ToolResponse]) -> None:
        """Answer the calls of one message."""

    async def send_history(self, turns: Sequence[SeedTurn]) -> None:
        """Tell a fresh session what was said before; it answers nothing."""

    async def send_system_content(self, text: str) -> None:
        """Tell the model something that asks for no answer (Vertex)."""

    async def send_system_instruction(self, text: str) -> None:
        """Put a new system instruction in the place of the old one (3.8)."""

    async def receive(self) -> list[LiveEvent]:
        """Wait for a frame and return what it says, which may be nothing."""

    async def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close and wait for the peer, so long; then break the connection. Never raises."""


class GenaiConnection:
    """A connection through the SDK's methods.

    Every method but ``close`` raises ``LiveConnectionLost`` when the connection has ended.
    """

    def __init__(
        self,
        session: AsyncSession,
        context: AbstractAsyncContextManager[AsyncSession],
        *,
        profile: ModelProfile,
        vertexai: bool,
    ) -> None:
        self._session = session
        self._context = context
        self._profile = profile
        self._vertexai = vertexai
        self._closed = False

    @property
    def congested(self) -> bool:
        """The SDK does not tell."""
        return False

    @property
    def ended(self) -> bool:
        """Whether either side closed it; what had arrived before may still be read."""
        state = getattr(getattr(self._session, "_ws", None), "state", None)
        return self._closed or state in (State.CLOSING, State.CLOSED)

    def listen(self, take: Callable[[AudioReceived], bool]) -> None:
        """The SDK's methods are asked; they do not tell."""

    def write_audio(self, _pcm: bytes) -> bool:
        """The SDK's methods may always wait."""
        return False

    async def send_audio(self, pcm: bytes) -> None:
        """Send caller audio, PCM16 at 16 kHz."""
        blob = types.Blob(data=pcm, mime_type=_AUDIO_MIME)
        await _bounded(self._session.send_realtime_input(audio=blob))

    async def send_text(self, text: str, *, opening: bool = False) -> None:
        """Tell the model something in text, in the message its generation takes."""
        text = clean_text(text)
        path = self._profile.opening_text if opening else self._profile.text
        if path is TextPath.REALTIME_INPUT:
            await _bounded(self._session.send_realtime_input(text=text))
            return
        turn = types.Content(role="user", parts=[types.Part(text=text)])
        await _bounded(self._session.send_client_content(turns=turn, turn_complete=True))

    async def send_tool_responses(self, responses: Sequence[ToolResponse]) -> None:
        """Answer the calls of one message."""
        answers = [self._function_response(item) for item in responses]
        await _bounded(self._session.send_tool_response(function_responses=answers))

    async def send_history(self, turns: Sequence[SeedTurn]) -> None:
        """Tell a fresh session what was said before; it answers nothing."""
        content: list[types.Content | types.ContentDict] = [
            types.Content(role=turn.role, parts=[types.Part(text=clean_text(turn.text))])
            for turn in turns
        ]
        # Initial history ends with ``turnComplete`` and starts no generation (google-genai,
        # HistoryConfig); elsewhere that would ask for an answer.
        complete = self._profile.seed is SeedPath.INITIAL_HISTORY
        await _bounded(self._session.send_client_content(turns=content, turn_complete=complete))

    async def send_system_content(self, text: str) -> None:
        """Tell the model something that asks for no answer (Vertex)."""
        turn = types.Content(role="system", parts=[types.Part(text=clean_text(text))])
        await _bounded(self._session.send_client_content(turns=turn, turn_complete=False))

    async def send_system_instruction(self, text: str) -> None:
        """Put a new system instruction in the place of the old one (3.8)."""
        await _bounded(
            self._session.send_context_update(
                system_instruction=types.Content(parts=[types.Part(text=clean_text(text))])
            )
        )

    async def receive(self) -> list[LiveEvent]:
        """Wait for a frame and return what it says."""
        try:
            # A generator of the SDK ends with the turn, or with an error: one for each frame.
            stream = cast(AsyncGenerator[types.LiveServerMessage, None], self._session.receive())
            async with aclosing(stream) as messages:
                async for message in messages:
                    return events_of(message)
            return []
        except genai_errors.APIError as error:
            # WebSocket close codes; lower ones are the ``code`` of an error message.
            if error.code < 1000:
                return [MalformedReceived(f"error {error.code}")]
            raise LiveConnectionLost(error.code, close_reason(error)) from error
        except ConnectionClosed as error:
            raise LiveConnectionLost(*close_of(error)) from error
        # TypeError: a frame of which the SDK knows no key.
        except (TypeError, ValueError, AttributeError) as error:
            kind = "fields" if isinstance(error, ValidationError) else type(error).__name__
            return [MalformedReceived(f"unreadable ({kind})")]

    async def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close and wait for the peer, so long; then break the connection."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._context.__aexit__(None, None, None)
        except (TimeoutError, OSError, ConnectionClosed, genai_errors.APIError):
            self._abort()
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        """Break the connection: the peer must not take this session for connected any longer."""
        transport = getattr(getattr(self._session, "_ws", None), "transport", None)
        if transport is not None:
            transport.abort()

    def _function_response(self, answer: ToolResponse) -> types.FunctionResponse:
        scheduling = self._profile.response_scheduling
        # Results are clean; what is sent in place of one need not be.
        response = sendable_value(answer.response)
        if scheduling is not None:
            # The guides put it inside the response, the API reference beside it.
            response["scheduling"] = scheduling
        nameless = self._vertexai and answer.id.startswith(LOCAL_ID_PREFIX)
        return types.FunctionResponse(
            id=None if nameless else sendable(answer.id),
            name=sendable(answer.name),
            response=response,
            scheduling=types.FunctionResponseScheduling(scheduling) if scheduling else None,
        )


class DirectConnection(GenaiConnection):
    """A connection whose audio bypasses the SDK's types, on the SDK's own socket."""

    def __init__(
        self,
        session: AsyncSession,
        context: AbstractAsyncContextManager[AsyncSession],
        *,
        profile: ModelProfile,
        vertexai: bool,
    ) -> None:
        super().__init__(session, context, profile=profile, vertexai=vertexai)
        self._ws = session._ws
        self._transport = self._ws.transport
        self._at_once = self._ws if isinstance(self._ws, LiveSocket) else None
        self._refused: tuple[bytes, list[LiveEvent]] | None = None
        """What was offered and refused, and what it says: it is received next."""

    @property
    def congested(self) -> bool:
        """Whether the network has not taken what was sent before."""
        return self._transport.get_write_buffer_size() > _CONGESTED_BYTES

    def listen(self, take: Callable[[AudioReceived], bool]) -> None:
        """Have ``take`` offered the model's audio as it comes, unless something waits before it."""

        def offered(message: bytes) -> bool:
            found = decode(message)
            if len(found) == 1 and isinstance(found[0], AudioReceived) and take(found[0]):
                return True
            self._refused = message, found
            return False

        if self._at_once is not None:
            self._at_once.listen(offered)

    def write_audio(self, pcm: bytes) -> bool:
        """Send caller audio at once; False where that is for ``send_audio``, which may wait."""
        return self._at_once is not None and self._at_once.write(encode_audio(pcm))

    async def send_audio(self, pcm: bytes) -> None:
        """Send caller audio, PCM16 at 16 kHz."""
        if not self.write_audio(pcm):
            await _bounded(self._ws.send(encode_audio(pcm), text=True))

    async def receive(self) -> list[LiveEvent]:
        """Wait for a frame and return what it says."""
        try:
            message = await self._ws.recv(decode=False)
            refused, self._refused = self._refused, None
            if refused is not None and refused[0] == message:
                return refused[1]
            return decode(message)
        except ConnectionClosed as error:
            raise LiveConnectionLost(*close_of(error)) from error


def open_connection(
    session: AsyncSession,
    context: AbstractAsyncContextManager[AsyncSession],
    *,
    profile: ModelProfile,
    vertexai: bool,
) -> GenaiConnection:
    """Wrap a session of the SDK, directly on its socket where that is to be had."""
    socket = getattr(session, "_ws", None)
    transport = getattr(socket, "transport", None)
    direct = hasattr(socket, "recv") and hasattr(transport, "get_write_buffer_size")
    kind = DirectConnection if direct else GenaiConnection
    return kind(session, context, profile=profile, vertexai=vertexai)


async def _bounded(sending: Awaitable[Any]) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await sending
    except ConnectionClosed as error:
        raise LiveConnectionLost(*close_of(error)) from error
    except TimeoutError as error:
        raise LiveConnectionLost(1006, f"took no data for {SEND_TIMEOUT_S:g} s") from error
