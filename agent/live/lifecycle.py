"""The life of a session, decided without doing anything.

How it works. ``receive`` takes an event and the time, looks up (state, event type) in the table
below, moves to the next state and runs the action named there. What is to be done comes back as
commands, in order; ``deadline`` says when ``tick`` wants to be called. Nothing here awaits, sleeps
or reads a clock.

The states. ``connecting``: a connection is being dialled, caller audio is held, a kept greeting
may be playing already. ``serving``: the conversation. ``closing``: the model has asked to hang up
or to transfer, and is given time to say goodbye and the caller to hear it. ``ended``: ``end`` says
why; whatever still arrives means nothing any more. An event that no state should see raises.

What the table cannot say. Tools: ids asked for and not yet answered; while there are any, no text
is sent, because some models close the connection on it. A kept greeting is not the model's, so the
server does not interrupt it: the first sign that it answers the caller does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from agent import commands, events
from agent.commands import Command
from agent.conversation.prompt import Opening, ask_for_greeting
from agent.conversation.record import EndReason
from agent.errors import LocalProtocolError, Verdict
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.goodbye import Goodbye
from agent.live.keypad import Keypad
from agent.live.models import ModelProfile
from agent.live.session_events import (
    ConnectFailed,
    EndRequested,
    GoodbyeHeard,
    KeysPressed,
    Opened,
    SessionEnd,
    SessionEvent,
    Started,
)
from agent.live.watchdog import (
    AnswerOverdue,
    AnswerSlow,
    DurationReached,
    IdleReached,
    Speech,
    Watchdog,
)
from agent.spec import Limits
from agent.tools.runner import ClosingRequested, ToolAnswers

NUDGE = "(The caller is waiting for your answer.)"


class State(Enum):
    """Where a session is in its life."""

    CONNECTING = "connecting"
    SERVING = "serving"
    CLOSING = "closing"
    ENDED = "ended"


class Lifecycle:
    """The state of one session.

    Args:
        limits: The agent's limits.
        opening: What the session is opened with.
        profile: What its model takes.
        now: When it starts.
        elapsed_s: How long the call had lasted by then.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        opening: Opening,
        profile: ModelProfile,
        now: float,
        elapsed_s: float = 0.0,
    ) -> None:
        self.state = State.CONNECTING
        self.end: SessionEnd | None = None
        self._opening = opening
        self._profile = profile
        self._watchdog = Watchdog(limits, started_s=now, elapsed_s=elapsed_s)
        self._keypad = Keypad()
        self._keys = ""
        self._greeting_playing = False
        self._pending: set[str] = set()
        self._seen: set[str] = set()
        self._goodbye: Goodbye | None = None
        self._farewell: SessionEnd | None = None
        self._now = now
        self._out: list[Command] = []

    @property
    def deadline(self) -> float:
        """When ``tick`` is to be called at the latest."""
        moments = [self._watchdog.deadline]
        if self._keypad.deadline is not None:
            moments.append(self._keypad.deadline)
        if self._goodbye is not None:
            moments.append(self._goodbye.check_s)
        return min(moments)

    @property
    def tools_pending(self) -> frozenset[str]:
        """Ids of calls that are still to be answered."""
        return frozenset(self._pending)

    def receive(self, event: SessionEvent, now: float) -> list[Command]:
        """Take in what happened and return what is to be done about it.

        Raises:
            LocalProtocolError: the event makes no sense in this state.
        """
        if self.state is State.ENDED:
            return []
        row = _TABLE[self.state].get(type(event))
        if row is None:
            raise LocalProtocolError(f"{type(event).__name__} while {self.state.value}")
        self.state, action = row
        self._now = now
        if action is not None:
            action(self, event)
        out, self._out = self._out, []
        return out

    def caller_audio(self, pcm: bytes, now: float) -> Speech | None:
        """Hear a piece of caller audio; a start or end of speech is to be ``receive``d."""
        return self._watchdog.caller_audio(pcm, now)

    def key_pressed(self, key: str, now: float) -> None:
        """Note a key; it reaches the model when the caller stops pressing."""
        self._keypad.press(key, now)
        self._watchdog.caller_acted(now)

    def agent_playing(self, playing: bool, now: float) -> None:
        """The caller began or ceased to hear the agent."""
        self._watchdog.agent_playing(playing, now)
        if not playing:
            self._greeting_playing = False
            if self._goodbye is not None:
                self._goodbye.playout_ended(now)

    def tick(self, now: float, *, pending_ms: float) -> SessionEvent | None:
        """Return the next event that time has brought, to be ``receive``d; None when there is none.

        Args:
            now: Seconds.
            pending_ms: Agent audio the caller has still to hear.
        """
        if self.state is State.ENDED:
            return None
        if (keys := self._keypad.take(now)) is not None:
            return KeysPressed(keys)
        if self._goodbye is not None and self._goodbye.is_heard(now, pending_ms=pending_ms):
            return GoodbyeHeard()
        return self._watchdog.tick(now, pending_ms=pending_ms)

    # Actions, as named in the table.

    def _start(self, _event: SessionEvent) -> None:
        self._do(commands.OpenConnection())
        if self._opening.greeting is not None and self._opening.greeting_audio is not None:
            self._greeting_playing = True
            self._do(commands.PlayGreeting())

    def _open(self, _event: SessionEvent) -> None:
        opening = self._opening
        if opening.greeting is not None and opening.greeting_audio is None:
            self._do(commands.SendText(ask_for_greeting(opening.greeting), opening=True))
            self._watchdog.expect_answer(self._now, nudge=False)
        elif opening.nudge is not None:
            self._do(commands.SendText(opening.nudge, opening=True))
            self._watchdog.expect_answer(self._now, nudge=False)
        self._watchdog.connected(self._now)
        self._send_keys()
        self._do(commands.ReleaseCallerAudio())

    def _connect_failed(self, event: SessionEvent) -> None:
        assert isinstance(event, ConnectFailed)
        refused = event.error.verdict is Verdict.END
        reason = EndReason.LIVE_REFUSED if refused else EndReason.LIVE_LOST
        self.end = SessionEnd(reason, str(event.error))

    def _lost(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ConnectionLost)
        why = event.reason or "no reason given"
        self.end = SessionEnd(
            EndReason.LIVE_LOST, f"the Live connection closed with code {event.code}: {why}"
        )

    def _lost_while_closing(self, _event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._goodbye.nothing_follows(self._now)

    def _audio(self, event: SessionEvent) -> None:
        assert isinstance(event, events.AudioReceived)
        self._watchdog.model_audio(event.audio, self._now)
        if self._greeting_playing:
            self._clear()
        if self._goodbye is not None:
            self._goodbye.agent_spoke(self._now)

    def _caller_words(self, event: SessionEvent) -> None:
        assert isinstance(event, events.InputTranscribed)
        if self._greeting_playing and event.text.strip():
            self._clear()

    def _barge_in(self, _event: SessionEvent) -> None:
        self._clear()
        self._watchdog.expect_answer(self._now)

    def _barge_in_while_closing(self, _event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._clear()
        self._goodbye.interrupted(self._now)

    def _turn_over(self, _event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._goodbye.turn_ended(self._now)

    def _run_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ToolCallsRequested)
        calls = tuple(call for call in event.calls if call.id not in self._seen)
        if not calls:
            return
        ids = {call.id for call in calls}
        self._seen |= ids
        self._pending |= ids
        self._watchdog.answered(self._now)
        self._watchdog.tools_running(True, self._now)
        if self._goodbye is not None:
            self._goodbye.tools_running(True, self._now)
        if self._profile.holds_audio_during_tools:
            self._do(commands.HoldCallerAudio())
        self._do(commands.RunTools(calls))

    def _cancel_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ToolCallsCancelled)
        ids = tuple(call_id for call_id in event.ids if call_id in self._pending)
        if ids:
            self._do(commands.CancelTools(ids))
            self._settle_tools(ids)

    def _answer_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, ToolAnswers)
        responses = tuple(item for item in event.responses if item.id in self._pending)
        if not responses:
            return
        self._do(commands.SendToolResponses(responses))
        self._settle_tools(tuple(item.id for item in responses))
        if self._goodbye is None:
            self._watchdog.expect_answer(self._now)

    def _begin_goodbye(self, event: SessionEvent) -> None:
        assert isinstance(event, ClosingRequested)
        self._farewell = (
            SessionEnd(EndReason.TRANSFERRED, "the agent transferred the call", event.transfer_to)
            if event.kind == "transfer_call"
            else SessionEnd(EndReason.AGENT_HUNG_UP, "the agent ended the call")
        )
        self._goodbye = Goodbye(self._now)
        if self._pending:
            self._goodbye.tools_running(True, self._now)
        if self._watchdog.caller_speaking:
            self._goodbye.caller_speaks(True, self._now)
        self._watchdog.answered(self._now)

    def _closing_again(self, event: SessionEvent) -> None:
        # The caller spoke into the goodbye and asked for a person: that is what they get. Hanging
        # up while a transfer is under way is what it ends with anyway.
        assert isinstance(event, ClosingRequested)
        assert self._farewell is not None
        if event.transfer_to is not None and self._farewell.transfer_to is None:
            self._begin_goodbye(event)

    def _caller_speech_while_closing(self, event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._goodbye.caller_speaks(isinstance(event, CallerSpeechStarted), self._now)

    def _keys_pressed(self, event: SessionEvent) -> None:
        assert isinstance(event, KeysPressed)
        self._keys += event.keys
        if self.state is State.SERVING:
            self._send_keys()

    def _answer_slow(self, _event: SessionEvent) -> None:
        self._do(commands.SendText(NUDGE))

    def _answer_overdue(self, event: SessionEvent) -> None:
        assert isinstance(event, AnswerOverdue)
        self.end = SessionEnd(
            EndReason.MODEL_SILENT, f"the model gave no answer for {event.waited_s:.1f} s"
        )

    def _idle(self, _event: SessionEvent) -> None:
        self.end = SessionEnd(EndReason.IDLE, "nobody spoke for limits.idle_s")

    def _too_long(self, _event: SessionEvent) -> None:
        self.end = SessionEnd(EndReason.MAX_DURATION, "the call reached limits.max_call_s")

    def _end_goodbye(self, _event: SessionEvent) -> None:
        self.end = self._farewell

    def _end_as_asked(self, event: SessionEvent) -> None:
        assert isinstance(event, EndRequested)
        self.end = SessionEnd(event.reason, event.detail)

    def _do(self, command: Command) -> None:
        self._out.append(command)

    def _clear(self) -> None:
        self._greeting_playing = False
        self._do(commands.ClearPlayout())

    def _send_keys(self) -> None:
        if self._keys and not self._pending:
            keys, self._keys = self._keys, ""
            self._do(commands.SendText(f"The caller pressed {keys} on the phone's keypad."))
            self._watchdog.expect_answer(self._now)

    def _settle_tools(self, ids: tuple[str, ...]) -> None:
        self._pending.difference_update(ids)
        if self._pending:
            return
        self._watchdog.tools_running(False, self._now)
        if self._goodbye is not None:
            self._goodbye.tools_running(False, self._now)
        if self.state is State.SERVING:
            self._send_keys()
        if self._profile.holds_audio_during_tools:
            self._do(commands.ReleaseCallerAudio())


_Action = Callable[[Lifecycle, SessionEvent], None]
_Row = tuple[State, _Action | None]
_L = Lifecycle

# Live events that change nothing while a connection lives. A handle, a go-away and the server's own
# view of the caller are for moving between connections.
_UNMOVED: tuple[type[SessionEvent], ...] = (
    events.SetupCompleted,
    events.OutputTranscribed,
    events.ThoughtReceived,
    events.InteractionStatusChanged,
    events.UsageReported,
    events.GoAwayReceived,
    events.ResumptionUpdated,
    events.VoiceActivityChanged,
    events.Unrecognised,
    events.MalformedReceived,
    CallerSpeechStarted,
    CallerSpeechEnded,
)

_TABLE: dict[State, dict[type[SessionEvent], _Row]] = {
    State.CONNECTING: {
        Started: (State.CONNECTING, _L._start),
        Opened: (State.SERVING, _L._open),
        ConnectFailed: (State.ENDED, _L._connect_failed),
        KeysPressed: (State.CONNECTING, _L._keys_pressed),
        CallerSpeechStarted: (State.CONNECTING, None),
        CallerSpeechEnded: (State.CONNECTING, None),
        IdleReached: (State.ENDED, _L._idle),
        DurationReached: (State.ENDED, _L._too_long),
        EndRequested: (State.ENDED, _L._end_as_asked),
    },
    State.SERVING: {
        **dict.fromkeys(_UNMOVED, (State.SERVING, None)),
        events.AudioReceived: (State.SERVING, _L._audio),
        events.InputTranscribed: (State.SERVING, _L._caller_words),
        events.Interrupted: (State.SERVING, _L._barge_in),
        events.GenerationCompleted: (State.SERVING, None),
        events.TurnCompleted: (State.SERVING, None),
        events.ToolCallsRequested: (State.SERVING, _L._run_tools),
        events.ToolCallsCancelled: (State.SERVING, _L._cancel_tools),
        events.ConnectionLost: (State.ENDED, _L._lost),
        ToolAnswers: (State.SERVING, _L._answer_tools),
        ClosingRequested: (State.CLOSING, _L._begin_goodbye),
        KeysPressed: (State.SERVING, _L._keys_pressed),
        AnswerSlow: (State.SERVING, _L._answer_slow),
        AnswerOverdue: (State.ENDED, _L._answer_overdue),
        IdleReached: (State.ENDED, _L._idle),
        DurationReached: (State.ENDED, _L._too_long),
        EndRequested: (State.ENDED, _L._end_as_asked),
    },
    State.CLOSING: {
        **dict.fromkeys(_UNMOVED, (State.CLOSING, None)),
        CallerSpeechStarted: (State.CLOSING, _L._caller_speech_while_closing),
        CallerSpeechEnded: (State.CLOSING, _L._caller_speech_while_closing),
        events.AudioReceived: (State.CLOSING, _L._audio),
        events.InputTranscribed: (State.CLOSING, _L._caller_words),
        events.Interrupted: (State.CLOSING, _L._barge_in_while_closing),
        events.GenerationCompleted: (State.CLOSING, _L._turn_over),
        events.TurnCompleted: (State.CLOSING, _L._turn_over),
        events.ToolCallsRequested: (State.CLOSING, _L._run_tools),
        events.ToolCallsCancelled: (State.CLOSING, _L._cancel_tools),
        events.ConnectionLost: (State.CLOSING, _L._lost_while_closing),
        ToolAnswers: (State.CLOSING, _L._answer_tools),
        ClosingRequested: (State.CLOSING, _L._closing_again),
        KeysPressed: (State.CLOSING, None),
        AnswerSlow: (State.CLOSING, None),
        AnswerOverdue: (State.ENDED, _L._end_goodbye),
        IdleReached: (State.ENDED, _L._end_goodbye),
        DurationReached: (State.ENDED, _L._end_goodbye),
        GoodbyeHeard: (State.ENDED, _L._end_goodbye),
        EndRequested: (State.ENDED, _L._end_as_asked),
    },
}
