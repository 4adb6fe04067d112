"""Engines for SQLite (WAL) and PostgreSQL, and the two kinds of transaction there are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# A server that has vanished without a word is noticed within this, whether we have just written
# (TCP_USER_TIMEOUT) or wait for an answer (keepalives): else the system's two hours would do.
# postgresql.org/docs/current/libpq-connect.html
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# A worker that is stopped in the middle of a transaction holds its calls, and nobody could take
# them over: the server ends it within less than it takes to call a worker dead.
_IDLE_MS = 3_000
# SQLite does not wait for whoever changes the mode of the journal, be its time-out what it may.
_PATIENCE_S = (0.02, 0.05, 0.1, 0.2)
# postgresql.org/docs/current/errcodes-appendix.html
_AGAIN = "40"
_READ_ONLY = "25006"


def open_engine(url: str) -> Engine:
    """An engine with time-outs on everything, whose errors hold no values (phone numbers)."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": 5})
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    options = f"-c statement_timeout=10000 -c idle_in_transaction_session_timeout={_IDLE_MS}"
    return create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=8,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "options": options, **_KEEPALIVE},
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write, and is committed at the end."""
    with engine.connect() as connection, begin_to_write(connection):
        yield connection


@contextmanager
def begin_to_write(connection: Connection) -> Iterator[None]:
    """The same on a connection that is there."""
    with connection.begin():
        if connection.dialect.name == "sqlite":
            # SQLite has one writer. Whoever becomes it only after having read fails at once where
            # somebody else has written meanwhile (sqlite.org/lang_transaction.html).
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction all of whose statements see the same moment."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def clock_ahead_s(engine: Engine, wall: Callable[[], float]) -> float:
    """How far a clock is ahead of the database server's; of SQLite's file it is the machine's own.

    Args:
        engine: Of the database.
        wall: POSIX seconds.

    Raises:
        SQLAlchemyError: the database is not there.
    """
    if engine.dialect.name == "sqlite":
        return 0.0
    with engine.connect() as connection:
        asked_s = wall()
        # Of now, not of when the transaction began, as ``now()`` is.
        theirs_s = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        return (asked_s + wall()) / 2 - float(theirs_s)


def is_away(error: BaseException) -> bool:
    """Whether the database is not there, or cannot be written: a later attempt may succeed.

    Read-only is what a server is that has not been promoted yet after a failover.
    """
    return (
        isinstance(error, (OperationalError, InterfaceError, OSError))
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
        or _sqlstate(error) == _READ_ONLY
    )


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions stood in each other's way: the same again succeeds."""
    return _sqlstate(error).startswith(_AGAIN)


def _sqlstate(error: BaseException) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _set_up_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DBAPI connections have no type
    # Readers do not wait for the writer, and a commit does not wait for the disk; a power cut
    # costs the last commits, not the file (sqlite.org/pragma.html#pragma_synchronous).
    for pause_s in (*_PATIENCE_S, None):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
