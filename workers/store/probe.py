"""Whether a database can be used: its tables made, a row written, read and removed again."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from workers.store.calls import StoreUnavailable
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate
from workers.store.schema import call_events

# No call of Twilio's has such a SID.
_PROBE = "probe"
RETRY_AFTER_S = (0.1, 0.3)


def probe_database(url: str) -> str:
    """Try a database and name its kind; blocks, bounded by the engine's own time-outs.

    Raises:
        StoreUnavailable: in one line, without the password.
    """
    try:
        engine = open_engine(url)
        try:
            found = _patiently(engine)
        finally:
            engine.dispose()
    except DBAPIError as error:
        raise StoreUnavailable(_one_line(error.orig or error)) from error
    except ModuleNotFoundError as error:
        raise StoreUnavailable(f"{error.name} is not installed: evercall[postgresql]") from error
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(_one_line(error)) from error
    if not found:
        raise StoreUnavailable("what was written cannot be read back")
    return engine.dialect.name


def _patiently(engine: Engine) -> bool:
    # A worker that starts at this moment makes the same tables, and SQLite does not wait for
    # whoever changes the journal's mode.
    for pause_s in RETRY_AFTER_S:
        try:
            return _write_and_read(engine)
        except OperationalError:
            time.sleep(pause_s)
    return _write_and_read(engine)


def _write_and_read(engine: Engine) -> bool:
    row = {"call_sid": _PROBE, "at": datetime.now(UTC), "kind": _PROBE, "payload": "{}"}
    mine = call_events.c.call_sid == _PROBE
    with writing(engine) as connection:
        migrate(connection)
        connection.execute(call_events.insert().values(row))
        found = connection.execute(select(call_events.c.kind).where(mine)).all()
        connection.execute(call_events.delete().where(mine))
    return bool(found)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
