"""A session's shell, its server and its phone as a model in one thread: what test_moves drives.

The shell does what ``LiveSession`` does with the lifecycle's commands, step by step and by hand, so
that anything may happen between two steps. Whatever must always hold is asserted where it happens.
Every piece of caller audio carries its number, so that it is known where each of them went.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent import commands, events
from agent.audio import PcmChunk
from agent.commands import Command, OpenConnection, ToolResponse
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason, MoveMoment
from agent.errors import LiveError
from agent.live.caller_speech import STALLED_S
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.move import ReportMove
from agent.live.session_events import (
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    HandOverWanted,
    Opened,
    SessionEvent,
    StandbyLost,
    Started,
)
from agent.live.state import State
from agent.spec import AgentSpec
from agent.tools.runner import ClosingRequested, ToolAnswers
from tests.properties.speaking_on import receive

PIECE_MS = 20
_PIECE_BYTES = 640
_LOUD, _QUIET = 3_000, 0
MAX_HELD_MS = 30_000.0
_SURELY_OVER_MS = 1_000
"""Of quiet: then everybody knows that speech is over."""


def audio(*, audible: bool = True) -> events.AudioReceived:
    return events.AudioReceived(PcmChunk((b"\0\x10" if audible else b"\0\0") * 2_400, 24_000))


def piece(number: int, *, loud: bool) -> bytes:
    """20 ms of PCM16 whose first two samples are its number, too soft to be heard."""
    level = _LOUD if loud else _QUIET
    tail = (
        level.to_bytes(2, "little", signed=True) + (-level).to_bytes(2, "little", signed=True)
    ) * 159
    return bytes([number % 200, 0, number // 200, 0]) + tail


def numbers_of(pcm: bytes) -> list[int]:
    return [pcm[at] + 200 * pcm[at + 2] for at in range(0, len(pcm), _PIECE_BYTES)]


@dataclass(eq=False)
class Link:
    """One connection as both ends see it."""

    attempt: int
    model: str
    handle: str | None
    heard: list[int] = field(default_factory=list)
    """Numbers of the caller's pieces it was sent, in order."""
    texts: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    """Ids of calls it made."""
    waits_for: set[str] = field(default_factory=set)
    """Of these, the ones not answered."""
    results: set[str] = field(default_factory=set)
    """Functions whose result it was given, in whichever way."""
    issued: list[str] = field(default_factory=list)
    opened_s: float = 0.0
    force_s: float = math.inf
    """When the server closes it, as it has said."""
    closed: bool = False
    lost: bool = False


class MovingSession:
    """Drives one ``Lifecycle`` and checks everything it wants done."""

    def __init__(self, spec: AgentSpec, opening: Opening) -> None:
        self.now = 1_000.0
        self.started_s = self.now
        self.spec = spec
        self.life = Lifecycle(
            spec=spec,
            opening=opening,
            profiles=lambda name: profile_for(name, vertexai=False),
            now=self.now,
        )
        self.current: Link | None = None
        self.standby: Link | None = None
        self.standby_wanted = 0
        self.closing: list[Link | None] = []
        """Left, and not yet closed; each is answered by ``ConnectionClosed``."""
        self.dials: dict[int, OpenConnection] = {}
        """Under way, by attempt."""
        self.links: list[Link] = []
        self.pumping = False
        self.said = 0
        self.said_s = -math.inf
        self.loud_run = 0
        self.loud: list[bool] = []
        self.frontier = 0
        """Pieces up to here have been sent, or dropped before they were."""
        self.dropped: set[int] = set()
        self.taken_ms = 0.0
        self.answered_to = 0
        """Pieces up to here were surely answered."""
        self.owed: range | None = None
        """Pieces of speech that surely nobody has answered."""
        self.pending_ms = 0.0
        self.playing = False
        self.agent_ended_s = -math.inf
        self.running: dict[str, events.FunctionCall] = {}
        self.ran: set[str] = set()
        self.cancelled: set[str] = set()
        self.finished: set[str] = set()
        """Functions whose results the lifecycle was given."""
        self.known_as: dict[str, str] = {}
        """The function behind each call's id."""
        self.used_handles: set[str] = set()
        # Another worker's connection was left: that move ends here.
        self.moving = opening.checkpoint is not None
        self.left_quietly = False
        self.hand_over_s = math.inf
        """When the call has to be handed over at the latest."""
        self.reports = 0
        self.speaks = False
        """The model has been heard in the turn under way."""
        self.receive(Started())

    # -- what the shell does -------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.life.end is not None

    def receive(self, event: SessionEvent) -> None:
        before = self.life.state
        out = receive(self.life, event, self.now)
        if before is State.ENDED:
            assert out == []
            return
        dropped = False
        for command in out:
            dropped = dropped or isinstance(command, commands.DropAudio)
            self.perform(command)
        if isinstance(event, events.AudioReceived) and not dropped:
            self.hear_agent(event)
        if self.life.end is not None:
            assert not self.moving, "a move without a report"
            assert self.life.state is State.ENDED
            if self.life.end.reason is EndReason.HANDED_OVER:
                assert self.hand_over_s < math.inf, "handed over unasked"
                safe = self.life.end.detail == "at a safe point"
                assert not safe or self.is_quiet(), "a safe point that was none"
                assert safe or self.now >= self.hand_over_s - 1e-3 or before is State.LEAVING
            trouble = self.life.end.reason in (EndReason.LIVE_LOST, EndReason.MODEL_SILENT)
            if trouble and self.spec.moves.person is not None:
                assert self.life.end.transfer_to == self.spec.transfer[self.spec.moves.person]

    def perform(self, command: Command | ReportMove) -> None:
        match command:
            case OpenConnection():
                self.dial(command)
            case commands.LeaveConnection():
                assert self.current is not None
                self.closing.append(self.current)
                if not self.moving:
                    # One that is left again before it has caught up is part of the same move.
                    self.left_quietly = self.is_quiet()
                self.current = None
                self.pumping = self.speaks = False
                self.moving = True
            case commands.PromoteStandby(attempt):
                assert self.standby is not None
                assert self.standby.attempt == attempt
                link, self.standby = self.standby, None
                self.serve_from(link)
                self.receive(Opened(attempt))
            case commands.CloseStandby():
                if self.standby is not None:
                    self.standby.closed = True
                self.standby, self.standby_wanted = None, 0
            case commands.PlayGreeting():
                self.play(1_000.0)
            case commands.PlayFiller():
                self.play(500.0)
            case commands.PlayAudio(kept):
                for item in kept:
                    self.hear_agent(item)
            case commands.SendText(text):
                self.send_text(text)
            case commands.RunTools(calls):
                for call in calls:
                    assert call.id not in self.ran, "a function ran twice"
                    self.ran.add(call.id)
                    self.running[call.id] = call
            case commands.CancelTools(ids):
                for call_id in ids:
                    assert call_id in self.running
                    self.running.pop(call_id)
                    self.cancelled.add(call_id)
            case commands.SendToolResponses(responses):
                self.send_responses(responses)
            case commands.ReleaseCallerAudio():
                assert not self.life.tape.held
                self.pumping = self.current is not None
            case commands.ClearPlayout():
                self.pending_ms = 0.0
                self.set_playing()
            case ReportMove(record):
                assert self.moving, "a report without a move"
                self.moving = False
                self.reports += 1
                now_s = self.now - self.started_s
                assert record.wanted_s <= record.left_s <= record.done_s <= now_s + 1e-6
                assert record.gap_ms >= 0
                assert record.held_ms >= 0
                assert record.lost_ms >= 0
                assert record.replayed_ms >= 0
                assert record.tries >= 0
                if record.moment is MoveMoment.SAFE_POINT:
                    assert self.left_quietly, "a safe point that was none"
                assert record.kind is not None or self.ended
                # Nobody waits longer than from the caller's last word; here, from the beginning.
                assert record.gap_ms <= now_s * 1000 + 1e-3

    def dial(self, command: OpenConnection) -> None:
        assert command.attempt not in self.dials
        if command.standby:
            assert command.handle is None
            assert self.standby is None
            assert self.hand_over_s == math.inf, "a reserve that nobody will need"
            self.standby_wanted = command.attempt
        else:
            assert self.current is None
            assert not self.closing, "dialled before the old connection was closed"
            assert not [item for item in self.dials.values() if not item.standby]
        if command.handle is not None:
            assert command.handle not in self.used_handles, "a handle was used twice"
            self.used_handles.add(command.handle)
            for link in self.links:
                if command.handle in link.issued:
                    assert link.closed, "resumed while its connection was open"
                    assert link.model == command.model, "resumed with another model"
        self.dials[command.attempt] = command

    def is_quiet(self) -> bool:
        """Whether nobody speaks, is heard, or waits for a function."""
        speaking = self.loud_run >= 10 and self.now - self.said_s < STALLED_S
        busy = self.running or self.pending_ms > 0 or self.speaks
        return not (speaking or busy)

    def serve_from(self, link: Link) -> None:
        self.current = link
        link.opened_s = self.now
        self.pumping = False

    def send_text(self, text: str) -> None:
        link = self.current
        assert link is not None
        assert not link.waits_for, "text while calls are pending"
        link.texts.append(text)
        for call_id in self.ran:
            if f"<{call_id}>" in text:
                self.deliver(link, call_id)

    def send_responses(self, responses: Iterable[ToolResponse]) -> None:
        link = self.current
        assert link is not None
        for response in responses:
            assert response.id in link.waits_for, "an answer to nothing that was asked"
            link.waits_for.discard(response.id)
            result = response.response["output"].strip("<>")
            assert self.known_as[response.id] == self.known_as[result]
            self.deliver(link, result)

    def deliver(self, link: Link, call_id: str) -> None:
        assert call_id in self.finished
        assert call_id not in self.cancelled
        assert call_id not in link.results, "a result reached the same connection twice"
        link.results.add(call_id)

    # -- the caller ----------------------------------------------------------------------------

    def say(self, ms: int, *, loud: bool) -> None:
        start = self.said
        clear = not self.playing and self.now - self.agent_ended_s > 3.0
        for _ in range(ms // PIECE_MS):
            if self.ended:
                return
            self.advance(PIECE_MS / 1000)
            number, self.said = self.said, self.said + 1
            self.loud.append(loud)
            goes_on = self.now - self.said_s < STALLED_S
            self.loud_run = (self.loud_run * goes_on + 1) * loud
            self.said_s = self.now
            event = self.life.hear(piece(number, loud=loud), self.now)
            if event is not None:
                self.receive(event)
            self.send_live()
            self.account()
            clear = clear and not self.playing
        before_quiet = start == 0 or not self.loud[start - 1]
        if loud and 400 <= ms <= 20_000 and clear and before_quiet and not self.ended:
            self.owed = range(start, self.said)

    def send_live(self) -> None:
        link = self.current
        if link is None or link.lost or self.pumping or self.life.tape.held:
            return
        self.give(link, self.life.tape.take(100.0))

    def pump(self) -> None:
        """Send one stretch of what was held; at its end the connection has caught up."""
        link = self.current
        if not self.pumping or link is None or link.lost:
            self.pumping = False
            return
        taken = self.life.tape.take(100.0)
        if taken:
            self.give(link, taken)
            return
        self.pumping = False
        if not self.life.tape.held:
            self.check_owed(link)
            self.receive(CaughtUp())

    def give(self, link: Link, pcm: bytes) -> None:
        found = numbers_of(pcm)
        self.taken_ms += len(found) * PIECE_MS
        for number in found:
            if link.heard and number != link.heard[-1] + 1:
                self.skip(link.heard[-1] + 1, number)
            if number >= self.frontier:
                self.skip(self.frontier, number)
                self.frontier = number + 1
            else:
                assert number >= self.answered_to, "answered speech was sent again"
            link.heard.append(number)

    def skip(self, since: int, until: int) -> None:
        assert since <= until, "caller audio went backwards on one connection"
        if since < until:
            assert self.life.tape.lost_ms > 0, f"pieces {since} to {until} were skipped"
            self.dropped.update(range(max(since, self.frontier), until))

    def check_owed(self, link: Link) -> None:
        """Speech that nobody has answered is heard by each connection that serves."""
        if self.owed is None or self.life.tape.lost_ms > 0:
            return
        quiet = self.said - self.owed.stop
        if link.heard and quiet * PIECE_MS >= _SURELY_OVER_MS and self.owed.stop <= self.frontier:
            missing = set(self.owed) - set(link.heard)
            assert not missing, f"unanswered speech was not sent again: {sorted(missing)}"

    def account(self) -> None:
        """Every piece is in one place: sent, unsent, or lost; what was said again counts twice."""
        tape = self.life.tape
        dropped_ms = tape.offered_ms + tape.replayed_ms - self.taken_ms - tape.unsent_ms
        assert 0 <= dropped_ms <= tape.lost_ms + 1e-6
        assert tape.unsent_ms <= 2 * MAX_HELD_MS
        assert len(self.dropped) * PIECE_MS <= tape.lost_ms

    # -- the phone -----------------------------------------------------------------------------

    def hear_agent(self, event: events.AudioReceived) -> None:
        if not self.speaks and any(event.audio.pcm):
            self.answer()
        self.speaks = True
        self.owed = None
        self.play(event.audio.duration_ms)

    def play(self, ms: float) -> None:
        self.pending_ms += ms
        self.set_playing()

    def set_playing(self) -> None:
        playing = self.pending_ms > 0
        if playing != self.playing:
            self.playing = playing
            self.agent_ended_s = self.now
            self.life.agent_playing(playing, self.now)

    def answer(self) -> None:
        """The model answers: what it heard before a long quiet is answered for good."""
        quiet_ms = 0
        for loud in reversed(self.loud):
            if loud or quiet_ms >= _SURELY_OVER_MS:
                break
            quiet_ms += PIECE_MS
        if quiet_ms >= _SURELY_OVER_MS and self.current and self.current.heard:
            self.answered_to = max(self.answered_to, self.current.heard[-1] + 1)
        self.owed = None

    # -- time ----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        until = self.now + seconds
        self.tick()
        while not self.ended:
            due = self.life.deadline
            assert math.isfinite(due)
            if self.playing:
                due = min(due, self.now + self.pending_ms / 1000)
            if due > until:
                break
            self.pass_time(max(0.0, due - self.now))
            self.tick()
        self.pass_time(max(0.0, until - self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.pending_ms > 0:
            left_ms = self.pending_ms - seconds * 1000
            self.pending_ms = left_ms if left_ms > 1e-6 else 0.0
            self.set_playing()

    def tick(self) -> None:
        """Take what is due; at every moment that comes to an end."""
        for _ in range(100):
            if self.ended:
                assert self.life.tick(self.now, pending_ms=self.pending_ms) is None
                return
            event = self.life.tick(self.now, pending_ms=self.pending_ms)
            if event is not None:
                self.receive(event)
            elif self.life.deadline > self.now:
                return
            else:
                # Rounding; a moment that is past and brings nothing must not come again and again.
                self.now += 1e-6
        raise AssertionError("time brings events without end")

    def run_out(self) -> None:
        """Let nothing happen any more but time, until the session has ended."""
        limit_s = self.started_s + self.spec.limits.max_call_s + 1.0
        while not self.ended:
            assert self.now < limit_s, "time alone does not end the session"
            self.advance(5.0)
        self.receive(audio())
        self.receive(Opened(1))
        self.receive(ConnectionClosed())
        assert self.life.tick(self.now + 1e6, pending_ms=0.0) is None

    # -- the server ----------------------------------------------------------------------------

    def open(self, attempt: int) -> None:
        command = self.dials.pop(attempt)
        link = Link(attempt, command.model, command.handle)
        self.links.append(link)
        if not command.standby:
            assert self.current is None
            self.serve_from(link)
        elif attempt == self.standby_wanted:
            self.standby = link
        else:
            link.closed = True
            return
        self.receive(Opened(attempt))

    def fail(self, attempt: int, error: LiveError) -> None:
        command = self.dials.pop(attempt)
        if command.handle is not None and not error.setup_sent:
            self.used_handles.discard(command.handle)
        self.receive(ConnectFailed(error, attempt))

    def close_old(self) -> None:
        link = self.closing.pop()
        assert link is not None
        link.closed = True
        self.receive(ConnectionClosed())

    def lose(self, code: int, reason: str) -> None:
        assert self.current is not None
        self.current.closed = self.current.lost = True
        self.receive(events.ConnectionLost(code, reason))

    def lose_standby(self) -> None:
        link, self.standby = self.standby, None
        assert link is not None
        link.closed = True
        self.receive(StandbyLost(link.attempt))

    def serve(self, event: SessionEvent) -> None:
        """The server says something."""
        if isinstance(event, events.ResumptionUpdated) and event.handle and self.current:
            self.current.issued.append(event.handle)
        self.receive(event)
        # What was kept back until then may have been let through.
        if isinstance(
            event, events.TurnCompleted | events.GenerationCompleted | events.Interrupted
        ):
            self.speaks = False

    def go_away(self, left_s: float | None) -> None:
        link = self.current
        assert link is not None
        if left_s is not None:
            link.force_s = min(link.force_s, self.now + left_s)
        self.serve(events.GoAwayReceived(left_s))

    def hand_over(self, limit_s: float) -> None:
        """This worker is to let go of the call."""
        self.hand_over_s = min(self.hand_over_s, self.now + limit_s)
        self.receive(HandOverWanted(limit_s))

    def request(self, *calls: events.FunctionCall) -> None:
        link = self.current
        assert link is not None
        new = [call for call in calls if call.id not in link.asked]
        for call in new:
            link.asked.add(call.id)
            link.waits_for.add(call.id)
            self.known_as[call.id] = repr((call.name, sorted(call.args.items())))
        if new and self.life.state is not State.CLOSING:
            self.answer()
        self.speaks = False
        self.owed = None
        self.receive(events.ToolCallsRequested(calls))

    def take_back(self, ids: tuple[str, ...]) -> None:
        link = self.current
        assert link is not None
        link.waits_for -= set(ids)
        self.receive(events.ToolCallsCancelled(ids))

    def finish(self, ids: list[str], closing: ClosingRequested | None) -> None:
        """The runner has results."""
        self.owed = None
        responses = []
        for call_id in ids:
            call = self.running.pop(call_id)
            self.finished.add(call_id)
            responses.append(ToolResponse(call_id, call.name, {"output": f"<{call_id}>"}))
        self.receive(ToolAnswers(tuple(responses)))
        if closing is not None:
            self.receive(closing)

    # -- what holds between two steps ----------------------------------------------------------

    def check(self) -> None:
        if self.ended:
            return
        life = self.life
        assert math.isfinite(life.deadline)
        looking = life.state in (State.CONNECTING, State.MOVING)
        assert looking == (self.current is None)
        pending = bool(self.current and self.current.waits_for)
        if self.current is not None:
            assert set(life.tools_pending) == self.current.waits_for
        profile = profile_for(self.current.model if self.current else "", vertexai=False)
        holds = looking or (pending and profile.holds_audio_during_tools)
        assert life.tape.held == holds, (
            "caller audio is held without need, or flows when it must not"
        )
        if not self.pumping and not holds and self.current and not self.current.lost:
            assert life.tape.unsent_ms == 0 or self.said == 0
        if not looking and not pending:
            delivered = {item for link in self.links for item in link.results}
            missing = self.finished - delivered
            assert not missing, f"results that nobody was told: {missing}"
        self.account()
        self.check_standing()
        if life.state is not State.CLOSING:
            assert self.now <= self.hand_over_s + 1e-3, "kept too long"
        if life.state in (State.SERVING, State.LEAVING) and self.current is not None:
            link = self.current
            assert self.now <= link.force_s + 1e-3, "stayed until the server closed"
            oldest_s = self.spec.moves.max_age_s * 13 / 12
            assert self.now <= link.opened_s + oldest_s + 1e-3, "stayed too long"

    def check_standing(self) -> None:
        """What another worker is left, should this one die now."""
        stands = self.life.standing
        assert stands.handle not in self.used_handles, "a handle that is or was being tried"
        for link in self.links:
            if stands.handle in link.issued:
                assert link.model == stands.model
        if self.speaks:
            assert stands.generating or not self.current
