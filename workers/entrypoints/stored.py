"""The worker's store, opened for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from workers.settings import SettingsError, WorkerSettings
from workers.store.calls import StoreUnavailable
from workers.store.sql import SqlCallStore

CLOSE_TIMEOUT_S = 1.0


@asynccontextmanager
async def opened_store(settings: WorkerSettings) -> AsyncIterator[SqlCallStore]:
    """Open the store of the worker that has these settings.

    Raises:
        SettingsError: they lead to no database; one must not be made by looking for calls in it.
        StoreUnavailable: there is no way to it.
    """
    check_there(settings)
    try:
        store = SqlCallStore(settings.database)
    except ModuleNotFoundError as error:
        raise StoreUnavailable(f"{error.name} is not installed: evercall[postgresql]") from error
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(_one_line(error)) from error
    try:
        yield store
    finally:
        await store.close(deadline_s=CLOSE_TIMEOUT_S)


def why_away(error: StoreUnavailable) -> str:
    """What is the matter with a store, in one line; the database's own words where it has any."""
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        return _one_line(cause.orig)
    return str(error)


def check_there(settings: WorkerSettings) -> None:
    """Refuse settings that lead to no SQLite database.

    Raises:
        SettingsError: one must not be made by looking for calls in it.
    """
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite" or not url.database or Path(url.database).is_file():
        return
    setting = "EVERCALL_DATA_DIR" if settings.database_url is None else "EVERCALL_DATABASE_URL"
    raise SettingsError(
        f"{setting}: there is no database {Path(url.database).absolute()}; run this where the "
        "worker runs, with its settings"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
