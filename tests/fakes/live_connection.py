"""The Live API in memory: a connection that is told what to receive, and its dialer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.genai import types

from agent.commands import ToolResponse
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectionLost, LiveError
from agent.events import LiveEvent
from agent.spec import AgentSpec


class FakeConnection:
    """A connection whose other side is the test."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.texts: list[tuple[str, bool]] = []
        self.responses: list[tuple[ToolResponse, ...]] = []
        self.sent: list[str] = []
        """What was sent, by kind, in order."""
        self.congested = False
        self.closed = False
        self.changed = asyncio.Event()
        self._incoming: asyncio.Queue[list[LiveEvent] | LiveConnectionLost] = asyncio.Queue()
        self._lost: LiveConnectionLost | None = None

    def say(self, *found: LiveEvent) -> None:
        """Let the session receive one frame with these events."""
        self._incoming.put_nowait(list(found))

    def lose(self, code: int = 1011, reason: str = "") -> None:
        """End the connection from the other side."""
        self._lost = LiveConnectionLost(code, reason)
        self._incoming.put_nowait(self._lost)

    async def send_audio(self, pcm: bytes) -> None:
        self._note("audio")
        self.audio += pcm

    async def send_text(self, text: str, *, opening: bool = False) -> None:
        self._note("text")
        self.texts.append((text, opening))

    async def send_tool_responses(self, responses: Sequence[ToolResponse]) -> None:
        self._note("tool_responses")
        self.responses.append(tuple(responses))

    async def receive(self) -> list[LiveEvent]:
        found = await self._incoming.get()
        if isinstance(found, LiveConnectionLost):
            raise found
        return found

    async def close(self) -> None:
        self.closed = True

    def _note(self, kind: str) -> None:
        if self._lost is not None:
            raise self._lost
        self.sent.append(kind)
        self.changed.set()


class FakeDialer:
    """Hands out one prepared connection, when it is let to."""

    def __init__(self, *, error: LiveError | None = None, open_at_once: bool = True) -> None:
        self.vertexai = False
        self.connection = FakeConnection()
        self.dials: list[tuple[AgentSpec, Opening]] = []
        self.error = error
        self.may_open = asyncio.Event()
        if open_at_once:
            self.may_open.set()

    async def connect(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
    ) -> FakeConnection:
        self.dials.append((spec, opening))
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        return self.connection
