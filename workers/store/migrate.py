"""Brings a database's tables up to date, with the migrations in ``infra/migrations``."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, inspect, text

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""In a checkout a link to ``infra/migrations``; in a wheel the files themselves."""
HEAD: Final = "0003"
"""The newest migration."""
_KNOWN: Final = (None, "0001", "0002", HEAD)
# Any number that no other application of the same database is likely to lock (PostgreSQL).
_LOCK: Final = 0x6576_6361
# Alembic keeps what it works on in globals of its modules.
_alone = threading.Lock()

_log = structlog.get_logger(__name__)


def migrate(connection: Connection) -> None:
    """Make the tables, or bring them up to date, in a transaction that may write.

    Workers that start at the same time wait for each other: in SQLite by that transaction. Tables
    of a later release are left as they are. Its workers run beside ours during a deploy, so what a
    migration makes of the tables must suit the release before it, too.
    """
    if version(connection) == HEAD:
        return
    with _alone:
        if connection.dialect.name == "postgresql":
            # The engine's time-outs are for questions; a large table takes longer.
            connection.execute(text("SET LOCAL statement_timeout = '10min'"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1min'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = version(connection)
        if found == HEAD:
            return
        if found not in _KNOWN:
            _log.warning("store.tables_of_later_release", version=found)
            return
        _upgrade(connection)
    _log.info("store.migrated", before=found, now=HEAD)


def version(connection: Connection) -> str | None:
    """Where the tables are; None where no migration has been at work."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return found


def _upgrade(connection: Connection) -> None:
    # Here, because it takes a tenth of a second that a command that finds its tables need not wait.
    from alembic import command
    from alembic.config import Config

    # It would tell of each step in its own words.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    # A percent sign in the path would be taken for an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
