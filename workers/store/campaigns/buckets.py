"""Calls per second, as rows that everybody who dials reads and writes."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from workers.campaign.pacing import Bucket
from workers.store.campaign_schema import pace_buckets
from workers.store.campaigns.inserting import insert_into


def lock_bucket(connection: Connection, name: str, *, now_s: float) -> Bucket:
    """A bucket, which is ours alone until the transaction ends; a new one is made full.

    Args:
        connection: Within a transaction that may write.
        name: An account SID, or ``campaign:<id>``.
        now_s: POSIX time, for a new one.
    """
    locked = (
        select(pace_buckets.c.tokens, pace_buckets.c.at_s)
        .where(pace_buckets.c.name == name)
        .with_for_update()
    )
    found = connection.execute(locked).one_or_none()
    if found is None:
        # Whoever else makes it meanwhile is waited for; then it is there to be locked.
        insert = insert_into(connection, pace_buckets).values(name=name, tokens=1.0, at_s=now_s)
        connection.execute(insert.on_conflict_do_nothing(index_elements=["name"]))
        found = connection.execute(locked).one()
    return Bucket(found.tokens, found.at_s)


def keep_bucket(connection: Connection, name: str, bucket: Bucket) -> None:
    """Write a bucket back."""
    connection.execute(
        update(pace_buckets)
        .where(pace_buckets.c.name == name)
        .values(tokens=bucket.tokens, at_s=bucket.at_s)
    )
