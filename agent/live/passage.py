"""From one connection of a session to the next: look for one, serve, give it up, move on.

The old socket is closed before a handle is used, because the server refuses a handle whose session
is still connected (observed: sip-to-ai#14). A handle is tried once; ``backoff`` decides what comes
after. A connection that came up is not trusted until its model has answered: until then the outage
goes on, and so does its budget. Which of these actions is taken when stands in ``lifecycle.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent import commands, events
from agent.checkpoint import HANDLE_LIFE_S, SessionCheckpoint
from agent.conversation.owed import Owed
from agent.conversation.prompt import CUT_OFF, WAITING, Opening, ask_for_greeting
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.errors import LiveConnectRefused
from agent.live.backoff import SHORT_LIVED_S, Plan, Trouble, Way, trouble_of_close
from agent.live.drift import LatencyDrift
from agent.live.leaving import Leaving
from agent.live.models import ModelProfile
from agent.live.move import Move, ReportMove
from agent.live.regreeting import Regreeting
from agent.live.replay import IN_FLIGHT_MS
from agent.live.resumption import Departure
from agent.live.session_events import (
    ConnectFailed,
    Opened,
    SessionEnd,
    SessionEvent,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue
from agent.spec import AgentSpec
from agent.tools.runner import ClosingRequested, ToolAnswers


class Passage(Leaving):
    """Which connection serves one session, decided without doing anything."""

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        profiles: Callable[[str], ModelProfile],
        now: float,
        elapsed_s: float = 0.0,
        random: Callable[[], float] = lambda: 0.5,
    ) -> None:
        super().__init__(
            spec=spec,
            opening=opening,
            profiles=profiles,
            now=now,
            elapsed_s=elapsed_s,
            random=random,
        )
        self._handle: str | None = None
        self._resumed = False
        self._ever_served = False
        self._ever_answered = False
        # When the trouble began that no connection has been proven to have ended.
        self._outage_s: float | None = None
        self._works = False
        self._move: Move | None = None
        self._first = True
        self._deferred: ClosingRequested | None = None
        self._filler_playing = False
        self._last_trouble = ""
        self._reports: list[ReportMove] = []
        # Of the connection that serves, or served last.
        self._model = spec.model

    # -- connecting ----------------------------------------------------------------------------

    def _start(self, _event: SessionEvent) -> None:
        opening = self._opening
        begin = Departure(MoveCause.LOST, self._now, self._now)
        if opening.checkpoint is not None:
            begin = self._take_up(opening.checkpoint)
        self._move = self._new_move(begin, MoveMoment.ABRUPT, cut_off=opening.owed is Owed.REST)
        self._dial()
        if opening.greeting is not None and opening.greeting_audio is not None:
            self._greeting_playing = True
            self._do(commands.PlayGreeting())

    def _take_up(self, checkpoint: SessionCheckpoint) -> Departure:
        """Go on with another worker's session: its next connection is our first."""
        self._first = False
        way, found = Way.REFILL, "without a handle"
        if self._ladder.begin_with(checkpoint.model) and checkpoint.handle is not None:
            age_s = self._now - self._origin_s - checkpoint.handle_s
            found = f"its handle was {age_s:.1f} s old"
            if age_s < HANDLE_LIFE_S:
                way = Way.RESUME
                self._handles.restore(checkpoint.handle, self._origin_s + checkpoint.handle_s)
        self._model = self._ladder.model
        self._plan = Plan(way, self._model)
        detail = f"the call goes on with another worker's session; {found}"
        return Departure(MoveCause.TAKEOVER, self._now, self._now, detail=detail)

    @property
    def _goes_on(self) -> bool:
        """Whether any connection has served this conversation, another worker's included."""
        return self._ever_served or self._opening.checkpoint is not None

    def _dial(self, _event: SessionEvent | None = None) -> None:
        """Carry out the plan: a connection in reserve, a handle, or a fresh session."""
        assert self._move is not None
        plan, move = self._plan, self._move
        move.retry_s = None
        if plan.way is Way.RESUME and (handle := self._handles.take()) is not None:
            self._handle = handle
        else:
            self._handle = None
            self._handles.forget()
            if self._take_standby():
                return
        move.tries += 1
        self._attempt += 1
        self._do(
            commands.OpenConnection(
                self._attempt,
                plan.model,
                self._handle,
                moved=self._goes_on,
                cut_off=move.cut_off,
                untold=self._tools.orphans | self._untold.keys(),
            )
        )

    def _dial_when_due(self, plan: Plan) -> None:
        assert self._move is not None
        self._plan = plan
        if plan.delay_s > 0:
            self._move.retry_s = self._now + plan.delay_s
        else:
            self._dial()

    def _connect_failed(self, event: SessionEvent) -> None:
        assert isinstance(event, ConnectFailed)
        error = event.error
        if self._standby_failed(event) or event.attempt != self._attempt:
            return
        refused = isinstance(error, LiveConnectRefused)
        trouble = Trouble.CONFIG if refused else trouble_of_close(error.code, error.reason)
        if refused and error.setup_sent and self._ever_answered:
            # The same setup was taken before in this call: it is not the agent's file.
            trouble = Trouble.INVALID
        way = Way.REFILL if self._handle is None else Way.RESUME
        if self._handle is not None and not error.setup_sent:
            self._handles.give_back(self._handle)
        plan = self._ladder.after_failure(trouble, way=way, handle_spent=error.setup_sent)
        if plan is None:
            reason = EndReason.LIVE_REFUSED if refused else EndReason.LIVE_LOST
            self._give_up(reason, str(error))
            return
        self._last_trouble = str(error)
        if self._reserve.fits(plan.model, self._changes):
            plan = Plan(Way.REFILL, plan.model)
        self._dial_when_due(plan)

    def _open(self, event: SessionEvent) -> None:
        """A connection is up: tell it what it does not know, give it what was held, serve."""
        assert isinstance(event, Opened)
        if self._standby_opened(event) or event.attempt != self._attempt or self._move is None:
            return
        first, moved = not self._ever_served, self._goes_on
        self._resumed = self._handle is not None
        self._model = self._plan.model
        self._profile = self._profiles(self._model)
        self._works = False
        self._serves_since = self._now
        self._departure = None
        self._wish = None
        self._quiet.forget()
        self._move.opened(MoveKind.RESUME if self._resumed else self._refill_kind, self._now)
        self._update = self._updated_s = None
        self.budget.window = self._window()
        # This session has heard none of it yet.
        self.budget.caller_audio(self.tape.unanswered_ms)
        greeting = self._opening.greeting or self._opening.greeted
        asked = any(command.opening for command in self._unanswered)
        greeted = self._resumed and greeting is not None and not asked
        self._regreeting = Regreeting(greeting or "") if greeted else None
        if not self._resumed:
            self._drift = LatencyDrift(self._spec.moves.latency_drift_s)
        self._close_standby()
        self._ever_served = True
        self.state = State.SERVING
        if first:
            self._say_opening()
        else:
            self._say_what_is_owed()
        self._watchdog.connected(self._now, moved=moved)
        self._send_keys()
        self._release_caller_audio()
        if self._deferred is not None:
            closing, self._deferred = self._deferred, None
            self.state = State.CLOSING
            self._begin_goodbye(closing)

    def _say_opening(self) -> None:
        opening = self._opening
        if opening.owed is not None:
            self._say_what_was_owed(opening.nudge)
        elif opening.greeting is not None and opening.greeting_audio is None:
            self._say_to_model(ask_for_greeting(opening.greeting), opening=True, nudge=False)
        elif opening.nudge is not None:
            self._say_to_model(opening.nudge, opening=not self._resumed, nudge=False)

    def _say_what_was_owed(self, nudge: str | None) -> None:
        """Make up for what another worker could not finish, unless the caller is past it."""
        assert self._move is not None
        if self.tape.has_unanswered:
            self._move.cut_off = False
        elif nudge is not None:
            # A session that is resumed has had its first words.
            self._say_to_model(nudge, opening=not self._resumed)

    def _say_what_is_owed(self) -> None:
        """One text with all the model has to answer, unless the caller's own words come again."""
        assert self._move is not None
        if self.tape.has_unanswered:
            # The caller wants something else by now than the rest of what was being said.
            self._move.cut_off = False
        unanswered, self._unanswered = self._unanswered, []
        texts = [command.text for command in unanswered]
        opening = any(command.opening for command in unanswered)
        texts += self._take_results()
        if (keys := self._take_keys()) is not None:
            texts.append(keys)
        if not texts and not self.tape.has_unanswered:
            if self._move.cut_off:
                texts.append(CUT_OFF)
            elif self._watchdog.answer_due and not self._tools.running:
                texts.append(WAITING)
        if texts:
            self._say_to_model(" ".join(texts), opening=opening)

    # -- moving --------------------------------------------------------------------------------

    def _move_at_safe_point(self, _event: SessionEvent) -> None:
        self._depart(MoveMoment.SAFE_POINT)

    def _move_by_force(self, _event: SessionEvent) -> None:
        self._depart(MoveMoment.FORCED)

    def _move_from_amnesia(self, _event: SessionEvent) -> None:
        departure = Departure(
            MoveCause.FORGOT,
            self._now,
            self._now,
            fresh_session=True,
            detail="the resumed session began to greet",
        )
        # What was asked is asked again: the greeting was no answer to it.
        self._generating = False
        self._leave(departure, MoveMoment.ABRUPT, Plan(Way.REFILL, self._ladder.model))

    def _depart(self, moment: MoveMoment) -> None:
        departure = self._departure
        assert departure is not None
        way = Way.REFILL if departure.fresh_session else Way.RESUME
        age_s = self._now - self._serves_since
        plan = self._ladder.after_leaving(way, age_s=age_s)
        if self._outage_s is None and age_s < SHORT_LIVED_S:
            # A server that sends us on and on is an outage, too.
            self._outage_s = self._now
        self._leave(departure, moment, plan)

    def _lost(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ConnectionLost)
        self._update_survived()
        trouble = trouble_of_close(event.code, event.reason)
        plan = self._ladder.after_loss(
            trouble,
            age_s=self._now - self._serves_since,
            resumed=self._resumed,
            proven=self._works,
        )
        if plan is not None and any(
            wish is not None and wish.fresh_session for wish in (self._departure, self._wish)
        ):
            # What was wrong with the session would be resumed with it.
            plan = replace(plan, way=Way.REFILL)
        why = event.reason or "no reason given"
        detail = f"the Live connection closed with code {event.code}: {why}"
        wanted = self._departure
        if wanted is not None and wanted.cause is MoveCause.GO_AWAY:
            detail = f"{wanted.detail}; then {detail}"
        departure = Departure(MoveCause.LOST, self._now, self._now, detail=detail)
        self._leave(departure, MoveMoment.ABRUPT, plan)

    def _overdue(self, event: SessionEvent) -> None:
        assert isinstance(event, AnswerOverdue)
        detail = f"the model gave no answer for {event.waited_s:.1f} s"
        plan = self._ladder.after_silence()
        if plan is None:
            self._end_in_trouble(EndReason.MODEL_SILENT, detail)
            return
        deaf = self._resumed and not self._works
        cause = MoveCause.DEAF if deaf else MoveCause.SILENT
        departure = Departure(cause, self._now, self._now, fresh_session=True, detail=detail)
        self._leave(departure, MoveMoment.ABRUPT, plan, waited_s=event.waited_s)

    def _leave(
        self,
        departure: Departure,
        moment: MoveMoment,
        plan: Plan | None,
        *,
        waited_s: float = 0.0,
    ) -> None:
        """Give up the connection; the next is dialled once it is closed."""
        now = self._now
        self._watch_move()
        cut_off = self._generating and self._spoke
        # A silence is no outage of connections: it is bounded by how many there may be in a row.
        if moment is MoveMoment.ABRUPT and (self._outage_s is None or waited_s > 0):
            self._outage_s = now
        self._tools.connection_left()
        self._leftover_playing = self._watchdog.agent_heard
        self._watchdog.uninterruptible = self._leftover_playing
        self._voiced_before_ms = self._watchdog.caller_voiced_ms
        self._generating = self._in_progress = self._spoke = self._audible = False
        self._turn_begun = False
        self._interrupted_s = None
        self._cut_short = self._greets_again = self._empty_turn = False
        self._regreeting = None
        self._watchdog.disconnected()
        if self._first and self._ever_served:
            # The way to the first connection is over, whether or not it caught up.
            self._move, self._first = None, False
        if self._move is None:
            self._move = self._new_move(departure, moment, cut_off=cut_off, waited_s=waited_s)
        else:
            self._move.lost_again()
            self._move.cut_off = self._move.cut_off or cut_off
        self.tape.held = True
        # At a safe point all has arrived; a deadline may also come to a network that takes nothing.
        safe = moment is MoveMoment.SAFE_POINT
        self.tape.rewind(in_flight_ms=0.0 if safe else IN_FLIGHT_MS)
        self.state = State.MOVING
        self._do(commands.LeaveConnection(said_again=self.tape.has_unanswered))
        if plan is None:
            self._give_up(EndReason.LIVE_LOST, departure.detail)
        else:
            self._plan = plan

    def _new_move(
        self,
        departure: Departure,
        moment: MoveMoment,
        *,
        cut_off: bool,
        waited_s: float = 0.0,
    ) -> Move:
        return Move(
            departure,
            moment,
            now=self._now,
            outage_s=self._now if self._outage_s is None else self._outage_s,
            budget_s=self._spec.moves.budget_s,
            cut_off=cut_off,
            tape=self.tape,
            waited_s=waited_s,
        )

    def _closed(self, _event: SessionEvent) -> None:
        self._dial_when_due(self._plan)

    def _keep_results(self, event: SessionEvent) -> None:
        """Results that come while there is no connection are told to the next one."""
        assert isinstance(event, ToolAnswers)
        delivery = self._tools.answered(event.responses)
        self._untold |= {response.id: response for response in delivery.told}
        self._note_tools_running()
        if delivery.told:
            self._watchdog.expect_answer(self._now)

    def _defer_goodbye(self, event: SessionEvent) -> None:
        assert isinstance(event, ClosingRequested)
        if self._deferred is None or event.transfer_to is not None:
            self._deferred = event

    def _speech_started_while_moving(self, event: SessionEvent) -> None:
        """Its first syllable went to the connection that was left, before it was speech to us."""
        self._speech_started(event)
        self.tape.rewind(in_flight_ms=0.0)

    def _spoken_over(self, event: SessionEvent) -> None:
        super()._spoken_over(event)
        if self._move is not None:
            self._move.cut_off = False

    def _fill(self, _event: SessionEvent) -> None:
        self._filler_playing = True
        self._do(commands.PlayFiller())

    def _budget_spent(self, _event: SessionEvent) -> None:
        spent = f"no Live connection for {self._spec.moves.budget_s:g} s"
        last = f"; the last try: {self._last_trouble}" if self._last_trouble else ""
        self._give_up(EndReason.LIVE_LOST, spent + last)

    def _give_up(self, reason: EndReason, detail: str) -> None:
        if self._deferred is not None:
            self._begin_goodbye(self._deferred)
            self.end = self._farewell
            return
        self._end_in_trouble(reason, detail)

    def _end_in_trouble(self, reason: EndReason, detail: str) -> None:
        person = self._spec.moves.person
        self.end = SessionEnd(
            reason, detail, None if person is None else self._spec.transfer.get(person)
        )

    # -- the report ----------------------------------------------------------------------------

    def _caught_up(self, _event: SessionEvent) -> None:
        if self._move is not None and self._move.opened_s is not None:
            self._move.caught_up(self._now)

    def _trusted(self) -> None:
        """The trouble is over: what comes next is a trouble of its own."""
        self._outage_s = None
        self._ladder.stable()

    def _settled(self) -> None:
        if self._works:
            self._outage_s = None
            self._ladder.proven()

    def _proven(self) -> None:
        self._works = self._ever_answered = True
        self._ladder.answered()
        if self._move is not None and self._move.opened_s is not None:
            self._observe_move()
            self._move.voice_back = True
            self._filler_playing = False

    def _observe_move(self) -> None:
        move = self._move
        if move is None:
            return
        rest_owed = move.cut_off and not move.voice_back
        answer_owed = not move.serves and (self._watchdog.answer_due or self._greeting_owed)
        agent_heard = self._watchdog.agent_heard and not self._filler_playing
        silent = not (agent_heard or self._watchdog.caller_speaking)
        move.observe(self._now, waits=silent and (rest_owed or answer_owed))

    @property
    def _greeting_owed(self) -> bool:
        opening = self._opening
        return not self._ever_served and (
            opening.nudge is not None
            or (opening.greeting is not None and opening.greeting_audio is None)
        )

    def _watch_move(self) -> None:
        """Report the move once nothing can be missed on its account any more."""
        move = self._move
        if move is None:
            return
        self._observe_move()
        if move.is_done(self._now) or self.end is not None:
            self._move = None
            if not self._first:
                self._reports.append(
                    ReportMove(
                        move.report(self._now, model=self._ladder.model, origin_s=self._origin_s)
                    )
                )
            self._first = False

    def _finish_as_ended(self) -> None:
        self.state = State.ENDED
        self._close_standby()
        if self.tape.held and self._move is not None and self._move.opened_s is None:
            self.tape.give_up()
