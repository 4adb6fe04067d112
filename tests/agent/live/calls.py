"""A session with everything around it in memory, for the tests of its shell."""

from __future__ import annotations

import array
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent import events
from agent.audio import PcmChunk
from agent.checkpoint import News
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason, MoveRecord
from agent.conversation.transcript import Transcript
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd, SessionEvent
from agent.spec import AgentSpec, Greeting, Limits, Moves
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import Tool
from agent.tools.runner import ToolRunner
from tests.fakes.call_control import FakeCallControl
from tests.fakes.live_connection import FakeDialer
from tests.fakes.playout import FakePlayout

PCM_20MS = bytes(640)
LOUD_200MS = array.array("h", [3_000, -3_000] * 1_600).tobytes()
AUDIO_100MS = PcmChunk(b"\0\x10" * 2_400, 24_000)


class Listener:
    """Plays what it is told to, and keeps what it hears."""

    def __init__(self, playout: FakePlayout) -> None:
        self.events: list[SessionEvent] = []
        self.greeting: tuple[str, PcmChunk] | None = None
        self.fillers: list[PcmChunk] = []
        self.left = 0
        self._playout = playout

    async def on_event(self, event: SessionEvent) -> None:
        self.events.append(event)
        if isinstance(event, events.AudioReceived):
            self._playout.offer(event.audio.duration_ms)
        elif isinstance(event, events.Interrupted):
            self._playout.clear()

    plays_on = True

    def play_on(self, audio: PcmChunk) -> None:
        self.events.append(events.AudioReceived(audio))
        self._playout.offer(audio.duration_ms)

    async def on_greeting(self, text: str, audio: PcmChunk) -> None:
        self.greeting = (text, audio)
        self._playout.offer(audio.duration_ms)

    async def on_filler(self, audio: PcmChunk) -> None:
        self.fillers.append(audio)

    async def on_left(self) -> None:
        self.left += 1


class Call:
    """A session with everything around it."""

    def __init__(
        self,
        dialer: FakeDialer,
        *,
        opening: Opening | None = None,
        limits: Limits | None = None,
        moves: Moves | None = None,
        model: str = "gemini-3.8-live",
        tools: dict[str, Tool] | None = None,
    ) -> None:
        spec = AgentSpec(
            name="test",
            system_instruction="Be kind.",
            model=model,
            greeting=Greeting("Hello."),
            limits=limits or Limits(),
            moves=moves or Moves(),
            tools=("end_call",),
        )
        all_tools = built_in_tools(spec, FakeCallControl()) | (tools or {})
        self.playout = FakePlayout()
        self.transcript = Transcript(self.playout)
        self.greetings: list[PcmChunk] = []
        self.moves: list[MoveRecord] = []
        self.changes = 0
        self.listener = Listener(self.playout)
        self.dialer = dialer
        self.connection = dialer.connection
        self.session = LiveSession(
            spec=spec,
            opening=opening or Opening("Be kind."),
            dialer=dialer,
            tools=ToolRunner(all_tools, timeout_s=1.0),
            transcript=self.transcript,
            playout=self.playout,
            on_greeting_audio=self.greetings.append,
            on_move=self.moves.append,
            on_change=self._changed,
        )
        self.session.listen(self.listener)

    def _changed(self, _news: News) -> None:
        self.changes += 1

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(5):
            while not true():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0)

    async def heard(self, kind: type[SessionEvent]) -> None:
        await self.until(lambda: any(isinstance(event, kind) for event in self.listener.events))


@asynccontextmanager
async def running(call: Call) -> AsyncIterator[asyncio.Task[SessionEnd]]:
    """Run the session, and see that it leaves nothing behind."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(call.session.run())
    try:
        yield task
    finally:
        call.session.end(EndReason.CALLER_HUNG_UP)
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before
