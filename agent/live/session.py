"""The asyncio shell of a session: carries out what the lifecycle decides, over its connections.

One task dials and reads each connection, one takes the tools' answers, one may be sending held
audio, and ``run`` itself keeps the time. All belong to one task group and end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol

import structlog

from agent import commands, events
from agent.audio import PcmChunk
from agent.checkpoint import News, SessionCheckpoint
from agent.commands import Command
from agent.context.facts import Facts
from agent.context.notes import Notes
from agent.context.text_model import TextModel
from agent.conversation.prompt import Opening
from agent.conversation.record import (
    BargeInRecord,
    ContextRecord,
    DigitRecord,
    EndReason,
    MoveCause,
    MoveRecord,
    SummaryMade,
    SummaryRecord,
    UpdateRecord,
    UsageRecord,
)
from agent.conversation.transcript import Transcript
from agent.conversation.turns import PlayoutClock
from agent.live.checkpointing import Checkpointing
from agent.live.context_keeping import ContextKeeping, OnSummary
from agent.live.dialer import Dialer
from agent.live.filler import soft_notes
from agent.live.lifecycle import Lifecycle
from agent.live.links import Link, Links
from agent.live.models import profile_for
from agent.live.move import ReportMove
from agent.live.notes import SessionNotes
from agent.live.sending import Sending
from agent.live.session_events import (
    EndRequested,
    HandOverWanted,
    SessionEnd,
    SessionEvent,
    Started,
    UpdateWanted,
)
from agent.spec import AgentSpec
from agent.tools import current
from agent.tools.runner import ToolRunner

_MIN_SLEEP_S = 0.01
_CLEANUP_S = 5.0

_log = structlog.get_logger()


class SessionListener(Protocol):
    """Who is told what happens, in order. Must not raise and should not wait."""

    async def on_event(self, event: SessionEvent) -> None:
        """Something happened. ``Interrupted`` comes when agent audio is to be dropped."""

    @property
    def plays_on(self) -> bool:
        """Whether ``play_on`` can play more of an answer; else ``on_event`` does."""

    def play_on(self, audio: PcmChunk) -> None:
        """Play more of an answer, at once."""

    async def on_greeting(self, text: str, audio: PcmChunk) -> None:
        """The kept greeting is to be played now."""

    async def on_filler(self, audio: PcmChunk) -> None:
        """Let the caller hear that somebody is there."""

    async def on_left(self) -> None:
        """The model that was speaking says no more; what is queued is still to be heard."""


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
        on_move: Takes the report of each move between connections.
        filler: What the caller hears when a gap is long; None plays two soft notes.
        facts: Pinned facts, which a tool adds to.
        notes: What operators and functions have the model know, from earlier streams too.
        summary: Of the call so far, where it goes on with a fresh session.
        text_model: Keeps the running summary; None keeps sentences with facts.
        on_summary: Takes what became of each attempt to bring the summary up to date, and the
            summary there is now.
        on_change: Told when ``checkpoint`` or the records have changed, a few times a second at
            most, and by what; must be quick.
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
        on_move: Callable[[MoveRecord], None] | None = None,
        filler: PcmChunk | None = None,
        facts: Facts | None = None,
        notes: Notes | None = None,
        summary: SummaryRecord | None = None,
        text_model: TextModel | None = None,
        on_summary: OnSummary | None = None,
        on_change: Callable[[News], None] | None = None,
    ) -> None:
        self._notes = SessionNotes(transcript, on_greeting_audio)
        self.digits: list[DigitRecord] = []
        """Keys the caller pressed."""
        self.moves: list[MoveRecord] = []
        """Reset reports, oldest first."""
        self._opening = opening
        self._tools = tools
        self._transcript = transcript
        self._playout = playout
        self._clock = clock
        self._origin_s = clock() - elapsed_s
        self._listener: SessionListener | None = None
        self._on_move = on_move
        self._filler = filler
        self._lifecycle = Lifecycle(
            spec=spec,
            opening=opening,
            profiles=partial(profile_for, vertexai=dialer.vertexai),
            now=clock(),
            elapsed_s=elapsed_s,
            random=random.random,
        )
        self._tape = self._lifecycle.tape
        self._on_summary = on_summary
        notes = Notes() if notes is None else notes
        self._keeping = ContextKeeping(
            spec=spec,
            opening=opening,
            transcript=transcript,
            tools=tools.records,
            budget=self._lifecycle.budget,
            now_s=self._now_s,
            spawn=self._spawn,
            facts=facts,
            notes=notes,
            summary=summary,
            text_model=text_model,
            on_summary=self._summarised,
        )
        self._recall = self._keeping.recall
        self._checkpointing = Checkpointing(
            standing=lambda: self._lifecycle.standing,
            known=self._recall.known,
            notes=notes,
            now_s=self._now_s,
            origin_s=self._origin_s,
            on_change=on_change,
        )
        tools.on_change = partial(self._checkpointing.changed, News.FINISHED)
        self._links = Links(
            spec=spec,
            opening=opening,
            dialer=dialer,
            declarations=tools.declarations,
            recall=self._recall,
            receive=self._receive,
            hear=self._hear_model,
            on_serve=self._serves,
            spawn=self._spawn,
            clock=clock,
        )
        self._sending = Sending(
            lifecycle=self._lifecycle,
            links=self._links,
            receive=self._receive,
            spawn=self._spawn,
            clock=clock,
        )
        self._cut_ms = 0.0
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._sleeping_until_s = 0.0

    @property
    def counters(self) -> dict[str, int]:
        """What was skipped or lost, by name."""
        return dict(self._notes.counters, caller_audio_lost_ms=round(self._tape.lost_ms))

    @property
    def usage(self) -> UsageRecord:
        """Tokens so far."""
        return replace(self._notes.usage, summary_tokens=self._keeping.summary_tokens)

    @property
    def context(self) -> ContextRecord:
        """The size of the context so far, and what was done about it."""
        return self._keeping.record

    @property
    def summary(self) -> SummaryRecord | None:
        """The running summary, if there is one yet."""
        return self._keeping.summary

    @property
    def barge_ins(self) -> list[BargeInRecord]:
        """Where the caller interrupted the agent."""
        return self._notes.barge_ins

    def listen(self, listener: SessionListener) -> None:
        """Tell ``listener`` what happens from now on."""
        self._listener = listener

    async def run(self) -> SessionEnd:
        """Hold the conversation and return why it ended; nothing is left running."""
        current.enter(self)
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
        for command in self._lifecycle.receive(EndRequested(reason, detail), self._clock()):
            # Connections are closed by ``run``; a move that was under way has still to be told.
            if isinstance(command, ReportMove):
                self._report(command.record)
        self._wake.set()

    def checkpoint(self) -> SessionCheckpoint:
        """Return what another worker needs to go on with this session; also after its end."""
        return self._checkpointing.make()

    def hand_over(self, limit_s: float) -> None:
        """End at the next safe point, so that another worker can go on with the call.

        A goodbye or a transfer that is under way goes on instead; it is bounded by itself. Asked
        again, the shorter limit counts.

        Args:
            limit_s: End by force after so long; 0 at once.
        """
        if self._lifecycle.end is not None:
            return
        for command in self._lifecycle.receive(HandOverWanted(limit_s), self._clock()):
            if isinstance(command, ReportMove):
                self._report(command.record)
            else:
                self._spawn(self._perform(command))
        self._wake.set()

    def add_context(self, text: str) -> UpdateRecord:
        """Have the model know a text from now on, without an answer to it.

        How and when it reaches the model depends on the model; the record returned says so.

        Raises:
            ValueError: the text is empty or too long; or the session is over.
        """
        self._check_open()
        update = self._keeping.add_note(text, self._lifecycle.update_path)
        self._checkpointing.changed()
        self._spawn(self._receive(UpdateWanted(MoveCause.UPDATE, "there is a note for the model")))
        return update

    def update_instruction(self, text: str) -> UpdateRecord:
        """Replace the agent's own instruction for the rest of the session.

        Raises:
            ValueError: the text is empty or too long; or the session is over.
        """
        self._check_open()
        update = self._keeping.replace_instruction(text, self._lifecycle.update_path)
        self._checkpointing.changed()
        self._spawn(self._receive(UpdateWanted(MoveCause.UPDATE, "the instruction was changed")))
        return update

    async def send_caller_audio(self, pcm: bytes) -> None:
        """Pass on what the caller says, PCM16 at 16 kHz; never waits for the network."""
        rest = self.hear_caller(pcm)
        if rest is not None:
            await rest

    def hear_caller(self, pcm: bytes) -> Coroutine[Any, Any, object] | None:
        """As ``send_caller_audio``, as far as that can be done at once.

        Returns:
            What is left to be done, before anything else is heard; None, as nearly always: nothing.
        """
        return self._sending.hear(pcm)

    async def send_digit(self, digit: str) -> None:
        """Note a key of the caller; the model is told when they stop pressing."""
        try:
            self._lifecycle.key_pressed(digit, self._clock())
        except ValueError:
            self._notes.counters["keys_unknown"] += 1
            return
        self.digits.append(DigitRecord(digit, self._now_s()))
        self._reschedule()

    def bot_started(self) -> None:
        """The caller begins to hear the agent."""
        self._lifecycle.agent_playing(True, self._clock())

    def bot_stopped(self) -> None:
        """The caller has heard all there is."""
        self._lifecycle.agent_playing(False, self._clock())
        # That an answer was heard to its end is worth a word, but no write of its own.
        self._checkpointing.changed(News.WORDS)
        self._reschedule()

    def _check_open(self) -> None:
        if self._lifecycle.end is not None:
            raise ValueError("the session is over")

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

    async def _take_answers(self) -> None:
        while True:
            answers = await self._tools.next_answers()
            await self._receive(answers)
            if answers.closing is not None:
                await self._receive(answers.closing)

    async def _receive(self, event: SessionEvent) -> None:
        """Let the lifecycle decide about an event, do as it says, then tell everybody."""
        lifecycle = self._lifecycle
        if lifecycle.end is not None:
            return
        if isinstance(event, events.ResumptionUpdated) and event.resumable and event.handle:
            self._recall.handle_came()
        dropped = False
        for command in lifecycle.receive(event, self._clock()):
            dropped = dropped or type(command) is commands.DropAudio
            await self._perform(command)
        if dropped:
            return
        await self._tell(event)
        if type(event) is events.AudioReceived:
            return
        self._checkpointing.look(event)
        wanted = self._keeping.look(event, lifecycle.update_path)
        if wanted is not None:
            await self._receive(wanted)
        self._reschedule()

    def _hear_model(self, event: events.AudioReceived) -> bool:
        """Play more of an answer at once; False, and nothing done, where it is to be received."""
        audio, listener = event.audio, self._listener
        if listener is None or not listener.plays_on:
            return False
        if not self._lifecycle.speaks_on(audio, self._clock()):
            return False
        self._notes.take(event)
        listener.play_on(audio)
        return True

    async def _tell(self, event: SessionEvent) -> None:
        self._notes.take(event)
        if self._listener is not None and type(event) is not events.Interrupted:
            await self._listener.on_event(event)

    def _serves(self, link: Link, moved: bool) -> None:
        self._keeping.serves(link.brief, resumed=link.resumed, moved=moved)

    async def _perform(self, command: Command | ReportMove) -> None:
        match command:
            case commands.OpenConnection():
                self._links.open(command)
            case commands.LeaveConnection(said_again):
                await self._leave(said_again)
            case commands.PromoteStandby(attempt):
                await self._links.promote(attempt)
            case commands.CloseStandby():
                self._links.close_standby()
            case commands.PlayGreeting():
                await self._play_greeting()
            case commands.PlayFiller():
                await self._play_filler()
            case commands.DropAudio(why):
                if why == "late":
                    self._notes.counters["late_audio"] += 1
            case commands.PlayAudio(kept):
                for audio in kept:
                    await self._tell(audio)
            case commands.SendText(text, opening):
                await self._send_text(text, opening)
            case commands.SendInstruction():
                await self._send_instruction()
            case commands.SendReminder():
                await self._send_reminder()
            case commands.NoteCut(before, after, ago_s):
                self._keeping.cut(before, after, ago_s=ago_s)
            case commands.NoteUpdateRefused():
                self._keeping.update_refused()
            case commands.RunTools(calls):
                self._tools.start(calls)
            case commands.CancelTools(ids):
                self._tools.cancel(ids)
            case commands.SendToolResponses(responses):
                await self._links.send(lambda to: to.send_tool_responses(responses))
            case commands.ReleaseCallerAudio():
                self._sending.catch_up()
            case commands.ClearPlayout(leftover):
                await self._clear_playout(leftover=leftover)
            case ReportMove(record):
                self._report(record)

    async def _leave(self, said_again: bool) -> None:
        self._cut_ms = 0.0
        self._transcript.connection_left(said_again=said_again)
        self._links.leave()
        if self._listener is not None:
            await self._listener.on_left()

    def _report(self, record: MoveRecord) -> None:
        record.cut_ms = self._cut_ms
        self.moves.append(record)
        report = {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in asdict(record).items()
        }
        found = record.kind is not None and record.lost_ms == 0
        (_log.info if found else _log.warning)("live.moved", **report)
        if self._on_move is not None:
            self._on_move(record)
        self._checkpointing.changed()

    def _summarised(self, made: SummaryMade, summary: SummaryRecord | None) -> None:
        if self._on_summary is not None:
            self._on_summary(made, summary)
        self._checkpointing.changed()

    async def _send_instruction(self) -> None:
        brief = self._recall.refreshed()
        # Lost with its connection it is told by the next one's setup, like everything else.
        if await self._links.send(lambda to: to.send_system_instruction(brief.instruction)):
            self._keeping.instructed(brief)

    async def _send_reminder(self) -> None:
        text, version = self._recall.reminder(), self._recall.version
        if text and await self._links.send(lambda to: to.send_system_content(text)):
            self._keeping.reminded(text, version)

    async def _send_text(self, text: str, opening: bool) -> None:
        if opening and self._opening.greeting is not None:
            self._notes.greeting_asked(self._opening.greeting)
        self._transcript.told_model(text)
        await self._links.send(lambda to: to.send_text(text, opening=opening))

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

    async def _play_filler(self) -> None:
        _log.info("live.filler")
        self._notes.counters["fillers"] += 1
        if self._listener is not None:
            await self._listener.on_filler(self._filler or soft_notes())

    async def _clear_playout(self, *, leftover: bool) -> None:
        cut_ms = self._notes.playout_cleared()
        if leftover:
            self._cut_ms += cut_ms
        if self._listener is not None:
            await self._listener.on_event(events.Interrupted())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
            return
        try:
            task = self._group.create_task(work)
        except RuntimeError:  # something has failed, and all of it is being ended
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clean_up(self) -> None:
        """Close what the session holds; each is bounded, and so is all of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLEANUP_S):
                await self._links.close_all()
                await self._tools.close()

    def _now_s(self) -> float:
        return self._clock() - self._origin_s
