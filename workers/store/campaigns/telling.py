"""What a customer's system is told of a contact who is done with, as JSON text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Column, Connection, Row, and_, func, select

from workers.store.campaign_schema import attempts, campaigns, contacts
from workers.store.campaigns.among import among
from workers.store.campaigns.rows import definition_of, moment, report_of
from workers.store.schema import call_records

EVENT: Final = "contact.finished"
# Not the whole row: one that nobody can read is told of as well, as far as it can be.
_TOLD: Final[tuple[Column[Any], ...]] = (
    contacts.c.id,
    contacts.c.campaign_id,
    contacts.c.line,
    contacts.c.key,
    contacts.c.number,
    contacts.c.name,
    contacts.c.variables,
    contacts.c.state,
    contacts.c.reason,
    contacts.c.outcome,
    contacts.c.attempts,
    contacts.c.report,
    contacts.c.finished_at,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What is told of one contact."""

    contact_id: int
    campaign_id: int
    payload: str


@dataclass(frozen=True, slots=True)
class Heading:
    """What tells a message from others of its contact."""

    at: datetime
    """When the contact was done with, or what is told of them changed."""
    revision: int
    """From 1 on."""


def messages(
    connection: Connection,
    contact_ids: Collection[int],
    *,
    now: datetime,
    heading: Heading | None = None,
) -> list[Message]:
    """What is to be told of these contacts, as their rows are.

    Nothing of those whose campaign has no webhook.

    Args:
        connection: Within a transaction.
        contact_ids: As many as one statement takes.
        now: When they are done with whose rows do not say it.
        heading: Of all of them; None: each is the first of its contact.
    """
    names = _told_of(connection, contact_ids)
    if not names:
        return []
    calls = _newest_calls(connection, contact_ids)
    rows = connection.execute(
        select(*_TOLD).where(
            among(connection, contacts.c.id, contact_ids), contacts.c.campaign_id.in_(names)
        )
    )
    return [
        Message(
            row.id,
            row.campaign_id,
            _payload(
                row,
                names[row.campaign_id],
                calls.get(row.id),
                heading or Heading(moment(row.finished_at) or now, 1),
            ),
        )
        for row in rows
    ]


def heading_of(payload: str) -> Heading:
    """The heading of a message.

    Raises:
        LookupError, TypeError, ValueError: it is none.
    """
    told = orjson.loads(payload)
    # Before there were revisions there was one of each.
    return Heading(datetime.fromisoformat(told["timestamp"]), told["data"].get("revision", 1))


def _payload(
    row: Row[Any], campaign: str, call: Mapping[str, object] | None, heading: Heading
) -> str:
    # The form that standardwebhooks.com recommends: type, timestamp, data.
    payload = {
        "type": EVENT,
        "timestamp": heading.at,
        "data": {
            "campaign": campaign,
            "contact_id": row.id,
            "revision": heading.revision,
            "line": row.line,
            "key": row.key,
            "number": row.number,
            "name": row.name,
            "variables": _read(row.variables),
            "state": row.state,
            "reason": row.reason,
            "outcome": row.outcome,
            "attempts": row.attempts,
            "report": report_of(row.report),
            "call": call,
        },
    }
    return orjson.dumps(payload).decode()


def _told_of(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """The campaigns of these contacts that have a webhook, with their names."""
    theirs = select(contacts.c.campaign_id).where(among(connection, contacts.c.id, ids))
    names = {}
    for row in connection.execute(
        select(campaigns.c.id, campaigns.c.name, campaigns.c.definition).where(
            campaigns.c.id.in_(theirs)
        )
    ):
        try:
            webhook = definition_of(row.definition).webhook
        except (LookupError, TypeError, ValueError):
            # Nobody can say whom to tell. What finishes the contact, an opt-out say, holds.
            _log.exception("campaign.unreadable", campaign_id=row.id)
            continue
        if webhook is not None:
            names[row.id] = row.name
    return names


def _newest_calls(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, object]]:
    """The last call to each contact, with what it was about as far as its record is kept."""
    newest = (
        select(attempts.c.contact_id, func.max(attempts.c.ordinal).label("ordinal"))
        .where(among(connection, attempts.c.contact_id, ids), attempts.c.call_sid.is_not(None))
        .group_by(attempts.c.contact_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            attempts.c.contact_id,
            attempts.c.call_sid,
            attempts.c.answered_at,
            attempts.c.duration_s,
            call_records.c.record,
        )
        .join(
            newest,
            and_(
                attempts.c.contact_id == newest.c.contact_id,
                attempts.c.ordinal == newest.c.ordinal,
            ),
        )
        .outerjoin(call_records, call_records.c.call_sid == attempts.c.call_sid)
    )
    return {
        row.contact_id: {
            "call_sid": row.call_sid,
            "answered_at": moment(row.answered_at),
            "duration_s": row.duration_s,
            # agent.conversation.record.SummaryRecord: caller, wants, facts, promises, ...
            "summary": _summary(row.record),
        }
        for row in rows
    }


def _summary(record: str | None) -> object:
    read = _read(record)
    return read.get("summary") if isinstance(read, dict) else None


def _read(text: str | None) -> object:
    """What JSON text holds; None where there is none, or it is damaged."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
