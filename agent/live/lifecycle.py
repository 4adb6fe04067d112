"""The life of a session over its connections, decided without doing anything.

How it works. ``receive`` takes an event and the time, looks up (state, event type) in the table
below, moves to the next state and runs the action named there. What is to be done comes back as
commands, in order; ``deadline`` says when ``tick`` wants to be called. Nothing here awaits, sleeps
or reads a clock. Where a row names several states the action chooses.

The states. ``connecting``: the first connection is looked for, caller audio is held, a kept
greeting may be playing already. ``serving``: the conversation. ``leaving``: the connection is to be
left and a safe point is waited for, while the conversation goes on. ``moving``: it has been left;
caller audio is held, the old socket is closed, then the next connection is dialled until one is up
or the budget is spent. ``closing``: the model has asked to hang up or to transfer, and is given
time to say goodbye and the caller to hear it. ``ended``: ``end`` says why; whatever still arrives
means nothing any more. An event that no state should see raises. A call that is to be handed over
to another worker is ``leaving``, too, but what it leads to is the end.

The actions are in ``dialogue.py`` (what is said), ``leaving.py`` (the wish for another
connection), ``passage.py`` (the way there) and ``handover.py`` (to another worker).
"""

from __future__ import annotations

from collections.abc import Callable

from agent import events
from agent.audio import INPUT_BYTES_PER_MS, PcmChunk
from agent.commands import Command
from agent.errors import LocalProtocolError
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.dialogue import SPOKEN_OVER_MS
from agent.live.handover import Handover
from agent.live.move import ReportMove
from agent.live.resumption import of_age
from agent.live.session_events import (
    BudgetSpent,
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    EndRequested,
    FillerDue,
    GoodbyeHeard,
    GreetsAgain,
    HandOverWanted,
    KeysPressed,
    LeaveDeadlineReached,
    LeaveWanted,
    Opened,
    RetryDue,
    SafePointReached,
    SessionEvent,
    SpokenOver,
    StandbyLost,
    Started,
    UpdateWanted,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue, AnswerSlow, DurationReached, IdleReached
from agent.tools.runner import ClosingRequested, ToolAnswers

STABLE_S = 10.0
"""A connection that lived so long works, even if nobody has said anything."""


class Lifecycle(Handover):
    """The state of one session.

    Args:
        spec: The agent.
        opening: What the session is opened with.
        profiles: What a model takes, by its name.
        now: When it starts.
        elapsed_s: How long the call had lasted by then.
        random: Uniform in [0, 1), for the jitter between tries.
    """

    @property
    def deadline(self) -> float:
        """When ``tick`` is to be called at the latest."""
        moments = [self._watchdog.deadline]
        if self._keypad.deadline is not None:
            moments.append(self._keypad.deadline)
        if self._goodbye is not None:
            moments.append(self._goodbye.check_s)
        if self._move is not None:
            moments.append(self._move.deadline)
        if self.state is State.SERVING:
            moments.append(self._serves_since + self._spec.moves.max_age_s)
        if self._serving and (self._wish is not None or self._greets_again):
            moments.append(self._now)
        if self.state is State.LEAVING and self._departure is not None:
            moments += [self._departure.force_s, self._quiet.check_s]
        if self._searching and self._handing_over is not None:
            moments.append(self._handing_over.force_s)
        if self._stable_at is not None:
            moments.append(self._stable_at)
        return min(moments)

    def receive(self, event: SessionEvent, now: float) -> list[Command | ReportMove]:
        """Take in what happened and return what is to be done about it.

        Raises:
            LocalProtocolError: the event makes no sense in this state.
        """
        if self.state is State.ENDED:
            return []
        row = TABLE[self.state].get(type(event))
        if row is None:
            raise LocalProtocolError(f"{type(event).__name__} while {self.state.value}")
        self._now = now
        states, action = row
        if len(states) == 1:
            self.state = states[0]
        if action is not None:
            action(self, event)
        if self.end is not None:
            self._finish_as_ended()
        self._quiet.disturbed(now)
        if self._update is not None:
            self._tell_update()
        if self.state is State.LEAVING and self._refill_planned:
            self._open_standby()
        self._watch_move()
        out: list[Command | ReportMove] = [*self._out, *self._reports]
        self._out, self._reports = [], []
        return out

    def hear(self, pcm: bytes, now: float) -> SessionEvent | None:
        """Take in a piece of caller audio; what it shows is to be ``receive``d.

        The audio is on ``tape``, from where it is to be sent.
        """
        tape, watchdog = self.tape, self._watchdog
        tape.add(pcm)
        speech = watchdog.caller_audio(pcm, now)
        if speech is not None:
            return speech
        if watchdog.caller_speaking:
            self.budget.caller_audio(len(pcm) / INPUT_BYTES_PER_MS)
            if not tape.in_speech and watchdog.caller_quiet_ms <= 0:
                # The caller goes on after a pause in which the model had begun to answer.
                tape.speech_started(len(pcm) / INPUT_BYTES_PER_MS)
        if self._move is not None:
            self._now = now
            self._observe_move()
        if self._leftover_playing:
            voiced_ms = watchdog.caller_voiced_ms - self._voiced_before_ms
            if voiced_ms >= SPOKEN_OVER_MS:
                return SpokenOver()
        return None

    def speaks_on(self, audio: PcmChunk, now: float) -> bool:
        """Take in more of an answer that the caller hears; False where it has to be ``receive``d.

        That is nearly all of the model's audio, and costs less here, since nothing else is going on
        that it could be news for.
        """
        if (
            self.state is not State.SERVING
            or not (self._audible and self._generating and self._turn_begun)
            or self._watchdog.answer_due
            or self._interrupted_s is not None
            or self._greeting_playing
            or self._greets_again
            or self._regreeting is not None
            or self._goodbye is not None
            or self._update is not None
            or self._move is not None
        ):
            return False
        self._now = now
        self.budget.model_audio(audio.duration_ms)
        self._watchdog.model_audio(audio, now)
        self._quiet.disturbed(now)
        return True

    def agent_playing(self, playing: bool, now: float) -> None:
        """The caller began or ceased to hear the agent."""
        self._now = now
        self._watchdog.agent_playing(playing, now)
        if not playing:
            self._greeting_playing = self._leftover_playing = self._filler_playing = False
            self._watchdog.uninterruptible = False
            if self._serving:
                self.starved(now)
            self._quiet.disturbed(now)
            if self._goodbye is not None:
                self._goodbye.playout_ended(now)
        self._observe_move()

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
        event = self._tick_move(now) or self._tick_connection(now, pending_ms)
        return event or self._watchdog.tick(now, pending_ms=pending_ms)

    def _tick_move(self, now: float) -> SessionEvent | None:
        move = self._move
        if move is None:
            return None
        self._now = now
        self._observe_move()
        if self._searching:
            if self._handing_over is not None and now >= self._handing_over.force_s:
                return LeaveDeadlineReached()
            if move.is_spent(now):
                return BudgetSpent()
            if move.retry_s is not None and now >= move.retry_s:
                return RetryDue()
        if move.filler_due(now):
            return FillerDue()
        if move.is_done(now):
            return CaughtUp()
        return None

    def _tick_connection(self, now: float, pending_ms: float) -> SessionEvent | None:
        if self._stable_at is not None and now >= self._stable_at:
            self._trusted()
        if self._serving and self._greets_again:
            return GreetsAgain()
        if self._serving and self._wish is not None:
            wish, self._wish = self._wish, None
            return LeaveWanted(wish)
        if self.state is State.SERVING:
            age_s = now - self._serves_since
            if age_s >= self._spec.moves.max_age_s:
                return LeaveWanted(of_age(age_s, now))
        if self.state is State.LEAVING and self._departure is not None:
            if now >= self._departure.force_s:
                return LeaveDeadlineReached()
            if self._is_safe(now, pending_ms):
                return SafePointReached()
        return None

    @property
    def _stable_at(self) -> float | None:
        """When trouble is over although nobody has said anything; None where there is none."""
        if self._outage_s is None or not self._serving or self._watchdog.answer_due:
            return None
        return self._serves_since + STABLE_S

    @property
    def _searching(self) -> bool:
        return self.state in (State.CONNECTING, State.MOVING)

    @property
    def _serving(self) -> bool:
        return self.state in (State.SERVING, State.LEAVING)


_Action = Callable[[Lifecycle, SessionEvent], object]
_Row = tuple[tuple[State, ...], _Action | None]
_L = Lifecycle


def _to(*states: State, then: _Action | None = None) -> _Row:
    return states, then


# What changes nothing whichever connection serves.
_UNMOVED: tuple[type[SessionEvent], ...] = (
    events.SetupCompleted,
    events.VoiceActivityChanged,
    events.Unrecognised,
    events.MalformedReceived,
    StandbyLost,
)
_ENDS: dict[type[SessionEvent], _Row] = {
    IdleReached: _to(State.ENDED, then=_L._idle),
    DurationReached: _to(State.ENDED, then=_L._too_long),
    EndRequested: _to(State.ENDED, then=_L._end_as_asked),
}


def _looking(state: State) -> dict[type[SessionEvent], _Row]:
    """Rows of the two states in which a connection is looked for."""
    return {
        Opened: _to(state, State.SERVING, State.LEAVING, State.CLOSING, then=_L._open),
        ConnectFailed: _to(state, State.ENDED, then=_L._connect_failed),
        StandbyLost: _to(state, then=_L._standby_lost),
        RetryDue: _to(state, then=_L._dial),
        FillerDue: _to(state, then=_L._fill),
        BudgetSpent: _to(State.ENDED, then=_L._budget_spent),
        KeysPressed: _to(state, then=_L._keys_pressed),
        CallerSpeechStarted: _to(state, then=_L._speech_started_while_moving),
        CallerSpeechEnded: _to(state, then=_L._speech_ended),
        CaughtUp: _to(state),
        # The next connection is told everything.
        UpdateWanted: _to(state),
        HandOverWanted: _to(state, State.ENDED, then=_L._hand_over_wanted),
        LeaveDeadlineReached: _to(state, State.ENDED, then=_L._let_go),
        **_ENDS,
    }


def _conversing(state: State) -> dict[type[SessionEvent], _Row]:
    """Rows of the states in which a connection serves the conversation."""
    return {
        **dict.fromkeys(_UNMOVED, _to(state)),
        Opened: _to(state, then=_L._standby_opened),
        ConnectFailed: _to(state, then=_L._standby_failed),
        StandbyLost: _to(state, then=_L._standby_lost),
        CaughtUp: _to(state, then=_L._caught_up),
        FillerDue: _to(state, then=_L._fill),
        SpokenOver: _to(state, then=_L._spoken_over),
        events.AudioReceived: _to(state, then=_L._audio),
        events.OutputTranscribed: _to(state, then=_L._agent_text),
        events.InputTranscribed: _to(state, then=_L._caller_words),
        events.ThoughtReceived: _to(state, then=_L._works_at_it),
        events.InteractionStatusChanged: _to(state, then=_L._works_at_it),
        events.UsageReported: _to(state, then=_L._usage),
        events.ResumptionUpdated: _to(state, then=_L._handle_came),
        events.ToolCallsRequested: _to(state, then=_L._run_tools),
        events.ToolCallsCancelled: _to(state, then=_L._cancel_tools),
        ToolAnswers: _to(state, then=_L._answer_tools),
        CallerSpeechStarted: _to(state, then=_L._speech_started),
        CallerSpeechEnded: _to(state, then=_L._speech_ended),
    }


def _talking(state: State) -> dict[type[SessionEvent], _Row]:
    """Rows of the states in which the conversation goes on without an end in sight."""
    return {
        **_conversing(state),
        events.Interrupted: _to(state, then=_L._barge_in),
        events.GenerationCompleted: _to(state, then=_L._generated),
        events.TurnCompleted: _to(state, then=_L._turn_over),
        events.GoAwayReceived: _to(State.LEAVING, then=_L._go_away),
        LeaveWanted: _to(State.LEAVING, then=_L._leave_wanted),
        HandOverWanted: _to(State.LEAVING, State.ENDED, then=_L._hand_over_wanted),
        UpdateWanted: _to(state, then=_L._update_wanted),
        events.ConnectionLost: _to(State.MOVING, State.ENDED, then=_L._lost),
        GreetsAgain: _to(State.MOVING, then=_L._move_from_amnesia),
        ClosingRequested: _to(State.CLOSING, then=_L._begin_goodbye),
        KeysPressed: _to(state, then=_L._keys_pressed_and_told),
        AnswerSlow: _to(state, then=_L._answer_slow),
        AnswerOverdue: _to(State.MOVING, State.ENDED, then=_L._overdue),
        **_ENDS,
    }


TABLE: dict[State, dict[type[SessionEvent], _Row]] = {
    State.CONNECTING: {
        **_looking(State.CONNECTING),
        Started: _to(State.CONNECTING, then=_L._start),
        Opened: _to(State.CONNECTING, State.SERVING, State.LEAVING, then=_L._open),
    },
    State.SERVING: _talking(State.SERVING),
    State.LEAVING: {
        **_talking(State.LEAVING),
        SafePointReached: _to(State.MOVING, State.ENDED, then=_L._move_at_safe_point),
        LeaveDeadlineReached: _to(State.MOVING, State.ENDED, then=_L._move_by_force),
        events.TurnCompleted: _to(State.LEAVING, then=_L._turn_over_while_leaving),
    },
    State.MOVING: {
        **_looking(State.MOVING),
        ConnectionClosed: _to(State.MOVING, then=_L._closed),
        SpokenOver: _to(State.MOVING, then=_L._spoken_over),
        ToolAnswers: _to(State.MOVING, then=_L._keep_results),
        ClosingRequested: _to(State.MOVING, then=_L._defer_goodbye),
    },
    State.CLOSING: {
        **_conversing(State.CLOSING),
        events.Interrupted: _to(State.CLOSING, then=_L._barge_in_while_closing),
        events.GenerationCompleted: _to(State.CLOSING, then=_L._generated),
        events.TurnCompleted: _to(State.CLOSING, then=_L._turn_over),
        events.GoAwayReceived: _to(State.CLOSING),
        events.ConnectionLost: _to(State.CLOSING, then=_L._lost_while_closing),
        ClosingRequested: _to(State.CLOSING, then=_L._closing_again),
        KeysPressed: _to(State.CLOSING),
        UpdateWanted: _to(State.CLOSING),
        # It is bounded by itself, and what it leads to is the end of the call.
        HandOverWanted: _to(State.CLOSING),
        AnswerSlow: _to(State.CLOSING),
        AnswerOverdue: _to(State.ENDED, then=_L._end_goodbye),
        GoodbyeHeard: _to(State.ENDED, then=_L._end_goodbye),
        IdleReached: _to(State.ENDED, then=_L._end_goodbye),
        DurationReached: _to(State.ENDED, then=_L._end_goodbye),
        EndRequested: _to(State.ENDED, then=_L._end_as_asked),
    },
    State.ENDED: {},
}
"""Every event a state knows: the states it may lead to, and what is done."""
