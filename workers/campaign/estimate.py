"""When a campaign will be finished, and what it will cost: a guess made of averages.

It is played through in steps, with parts of contacts where chance decides. Assumed is that

- every attempt is the last of its contact with the same chance (``reached_share``), else the
  contact is called again after ``retry_after``, until ``Attempts.most``;
- a call holds its slot for ``ring_s``, an answered one for ``talk_s`` more; so no more than
  ``calls_at_once`` divided by the mean of that start in a second (Little's law), and no more than
  the pace and its ramp permit;
- whoever may be called waits in no order: where there are more of them than the pace permits, each
  group gets its share;
- nothing else has calls, nobody pauses it, no worker is missing, and nobody is suppressed.

A step is a minute in the first hour, when a ramp is short, and five after it. What begins within a
step counts from the next one on, and hours that end within one are overrun by less than it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from workers.campaign.hours import next_permitted, permitted, utc
from workers.campaign.model import Attempts, Hours, LineOutcome, Pace
from workers.campaign.pacing import allowed

HORIZON = timedelta(days=60)
"""Nothing is looked at that comes later."""
NOT_WITHIN = f"not within {HORIZON.days} days"
ENDS_FIRST = "the campaign's last day comes first"

_HALF = 0.5
"""Of a contact: with less than this left, more likely than not nobody is."""
_NOTHING = 1e-9
_FINE, _COARSE = timedelta(minutes=1), timedelta(minutes=5)
_FINE_FOR = timedelta(hours=1)


class Pool(NamedTuple):
    """Contacts that are alike: those of one time zone, mostly."""

    zones: tuple[str, ...]
    """Every IANA zone they may be in."""
    due_at: datetime
    """From then on they may be called, within the hours."""
    contacts: float
    """How many."""
    attempts: int = 0
    """Made with each of them before."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left of a campaign."""

    finish_at: datetime | None
    """UTC, the end of the last call; None: ``reason`` says why."""
    dials: float
    minutes: float
    """That are billed: of every answered call, whole ones begun."""
    cost: float | None
    """In the price's currency; None: there is no price."""
    left_over: float = 0.0
    """Contacts who would have been called, or called again, later than the end."""
    never_open: float = 0.0
    """Contacts in no known zone, or in hours that never come; they do not hold up the finish."""
    reason: str = ""
    """Empty: it finishes."""


def estimate(
    pools: Iterable[Pool],
    pace: Pace,
    *,
    hours: Hours,
    now: datetime,
    talk_s: float,
    answer_share: float,
    attempts: Attempts = Attempts(),  # noqa: B008 - frozen
    reached_share: float = 0.4,
    ring_s: float = 25.0,
    ends_on: date | None = None,
    started_at: datetime | None = None,
    price_per_minute: float | None = None,
) -> Estimate:
    """When a campaign will be finished at its pace, and what that takes.

    Args:
        pools: whoever is left to be called.
        pace: of the campaign, with its ramp.
        hours: of the campaign.
        now: aware.
        talk_s: mean length of an answered call, from answering on; each is billed as long as that.
        answer_share: of the calls, how many are answered, by people or machines; 0 to 1.
        attempts: how often, and how far apart.
        reached_share: of the attempts, how many are the last of their contact; 0 to 1.
        ring_s: how long a call rings, answered or not.
        ends_on: the last day with calls, in the callee's zone.
        started_at: from when on the ramp counts; None: now.
        price_per_minute: None: no cost is told.

    Returns:
        It finishes when less than half a contact is expected to be left. Dials, minutes and cost
        hold the few parts of calls behind that moment, too; of a campaign that does not finish,
        those until its last day or the ``HORIZON``.

    Raises:
        ValueError: a time without zone, or a number that is out of its range.
    """
    for name, value in (("answer_share", answer_share), ("reached_share", reached_share)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must be from 0 to 1")
    for name, value in (("talk_s", talk_s), ("ring_s", ring_s)):
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{name} must not be negative")
    begin = utc(now)
    ramp_from = begin if started_at is None else utc(started_at)
    call_s = ring_s + answer_share * talk_s
    again_after = retry_after(attempts)
    crowd = _Crowd(hours, ends_on, begin)
    for pool in pools:
        crowd.add(pool, attempts.most)

    dials, finish_at = 0.0, None if crowd.left >= _HALF else begin
    at = begin
    while (moment := crowd.next_moment(at)) is not None and moment < begin + HORIZON:
        at = moment
        until = _step_end(at, begin)
        crowd.let_in(at)
        room = _rate(pace, at - ramp_from, call_s) * (until - at).total_seconds()
        waiting = crowd.waiting
        served = min(1.0, room / waiting) if waiting else 0.0
        dials += waiting * served
        for zones, made, count in crowd.serve(served):
            rest = count * (1.0 - reached_share)
            if again_after is not None and made + 1 < attempts.most and rest > _NOTHING:
                crowd.push(at + again_after, zones, made + 1, rest)
        if finish_at is None and crowd.left + crowd.left_over < _HALF:
            # Served wholly, it took that part of the step.
            used = (until - at) * min(1.0, waiting / room)
            finish_at = at + used + timedelta(seconds=call_s)
        at = until

    # Sums of parts may miss nothing by a little, on either side.
    left_over = crowd.left + crowd.left_over
    left_over = left_over if left_over > _NOTHING else 0.0
    reason = ""
    if left_over >= _HALF:
        finish_at = None
        reason = ENDS_FIRST if crowd.left_over >= crowd.left else NOT_WITHIN
    minutes = dials * answer_share * math.ceil(talk_s / 60.0)
    cost = None if price_per_minute is None else minutes * price_per_minute
    return Estimate(finish_at, dials, minutes, cost, left_over, crowd.never_open, reason)


def retry_after(attempts: Attempts) -> timedelta | None:
    """How long after an attempt the next one is assumed; None: there is none.

    As after a call that nobody answered, the most frequent case (where that is not tried again, the
    longest of the others); and no sooner than spreads the attempts of a day evenly, where a day
    does not hold all of them.
    """
    spacing = attempts.spacing.get(LineOutcome.NO_ANSWER)
    if spacing is None:
        if not attempts.spacing:
            return None
        spacing = max(attempts.spacing.values())
    if attempts.most <= attempts.per_day:
        return spacing
    return max(spacing, timedelta(days=1) / max(1, attempts.per_day))


def _rate(pace: Pace, since_start: timedelta, call_s: float) -> float:
    """Calls per second that can start."""
    may = allowed(pace, since_start)
    if not call_s:
        return may.calls_per_second
    return min(may.calls_per_second, may.calls_at_once / call_s)


def _step_end(at: datetime, begin: datetime) -> datetime:
    """On whole minutes, where hours begin and end."""
    step = _FINE if at - begin < _FINE_FOR else _COARSE
    midnight = datetime(at.year, at.month, at.day, tzinfo=UTC)
    return midnight + ((at - midnight) // step + 1) * step


class _Crowd:
    """Who may be called now, and who later; changed in place while the time goes on."""

    def __init__(self, hours: Hours, ends_on: date | None, begin: datetime) -> None:
        self._hours = hours
        self._ends_on = ends_on
        self._begin = begin
        self._later: list[tuple[datetime, tuple[str, ...], int, float]] = []
        self._now: dict[tuple[tuple[str, ...], int], float] = {}
        self.left = 0.0
        """Contacts, now or later."""
        self.left_over = 0.0
        self.never_open = 0.0

    def add(self, pool: Pool, most: int) -> None:
        if pool.contacts < 0:
            raise ValueError("contacts must not be negative")
        if not pool.contacts or pool.attempts >= most:
            return
        due = max(utc(pool.due_at), self._begin)
        if next_permitted(self._hours, pool.zones, due) is None:
            self.never_open += pool.contacts
        else:
            self.push(due, pool.zones, pool.attempts, pool.contacts)

    def push(self, due: datetime, zones: tuple[str, ...], made: int, count: float) -> None:
        heapq.heappush(self._later, (due, zones, made, count))
        self.left += count

    @property
    def waiting(self) -> float:
        """Contacts who may be called now."""
        return sum(self._now.values())

    def next_moment(self, at: datetime) -> datetime | None:
        """From ``at`` on, the first at which there may be somebody; None: nobody is left."""
        if self._now:
            return at
        return max(at, self._later[0][0]) if self._later else None

    def let_in(self, at: datetime) -> None:
        """Put whoever is due among those who may be called, and whose hours are over aside."""
        may: dict[tuple[str, ...], bool] = {}
        opens: dict[tuple[str, ...], datetime | None] = {}
        due = [(zones, made, count) for (zones, made), count in self._now.items()]
        self._now = {}
        while self._later and self._later[0][0] <= at:
            due.append(heapq.heappop(self._later)[1:])
        for zones, made, count in due:
            if zones not in may:
                may[zones] = permitted(self._hours, zones, at, ends_on=self._ends_on)
            if may[zones]:
                self._now[zones, made] = self._now.get((zones, made), 0.0) + count
                continue
            if zones not in opens:
                opens[zones] = next_permitted(self._hours, zones, at, ends_on=self._ends_on)
            self.left -= count
            if (moment := opens[zones]) is None:
                self.left_over += count
            else:
                self.push(moment, zones, made, count)

    def serve(self, part: float) -> list[tuple[tuple[str, ...], int, float]]:
        """Take this part of whoever may be called now."""
        taken = [(zones, made, count * part) for (zones, made), count in self._now.items()]
        self.left -= sum(count for _, _, count in taken)
        self._now = (
            {} if part >= 1.0 else {key: count * (1.0 - part) for key, count in self._now.items()}
        )
        return taken
