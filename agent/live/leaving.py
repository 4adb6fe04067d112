"""Wanting to leave a connection: for which cause, until when, and with what in reserve.

The conversation goes on meanwhile. Which of these actions is taken when stands in
``lifecycle.py``; what becomes of a connection that is left, in ``passage.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent import commands, events
from agent.conversation.prompt import Opening
from agent.conversation.record import MoveKind
from agent.live.backoff import Ladder, Plan, Way
from agent.live.dialogue import Dialogue
from agent.live.models import ModelProfile
from agent.live.reserve import Reserve
from agent.live.resumption import Departure, QuietLine, after_go_away, merged, of_age
from agent.live.session_events import (
    ConnectFailed,
    LeaveWanted,
    Opened,
    SessionEvent,
    StandbyLost,
)
from agent.spec import AgentSpec


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
        self._ladder = Ladder((spec.model, *spec.moves.fallback_models), random)
        self._plan = Plan(Way.REFILL, spec.model)
        self._attempt = 0
        self._serves_since = now
        self._departure: Departure | None = None
        self._quiet = QuietLine()
        self._reserve = Reserve(wanted=spec.moves.standby)
        self._refill_kind = MoveKind.REFILL

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

    def _turn_over_while_leaving(self, event: SessionEvent) -> None:
        self._turn_over(event)
        self._open_standby()

    def _is_safe(self, now: float, pending_ms: float) -> bool:
        """Whether nothing is lost by leaving now."""
        assert self._departure is not None
        idle = not (
            self._generating
            or self._in_progress
            or self._tools.running
            or self._keys
            or self._keypad.deadline is not None
            or self._watchdog.caller_speaking
            or self._watchdog.answer_due
        )
        # Where there is to be a connection in reserve, it is worth a moment of a quiet line.
        told = self._departure.fresh_session or self._handles.fresh
        return self._quiet.is_safe(
            now,
            idle=idle,
            pending_ms=max(pending_ms, 1.0) if self._watchdog.agent_heard else pending_ms,
            prepared=told and not self._reserve.pending,
            departure=self._departure,
        )

    # -- the connection in reserve -------------------------------------------------------------

    def _open_standby(self) -> None:
        """Open one, or a newer one where a turn has been completed since."""
        if not self._reserve.needs_one(self._changes):
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
