"""Contacts that are done with: their last state, and what the customer's system is to be told."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from workers.campaign.model import ContactState
from workers.store.campaigns import claims
from workers.store.campaigns.outbox import put
from workers.store.campaigns.rows import CampaignRow


def finish(
    connection: Connection,
    campaign: CampaignRow,
    contact_ids: Collection[int],
    state: ContactState,
    *,
    reason: str,
    now: datetime,
) -> None:
    """Nobody is going to call these contacts any more, for this reason."""
    claims.set_aside(connection, contact_ids, state, reason=reason, now=now)
    if campaign.definition.webhook is not None:
        put(connection, contact_ids, now=now)
