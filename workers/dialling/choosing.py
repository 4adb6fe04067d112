"""Whom to dial next: looks after every campaign that dials, a little ahead of its pace.

A tick ends campaigns that have nobody left, pulls the brake, and claims contacts that are due: who
may be called gets an attempt (``intended``), who may not now is put off to the moment when they
may, who never may is set aside with the reason. It asks nobody to dial; ``workers.dialling.pump``
finds the attempts by their rows. Two ticks at once claim different rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from workers.campaign.brake import Tripped, judge
from workers.campaign.compliance import Call, Later, Never, Reason, Stage, decide, explain
from workers.campaign.model import CampaignState, ContactState
from workers.campaign.pacing import SKEW_S, allowed
from workers.dialling.finishing import finish, finish_unreadable
from workers.dialling.transactions import FAULTS, concerns_one, write
from workers.store.campaigns import claims
from workers.store.campaigns.braking import newest_samples
from workers.store.campaigns.campaigns import cancel_waiting, cancelled_with_waiting, move
from workers.store.campaigns.claims import DueContact
from workers.store.campaigns.events import note
from workers.store.campaigns.readable import UnreadableContact
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.switches import stopped
from workers.store.database import reading

AHEAD_S: Final = 3.0
"""Attempts are written down for so long at a campaign's pace: enough that whoever dials never
waits for a tick, little enough that what is decided here is fresh."""
LOOKED_AT: Final = 100
"""Contacts that one transaction looks at."""
PIECES: Final = 20
"""Transactions of one tick for one campaign, where most contacts are put off."""
ASK_AGAIN: Final = timedelta(minutes=5)
"""Where nobody can say when somebody may be called."""
CALLED_AGAIN: Final = timedelta(minutes=1)
"""Where another call to the same number has to end before."""

_SKEW: Final = timedelta(seconds=SKEW_S)

_log = structlog.get_logger(__name__)

_LEFT_OVER: Final = frozenset(
    {Reason.ENDED, Reason.ALL_ATTEMPTS_MADE, Reason.NO_TIME_LEFT, Reason.EXHAUSTED}
)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick has done."""

    intended: int = 0
    """Attempts that were written down."""
    put_off: int = 0
    set_aside: int = 0

    def __add__(self, other: Ticked) -> Ticked:
        return Ticked(
            self.intended + other.intended,
            self.put_off + other.put_off,
            self.set_aside + other.set_aside,
        )


def tick(engine: Engine, *, now: datetime) -> Ticked:
    """Look after every campaign that dials, and after what is left of those that were cancelled.

    Args:
        engine: Of the database.
        now: Aware.

    Raises:
        SQLAlchemyError: the database is not there; what was committed stays.
    """
    total = Ticked(set_aside=_cancel_others(engine, now))
    for campaign in write(engine, claims.dialling_campaigns):
        try:
            total += _look_after(engine, campaign, now)
        except FAULTS as fault:
            if not concerns_one(fault):
                raise
            _log.exception("campaign.broken", campaign=campaign.name)
    return total


def _cancel_others(engine: Engine, now: datetime) -> int:
    """Finish contacts of cancelled campaigns; how many that were, of each as far as one tick goes.

    Else whoever is killed while cancelling leaves them waiting, without a reason, for good.
    """
    done = 0
    with reading(engine) as connection:
        found = cancelled_with_waiting(connection)
    for campaign_id in found:
        try:
            for _ in range(PIECES):
                gone = write(engine, partial(cancel_waiting, campaign_id=campaign_id, now=now))
                done += gone
                if not gone:
                    break
        except FAULTS as fault:
            if not concerns_one(fault):
                raise
            _log.exception("campaign.not_cancelled", campaign_id=campaign_id)
    return done


def _look_after(engine: Engine, campaign: CampaignRow, now: datetime) -> Ticked:
    total = Ticked()
    if write(engine, lambda connection: _over(connection, campaign, now)):
        return total
    for _ in range(PIECES):
        done = choose(engine, campaign.campaign_id, now=now)
        total += done
        if done.put_off + done.set_aside < LOOKED_AT // 2:
            break
    return total


def choose(engine: Engine, campaign_id: int, *, now: datetime) -> Ticked:
    """Write down attempts for the contacts of a campaign that are due, as far as its pace wants."""
    return write(engine, lambda connection: _choose(connection, campaign_id, now))


def final_state(reason: Reason) -> ContactState:
    """Where a contact is that is never called, by the reason for it."""
    if reason is Reason.CAMPAIGN_CANCELLED:
        return ContactState.CANCELLED
    return ContactState.EXHAUSTED if reason in _LEFT_OVER else ContactState.NEVER


def due_again(decision: Later, now: datetime) -> datetime:
    """When a contact is looked at again that may not be called now."""
    if decision.at is not None:
        return max(decision.at, now)
    return now + (CALLED_AGAIN if decision.reason is Reason.BEING_CALLED else ASK_AGAIN)


def _over(connection: Connection, campaign: CampaignRow, now: datetime) -> bool:
    """Pause or finish a campaign that is to go no further; whether it was."""
    if campaign.started_at is not None and campaign.started_at > now + _SKEW:
        # The clock has been set back since: else the brake would see no call until then.
        claims.start_anew(connection, campaign.campaign_id, now=now)
    if not _is_over(connection, campaign):
        return False
    # Seen without a lock. Whoever imports, resumes or pauses meanwhile is waited for.
    locked = claims.lock_campaign(connection, campaign.campaign_id, alone=True)
    if locked is None or not locked.state.dials:
        return True
    return _end(connection, locked, now)


def _is_over(connection: Connection, campaign: CampaignRow) -> bool:
    return (
        _tripped(connection, campaign) is not None
        or not claims.has_contacts_left(connection, campaign.campaign_id)
        or _canary_is_done(connection, campaign)
    )


def _canary_is_done(connection: Connection, campaign: CampaignRow) -> bool:
    return (
        campaign.state is CampaignState.CANARY
        and (campaign.canary_left or 0) <= 0
        and not claims.has_unsettled(connection, campaign.campaign_id)
    )


def _end(connection: Connection, campaign: CampaignRow, now: datetime) -> bool:
    tripped = _tripped(connection, campaign)
    if tripped is not None:
        move(connection, campaign.campaign_id, CampaignState.PAUSED, now=now, reason=tripped.reason)
        note(
            connection,
            campaign.campaign_id,
            "brake",
            {"measure": tripped.measure, "reason": tripped.reason, "offenders": tripped.offenders},
            now=now,
        )
        _log.warning("campaign.braked", campaign=campaign.name, reason=tripped.reason)
        return True
    if not claims.has_contacts_left(connection, campaign.campaign_id):
        move(connection, campaign.campaign_id, CampaignState.FINISHED, now=now)
        _log.info("campaign.finished", campaign=campaign.name)
        return True
    if _canary_is_done(connection, campaign):
        reason = "The canary is done: look at what came of it, then start."
        move(connection, campaign.campaign_id, CampaignState.PAUSED, now=now, reason=reason)
        _log.info("campaign.canary_done", campaign=campaign.name)
        return True
    return False


def _tripped(connection: Connection, campaign: CampaignRow) -> Tripped | None:
    limits = campaign.definition.brake
    since = campaign.started_at or campaign.state_at
    samples = newest_samples(connection, campaign.campaign_id, limits, since)
    return judge(samples, limits)


def _choose(connection: Connection, campaign_id: int, now: datetime) -> Ticked:
    campaign = claims.lock_campaign(connection, campaign_id)
    if campaign is None or not campaign.state.dials or stopped(connection) is not None:
        return Ticked()
    want = _wanted(connection, campaign, now)
    if want <= 0:
        return Ticked()
    due = claims.due_contacts(connection, campaign_id, now=now, limit=max(want, LOOKED_AT))
    chosen: list[DueContact] = []
    later: defaultdict[tuple[datetime, str], list[int]] = defaultdict(list)
    never: defaultdict[tuple[ContactState, str], list[int]] = defaultdict(list)
    in_hand: set[str] = set()
    unreadable = 0
    for one in due:
        if len(chosen) == want:
            break
        if isinstance(one, UnreadableContact):
            unreadable += _set_aside(connection, campaign, one, now)
            continue
        contact = one.contact
        # Nobody decides about two calls to one number at once.
        if contact.number in in_hand:
            continue
        decision = decide(one.check(Stage.SCHEDULING, campaign.definition, campaign.state), now)
        match decision:
            case Call():
                chosen.append(one)
                in_hand.add(contact.number)
            case Later():
                key = due_again(decision, now), explain(decision)
                later[key].append(contact.contact_id)
            case Never(reason):
                never[final_state(reason), explain(decision)].append(contact.contact_id)
    claims.intend(connection, campaign_id, chosen, callers=campaign.definition.callers, now=now)
    if campaign.state is CampaignState.CANARY and chosen:
        claims.take_canaries(connection, campaign_id, len(chosen))
    for (due_at, reason_text), ids in later.items():
        claims.put_off(connection, ids, due_at=due_at, reason=reason_text)
    for (state, reason_text), ids in never.items():
        finish(connection, campaign, ids, state, reason=reason_text, now=now)
    return Ticked(len(chosen), _total(later.values()), _total(never.values()) + unreadable)


def _set_aside(
    connection: Connection, campaign: CampaignRow, found: UnreadableContact, now: datetime
) -> bool:
    """Finish a contact that cannot be read; False: nor can it be written, and is passed by."""
    try:
        with connection.begin_nested():
            finish_unreadable(connection, campaign, found, now=now)
    except FAULTS as fault:
        if not concerns_one(fault):
            raise
        _log.exception("contact.not_set_aside", contact=found.contact_id, campaign=campaign.name)
        return False
    return True


def _wanted(connection: Connection, campaign: CampaignRow, now: datetime) -> int:
    """How many more attempts are to be written down."""
    since = now - (campaign.started_at or campaign.state_at)
    limits = allowed(campaign.definition.pace, since)
    ahead = max(1, math.ceil(limits.calls_per_second * AHEAD_S))
    waiting = claims.count_intended(connection, campaign.campaign_id)
    # Not only as many as there are free slots: one that is freed is taken at once.
    want = min(ahead, limits.calls_at_once) - waiting
    if campaign.state is CampaignState.CANARY:
        want = min(want, campaign.canary_left or 0)
    return want


def _total(groups: Iterable[list[int]]) -> int:
    return sum(map(len, groups))
