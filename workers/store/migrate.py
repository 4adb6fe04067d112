"""Brings a database's tables up to date, with the migrations in ``infra/migrations``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""In a checkout a link to ``infra/migrations``; in a wheel the files themselves."""
# Any number that no other application of the same database is likely to lock (PostgreSQL).
_LOCK: Final = 0x6576_6361
# The tables as releases made them that knew no migrations.
_UNMARKED: Final = "0001"


def migrate(connection: Connection) -> None:
    """Make the tables, or bring them up to date, in the transaction that is open.

    Workers that start at the same time wait for each other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    else:
        # SQLite's only lock; without it the first statements would be reads, which cannot become
        # writes once another process has written (sqlite.org/lang_transaction.html).
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    # Each start would tell that there is nothing to do.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    tables = inspect(connection).get_table_names()
    if "calls" in tables and "alembic_version" not in tables:
        command.stamp(config, _UNMARKED)
    command.upgrade(config, "head")
