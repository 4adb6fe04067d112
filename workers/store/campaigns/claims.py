"""Rows that somebody takes in hand: contacts to be called next, attempts to be dialled now.

A contact is claimed by moving it out of ``waiting`` in the transaction that writes its attempt, an
attempt by moving it out of ``intended`` in the one that gives it its token. Whoever comes second
finds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Select, and_, func, insert, or_, select, update

from telephony.calls.status import CallStatus
from workers.campaign.callers import caller_for
from workers.campaign.compliance import ATTEMPTS_WITHIN, Check, Stage
from workers.campaign.model import AttemptState, Campaign, CampaignState, Contact, ContactState
from workers.store.campaign_schema import (
    UNSETTLED,
    WAITING,
    attempts,
    campaigns,
    contacts,
    suppressions,
)
from workers.store.campaigns.among import among
from workers.store.campaigns.readable import (
    ReadContact,
    UnreadableContact,
    read_contacts,
)
from workers.store.campaigns.rows import (
    AttemptRow,
    CampaignRow,
    attempt_row,
    campaign_row,
)
from workers.store.rows import utc
from workers.store.schema import UNFINISHED, calls, workers

_log = structlog.get_logger(__name__)

# What has been asked of Twilio and is not known to have come to nothing.
_RANG = (
    AttemptState.ASKING.value,
    AttemptState.PLACED.value,
    AttemptState.UNKNOWN.value,
    AttemptState.ENDED.value,
)
_TAKES_A_SLOT = (
    AttemptState.ASKING.value,
    AttemptState.PLACED.value,
    AttemptState.UNKNOWN.value,
)


@dataclass(frozen=True, slots=True)
class DueContact:
    """A contact that is to be looked at now, with what decides about it."""

    contact: Contact
    consent: bool
    suppressed: str | None
    recent: tuple[datetime, ...]
    being_called: bool = False
    """Whether any other attempt to its number may still be going on."""

    @property
    def contact_id(self) -> int:
        """Of the contact."""
        return self.contact.contact_id

    def check(
        self, stage: Stage, campaign: Campaign, state: CampaignState, *, stopped: bool = False
    ) -> Check:
        """What ``workers.campaign.compliance.decide`` looks at, with its campaign in this state."""
        return Check(
            stage=stage,
            stopped=stopped,
            campaign_state=state,
            campaign=campaign,
            contact=self.contact,
            suppressed=self.suppressed,
            consent=self.consent,
            recent=self.recent,
            being_called=self.being_called,
        )


@dataclass(frozen=True, slots=True)
class Capacity:
    """What workers can take, and what is taken."""

    calls_at_once: int
    """Of all workers that have been seen and take new calls; 0: nobody would answer."""
    running: int
    """Calls that came in and are not over, and attempts that hold a slot."""


def dialling_campaigns(connection: Connection) -> list[CampaignRow]:
    """Those for which somebody may be dialled, oldest first."""
    states = [state.value for state in CampaignState if state.dials]
    found = connection.execute(
        select(campaigns).where(campaigns.c.state.in_(states)).order_by(campaigns.c.id)
    )
    rows = []
    for row in found:
        try:
            rows.append(campaign_row(row))
        except (LookupError, TypeError, ValueError):
            # Of another version, say: the others go on.
            _log.exception("campaign.unreadable", campaign_id=row.id)
    return rows


def lock_campaign(
    connection: Connection, campaign_id: int, *, alone: bool = False
) -> CampaignRow | None:
    """A campaign, whose state nobody changes until the transaction ends.

    Others may lock it as well, unless it is to be ours ``alone``; then nobody may add contacts to
    it either, as these refer to it.
    """
    row = connection.execute(
        select(campaigns).where(campaigns.c.id == campaign_id).with_for_update(read=not alone)
    ).one_or_none()
    return None if row is None else campaign_row(row)


def start_anew(connection: Connection, campaign_id: int, *, now: datetime) -> None:
    """Have a campaign count as started now: by a clock that has been set back since."""
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.started_at > now)
        .values(started_at=now)
    )


def due_contacts(
    connection: Connection, campaign_id: int, *, now: datetime, limit: int
) -> list[DueContact | UnreadableContact]:
    """The next contacts of a campaign, longest due first; nobody else gets them meanwhile."""
    wanted = (
        select(contacts)
        .where(WAITING, contacts.c.campaign_id == campaign_id, contacts.c.due_at <= now)
        .order_by(contacts.c.due_at, contacts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _with_checks(connection, wanted, now=now)


def contact_to_dial(
    connection: Connection, contact_id: int, *, attempt_id: int, now: datetime
) -> DueContact | UnreadableContact | None:
    """A contact whose attempt is about to be dialled, which does not count among the recent."""
    wanted = select(contacts).where(contacts.c.id == contact_id).with_for_update()
    found = _with_checks(connection, wanted, now=now, without=attempt_id)
    return found[0] if found else None


def waiting_contacts(
    connection: Connection, campaign_id: int, *, after_id: int, limit: int, now: datetime
) -> list[DueContact | UnreadableContact]:
    """Contacts that wait, due or not, from behind an id on; nobody takes them in hand by that."""
    wanted = (
        select(contacts)
        .where(WAITING, contacts.c.campaign_id == campaign_id, contacts.c.id > after_id)
        .order_by(contacts.c.id)
        .limit(limit)
    )
    return _with_checks(connection, wanted, now=now)


def put_off(
    connection: Connection, contact_ids: Collection[int], *, due_at: datetime, reason: str
) -> None:
    """Look at these contacts again at ``due_at``."""
    connection.execute(
        update(contacts)
        .where(among(connection, contacts.c.id, contact_ids))
        .values(state=ContactState.WAITING.value, due_at=due_at, reason=reason)
    )


def set_aside(
    connection: Connection,
    contact_ids: Collection[int],
    state: ContactState,
    *,
    reason: str,
    now: datetime,
) -> None:
    """These contacts are done with."""
    connection.execute(
        update(contacts)
        .where(among(connection, contacts.c.id, contact_ids))
        .values(state=state.value, reason=reason, finished_at=now)
    )


def intend(
    connection: Connection,
    campaign_id: int,
    chosen: Sequence[DueContact],
    *,
    callers: Sequence[str],
    now: datetime,
) -> None:
    """Write down that these contacts are to be dialled, from one of ``callers``."""
    if not chosen:
        return
    ids = [one.contact.contact_id for one in chosen]
    connection.execute(
        update(contacts)
        .where(among(connection, contacts.c.id, ids))
        .values(state=ContactState.IN_HAND.value, reason="")
    )
    ordinals = _newest_ordinals(connection, ids)
    connection.execute(
        insert(attempts),
        [
            {
                "contact_id": one.contact.contact_id,
                "campaign_id": campaign_id,
                "number": one.contact.number,
                "caller": caller_for(one.contact.number, callers),
                "ordinal": ordinals.get(one.contact.contact_id, 0) + 1,
                "state": AttemptState.INTENDED.value,
                "created_at": now,
            }
            for one in chosen
        ],
    )


def intended(connection: Connection, campaign_id: int, *, limit: int) -> list[AttemptRow]:
    """Attempts of a campaign that nobody has begun, oldest first."""
    found = connection.execute(
        select(attempts)
        .where(
            UNSETTLED,
            attempts.c.state == AttemptState.INTENDED.value,
            attempts.c.campaign_id == campaign_id,
        )
        .order_by(attempts.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [attempt_row(row) for row in found]


def campaigns_with_intended(connection: Connection) -> list[int]:
    """Campaigns that have attempts nobody has begun; the one that has waited longest first."""
    oldest = func.min(attempts.c.id)
    found = connection.execute(
        select(attempts.c.campaign_id)
        .where(UNSETTLED, attempts.c.state == AttemptState.INTENDED.value)
        .group_by(attempts.c.campaign_id)
        .order_by(oldest)
    )
    return [row.campaign_id for row in found]


def begin(
    connection: Connection, row: AttemptRow, *, now: datetime, lease_s: float, asking_s: float
) -> None:
    """Take an attempt in hand: whoever commits this asks Twilio, once.

    Args:
        connection: Within the transaction that took its token.
        row: In state ``intended``, locked.
        now: When.
        lease_s: How long it holds its slot at the most.
        asking_s: After so long the request has been lost.
    """
    connection.execute(
        update(attempts)
        .where(attempts.c.id == row.attempt.attempt_id)
        .values(
            state=AttemptState.ASKING.value,
            asked_at=now,
            lease_until=now + timedelta(seconds=lease_s),
            look_at=now + timedelta(seconds=asking_s),
        )
    )
    connection.execute(
        update(contacts)
        .where(contacts.c.id == row.attempt.contact_id)
        .values(attempts=contacts.c.attempts + 1)
    )


def withdraw(connection: Connection, attempt_id: int, *, reason: str, now: datetime) -> None:
    """Take an attempt back that nobody has begun; its place in a canary is free again."""
    taken = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.INTENDED.value)
        .values(state=AttemptState.WITHDRAWN.value, settled_at=now, reason=reason)
        .returning(attempts.c.campaign_id)
    ).one_or_none()
    if taken is not None:
        connection.execute(
            update(campaigns)
            .where(campaigns.c.id == taken.campaign_id, campaigns.c.canary_left.is_not(None))
            .values(canary_left=campaigns.c.canary_left + 1)
        )


def take_canaries(connection: Connection, campaign_id: int, count: int) -> None:
    """So many fewer may begin in a canary."""
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(canary_left=campaigns.c.canary_left - count)
    )


def count_intended(connection: Connection, campaign_id: int) -> int:
    """How many attempts of a campaign nobody has begun."""
    return _count(
        connection,
        and_(
            attempts.c.state == AttemptState.INTENDED.value,
            attempts.c.campaign_id == campaign_id,
        ),
    )


def count_running(connection: Connection, campaign_id: int, *, now: datetime) -> int:
    """How many attempts of a campaign hold a slot."""
    return _count(connection, and_(_slots(now), attempts.c.campaign_id == campaign_id))


def has_unsettled(connection: Connection, campaign_id: int) -> bool:
    """Whether any attempt of a campaign is under way."""
    return _count(connection, attempts.c.campaign_id == campaign_id) > 0


def has_contacts_left(connection: Connection, campaign_id: int) -> bool:
    """Whether anybody of a campaign is still to be called, or in hand."""
    mine = select(contacts.c.id).where(contacts.c.campaign_id == campaign_id).limit(1)
    # Each by an index of its own. Asked for both, PostgreSQL reads the table from its beginning,
    # where those lie who are done with.
    waiting = mine.where(WAITING).order_by(contacts.c.due_at)
    in_hand = mine.where(contacts.c.state == ContactState.IN_HAND.value)
    return any(connection.execute(one).first() is not None for one in (waiting, in_hand))


def capacity(connection: Connection, *, now: datetime, seen_within_s: float) -> Capacity:
    """What workers can take, and what is taken.

    Args:
        connection: Within a transaction.
        now: By the clock that workers beat with.
        seen_within_s: A worker that was not seen for longer takes nothing.
    """
    takes = connection.execute(
        select(func.coalesce(func.sum(workers.c.capacity), 0)).where(
            workers.c.seen_at > now - timedelta(seconds=seen_within_s),
            workers.c.draining.is_(False),
        )
    ).scalar_one()
    inbound = connection.execute(
        select(func.count())
        .select_from(calls)
        .where(
            UNFINISHED,
            calls.c.direction == "inbound",
            or_(calls.c.status == "", calls.c.status.not_in(_OVER)),
        )
    ).scalar_one()
    return Capacity(int(takes), inbound + _count(connection, _slots(now)))


_OVER = [status.value for status in CallStatus if status.terminal]


def _slots(now: datetime) -> Any:
    return and_(attempts.c.state.in_(_TAKES_A_SLOT), attempts.c.lease_until > now)


def _count(connection: Connection, where: Any) -> int:
    return connection.execute(
        select(func.count()).select_from(attempts).where(UNSETTLED, where)
    ).scalar_one()


def _newest_ordinals(connection: Connection, contact_ids: Collection[int]) -> dict[int, int]:
    found = connection.execute(
        select(attempts.c.contact_id, func.max(attempts.c.ordinal).label("newest"))
        .where(among(connection, attempts.c.contact_id, contact_ids))
        .group_by(attempts.c.contact_id)
    )
    return {row.contact_id: row.newest for row in found}


def _with_checks(
    connection: Connection, wanted: Select[Any], *, now: datetime, without: int | None = None
) -> list[DueContact | UnreadableContact]:
    """Contacts with what the suppression list and the attempts so far say of them."""
    read = read_contacts(connection, wanted)
    numbers = sorted({one.contact.number for one in read if isinstance(one, ReadContact)})
    if not numbers:
        return [one for one in read if isinstance(one, UnreadableContact)]
    suppressed = {
        found.number: found.reason
        for found in connection.execute(
            select(suppressions.c.number, suppressions.c.reason).where(
                among(connection, suppressions.c.number, numbers)
            )
        )
    }
    recent: dict[str, list[datetime]] = {}
    being_called: set[str] = set()
    for found in connection.execute(
        select(
            attempts.c.id,
            attempts.c.number,
            attempts.c.asked_at,
            attempts.c.state,
            attempts.c.status,
        ).where(
            among(connection, attempts.c.number, numbers),
            attempts.c.asked_at > now - ATTEMPTS_WITHIN,
            # One that was looked for in vain may have had news of a call since.
            or_(attempts.c.state.in_(_RANG), attempts.c.call_sid.is_not(None)),
        )
    ):
        if found.id != without:
            recent.setdefault(found.number, []).append(utc(found.asked_at))
            if found.state != AttemptState.ENDED.value and found.status not in _OVER:
                being_called.add(found.number)
    return [
        DueContact(
            # What Twilio never had is no attempt: outcomes.after goes by that, and so must whoever
            # decides about the next one.
            contact=replace(one.contact, attempts=max(0, one.contact.attempts - one.not_placed)),
            consent=one.consent,
            suppressed=suppressed.get(one.contact.number),
            recent=tuple(recent.get(one.contact.number, ())),
            being_called=one.contact.number in being_called,
        )
        if isinstance(one, ReadContact)
        else one
        for one in read
    ]
