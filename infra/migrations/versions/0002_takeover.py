"""Whose a call is, what another worker needs to go on with it, and which workers there are."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add owner and fencing number to calls; make checkpoints, journal and workers."""
    for column in (
        sa.Column("owner", sa.String(128), nullable=False, server_default=""),
        sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
        sa.Column("streams", sa.Integer, nullable=False, server_default="0"),
        sa.Column("transfer_to", sa.Text),
        sa.Column("last_resort", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("lost_at", sa.Text, nullable=False, server_default="[]"),
    ):
        op.add_column("calls", column)
    _finish_old_calls()
    for name, indexed, words in (
        ("ix_calls_unfinished", "updated_at", "state <> 'finished'"),
        ("ix_calls_owned", "owner", "owner <> ''"),
    ):
        where = sa.text(words)
        op.create_index(name, "calls", [indexed], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "call_checkpoints",
        sa.Column("call_sid", sa.String(64), primary_key=True),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "call_journal",
        sa.Column("call_sid", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(64), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("item", sa.Text, nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("worker", sa.String(128), primary_key=True),
        sa.Column("beats", sa.Integer, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
    )


def _finish_old_calls() -> None:
    # Nothing of the past is to be looked after. Earlier releases left calls unfinished that were
    # forgotten; one of today may be served by a worker of such a release.
    calls = sa.table(
        "calls",
        sa.column("state", sa.String),
        sa.column("status", sa.String),
        sa.column("updated_at", sa.DateTime(timezone=True)),
    )
    over = ("completed", "busy", "failed", "no-answer", "canceled")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    op.execute(
        calls.update()
        .where(sa.or_(calls.c.status.in_(over), calls.c.updated_at < yesterday))
        .values(state="finished")
    )
