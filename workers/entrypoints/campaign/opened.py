"""The database of campaigns, opened for one command, and what is said when it cannot be.

0: done. 1: not done, or the store is away. 2: an argument or a setting is wrong. 130: interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from workers.entrypoints.complaint import complain
from workers.entrypoints.stored import check_there
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings
from workers.store.campaigns.campaigns import load
from workers.store.campaigns.rows import CampaignRow, DefinitionUnreadable
from workers.store.database import open_engine, reading, writing
from workers.store.migrate import HEAD, migrate, version

UNSEEN_WIDTH = 100
INTERRUPTED = 130
"""Exit code, as a shell has it."""


class Failed(Exception):
    """What was asked for was not done, and why, in a sentence; with the command's exit code."""

    def __init__(self, sentence: str, *, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def run(command: Callable[[Engine], None], *, make: bool = False) -> int:
    """Run a command on the database of the settings and return its exit code.

    Args:
        command: prints what it has done.
        make: whether a database that is not there is made.
    """
    logs = start_logs("ERROR", stream=sys.stderr)
    settings: WorkerSettings | None = None
    try:
        settings = load_settings()
        with opened_engine(settings, make=make) as engine:
            command(engine)
        sys.stdout.flush()
    except SettingsError as error:
        return complain(error)
    except Failed as failed:
        typer.echo(str(failed), err=True)
        return failed.code
    except DefinitionUnreadable as error:
        typer.echo(str(error), err=True)
        return 1
    except ModuleNotFoundError as error:
        typer.echo(f"The store is away: {error.name} is not installed", err=True)
        return 1
    except SQLAlchemyError as error:
        typer.echo(f"The store is away: {_why(error)}{_where(settings)}", err=True)
        return 1
    except BrokenPipeError:
        # Whoever read it, such as `head`, has had enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # Its folder cannot be made, or what is printed goes to a disk that is full.
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"{place}{error.strerror or error}{_where(settings)}", err=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        logs.close()
    return 0


@contextmanager
def opened_engine(settings: WorkerSettings, *, make: bool = False) -> Iterator[Engine]:
    """An engine on a database whose tables are up to date.

    Raises:
        SettingsError: they lead to no database, and none is to be made.
        SQLAlchemyError: there is no way to it.
    """
    if not make:
        check_there(settings)
    engine = open_engine(settings.database)
    try:
        with engine.connect() as connection:
            found = version(connection)
        # Only then: the stop must not wait for whoever writes just to learn that all is well.
        if found != HEAD:
            with writing(engine) as connection:
                migrate(connection)
        yield engine
    finally:
        engine.dispose()


def campaign_named(connection: Connection, name: str) -> CampaignRow:
    """The campaign of this name.

    Raises:
        Failed: there is none.
    """
    found = load(connection, name.strip())
    if found is None:
        raise Failed(
            f"There is no campaign {name.strip()}; evercall campaign list names those there are."
        )
    return found


def read_campaign(engine: Engine, name: str) -> CampaignRow:
    """The same in a transaction of its own."""
    with reading(engine) as connection:
        return campaign_named(connection, name)


def console() -> Console:
    """Where nobody looks at a terminal, of a width that does not change."""
    seen = Console()
    return seen if seen.is_terminal else Console(width=UNSEEN_WIDTH)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 contact``, ``2,000 contacts``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _where(settings: WorkerSettings | None) -> str:
    """Which setting has led there; a database's address may hold a password."""
    if settings is None:
        return ""
    if settings.database_url is None:
        return f" (EVERCALL_DATA_DIR is {settings.data_dir.absolute()})"
    return f" (EVERCALL_DATABASE_URL is {make_url(settings.database).render_as_string()})"


def _why(error: SQLAlchemyError) -> str:
    """In one line; the database's own words where it has any."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__
