"""Brings a database's tables up to date, with the migrations in ``infra/migrations``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, inspect, text

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""In a checkout a link to ``infra/migrations``; in a wheel the files themselves."""
HEAD: Final = "0002"
"""The newest migration."""
# Any number that no other application of the same database is likely to lock (PostgreSQL).
_LOCK: Final = 0x6576_6361
# The tables as releases made them that knew no migrations.
_UNMARKED: Final = "0001"

_log = structlog.get_logger(__name__)


def migrate(connection: Connection) -> None:
    """Make the tables, or bring them up to date, in a transaction that may write.

    Workers that start at the same time wait for each other: in SQLite by that transaction. Tables
    of a later release are left as they are. Its workers run beside ours during a deploy, so what a
    migration makes of the tables must suit the release before it, too.
    """
    if _version(connection) == HEAD:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    version = _version(connection)
    # Here, because it takes a tenth of a second that a command that finds its tables need not wait.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is None and "calls" in inspect(connection).get_table_names():
        command.stamp(config, _UNMARKED)
    elif version is not None and version not in known:
        _log.warning("store.tables_of_later_release", version=version)
        return
    # It would tell of each step twice, in its own words.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, HEAD)


def _version(connection: Connection) -> str | None:
    """Where the tables are; None where no migration has been at work."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return version
