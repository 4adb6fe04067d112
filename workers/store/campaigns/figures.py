"""How a campaign stands, counted by the database: who waits, who was reached, what is under way.

Nothing here writes. Rows that grow with the list are counted where they lie, and never loaded;
what happened over time is in ``workers.store.campaigns.series``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

import orjson
from sqlalchemy import Connection, func, select

from workers.campaign.model import AttemptState, CampaignState, ContactState, LineOutcome
from workers.store.campaign_schema import (
    attempts,
    campaign_events,
    campaigns,
    contact_errors,
    contacts,
)
from workers.store.campaigns.contacts import counts
from workers.store.campaigns.events import CampaignEvent
from workers.store.campaigns.rows import moment
from workers.store.rows import utc

FINAL = frozenset(ContactState) - {ContactState.WAITING, ContactState.IN_HAND}
"""Nothing is left to do for a contact in one of these."""

_ASKED = (AttemptState.ASKING, AttemptState.PLACED, AttemptState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Standing:
    """Contacts by their state."""

    by_state: Mapping[ContactState, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_state.values())

    @property
    def final(self) -> int:
        """Those for whom nothing is left to do."""
        return sum(count for state, count in self.by_state.items() if state in FINAL)

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1; 0 where there is nobody."""
        return self.final / self.total if self.total else 0.0

    def of(self, state: ContactState) -> int:
        """How many are in a state."""
        return self.by_state.get(state, 0)


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign as a list shows it."""

    campaign_id: int
    name: str
    state: CampaignState
    reason: str
    created_at: datetime
    started_at: datetime | None
    standing: Standing
    calls_now: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """So many contacts are in a state for the same reason."""

    state: ContactState
    reason: str
    """As it is stored; may be empty."""
    contacts: int


@dataclass(frozen=True, slots=True)
class RowErrorCount:
    """So many rows of the source were kept aside for the same reason."""

    field: str
    message: str
    rows: int


def listed(connection: Connection) -> list[Listed]:
    """All campaigns, the newest first."""
    standings: dict[int, dict[ContactState, int]] = {}
    by_state = select(contacts.c.campaign_id, contacts.c.state, func.count()).group_by(
        contacts.c.campaign_id, contacts.c.state
    )
    for campaign_id, state, count in connection.execute(by_state):
        standings.setdefault(campaign_id, {})[ContactState(state)] = count
    dialled = (
        select(attempts.c.campaign_id, func.count().label("number"))
        .where(attempts.c.settled_at.is_(None), attempts.c.state.in_(_ASKED))
        .group_by(attempts.c.campaign_id)
    )
    calls = {row.campaign_id: row.number for row in connection.execute(dialled)}
    # Not the definition, which only whoever looks at one campaign needs.
    columns = (
        campaigns.c.id,
        campaigns.c.name,
        campaigns.c.state,
        campaigns.c.reason,
        campaigns.c.created_at,
        campaigns.c.started_at,
    )
    return [
        Listed(
            campaign_id=row.id,
            name=row.name,
            state=CampaignState(row.state),
            reason=row.reason,
            created_at=utc(row.created_at),
            started_at=moment(row.started_at),
            standing=Standing(standings.get(row.id, {})),
            calls_now=calls.get(row.id, 0),
        )
        for row in connection.execute(select(*columns).order_by(campaigns.c.id.desc()))
    ]


def standing(connection: Connection, campaign_id: int) -> Standing:
    """Contacts of a campaign by state."""
    return Standing(counts(connection, campaign_id))


def reasons(connection: Connection, campaign_id: int, *, most: int = 50) -> list[ReasonCount]:
    """Contacts by state and reason, the commonest first; the ``most`` commonest of them.

    What suppression lists say is free text, so that there may be a reason for each contact.
    """
    count = func.count().label("count")
    found = connection.execute(
        select(contacts.c.state, contacts.c.reason, count)
        .where(contacts.c.campaign_id == campaign_id)
        .group_by(contacts.c.state, contacts.c.reason)
        .order_by(count.desc(), contacts.c.state, contacts.c.reason)
        .limit(most)
    )
    return [ReasonCount(ContactState(state), reason, count) for state, reason, count in found]


def under_way(connection: Connection, campaign_id: int) -> dict[str, int]:
    """Attempts that may be calls at this moment, by Twilio's status, most first.

    Where Twilio has told nothing yet, by our own state: ``asking``, ``placed``, ``unknown``.
    """
    count = func.count().label("count")
    found = connection.execute(
        select(attempts.c.state, attempts.c.status, count)
        .where(
            attempts.c.campaign_id == campaign_id,
            attempts.c.settled_at.is_(None),
            attempts.c.state.in_(_ASKED),
        )
        .group_by(attempts.c.state, attempts.c.status)
        .order_by(count.desc(), attempts.c.state, attempts.c.status)
    )
    calls: dict[str, int] = {}
    for state, status, number in found:
        name = status or state
        calls[name] = calls.get(name, 0) + number
    return calls


def outcomes(connection: Connection, campaign_id: int) -> dict[LineOutcome, int]:
    """Settled attempts by how they ended."""
    found = connection.execute(
        select(attempts.c.outcome, func.count())
        .where(attempts.c.campaign_id == campaign_id, attempts.c.outcome.is_not(None))
        .group_by(attempts.c.outcome)
    )
    return {LineOutcome(outcome): count for outcome, count in found}


def started_since(connection: Connection, campaign_id: int, since: datetime) -> int:
    """Calls asked of Twilio from ``since`` on.

    Fast for a short while only, however long the campaign is: what was asked since then is either
    not settled or was settled since then, and both have an index.
    """
    # Two statements: for both at once SQLite reads all that was ever settled.
    return sum(
        connection.execute(
            select(func.count()).where(
                attempts.c.campaign_id == campaign_id, attempts.c.asked_at >= since, settled
            )
        ).scalar_one()
        for settled in (attempts.c.settled_at.is_(None), attempts.c.settled_at >= since)
    )


def row_errors(
    connection: Connection, campaign_id: int, *, most: int = 20
) -> tuple[int, list[RowErrorCount]]:
    """How many rows of the source were kept aside, and the commonest reasons for it."""
    mine = contact_errors.c.campaign_id == campaign_id
    total = connection.execute(
        select(func.count(contact_errors.c.line.distinct())).where(mine)
    ).scalar_one()
    count = func.count().label("count")
    found = connection.execute(
        select(contact_errors.c.field, contact_errors.c.message, count)
        .where(mine)
        .group_by(contact_errors.c.field, contact_errors.c.message)
        .order_by(count.desc(), contact_errors.c.field, contact_errors.c.message)
        .limit(most)
    )
    return total, [RowErrorCount(field, message, rows) for field, message, rows in found]


def newest_events(connection: Connection, campaign_id: int, *, most: int) -> list[CampaignEvent]:
    """The newest of what was done to a campaign, oldest first."""
    found = connection.execute(
        select(campaign_events)
        .where(campaign_events.c.campaign_id == campaign_id)
        .order_by(campaign_events.c.id.desc())
        .limit(most)
    )
    newest = [CampaignEvent(utc(row.at), row.kind, orjson.loads(row.detail)) for row in found]
    return newest[::-1]


def pace(connection: Connection, campaign_id: int, now: datetime, over: timedelta) -> float:
    """Calls started per second, as the mean over a short while that ends now."""
    return started_since(connection, campaign_id, now - over) / over.total_seconds()
