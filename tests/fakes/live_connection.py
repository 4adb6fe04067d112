"""The Live API in memory: connections that are told what to receive, and their dialer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.genai import types

from agent.commands import ToolResponse
from agent.context.seed import SeedTurn
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectionLost, LiveError
from agent.events import AudioReceived, LiveEvent
from agent.spec import AgentSpec


class FakeConnection:
    """A connection whose other side is the test."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.texts: list[tuple[str, bool]] = []
        self.responses: list[tuple[ToolResponse, ...]] = []
        self.history: list[SeedTurn] = []
        self.system_contents: list[str] = []
        self.system_instructions: list[str] = []
        self.sent: list[str] = []
        """What was sent, by kind, in order."""
        self.congested = False
        self.stuck = False
        """The network takes nothing: sending audio waits until the connection is closed."""
        self.closed = False
        self.hangs_at_close = False
        """The other side does not answer a close."""
        self.changed = asyncio.Event()
        self._take: Callable[[AudioReceived], bool] = lambda _event: False
        self.waited_for = False
        """Whether the session waits, and nothing waits for the session."""
        self._incoming: asyncio.Queue[list[LiveEvent] | LiveConnectionLost] = asyncio.Queue()
        self._lost: LiveConnectionLost | None = None
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._lost is not None

    def say(self, *found: LiveEvent) -> None:
        """Let the session receive one frame with these events."""
        at_once = self.waited_for and len(found) == 1
        if at_once and isinstance(found[0], AudioReceived) and self._take(found[0]):
            return
        self.waited_for = False
        self._incoming.put_nowait(list(found))

    def lose(self, code: int = 1011, reason: str = "") -> None:
        """End the connection from the other side."""
        self._lost = LiveConnectionLost(code, reason)
        self._incoming.put_nowait(self._lost)
        self._ended.set()

    def listen(self, take: Callable[[AudioReceived], bool]) -> None:
        self._take = take

    def write_audio(self, pcm: bytes) -> bool:
        if self.stuck or self._lost is not None:
            return False
        self._note("audio")
        self.audio += pcm
        return True

    async def send_audio(self, pcm: bytes) -> None:
        if self.stuck:
            await self._ended.wait()
        self._note("audio")
        self.audio += pcm

    async def send_text(self, text: str, *, opening: bool = False) -> None:
        self._note("text")
        self.texts.append((text, opening))

    async def send_tool_responses(self, responses: Sequence[ToolResponse]) -> None:
        self._note("tool_responses")
        self.responses.append(tuple(responses))

    async def send_history(self, turns: Sequence[SeedTurn]) -> None:
        self._note("history")
        self.history += turns

    async def send_system_content(self, text: str) -> None:
        self._note("system_content")
        self.system_contents.append(text)

    async def send_system_instruction(self, text: str) -> None:
        self._note("system_instruction")
        self.system_instructions.append(text)

    async def receive(self) -> list[LiveEvent]:
        self.waited_for = self._incoming.empty()
        try:
            found = await self._incoming.get()
        finally:
            self.waited_for = False
        if isinstance(found, LiveConnectionLost):
            raise found
        return found

    async def close(self, *, timeout_s: float = 2.0) -> None:
        if self.hangs_at_close and not self.closed:
            await asyncio.sleep(timeout_s)
        self.closed = True
        if self._lost is None:
            self.lose(1000)

    def _note(self, kind: str) -> None:
        if self._lost is not None:
            raise self._lost
        self.sent.append(kind)
        self.changed.set()


@dataclass(frozen=True, slots=True)
class Dial:
    """What a dial was made with."""

    spec: AgentSpec
    opening: Opening
    handle: str | None
    timeout_s: float | None
    open_then: int
    """Connections handed out before that were not closed at that moment."""
    history: tuple[SeedTurn, ...] = ()

    @property
    def told(self) -> str:
        """Everything the connection was told when it was opened."""
        return "\n".join([self.opening.system_instruction, *(turn.text for turn in self.history)])


class FakeDialer:
    """Hands out connections one after the other, when it is let to.

    Args:
        outcomes: What the dials bring, in order: a connection, or an error.
        error: What every later dial brings; None brings a new connection each time.
        open_at_once: Do not wait for ``may_open``.
    """

    def __init__(
        self,
        *outcomes: FakeConnection | LiveError,
        error: LiveError | None = None,
        open_at_once: bool = True,
    ) -> None:
        self.vertexai = False
        self.dials: list[Dial] = []
        self.connections: list[FakeConnection] = []
        """Those handed out, in order."""
        self.error = error
        self.may_open = asyncio.Event()
        if open_at_once:
            self.may_open.set()
        self.outcomes: deque[FakeConnection | LiveError] = deque(outcomes)
        if not outcomes and error is None:
            self.outcomes.append(FakeConnection())
        prepared = [item for item in self.outcomes if isinstance(item, FakeConnection)]
        self.connection = prepared[0] if prepared else FakeConnection()
        """The first there is."""

    async def connect(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
        *,
        handle: str | None = None,
        history: Sequence[SeedTurn] = (),
        timeout_s: float | None = None,
    ) -> FakeConnection:
        open_then = sum(not connection.closed for connection in self.connections)
        self.dials.append(Dial(spec, opening, handle, timeout_s, open_then, tuple(history)))
        outcome: FakeConnection | LiveError | None = None
        if self.outcomes:
            outcome = self.outcomes.popleft()
        await self.may_open.wait()
        outcome = outcome or self.error or FakeConnection()
        if isinstance(outcome, LiveError):
            raise outcome
        self.connections.append(outcome)
        return outcome
