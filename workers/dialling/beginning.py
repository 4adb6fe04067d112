"""The instant of dialling: everything is read anew, and one attempt is let go, or none.

All who dial for an account stand in one line: they lock its bucket. So no two of them see the same
token, the same free slot, or the same number as not called yet. Whatever cannot be read ends the
transaction, and nobody is dialled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from workers.campaign.compliance import Call, Later, Never, Reason, Stage, decide, explain
from workers.campaign.model import CampaignState
from workers.campaign.pacing import Allowed, Bucket, allowed, late_s, room, take, wait_s
from workers.dialling.choosing import due_again, final_state
from workers.dialling.finishing import UNREADABLE, finish, finish_unreadable
from workers.dialling.transactions import FAULTS, concerns_one
from workers.store.campaigns import claims
from workers.store.campaigns.attempts import ASKING_S
from workers.store.campaigns.buckets import keep_bucket, lock_bucket
from workers.store.campaigns.readable import UnreadableContact
from workers.store.campaigns.rows import AttemptRow, CampaignRow
from workers.store.campaigns.switches import stopped

SEEN_WITHIN_S: Final = 15.0
"""A worker that was not seen for so long answers nobody: it beats every second, and is called dead
by the others within ``FleetWatch``'s limit, which is shorter."""
ASKED_WITHIN: Final = timedelta(seconds=30)
"""Between the decision and the call: what the pump lets a decision grow old (``STALE_AFTER_S``, 5),
what a request may last (``TwilioSettings.rest_timeout_s``, 10), and as much again as both: what
nobody waits for any more may still become a call. How long after, no source says."""
LEAD_S: Final = 0.08
"""Between the decision and the request at the least: what the commit takes, and coming back from
it, on a machine that has other things to do. The pace is kept at Twilio, where a request must not
be late by chance, or there are too many in the second after it."""
AHEAD_S: Final = 0.15
"""And at the most: a token is given for the instant at which it is due, so that waiting for the
database costs no pace. What is paused meanwhile is still dialled, within that."""
NO_ROOM_S: Final = 0.25
"""Where nothing but a free slot is missing it is looked for again."""
TIME_LIMIT_S: Final = 3600
"""Twilio cuts a campaign's call after it (``TimeLimit``)."""
_LEASE_SPARE_S: Final = 60.0
_OTHER_CALLER: Final = "The campaign calls from other numbers now."
# Attempts of one campaign that one transaction takes back, where it may not dial.
_TAKEN_BACK: Final = 50
# And that one looks at, where it may.
_LOOKED_AT: Final = 3


@dataclass(frozen=True, slots=True)
class Begun:
    """Whoever gets it asks Twilio for it, once and at that instant."""

    row: AttemptRow
    campaign: CampaignRow
    at_s: float
    """POSIX seconds, not further away than ``AHEAD_S``."""
    by_s: float
    """Whoever has not asked by then needs another instant (``place_anew``): what stood still and
    then asks for everything at once would be faster than the pace."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody is to be dialled, but not yet."""

    for_s: float


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody is to be dialled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for the account and the installation.

    Attributes:
        account: Twilio account SID.
        calls_per_second: Of the account, over all campaigns.
        kept_for_inbound: So many more calls can always still come in.
    """

    account: str
    calls_per_second: float
    kept_for_inbound: int = 0


class CampaignBroken(Exception):
    """Something of this campaign cannot be worked with; the others can, without it."""

    def __init__(self, campaign_id: int) -> None:
        super().__init__(f"campaign {campaign_id} cannot be worked with")
        self.campaign_id = campaign_id


def begin_next(
    connection: Connection,
    limits: Limits,
    wall: Callable[[], float],
    *,
    without: Collection[int] = (),
) -> Begun | Wait | Nothing:
    """Let the next attempt go, if one may go now.

    Args:
        connection: Within a transaction that may write.
        limits: Of the account.
        wall: POSIX seconds; read when it is our turn.
        without: Campaigns that are left out.

    Raises:
        CampaignBroken: nothing may be committed; try again without it.
    """
    account = lock_bucket(connection, limits.account, now_s=wall())
    now_s = wall()
    now = datetime.fromtimestamp(now_s, UTC)
    waiting = [one for one in claims.campaigns_with_intended(connection) if one not in without]
    if not waiting:
        return Nothing()
    rate = limits.calls_per_second
    account = _of_now(connection, limits.account, account, rate, now_s)
    at_s = _due_s(account, rate, now_s + LEAD_S)
    if at_s > now_s + AHEAD_S:
        return Wait(at_s - now_s - AHEAD_S)
    shortest: float | None = None
    for campaign_id in waiting:
        try:
            found = _of_campaign(connection, campaign_id, limits, now, at_s)
        except FAULTS as fault:
            if not concerns_one(fault):
                raise
            raise CampaignBroken(campaign_id) from fault
        if isinstance(found, Begun):
            keep_bucket(connection, limits.account, take(account, rate, found.at_s)[0])
            return found
        if isinstance(found, Wait):
            shortest = found.for_s if shortest is None else min(shortest, found.for_s)
    return Nothing() if shortest is None else Wait(shortest)


def place_anew(
    connection: Connection, limits: Limits, begun: Begun, wall: Callable[[], float]
) -> Begun:
    """Another instant for one that has missed its own, whose token is lost.

    Args:
        connection: Within a transaction that may write.
        limits: Of the account.
        begun: What was let go.
        wall: POSIX seconds; read when it is our turn.
    """
    account = lock_bucket(connection, limits.account, now_s=wall())
    now_s = wall()
    account = _of_now(connection, limits.account, account, limits.calls_per_second, now_s)
    name = _bucket_of(begun.campaign.campaign_id)
    pace = _pace(begun.campaign, datetime.fromtimestamp(now_s, UTC))
    own = _of_now(
        connection, name, lock_bucket(connection, name, now_s=now_s), pace.calls_per_second, now_s
    )
    at_s = _due_s(account, limits.calls_per_second, now_s + LEAD_S)
    at_s = _due_s(own, pace.calls_per_second, at_s)
    keep_bucket(connection, limits.account, take(account, limits.calls_per_second, at_s)[0])
    keep_bucket(connection, name, take(own, pace.calls_per_second, at_s)[0])
    return replace(begun, at_s=at_s, by_s=at_s + _late_s(limits, pace))


def _of_campaign(
    connection: Connection, campaign_id: int, limits: Limits, now: datetime, at_s: float
) -> Begun | Wait | Nothing:
    campaign = claims.lock_campaign(connection, campaign_id)
    if campaign is None:
        return Nothing()
    is_stopped = stopped(connection) is not None
    pace = _pace(campaign, now)
    name = _bucket_of(campaign_id)
    left: Bucket | None = None
    if campaign.state.dials and not is_stopped:
        # One that is paused takes its attempts back, whatever its pace and room.
        now_s = now.timestamp()
        rate = pace.calls_per_second
        bucket = lock_bucket(connection, name, now_s=now_s)
        bucket = _of_now(connection, name, bucket, rate, now_s)
        at_s = _due_s(bucket, rate, at_s)
        if at_s > now_s + AHEAD_S:
            return Wait(at_s - now_s - AHEAD_S)
        left, _ = take(bucket, rate, at_s)
        if not _has_room(connection, campaign_id, pace.calls_at_once, limits, now):
            return Wait(NO_ROOM_S)
    # Each is read and locked: where one may go, that is the first, mostly.
    looked_at = _TAKEN_BACK if left is None else _LOOKED_AT
    for row in claims.intended(connection, campaign_id, limit=looked_at):
        if _may_go(connection, campaign, row, is_stopped=is_stopped, now=now):
            assert left is not None  # nobody may go where it is paused
            keep_bucket(connection, name, left)
            lease_s = campaign.definition.ring_s + TIME_LIMIT_S + _LEASE_SPARE_S
            claims.begin(connection, row, now=now, lease_s=lease_s, asking_s=ASKING_S)
            return Begun(row, campaign, at_s, at_s + _late_s(limits, pace))
    # All of these were taken back; there may be more.
    return Wait(0.0) if claims.count_intended(connection, campaign_id) else Nothing()


def _bucket_of(campaign_id: int) -> str:
    return f"campaign:{campaign_id}"


def _pace(campaign: CampaignRow, now: datetime) -> Allowed:
    return allowed(campaign.definition.pace, now - (campaign.started_at or campaign.state_at))


def _late_s(limits: Limits, pace: Allowed) -> float:
    return late_s(min(limits.calls_per_second, pace.calls_per_second))


def _of_now(connection: Connection, name: str, bucket: Bucket, rate: float, now_s: float) -> Bucket:
    """A bucket, begun anew where it is of a time that the clock has been set back from."""
    anew, _ = take(bucket, rate, now_s, want=0)
    if anew.at_s < bucket.at_s:
        # Kept also where nobody may go: else it would be waited for hours.
        keep_bucket(connection, name, anew)
    return anew


def _due_s(bucket: Bucket, rate: float, from_s: float) -> float:
    """The first instant from then on at which a bucket has a token."""
    due_s = from_s + wait_s(bucket, rate, from_s)
    # POSIX time in a double is good to 0.2 µs: on the other side of it there is none.
    return due_s + 1e-5 if due_s > from_s else due_s


def _has_room(
    connection: Connection, campaign_id: int, calls_at_once: int, limits: Limits, now: datetime
) -> bool:
    everyones = claims.capacity(connection, now=now, seen_within_s=SEEN_WITHIN_S)
    free = room(
        campaign_limit=calls_at_once,
        campaign_running=claims.count_running(connection, campaign_id, now=now),
        overall_limit=everyones.calls_at_once,
        overall_running=everyones.running,
        kept_for_inbound=limits.kept_for_inbound,
    )
    return free > 0


def _may_go(
    connection: Connection,
    campaign: CampaignRow,
    row: AttemptRow,
    *,
    is_stopped: bool,
    now: datetime,
) -> bool:
    """Decide about one attempt; one that may not go is taken back."""
    attempt = row.attempt
    found = claims.contact_to_dial(
        connection, attempt.contact_id, attempt_id=attempt.attempt_id, now=now
    )
    if found is None:
        claims.withdraw(connection, attempt.attempt_id, reason="The contact is gone.", now=now)
        return False
    if isinstance(found, UnreadableContact):
        claims.withdraw(connection, attempt.attempt_id, reason=UNREADABLE, now=now)
        finish_unreadable(connection, campaign, found, now=now)
        return False
    check = found.check(Stage.DIALLING, campaign.definition, campaign.state, stopped=is_stopped)
    decision = decide(check, now)
    if isinstance(decision, Call):
        # Their hours must not end while Twilio is being asked.
        decision = decide(check, now + ASKED_WITHIN)
    if isinstance(decision, Call):
        if attempt.caller in campaign.definition.callers:
            return True
        # It was written down before the campaign's file was changed, and nobody has dialled since.
        decision, reason = Later(now, Reason.NOT_IN_HAND), _OTHER_CALLER
    else:
        reason = explain(decision)
    claims.withdraw(connection, attempt.attempt_id, reason=reason, now=now)
    match decision:
        case Later():
            # A campaign that is resumed looks at them at once: a paused one is not looked at.
            halted = is_stopped or campaign.state is CampaignState.PAUSED
            due_at = now if halted else due_again(decision, now)
            claims.put_off(connection, [attempt.contact_id], due_at=due_at, reason=reason)
        case Never(why):
            finish(
                connection, campaign, [attempt.contact_id], final_state(why), reason=reason, now=now
            )
    return False
