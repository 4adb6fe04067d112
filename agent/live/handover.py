"""Letting go of a call so that another worker goes on with it, and what that one has to know.

A hand-over is wanted like any other move and waits for the same safe point, but the session ends
there. It outlives the connection: where that is lost meanwhile the next one is looked for first, so
that what the caller has just said is heard by somebody. Which of these actions is taken when stands
in ``lifecycle.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation.owed import Owed
from agent.conversation.record import EndReason, MoveMoment
from agent.live.passage import Passage
from agent.live.resumption import handing_over, merged
from agent.live.session_events import FORCED, HandOverWanted, SessionEnd, SessionEvent
from agent.live.state import State


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands, as its checkpoint tells it; times are the clock's."""

    model: str
    handle: str | None
    handle_s: float
    generating: bool
    caller_speaking: bool
    answer_due: bool


class Handover(Passage):
    """How one session is left to another worker, decided without doing anything."""

    @property
    def standing(self) -> Standing:
        """What another worker has to know of this moment, also after the end."""
        found = None if self._is_spoilt else self._handles.peek()
        handle, handle_s = (None, 0.0) if found is None else found
        # What an earlier worker owed, until this one's model has been asked for it.
        owed = None if self._ever_served else self._opening.owed
        cut_off = self._move is not None and self._move.cut_off and not self._move.voice_back
        return Standing(
            model=self._model,
            handle=handle,
            handle_s=handle_s,
            generating=(self._generating and self._spoke) or self._cut_short or cut_off,
            caller_speaking=self._watchdog.caller_speaking or owed is Owed.QUESTION,
            answer_due=(
                self._watchdog.answer_due
                or owed is Owed.ANSWER
                or (self._generating and not self._spoke)
                or self._tools.running
                or bool(self._untold or self._keys)
                or self._keypad.deadline is not None
            ),
        )

    @property
    def _is_spoilt(self) -> bool:
        """Whether something is wrong with the session itself that a resume would bring back."""
        return any(
            wish is not None and wish.fresh_session for wish in (self._departure, self._wish)
        )

    def _hand_over_wanted(self, event: SessionEvent) -> None:
        assert isinstance(event, HandOverWanted)
        wanted = handing_over(event.limit_s, self._now)
        self._handing_over = merged(self._handing_over, wanted)
        # There will be no next connection of ours; and what becomes of a dial for one is not what
        # becomes of the dial that may be needed until then.
        if self._reserve.holds(self._attempt):
            self._attempt += 1
        self._close_standby()
        if event.limit_s <= 0:
            self._let_go()
        elif self.state in (State.SERVING, State.LEAVING):
            self._wait_to_hand_over()

    def _wait_to_hand_over(self) -> None:
        assert self._handing_over is not None
        self.state = State.LEAVING
        self._want_to_leave(self._handing_over)

    def _open(self, event: SessionEvent) -> None:
        super()._open(event)
        if self._handing_over is not None and self.state is State.SERVING:
            self._wait_to_hand_over()

    def _depart(self, moment: MoveMoment) -> None:
        assert self._departure is not None
        if self._departure.hand_over:
            self._let_go(safe=moment is MoveMoment.SAFE_POINT)
        else:
            super()._depart(moment)

    def _let_go(self, _event: SessionEvent | None = None, *, safe: bool = False) -> None:
        """End here; where the call was to be ended or transferred anyway, that is done."""
        if self._deferred is not None:
            self._begin_goodbye(self._deferred)
            self.end = self._farewell
            return
        disturbed = None if safe else self._disturbed
        if disturbed is None:
            self.end = SessionEnd(EndReason.HANDED_OVER, "at a safe point")
            return
        # The other worker's model never hears what this one's has not answered.
        self.tape.abandon()
        self.end = SessionEnd(EndReason.HANDED_OVER, f"{FORCED}: {disturbed}")

    @property
    def _disturbed(self) -> str | None:
        """What is cut off by leaving now; None where this is a safe point."""
        if self.state in (State.CONNECTING, State.MOVING):
            return "there was no Live connection"
        if self._generating or self._watchdog.agent_heard:
            return "the agent was speaking"
        if self._watchdog.caller_speaking:
            return "the caller was speaking"
        if self._tools.running:
            return "a function was running"
        if self._watchdog.answer_due:
            return "the caller was waiting for an answer"
        if not self._at_rest:
            return "something was still to be told to the model"
        if not self._handles.fresh:
            return "the newest handle did not know the last turn"
        return None
