"""One move while it is under way: its tries, its budget, and the gap the caller could hear.

The gap counts the time in which the caller is owed something, an answer or the rest of one, hears
nothing and says nothing. It runs from the loss of the old connection until the new one serves:
until it has all that was held or, where the agent was cut off, until its voice is back. What the
new model itself takes to think is not the move's; where nobody waits for anything nothing is
missed. Where it is the model's silence that made us move, the gap began with that silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation.record import MoveKind, MoveMoment, MoveRecord
from agent.live.replay import CallerTape
from agent.live.resumption import Departure

FILLER_AFTER_S = 1.5
"""Of silence that nobody explains: then the caller hears that somebody is there."""
VOICE_WAIT_S = 10.0
"""A cut-off answer that does not go on for so long is the watchdog's; the move is done."""


@dataclass(frozen=True, slots=True)
class ReportMove:
    """A command like those of ``agent.commands``: a move is over, this is its report."""

    record: MoveRecord


class Move:
    """The way from one connection to the next.

    Args:
        departure: Why, and since when it was wanted.
        moment: What was going on.
        now: When the old connection was given up.
        outage_s: When the trouble began: the budget counts from there.
        budget_s: How long connections may be looked for.
        cut_off: The agent had not finished what it was saying.
        tape: The caller's audio.
        waited_s: For how long the caller had been waiting in silence by then.
    """

    def __init__(
        self,
        departure: Departure,
        moment: MoveMoment,
        *,
        now: float,
        outage_s: float,
        budget_s: float,
        cut_off: bool,
        tape: CallerTape,
        waited_s: float = 0.0,
    ) -> None:
        self.cut_off = cut_off
        self.kind: MoveKind | None = None
        self.tries = 0
        self.retry_s: float | None = None
        """When the next dial is due, while one is waited for."""
        self.opened_s: float | None = None
        self.voice_back = False
        self._departure = departure
        self._moment = moment
        self._left_s = now
        self._served_s: float | None = None
        self._give_up_s = outage_s + budget_s
        self._gap_s = 0.0
        self._silent_since: float | None = now - waited_s if waited_s > 0 else None
        self._filled = False
        self._tape = tape
        self._offered_ms = tape.offered_ms
        self._held_ms = 0.0
        self._lost_ms = tape.lost_ms
        self._replayed_ms = tape.replayed_ms

    @property
    def serves(self) -> bool:
        """Whether a connection has everything that was held."""
        return self._served_s is not None

    @property
    def deadline(self) -> float:
        """When ``filler_due`` or ``is_spent`` may change."""
        moments = [self._give_up_s if self.opened_s is None else float("inf")]
        if self.retry_s is not None:
            moments.append(self.retry_s)
        if self._silent_since is not None and not self._filled:
            moments.append(self._silent_since + FILLER_AFTER_S)
        if self.opened_s is not None:
            moments.append(self.opened_s + VOICE_WAIT_S)
        return min(moments)

    def observe(self, now: float, *, waits: bool) -> None:
        """Note whether at this moment the caller waits in silence for something owed."""
        if self._silent_since is not None:
            since, self._silent_since = self._silent_since, None
            if waits:
                self._silent_since = since
            else:
                self._gap_s += now - since
        elif waits:
            self._silent_since = now

    def filler_due(self, now: float) -> bool:
        """Whether the caller has waited long enough to be told that somebody is there; once."""
        if self._filled or self._silent_since is None:
            return False
        self._filled = now >= self._silent_since + FILLER_AFTER_S
        return self._filled

    def is_spent(self, now: float) -> bool:
        """Whether connections have been looked for long enough."""
        return self.opened_s is None and now >= self._give_up_s

    def opened(self, kind: MoveKind, now: float) -> None:
        """A connection is up."""
        self.kind, self.opened_s, self.retry_s = kind, now, None

    def caught_up(self, now: float) -> None:
        """The connection has been given everything that was held."""
        if self._served_s is None:
            self._served_s = now
            self._held_ms = self._tape.offered_ms - self._offered_ms

    def lost_again(self) -> None:
        """The connection that was moved to is gone before the move was done."""
        self.kind = self.opened_s = self._served_s = None
        self.voice_back = False

    def is_done(self, now: float) -> bool:
        """Whether the caller can miss nothing more on account of this move."""
        if self.opened_s is None:
            return False
        served = self._served_s is not None and (not self.cut_off or self.voice_back)
        return served or now >= self.opened_s + VOICE_WAIT_S

    def report(self, now: float, *, model: str, origin_s: float, detail: str = "") -> MoveRecord:
        """Write the reset report."""
        done_s = now if self._served_s is None else self._served_s
        held_ms = self._tape.offered_ms - self._offered_ms
        gap_s = self._gap_s
        if self._silent_since is not None:
            gap_s += max(0.0, now - self._silent_since)
        return MoveRecord(
            cause=self._departure.cause,
            moment=self._moment,
            kind=self.kind,
            wanted_s=self._departure.wanted_s - origin_s,
            left_s=self._left_s - origin_s,
            done_s=done_s - origin_s,
            gap_ms=gap_s * 1000,
            held_ms=held_ms if self._served_s is None else self._held_ms,
            replayed_ms=self._tape.replayed_ms - self._replayed_ms,
            lost_ms=self._tape.lost_ms - self._lost_ms,
            tries=self.tries,
            model=model,
            detail=detail or self._departure.detail,
        )
