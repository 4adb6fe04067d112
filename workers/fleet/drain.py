"""How a worker leaves: which call is handed over when, and when there is nothing left to wait for.

With another worker ready each call is handed over at its next safe point, a few at a time. Without
one the calls go on to their own end, for as long as the limit allows; a deploy's next worker may
come up meanwhile. At the limit, or when there is no time, all that is left is handed over at
once, whatever is being said, and gets a few seconds to be cleared away.

A call may come back to us, because nobody leads its next stream elsewhere yet. It is told by the
number of its stream, and served for a while before it is handed over again: each time the caller
may notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

HAND_OVER_S: Final = 30.0
"""How long a call's safe point is waited for: an answer is over by then, or will not be soon."""
AGAIN_S: Final = 10.0
"""How long a call that came back is left alone; longer than ``LAST_S``."""
SPREAD_S: Final = 0.1
"""Between two hand-overs: whoever goes on with the calls has to dial for each."""
BURST: Final = 3
"""So many at once, where steps were late."""
LAST_S: Final = 5.0
"""After the last hand-overs, for what they leave to be done: sockets, records."""

Waiting = Literal["no_other_worker", "balancers", "safe_points", "requests", "end"]


@dataclass(frozen=True, slots=True)
class DrainingCall:
    """A call that has a stream here."""

    call_sid: str
    stream: int
    """Its stream's number; one that came back has another."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Have a call go on elsewhere: at its next safe point, or when ``limit_s`` have passed."""

    call_sid: str
    limit_s: float


@dataclass(frozen=True, slots=True)
class Exit:
    """There is nothing left to wait for, or no time."""

    left: int
    """Calls that still have a stream."""


@dataclass(slots=True)
class _Known:
    """A call as it has been seen since the drain began."""

    stream: int
    free_at: float
    """When this stream may be handed over."""
    handed_over: bool = False


class Drain:
    """Decides what a worker that leaves does next.

    Args:
        drain_s: How long it may take until all is handed over by force.
        now: Monotonic seconds.
        settle_s: Before the first call is handed over: as long as whoever leads streams here may
            take to notice that we are not ready any more. Until then they would come back.
    """

    def __init__(self, drain_s: float, *, now: float, settle_s: float = 0.0) -> None:
        self.handed_over = 0
        """Streams that were handed over."""
        self.waits_for: Waiting = "end"
        """What the last step left to be waited for."""
        self._settled_at = now + settle_s
        self._limit_at = now + drain_s
        self._last_at: float | None = None
        self._known: dict[str, _Known] = {}
        self._allowed = float(BURST)
        self._stepped_at = now

    def step(
        self,
        calls: Sequence[DrainingCall],
        *,
        others_ready: int,
        awaited: bool,
        hurry: bool,
        now: float,
    ) -> list[HandOver | Exit]:
        """What is to be done now.

        Args:
            calls: Those that have a stream here.
            others_ready: How many workers would take them.
            awaited: Twilio is about to ask something about a call.
            hurry: There is no time any more.
            now: Monotonic seconds.
        """
        self._allowed = min(BURST, self._allowed + (now - self._stepped_at) / SPREAD_S)
        self._stepped_at = now
        if self._last_at is None and (hurry or now >= self._limit_at):
            self._last_at = now
        over = self._last_at is not None and now >= self._last_at + LAST_S
        if over or not (calls or awaited):
            return [Exit(len(calls))]
        known = [(call.call_sid, self._see(call, now)) for call in calls]
        self.waits_for = self._waiting(known, others_ready, now)
        if self._last_at is not None:
            # Once: one that comes back now would go to and fro until we exit.
            began = now == self._last_at
            return [
                self._hand_over(sid, one, 0.0, now)
                for sid, one in known
                if began or one.free_at <= now
            ]
        if others_ready < 1 or now < self._settled_at:
            return []
        free = [(sid, one) for sid, one in known if one.free_at <= now]
        chosen = free[: int(self._allowed)]
        self._allowed -= len(chosen)
        limit_s = min(HAND_OVER_S, self._limit_at - now)
        return [self._hand_over(sid, one, limit_s, now) for sid, one in chosen]

    def _see(self, call: DrainingCall, now: float) -> _Known:
        before = self._known.get(call.call_sid)
        if before is not None and before.stream == call.stream:
            return before
        if before is None:
            known = _Known(call.stream, now)
        else:
            # Handed over, it has come back; else its stream was lost, and nothing has changed.
            free_at = now + AGAIN_S if before.handed_over else before.free_at
            known = _Known(call.stream, free_at)
        self._known[call.call_sid] = known
        return known

    def _hand_over(self, call_sid: str, one: _Known, limit_s: float, now: float) -> HandOver:
        self.handed_over += not one.handed_over
        one.handed_over = True
        # A session that could not be told, such as one that had just begun, is told again.
        one.free_at = now + limit_s + AGAIN_S
        return HandOver(call_sid, limit_s)

    def _waiting(
        self, known: Sequence[tuple[str, _Known]], others_ready: int, now: float
    ) -> Waiting:
        if not known:
            return "requests"
        if self._last_at is not None:
            return "end"
        if not others_ready:
            return "no_other_worker"
        return "safe_points" if now >= self._settled_at else "balancers"
