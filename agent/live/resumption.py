"""Handles, and when to leave a connection: the safe point, and the deadline of each cause.

A handle is a snapshot of the session as it was when the handle came. It is tried once
(live-api.md 5.3). The safe point is a moment at which nothing is lost by leaving: the model is not
generating and its audio has played out, the caller is silent and waits for nothing, no tool runs,
and the newest handle is younger than the last turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent import events
from agent.conversation.record import MoveCause

GO_AWAY_DEFAULT_S = 30.0
"""A ``goAway`` without ``timeLeft``; what tau2-bench assumes. Documented: 60 s, seen: 50 s."""
GO_AWAY_MARGIN_S = 5.0
"""Before the server's deadline, as tau2-bench has it; a quarter of it where that is less."""
AGE_GRACE_SHARE = 1 / 12
"""Of ``moves.max_age_s``: how long its safe point is waited for. 45 s of 9 min: still under 10."""
FORGOT_GRACE_S = 10.0
"""A session without memory answers nonsense; it is left soon, safe point or not."""
HANDLE_WAIT_S = 2.0
"""Handles come with the end of a turn, or not at all: after so much quiet none is waited for,"""
LATE_S = 15.0
"""once so little time is left. Before that the next turn may bring one, and the audio with it."""
EARLY_S = 60.0
"""The usual notice. A ``goAway`` further ahead (300 s, one second into the session: seen on 3.8,
livekit/agents-js#2507) is no hurry: each connection may begin with one."""
_SOON_S = 0.02


class Handles:
    """The newest handle of a session, and whether it knows all that was said."""

    def __init__(self) -> None:
        self._newest: str | None = None
        self._at_s = 0.0
        self._changed_s = 0.0
        self._resumable = False

    @property
    def known(self) -> bool:
        """Whether there is one to try."""
        return self._newest is not None

    @property
    def fresh(self) -> bool:
        """Whether it is resumable and younger than the last turn."""
        return self._newest is not None and self._resumable and self._at_s >= self._changed_s

    def updated(self, event: events.ResumptionUpdated, now: float) -> None:
        """The server sent a ``sessionResumptionUpdate``."""
        self._resumable = event.resumable and event.handle is not None
        if self._resumable:
            self._newest, self._at_s = event.handle, now

    def conversation_changed(self, now: float) -> None:
        """Something was said or done that the newest handle does not know."""
        self._changed_s = now

    def restore(self, handle: str, at_s: float) -> None:
        """Another worker has left this one, from so long ago."""
        self._newest, self._at_s = handle, at_s
        self._resumable = True

    def peek(self) -> tuple[str, float] | None:
        """Return the newest handle and when it came, and keep it; None while it is being tried."""
        return None if self._newest is None else (self._newest, self._at_s)

    def take(self) -> str | None:
        """Return the newest handle, once."""
        handle, self._newest = self._newest, None
        return handle

    def give_back(self, handle: str) -> None:
        """No server has seen it: it may be tried again."""
        self._newest = self._newest or handle

    def forget(self) -> None:
        """The session they belong to is given up."""
        self._newest = None


class QuietLine:
    """Waits for the moment at which a connection can be left without anybody noticing."""

    def __init__(self) -> None:
        self.check_s = float("inf")
        """When ``is_safe`` is to be asked next, if nothing happens before."""
        self._since_s: float | None = None

    def disturbed(self, now: float) -> None:
        """Something happened: ask again at once."""
        self.check_s = now

    def forget(self) -> None:
        """Another connection serves."""
        self._since_s = None

    def is_safe(
        self,
        now: float,
        *,
        idle: bool,
        pending_ms: float,
        prepared: bool,
        departure: Departure,
    ) -> bool:
        """Whether now is the moment.

        Args:
            now: Seconds.
            idle: Nobody speaks, nothing is owed and nothing runs.
            pending_ms: Agent audio the caller has still to hear.
            prepared: The next connection can know all that was said, as far as that is up to us.
            departure: What is waited for.
        """
        self.check_s = float("inf")
        if now < departure.not_before_s:
            self.check_s = departure.not_before_s
            return False
        if not idle or pending_ms > 0:
            self._since_s = None
            if idle:
                self.check_s = now + max(pending_ms / 1000, _SOON_S)
            return False
        if self._since_s is None:
            self._since_s = now
        late_s = departure.force_s - LATE_S
        self.check_s = max(self._since_s + HANDLE_WAIT_S, late_s)
        return prepared or now >= self.check_s


@dataclass(frozen=True, slots=True)
class Departure:
    """A wish to leave the connection."""

    cause: MoveCause
    wanted_s: float
    force_s: float
    """Leave by then, whatever is going on; infinity where there is no hurry."""
    fresh_session: bool = False
    """What is wrong is in the session itself: do not resume it."""
    detail: str = ""
    not_before_s: float = 0.0
    """There is no hurry until then."""
    hand_over: bool = False
    """The session is to end there: another worker goes on with it."""


def after_go_away(event: events.GoAwayReceived, now: float) -> Departure:
    """The server announced that it will close."""
    left_s = GO_AWAY_DEFAULT_S if event.time_left_s is None else event.time_left_s
    margin_s = min(GO_AWAY_MARGIN_S, left_s / 4)
    return Departure(
        MoveCause.GO_AWAY,
        now,
        now + left_s - margin_s,
        detail=f"goAway, {left_s:g} s left",
        not_before_s=now + max(0.0, left_s - EARLY_S),
    )


def of_age(age_s: float, now: float) -> Departure:
    """The connection is old."""
    return Departure(
        MoveCause.AGE,
        now,
        now + age_s * AGE_GRACE_SHARE,
        detail=f"the connection is {age_s:.0f} s old",
    )


def handing_over(limit_s: float, now: float) -> Departure:
    """This worker wants to let go of the call."""
    return Departure(
        MoveCause.TAKEOVER,
        now,
        now + max(0.0, limit_s),
        detail="the call is handed over",
        hand_over=True,
    )


def merged(old: Departure | None, new: Departure) -> Departure:
    """Two wishes at once: the first cause stays, the sooner deadline counts."""
    if old is None:
        return new
    return Departure(
        old.cause,
        old.wanted_s,
        min(old.force_s, new.force_s),
        old.fresh_session or new.fresh_session,
        old.detail,
        min(old.not_before_s, new.not_before_s),
        old.hand_over or new.hand_over,
    )
