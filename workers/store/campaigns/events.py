"""What an operator, the brake or Twilio's refusals did to a campaign, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from workers.store.campaign_schema import campaign_events
from workers.store.rows import json_text, utc

MOVED = "moved"
"""The state changed; the detail has ``from``, ``to``, ``reason``, and ``canary`` for one."""
REDEFINED = "redefined"
"""Its file was read again."""
IMPORTED = "imported"
"""The detail has ``new``, ``known``, ``suppressed``, ``errors``."""


@dataclass(frozen=True, slots=True)
class CampaignEvent:
    """One of them."""

    at: datetime
    kind: str
    detail: Mapping[str, Any]


def note(
    connection: Connection,
    campaign_id: int,
    kind: str,
    detail: Mapping[str, object],
    *,
    now: datetime,
) -> None:
    """Write one down: ``kind`` in at most 32 characters, ``detail`` as JSON can hold it."""
    text = json_text(dict(detail)) or "{}"
    connection.execute(
        insert(campaign_events).values(campaign_id=campaign_id, at=now, kind=kind, detail=text)
    )


def events(connection: Connection, campaign_id: int) -> list[CampaignEvent]:
    """All of them, oldest first."""
    found = connection.execute(
        select(campaign_events)
        .where(campaign_events.c.campaign_id == campaign_id)
        .order_by(campaign_events.c.id)
    )
    return [CampaignEvent(utc(row.at), row.kind, orjson.loads(row.detail)) for row in found]
