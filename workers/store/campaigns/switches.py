"""The emergency stop: one row that holds for every campaign, read right before each dial."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select

from workers.campaign.model import AttemptState
from workers.store.campaign_schema import UNSETTLED, attempts, switches
from workers.store.campaigns.inserting import insert_into

_ALL: Final = "stop_all"
_STOPPED: Final = select(switches.c.reason).where(switches.c.name == _ALL)
_UNDER_WAY: Final = (AttemptState.ASKING, AttemptState.PLACED, AttemptState.UNKNOWN)


def stop_all(connection: Connection, *, reason: str, now: datetime) -> None:
    """No new dial for any campaign from the commit on; one that is set keeps its time."""
    insert = insert_into(connection, switches).values(name=_ALL, set_at=now, reason=reason)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["name"], set_={"reason": reason})
    )


def allow_all(connection: Connection) -> bool:
    """Take the stop back; False if there was none."""
    return bool(connection.execute(delete(switches).where(switches.c.name == _ALL)).rowcount)


def stopped(connection: Connection) -> str | None:
    """Why everything is stopped, which may be empty; None: it is not."""
    reason: str | None = connection.execute(_STOPPED).scalar_one_or_none()
    return reason


def calls_under_way(connection: Connection) -> int:
    """Calls of campaigns that Twilio has been asked for and that are not known to be over.

    Those that may be ringing without our knowing count as well.
    """
    return connection.execute(
        select(func.count())
        .select_from(attempts)
        .where(UNSETTLED, attempts.c.state.in_(_UNDER_WAY))
    ).scalar_one()
