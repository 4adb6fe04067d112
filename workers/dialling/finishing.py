"""Contacts that are done with: their last state, and what the customer's system is to be told."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Connection

from workers.campaign.model import ContactState
from workers.store.campaigns import claims
from workers.store.campaigns.outbox import put
from workers.store.campaigns.readable import UnreadableContact
from workers.store.campaigns.rows import CampaignRow

UNREADABLE: Final = "What is stored of them cannot be read."

_log = structlog.get_logger(__name__)


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


def finish_unreadable(
    connection: Connection, campaign: CampaignRow, found: UnreadableContact, *, now: datetime
) -> None:
    """Nobody is going to call a contact any more, because nobody can tell whom, when or about what.

    Their row stays as it is but for state and reason, for whoever wants to mend it.
    """
    _log.error(
        "contact.unreadable",
        contact=found.contact_id,
        campaign=campaign.name,
        fault=found.fault,
    )
    finish(connection, campaign, [found.contact_id], ContactState.NEVER, reason=UNREADABLE, now=now)
