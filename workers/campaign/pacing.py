"""How fast a campaign may dial, and how many calls it may have at once, as numbers in a row.

Every worker reads the same rows, decides here, and writes back in the same transaction; so one
bucket holds for an account however many workers there are. ``now_s`` is POSIX time. Let it be the
database's where there is one: workers whose clocks differ by less than ``SKEW_S`` share a bucket
safely, but the one that is behind has to wait for the one that is ahead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from workers.campaign.model import Pace

SKEW_S = 60.0
"""Further than this no worker's clock is behind another's: whatever is, has been set."""

LEAST_LATE_S = 0.02
"""What a process that is not alone on its machine may be late by at any time."""

_MOST_SPARE = 0.5
# Keeps sums of floats on the safe side of a whole call; POSIX time in a double is good to 0.2 µs.
_MARGIN = 1e-3


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may start at once, and when that was worked out.

    A call costs one token. A new bucket is ``Bucket(1.0, now_s)``: the first call starts at once.
    """

    tokens: float
    at_s: float


def take(bucket: Bucket, rate: float, now_s: float, want: int = 1) -> tuple[Bucket, int]:
    """Ask for calls to start now.

    No second sees more than ``rate + 1`` calls start. Asked at least every ``poll_s(rate)``, a
    bucket gives ``rate * 60`` in a minute, within 2 % or one call, whichever is more. A campaign
    that has waited for long gains one call by it, not a burst.

    A clock that steps back gives nothing early: by up to ``SKEW_S`` the bucket waits until the
    clock is where it was, by more it starts empty from the new time. A clock that leaps ahead
    cannot be told from a pause, and gives one call too early at the most.

    Args:
        bucket: As it was left by the last one who asked.
        rate: Calls per second; may be another than the last time.
        now_s: POSIX time.
        want: How many calls are wanted.

    Returns:
        The bucket to write back, and how many calls may start: 0 or 1.

    Raises:
        ValueError: ``rate`` is not above 0 and finite, or ``want`` is negative.
    """
    most = 1.0 + _spare(rate)
    if want < 0:
        raise ValueError("want must not be negative")
    tokens = min(bucket.tokens, most)
    at_s = bucket.at_s
    if now_s >= at_s:
        tokens = min(most, tokens + (now_s - at_s) * rate)
        at_s = now_s
    elif at_s - now_s > SKEW_S:
        # Waiting for the old time could take hours. What was saved belongs to a time that nobody
        # knows any more, and is dropped.
        tokens = 0.0
        at_s = now_s
    else:
        return Bucket(tokens, at_s), 0
    got = min(want, max(0, math.floor(tokens)))
    return Bucket(tokens - got, at_s), got


def wait_s(bucket: Bucket, rate: float, now_s: float) -> float:
    """Seconds until ``take`` gives a call, if nobody else asks before; 0: it would now.

    Raises:
        ValueError: ``rate`` is not above 0 and finite.
    """
    tokens = min(bucket.tokens, 1.0 + _spare(rate))
    behind_s = bucket.at_s - now_s
    if behind_s > SKEW_S:
        return 1.0 / rate
    # While the clock is behind nothing is given, even of what has been saved.
    return max(0.0, behind_s, behind_s + (1.0 - tokens) / rate)


def poll_s(rate: float) -> float:
    """How often ``take`` has to be asked for the rate to be reached, in seconds.

    Half the time between two calls for whole rates, less where a fraction leaves less to spare.

    Raises:
        ValueError: ``rate`` is not above 0 and finite.
    """
    # Later than this by an interval, a call costs the next one more than 2 % of its time.
    return (_spare(rate) + 0.015) / rate


def late_s(rate: float) -> float:
    """How late a call may start with its token, and no second sees more than ``take`` says.

    A second that follows calls that were so late sees ``rate`` times that more, beside what a
    bucket may have saved. Not less than ``LEAST_LATE_S``, which is more than that allows at high
    rates.

    Raises:
        ValueError: ``rate`` is not above 0 and finite.
    """
    return max(LEAST_LATE_S, (0.9 - rate % 1.0 - _spare(rate)) / rate)


def _spare(rate: float) -> float:
    """Tokens kept beyond the one, so that being asked a little late does not slow the pace.

    With exactly one, whatever comes in between a call's due time and the next question is lost: at
    5 calls a second, asked every 30 ms, 5 % of the pace. A second holds at most ``rate`` plus what
    was there before, and as calls are whole, a part of one more changes nothing as long as no
    other whole number is reached.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError("rate must be above 0")
    return max(0.0, min(_MOST_SPARE, 1.0 - rate % 1.0 - _MARGIN))


# -- ramp --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a campaign may do at this point of its ramp."""

    calls_per_second: float
    calls_at_once: int


def share(ramp: tuple[tuple[timedelta, float], ...], since_start: timedelta) -> float:
    """The share of a campaign's pace that its ramp has reached.

    Before the first step it is the first step's, also when the clock has been set back to before
    the start. Without steps there is no ramp.
    """
    reached = ramp[0][1] if ramp else 1.0
    for after, step in ramp:
        if since_start < after:
            break
        reached = step
    return reached


def allowed(pace: Pace, since_start: timedelta) -> Allowed:
    """Calls per second and calls at once, so long after a campaign was started or resumed.

    There is always room for one call: a ramp must not keep a small campaign from starting.
    """
    part = share(pace.ramp, since_start)
    # 0.29 * 100 is 28.999999999999996.
    at_once = math.floor(pace.calls_at_once * part + 1e-9)
    return Allowed(pace.calls_per_second * part, max(1, at_once))


# -- calls at once -----------------------------------------------------------------------------


def room(
    *,
    campaign_limit: int,
    campaign_running: int,
    overall_limit: int,
    overall_running: int,
    kept_for_inbound: int,
) -> int:
    """How many more calls a campaign may start now; never negative.

    Args:
        campaign_limit: Calls at once of this campaign (``allowed``).
        campaign_running: Its leases that are alive.
        overall_limit: Calls at once of the whole installation.
        overall_running: All calls that are alive, those that came in among them.
        kept_for_inbound: So many more calls can always still come in.
    """
    own = campaign_limit - campaign_running
    everyones = overall_limit - kept_for_inbound - overall_running
    return max(0, min(own, everyones))


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot for one call, until it ends or nobody has renewed it for too long.

    A worker that dies frees its slots by doing nothing.
    """

    until_s: float
    """POSIX time."""

    def alive(self, now_s: float) -> bool:
        """Whether the slot is taken."""
        return now_s < self.until_s


def renew(lease: Lease, now_s: float, for_s: float) -> Lease:
    """The lease after its call has been seen alive; a clock set back does not shorten it."""
    return Lease(max(lease.until_s, now_s + for_s))


def alive(leases: Iterable[Lease], now_s: float) -> tuple[Lease, ...]:
    """Those that still hold their slot, in their order."""
    return tuple(lease for lease in leases if lease.alive(now_s))
