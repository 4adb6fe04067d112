"""Wanting to leave a connection: for which cause, until when, and with what in reserve.

The conversation goes on meanwhile. Which of these actions is taken when stands in
``lifecycle.py``; what becomes of a connection that is left, in ``passage.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent import commands, events
from agent.conversation.prompt import Opening
from agent.conversation.record import MoveCause, MoveKind
from agent.live.backoff import Ladder, Plan, Way
from agent.live.dialogue import Dialogue
from agent.live.models import ModelProfile, UpdatePath
from agent.live.reserve import Reserve
from agent.live.resumption import Departure, QuietLine, after_go_away, merged, of_age
from agent.live.session_events import (
    ConnectFailed,
    LeaveWanted,
    Opened,
    SessionEvent,
    StandbyLost,
    UpdateWanted,
)
from agent.live.state import State
from agent.spec import AgentSpec

SETTLED_S = 20.0
"""A connection is not left for a better instruction sooner than this: the next one costs a dial."""
FULL_GAIN_SHARE = 0.1
"""Of the window: with less talk in it than that a fresh session would be as full at once."""
FULL_GRACE_S = 10.0
"""A safe point is waited for so long at least, however full the context is."""
UPDATE_REFUSED_S = 3.0
"""A connection that ends so soon after an update was closed for it: it is documented for Vertex
only, and nobody has reported what the Developer API makes of it (live-api.md 3.4, 7)."""


class Leaving(Dialogue):
    """When and how one session wants to leave its connection."""

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        profiles: Callable[[str], ModelProfile],
        now: float,
        elapsed_s: float,
        random: Callable[[], float],
    ) -> None:
        super().__init__(
            spec=spec, opening=opening, profiles=profiles, now=now, elapsed_s=elapsed_s
        )
        self.state = State.CONNECTING
        self._origin_s = now - elapsed_s
        self._ladder = Ladder((spec.model, *spec.moves.fallback_models), random)
        self._plan = Plan(Way.REFILL, spec.model)
        self._attempt = 0
        self._serves_since = now
        self._departure: Departure | None = None
        # Unlike the above it outlasts the connection.
        self._handing_over: Departure | None = None
        self._quiet = QuietLine()
        self._reserve = Reserve(wanted=spec.moves.standby)
        self._refill_kind = MoveKind.REFILL
        self._update: UpdateWanted | None = None
        self._updated_s: float | None = None
        self._takes_updates = True

    def _go_away(self, event: SessionEvent) -> None:
        assert isinstance(event, events.GoAwayReceived)
        self._want_to_leave(after_go_away(event, self._now))

    def _leave_wanted(self, event: SessionEvent) -> None:
        assert isinstance(event, LeaveWanted)
        self._want_to_leave(event.departure)

    def _want_to_leave(self, departure: Departure) -> None:
        if self._departure is None:
            self._reserve.left()
        # Whatever the cause, no connection gets older than its age allows.
        age_s = self._spec.moves.max_age_s
        oldest_s = of_age(age_s, self._serves_since + age_s).force_s
        departure = replace(departure, force_s=min(departure.force_s, oldest_s))
        self._departure = merged(self._departure, departure)
        self._open_standby()

    def _handle_came(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ResumptionUpdated)
        self._handles.updated(event, self._now)
        if event.resumable and event.handle is not None:
            self.budget.handle_came()

    # -- what the model should know ------------------------------------------------------------

    def _context_full(self) -> None:
        """A fresh session, at a safe point and told what matters, before the server closes this."""
        if self._wish is not None or (self._departure and self._departure.fresh_session):
            return
        if self._now < self._serves_since + SETTLED_S:
            return
        if self.budget.talk_tokens < FULL_GAIN_SHARE * self.budget.window.window_tokens:
            return
        left_s = self.budget.left_s(self._now - self._origin_s)
        self._wish = Departure(
            MoveCause.CONTEXT,
            self._now,
            self._now + max(FULL_GRACE_S, left_s or 0.0),
            fresh_session=True,
            detail=f"the context holds {self.budget.tokens:,} tokens "
            f"of {self.budget.window.window_tokens:,}",
        )

    @property
    def update_path(self) -> UpdatePath:
        """How the model is told something that asks for no answer."""
        return self._profile.update if self._takes_updates else UpdatePath.NEXT_MOVE

    def _update_wanted(self, event: SessionEvent) -> None:
        assert isinstance(event, UpdateWanted)
        if self._update is None or event.cause is MoveCause.UPDATE:
            self._update = event

    def _tell_update(self) -> None:
        """Tell the model while it is neither speaking nor asked, or wish for a move that will."""
        wanted = self._update
        if wanted is None or not self._stays or not self._at_rest:
            return
        self._update = None
        path = self.update_path
        if path is UpdatePath.NEXT_MOVE:
            self._wish = self._wish or Departure(
                wanted.cause,
                self._now,
                float("inf"),
                detail=wanted.detail,
                not_before_s=self._serves_since + SETTLED_S,
            )
            return
        self._updated_s = self._now
        update = path is UpdatePath.CONTEXT_UPDATE
        self._do(commands.SendInstruction() if update else commands.SendReminder())

    @property
    def _stays(self) -> bool:
        """Whether the connection serves for a while; one about to be left is told nothing more."""
        if self.state is State.LEAVING and self._departure is not None:
            # A ``goAway`` far ahead: a connection may spend most of its life on notice.
            return self._departure.not_before_s > self._now
        return self.state is State.SERVING

    def _update_survived(self) -> None:
        """The connection was lost: if an update was the reason, none is sent again."""
        if self._updated_s is not None and self._now < self._updated_s + UPDATE_REFUSED_S:
            self._takes_updates = False
            self._do(commands.NoteUpdateRefused())
        self._updated_s = None

    def _turn_over_while_leaving(self, event: SessionEvent) -> None:
        self._turn_over(event)
        self._open_standby()

    def _is_safe(self, now: float, pending_ms: float) -> bool:
        """Whether nothing is lost by leaving now."""
        assert self._departure is not None
        # Where there is to be a connection in reserve, it is worth a moment of a quiet line.
        told = self._departure.fresh_session or self._handles.fresh
        return self._quiet.is_safe(
            now,
            idle=self._at_rest,
            pending_ms=max(pending_ms, 1.0) if self._watchdog.agent_heard else pending_ms,
            prepared=told and not self._reserve.pending,
            departure=self._departure,
        )

    @property
    def _at_rest(self) -> bool:
        """Whether nobody speaks, nothing is owed and nothing runs."""
        return not (
            self._generating
            or self._in_progress
            or self._tools.running
            or self._keys
            or self._keypad.deadline is not None
            or self._watchdog.caller_speaking
            or self._watchdog.answer_due
        )

    # -- the connection in reserve -------------------------------------------------------------

    def _open_standby(self) -> None:
        """Open one, or a newer one where a turn has been completed since."""
        if self._handing_over is not None:
            return
        if not self._reserve.needs_one(self._changes, planned=self._refill_planned):
            return
        self._close_standby()
        self._attempt += 1
        model = self._ladder.model
        self._reserve.dialled(self._attempt, model, self._changes)
        untold = self._tools.orphans | self._tools.pending | self._untold.keys()
        self._do(
            commands.OpenConnection(
                self._attempt, model, moved=True, standby=True, untold=frozenset(untold)
            )
        )

    @property
    def _refill_planned(self) -> bool:
        """Whether the next connection should be ready before this one is left.

        So that the caller hears nothing of a fresh session. What it would be told in the middle of
        a turn is old when the turn is over.
        """
        return self._departure is not None and self._departure.fresh_session and self._at_rest

    def _take_standby(self) -> bool:
        attempt = self._reserve.take(self._plan.model, self._changes)
        if attempt is None:
            self._close_standby()
            self._refill_kind = MoveKind.REFILL
            return False
        self._attempt = attempt
        self._refill_kind = MoveKind.STANDBY
        self._do(commands.PromoteStandby(attempt))
        return True

    def _close_standby(self) -> None:
        if self._reserve.drop():
            self._do(commands.CloseStandby())

    def _standby_opened(self, event: SessionEvent) -> bool:
        assert isinstance(event, Opened)
        known = self._reserve.holds(event.attempt)
        if known:
            self._reserve.came_up()
        return known

    def _standby_failed(self, event: SessionEvent) -> bool:
        assert isinstance(event, ConnectFailed)
        return self._reserve.holds(event.attempt) and self._reserve.drop()

    def _standby_lost(self, event: SessionEvent) -> None:
        assert isinstance(event, StandbyLost)
        if self._reserve.holds(event.attempt):
            self._reserve.drop()
