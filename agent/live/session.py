"""The asyncio shell of a session: carries out what the lifecycle decides, over its connection.

One task reads the connection, one takes the tools' answers, one may be sending held audio, and
``run`` itself keeps the time. All belong to one task group and end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from agent import commands, events
from agent.audio import PcmChunk
from agent.commands import Command
from agent.conversation.prompt import Opening
from agent.conversation.record import (
    BargeInRecord,
    DigitRecord,
    EndReason,
    MoveRecord,
    UsageRecord,
)
from agent.conversation.transcript import Transcript
from agent.conversation.turns import PlayoutClock
from agent.errors import LiveConnectionLost, LiveError
from agent.live.connection import Connection
from agent.live.dialer import Dialer
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.notes import SessionNotes
from agent.live.replay import HeldAudio
from agent.live.session_events import (
    ConnectFailed,
    EndRequested,
    Opened,
    SessionEnd,
    SessionEvent,
    Started,
)
from agent.spec import AgentSpec
from agent.tools.runner import ToolRunner

# ai.google.dev/gemini-api/docs/live: chunks of 20-100 ms.
_REPLAY_MS = 100.0
_MIN_SLEEP_S = 0.01
_CLEANUP_S = 5.0

_log = structlog.get_logger()


class SessionListener(Protocol):
    """Who is told what happens, in order. Must not raise and should not wait."""

    async def on_event(self, event: SessionEvent) -> None:
        """Something happened. ``Interrupted`` comes when agent audio is to be dropped."""

    async def on_greeting(self, text: str, audio: PcmChunk) -> None:
        """The kept greeting is to be played now."""


class LiveSession:
    """One conversation with a Live model, from the start of a stream to its end.

    Args:
        spec: The agent.
        opening: What the session is opened with.
        dialer: Opens connections.
        tools: Runs what the model calls; closed by the session.
        transcript: Is told what both sides say.
        playout: What the caller has heard.
        clock: Monotonic seconds.
        elapsed_s: How long the call had lasted when this session began.
        on_greeting_audio: Takes the audio of a greeting that was spoken whole.
    """

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        dialer: Dialer,
        tools: ToolRunner,
        transcript: Transcript,
        playout: PlayoutClock,
        clock: Callable[[], float] = time.monotonic,
        elapsed_s: float = 0.0,
        on_greeting_audio: Callable[[PcmChunk], None] | None = None,
    ) -> None:
        self._notes = SessionNotes(transcript, on_greeting_audio)
        self.digits: list[DigitRecord] = []
        """Keys the caller pressed."""
        self.moves: list[MoveRecord] = []
        """Reset reports, oldest first."""
        self._spec = spec
        self._opening = opening
        self._dialer = dialer
        self._tools = tools
        self._transcript = transcript
        self._playout = playout
        self._clock = clock
        self._origin_s = clock() - elapsed_s
        self._listener: SessionListener | None = None
        self._lifecycle = Lifecycle(
            limits=spec.limits,
            opening=opening,
            profile=profile_for(spec.model, vertexai=dialer.vertexai),
            now=clock(),
            elapsed_s=elapsed_s,
        )
        self._connection: Connection | None = None
        """The one that serves; ``_opened`` stays until it is closed."""
        self._opened: Connection | None = None
        self._held = HeldAudio()
        self._holding = True
        self._replaying = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._sleeping_until_s = 0.0

    @property
    def counters(self) -> dict[str, int]:
        """What was skipped or lost, by name."""
        return dict(self._notes.counters, caller_audio_lost_ms=round(self._held.lost_ms))

    @property
    def usage(self) -> UsageRecord:
        """Tokens so far."""
        return self._notes.usage

    @property
    def barge_ins(self) -> list[BargeInRecord]:
        """Where the caller interrupted the agent."""
        return self._notes.barge_ins

    def listen(self, listener: SessionListener) -> None:
        """Tell ``listener`` what happens from now on."""
        self._listener = listener

    async def run(self) -> SessionEnd:
        """Hold the conversation and return why it ended; nothing is left running."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._spawn(self._take_answers())
                await self._receive(Started())
                await self._keep_time()
                for task in list(self._tasks):
                    task.cancel()
        except* Exception:  # noqa: BLE001  # the edge of a session: a call ends, not the worker
            _log.exception("live.session_failed")
            self.end(EndReason.INTERNAL_ERROR, "an error of ours; see the log")
        finally:
            self._group = None
            await self._clean_up()
        end = self._lifecycle.end or SessionEnd(EndReason.INTERNAL_ERROR)
        _log.info("live.ended", reason=end.reason.value, detail=end.detail)
        return end

    def end(self, reason: EndReason, detail: str = "") -> None:
        """End the session for a reason from outside: hung up, lost, stopped."""
        self._lifecycle.receive(EndRequested(reason, detail), self._clock())
        self._wake.set()

    async def send_caller_audio(self, pcm: bytes) -> None:
        """Pass on what the caller says, PCM16 at 16 kHz; never waits for the network."""
        if self._lifecycle.end is not None:
            return
        speech = self._lifecycle.caller_audio(pcm, self._clock())
        if speech is not None:
            await self._receive(speech)
        connection = self._connection
        if connection is None or self._holding or self._replaying or connection.congested:
            self._held.add(pcm)
            if connection is not None:
                self._replay()
            return
        try:
            await connection.send_audio(pcm)
        except LiveConnectionLost as error:
            await self._lost(error)

    async def send_digit(self, digit: str) -> None:
        """Note a key of the caller; the model is told when they stop pressing."""
        try:
            self._lifecycle.key_pressed(digit, self._clock())
        except ValueError:
            self._notes.counters["keys_unknown"] += 1
            return
        self.digits.append(DigitRecord(digit, self._clock() - self._origin_s))
        self._reschedule()

    def bot_started(self) -> None:
        """The caller begins to hear the agent."""
        self._lifecycle.agent_playing(True, self._clock())

    def bot_stopped(self) -> None:
        """The caller has heard all there is."""
        self._lifecycle.agent_playing(False, self._clock())
        self._reschedule()

    async def _keep_time(self) -> None:
        while self._lifecycle.end is None:
            now = self._clock()
            event = self._lifecycle.tick(now, pending_ms=self._playout.pending_ms())
            if event is not None:
                await self._receive(event)
                continue
            self._wake.clear()
            self._sleeping_until_s = self._lifecycle.deadline
            delay_s = max(_MIN_SLEEP_S, self._sleeping_until_s - now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()

    def _reschedule(self) -> None:
        if self._lifecycle.end is not None or self._lifecycle.deadline < self._sleeping_until_s:
            self._wake.set()

    async def _serve(self) -> None:
        started_s = self._clock()
        try:
            connection = await self._dialer.connect(
                self._spec, self._opening, self._tools.declarations
            )
        except LiveError as error:
            _log.warning("live.connect_failed", verdict=error.verdict.value, detail=str(error))
            await self._receive(ConnectFailed(error))
            return
        _log.info("live.connected", took_ms=round((self._clock() - started_s) * 1000))
        self._connection = self._opened = connection
        await self._receive(Opened())
        try:
            while True:
                for event in await connection.receive():
                    await self._receive(event)
        except LiveConnectionLost as error:
            await self._lost(error)

    async def _take_answers(self) -> None:
        while True:
            answers = await self._tools.next_answers()
            await self._receive(answers)
            if answers.closing is not None:
                await self._receive(answers.closing)

    async def _lost(self, error: LiveConnectionLost) -> None:
        if self._connection is None:
            return
        self._connection = None
        _log.warning("live.lost", code=error.code, reason=error.reason)
        await self._receive(events.ConnectionLost(error.code, error.reason))

    async def _receive(self, event: SessionEvent) -> None:
        """Let the lifecycle decide about an event, do as it says, then tell everybody."""
        lifecycle = self._lifecycle
        if lifecycle.end is not None:
            return
        for command in lifecycle.receive(event, self._clock()):
            await self._perform(command)
        self._notes.take(event)
        if self._listener is not None and type(event) is not events.Interrupted:
            await self._listener.on_event(event)
        if type(event) is not events.AudioReceived:
            self._reschedule()

    async def _perform(self, command: Command) -> None:
        match command:
            case commands.OpenConnection():
                self._spawn(self._serve())
            case commands.PlayGreeting():
                await self._play_greeting()
            case commands.SendText(text, opening):
                await self._send_text(text, opening)
            case commands.RunTools(calls):
                self._tools.start(calls)
            case commands.CancelTools(ids):
                self._tools.cancel(ids)
            case commands.SendToolResponses(responses):
                if self._connection is not None:
                    await self._send(self._connection.send_tool_responses(responses))
            case commands.HoldCallerAudio():
                self._holding = True
            case commands.ReleaseCallerAudio():
                self._holding = False
                self._replay()
            case commands.ClearPlayout():
                await self._clear_playout()

    async def _send_text(self, text: str, opening: bool) -> None:
        if self._connection is None:
            return
        if opening and self._opening.greeting is not None:
            self._notes.greeting_asked(self._opening.greeting)
        self._transcript.told_model(text)
        await self._send(self._connection.send_text(text, opening=opening))

    async def _send(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        except LiveConnectionLost as error:
            await self._lost(error)

    async def _play_greeting(self) -> None:
        text, audio = self._opening.greeting, self._opening.greeting_audio
        assert text is not None
        assert audio is not None
        self._transcript.agent_text(text, finished=True)
        self._transcript.agent_audio(audio.duration_ms)
        self._transcript.generation_completed()
        if self._listener is not None:
            await self._listener.on_greeting(text, audio)
        self._transcript.turn_completed()

    async def _clear_playout(self) -> None:
        self._notes.playout_cleared()
        if self._listener is not None:
            await self._listener.on_event(events.Interrupted())

    def _replay(self) -> None:
        if self._held and not self._holding and not self._replaying and self._group is not None:
            self._replaying = True
            self._spawn(self._send_held())

    async def _send_held(self) -> None:
        try:
            while self._held and not self._holding and self._connection is not None:
                await self._connection.send_audio(self._held.take(_REPLAY_MS))
                # Faster than real time, but not at the expense of other calls.
                await asyncio.sleep(0)
        except LiveConnectionLost as error:
            await self._lost(error)
        finally:
            self._replaying = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
            return
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clean_up(self) -> None:
        """Close what the session holds; each is bounded, and so is all of it."""
        self._connection = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLEANUP_S):
                if self._opened is not None:
                    await self._opened.close()
                await self._tools.close()
