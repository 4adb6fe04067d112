"""Campaigns and their states.

``move`` is the only way from one state to another, whoever asks: an operator, the brake, a refusal
of Twilio's, the end of the list. What touches every waiting contact goes in pieces, each of which
may be a transaction of its own, because a million rows in one take longer than anybody may wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, select, update

from workers.campaign.compliance import Reason
from workers.campaign.model import Campaign, CampaignState, ContactState, move_campaign
from workers.store.campaign_schema import WAITING, campaigns, contacts
from workers.store.campaigns.events import MOVED, REDEFINED, note
from workers.store.campaigns.inserting import insert_into
from workers.store.campaigns.outbox import hold_campaigns, put
from workers.store.campaigns.rows import CampaignRow, campaign_row, definition_text

PIECE = 10_000
"""Contacts that one statement changes: a fraction of a second."""
CANCELLED_PIECE = 2_000
"""Fewer, because customers are told of each: as long for a fifth of them (observed 2026-11)."""


class NameTaken(ValueError):
    """There is a campaign of this name."""


class NoCampaign(LookupError):
    """There is no such campaign."""


def create(connection: Connection, campaign: Campaign, *, now: datetime) -> int:
    """A new campaign, in draft; its id.

    Raises:
        NameTaken: nothing was changed, and the transaction can go on.
    """
    insert = insert_into(connection, campaigns).values(
        name=campaign.name,
        state=CampaignState.DRAFT,
        definition=definition_text(campaign),
        created_at=now,
        state_at=now,
    )
    made: int | None = connection.execute(
        insert.on_conflict_do_nothing().returning(campaigns.c.id)
    ).scalar_one_or_none()
    if made is None:
        raise NameTaken(f"there is a campaign {campaign.name} already")
    return made


def load(connection: Connection, name: str) -> CampaignRow | None:
    """The campaign of this name."""
    return _one(connection, select(campaigns).where(campaigns.c.name == name))


def load_by_id(connection: Connection, campaign_id: int) -> CampaignRow | None:
    """The campaign with this id."""
    return _one(connection, select(campaigns).where(campaigns.c.id == campaign_id))


def list_all(connection: Connection) -> list[CampaignRow]:
    """All campaigns, newest first."""
    found = connection.execute(select(campaigns).order_by(campaigns.c.id.desc()))
    return [campaign_row(row) for row in found]


def move(
    connection: Connection,
    campaign_id: int,
    to: CampaignState,
    *,
    now: datetime,
    reason: str = "",
    canary: int | None = None,
) -> CampaignRow:
    """Bring a campaign into another state and write down why.

    From the commit on the new state holds for every dial. Of a campaign that is cancelled the
    first ``CANCELLED_PIECE`` waiting contacts are cancelled here, the others by ``cancel_waiting``.

    ``reason`` is in sentences for the operator; ``canary``, which goes with ``CANARY`` alone, is
    how many contacts may begin.

    Returns:
        The campaign as it is now.

    Raises:
        IllegalMove: there is no way from its state to this one; nothing was changed.
        NoCampaign: it is not there.
        ValueError: a canary without a count, or a count without a canary.
    """
    if (canary is not None) != (to is CampaignState.CANARY) or (canary is not None and canary < 1):
        raise ValueError("a canary, and nothing else, has a count of one or more")
    found = _locked(connection, campaign_id)
    move_campaign(found.state, to)
    values: dict[str, object] = {
        "state": to,
        "state_at": now,
        "reason": reason,
        "canary_left": canary,
    }
    if to.dials:
        values["started_at"] = now
    connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(values))
    detail: dict[str, object] = {"from": found.state, "to": to, "reason": reason}
    if canary is not None:
        detail["canary"] = canary
    note(connection, campaign_id, MOVED, detail, now=now)
    if to is CampaignState.CANCELLED:
        cancel_waiting(connection, campaign_id, now=now)
    return _there(load_by_id(connection, campaign_id))


def redefine(
    connection: Connection, campaign_id: int, campaign: Campaign, *, now: datetime
) -> CampaignRow:
    """Have a campaign go by what its file says now.

    Its contacts are to be looked at anew then: call ``look_again`` until it returns 0.

    Raises:
        NameTaken: another campaign has the file's name.
        NoCampaign: it is not there.
    """
    _locked(connection, campaign_id)
    other = load(connection, campaign.name)
    if other is not None and other.campaign_id != campaign_id:
        raise NameTaken(f"there is a campaign {campaign.name} already")
    text = definition_text(campaign)
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(name=campaign.name, definition=text)
    )
    note(connection, campaign_id, REDEFINED, {}, now=now)
    return _there(load_by_id(connection, campaign_id))


def look_again(
    connection: Connection, campaign_id: int, *, now: datetime, most: int = PIECE
) -> int:
    """Have a tick look at contacts now that were put off, by other hours perhaps.

    ``not_before`` stays: what the spacing of attempts says is not undone by that.

    Returns:
        How many it were, up to ``most``; 0: none is left.
    """
    changed = _change_piece(
        connection, campaign_id, contacts.c.due_at > now, most=most, values={"due_at": now}
    )
    return len(changed)


def cancelled_with_waiting(connection: Connection) -> list[int]:
    """Campaigns that were cancelled, and whose contacts were not all: whoever did so has died."""
    # The head of an index for each. A plain EXISTS is a join to PostgreSQL, which may read all who
    # wait for it, every second.
    first = (
        select(contacts.c.id)
        .where(WAITING, contacts.c.campaign_id == campaigns.c.id)
        .order_by(contacts.c.due_at, contacts.c.id)
        .limit(1)
        .scalar_subquery()
    )
    found = connection.scalars(
        select(campaigns.c.id)
        .where(campaigns.c.state == CampaignState.CANCELLED.value, first.is_not(None))
        .order_by(campaigns.c.id)
    )
    return list(found)


def cancel_waiting(
    connection: Connection, campaign_id: int, *, now: datetime, most: int = CANCELLED_PIECE
) -> int:
    """Cancel contacts of a campaign that has been cancelled, of whom customers are told.

    Returns:
        How many it were, up to ``most``; 0: none is left.
    """
    hold_campaigns(connection, campaigns.c.id == campaign_id)
    values = {
        "state": ContactState.CANCELLED,
        "reason": Reason.CAMPAIGN_CANCELLED.sentence,
        "finished_at": now,
    }
    gone = _change_piece(connection, campaign_id, most=most, values=values)
    put(connection, gone, now=now)
    return len(gone)


def _change_piece(
    connection: Connection,
    campaign_id: int,
    *also: ColumnElement[bool],
    most: int,
    values: Mapping[str, object],
) -> Sequence[int]:
    """Change waiting contacts, up to ``most``; the ids of those it were."""
    # In the order of an index: by id, each piece would sort all that are left.
    piece = (
        select(contacts.c.id)
        .where(contacts.c.campaign_id == campaign_id, WAITING, *also)
        .order_by(contacts.c.due_at, contacts.c.id)
        .limit(most)
        .with_for_update()
    )
    if connection.dialect.name == "postgresql":
        # Under a name it is asked once, else for each row, and is another piece each time.
        piece = select(piece.cte("piece").c.id)
    return connection.scalars(
        update(contacts)
        .where(contacts.c.id.in_(piece), WAITING)
        .values(values)
        .returning(contacts.c.id)
    ).all()


def _locked(connection: Connection, campaign_id: int) -> CampaignRow:
    statement = select(campaigns).where(campaigns.c.id == campaign_id).with_for_update()
    return _there(_one(connection, statement))


def _one(connection: Connection, statement: Select[tuple[object, ...]]) -> CampaignRow | None:
    row = connection.execute(statement).one_or_none()
    return None if row is None else campaign_row(row)


def _there(found: CampaignRow | None) -> CampaignRow:
    if found is None:
        raise NoCampaign("the campaign is not there")
    return found
