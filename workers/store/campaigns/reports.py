"""What a call has to know of a contact, and what the agent reports about them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection, Row, desc, nulls_last, select, update

from workers.campaign.model import Campaign, CampaignState, Contact, ContactState
from workers.store.campaign_schema import attempts, campaigns, contacts
from workers.store.campaigns.outbox import hold_campaigns, put_again
from workers.store.campaigns.readable import READ_FAULTS
from workers.store.campaigns.rows import contact_of, definition_of

# One number in so many campaigns; the newest ones are looked at.
_MOST: Final = 20
# In neither is anybody called for it.
_NOT_OURS: Final = (CampaignState.DRAFT.value, CampaignState.CANCELLED.value)
_NOT_DONE: Final = (ContactState.WAITING.value, ContactState.IN_HAND.value)

_log = structlog.get_logger(__name__)


def load_contact(connection: Connection, contact_id: int) -> Contact | None:
    """A contact; None where there is none."""
    row = connection.execute(select(contacts).where(contacts.c.id == contact_id)).one_or_none()
    return None if row is None else contact_of(row)


def contact_who_calls(
    connection: Connection, *, caller: str, called: str
) -> tuple[Campaign, Contact] | None:
    """Whom a number belongs to that calls a campaign's number.

    Where it is a contact of several campaigns, the one that has called it last from that number;
    else the one that came last.

    Args:
        connection: Within a transaction.
        caller: Their number, E.164.
        called: Ours.
    """
    rows = connection.execute(
        select(contacts, campaigns.c.definition)
        .join(campaigns, campaigns.c.id == contacts.c.campaign_id)
        .where(contacts.c.number == caller, campaigns.c.state.not_in(_NOT_OURS))
        .order_by(contacts.c.id.desc())
        .limit(_MOST)
    ).all()
    found = [one for row in rows if (one := _of_caller(row, called)) is not None]
    if len(found) > 1:
        newest = connection.execute(
            select(attempts.c.contact_id)
            .where(
                attempts.c.number == caller,
                attempts.c.caller == called,
                # Not a campaign's that is cancelled by now.
                attempts.c.contact_id.in_([contact.contact_id for _, contact in found]),
            )
            .order_by(nulls_last(desc(attempts.c.asked_at)))
            .limit(1)
        ).scalar_one_or_none()
        found.sort(key=lambda each: each[1].contact_id != newest)
    return found[0] if found else None


def _of_caller(row: Row[Any], called: str) -> tuple[Campaign, Contact] | None:
    """Whose row it is, if ``called`` is a number of their campaign."""
    try:
        definition = definition_of(row.definition)
        return (definition, contact_of(row)) if called in definition.callers else None
    except READ_FAULTS as fault:
        # They may be a contact of another campaign, and are a caller in any case.
        _log.error("contact.unreadable", contact=row.id, fault=type(fault).__name__)
        return None


def keep_report(
    connection: Connection, contact_id: int, fields: Mapping[str, object], *, now: datetime
) -> None:
    """Keep what the agent reports, in place of what it has reported before.

    Of a contact who is done with (they have called back, or it comes late) customers are told anew.

    Args:
        connection: Within a transaction that may write.
        contact_id: Of the contact; where there is none, nothing is kept.
        fields: By the names of the campaign's file, as JSON knows them.
        now: When it was reported.
    """
    text = orjson.dumps(dict(fields)).decode()
    mine = contacts.c.id == contact_id
    campaign_id = select(contacts.c.campaign_id).where(mine).scalar_subquery()
    hold_campaigns(connection, campaigns.c.id == campaign_id)
    # Locked, so that whoever finishes the contact does so before, or tells of this report.
    before = connection.execute(
        select(contacts.c.state, contacts.c.report).where(mine).with_for_update()
    ).one_or_none()
    # The same again is a try whose answer was lost.
    if before is None or before.report == text:
        return
    connection.execute(update(contacts).where(mine).values(report=text))
    if before.state not in _NOT_DONE:
        put_again(connection, contact_id, now=now)
