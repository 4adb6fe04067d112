"""Databases for tests: SQLite, and a PostgreSQL that is a given one, else a throw-away cluster.

Migrations take longer than most tests that need their tables: they are made once in a process. A
test gets a copy of SQLite's file, or PostgreSQL's tables after TRUNCATE.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.fakes.postgresql import NoPostgresqlError, postgresql
from workers.store.asking import Asker
from workers.store.campaign_schema import campaigns
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate
from workers.store.schema import metadata

GIVEN = "EVERCALL_TEST_POSTGRESQL_URL"


class Shared:
    """One PostgreSQL database, for one test after the other."""

    def __init__(self, url: str) -> None:
        assert campaigns.metadata is metadata  # so that it is all tables
        self.url = url
        self._engine = open_engine(url)
        self._made = False
        """Whether the tables are as migrations make them."""

    def empty(self) -> str:
        """Take all tables away, for a test that makes them; returns the address."""
        self._made = False
        metadata.drop_all(self._engine)
        with self._engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        return self.url

    def with_tables(self) -> str:
        """Have all tables, without a row, that count from one; returns the address."""
        if self._made:
            names = ", ".join(metadata.tables)
            with self._engine.begin() as connection:
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        else:
            self.empty()
            with writing(self._engine) as connection:
                migrate(connection)
            self._made = True
        return self.url

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[Shared]:
    with _address() as url:
        shared = Shared(url)
        yield shared
        shared.close()


@contextmanager
def _address() -> Iterator[str]:
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    try:
        with postgresql() as cluster:
            yield cluster.url
    except NoPostgresqlError as error:
        pytest.skip(f"{error}, and {GIVEN} names none")


@pytest.fixture
def postgresql_url(shared_postgresql: Shared) -> str:
    """The address of a PostgreSQL with all tables, without a row."""
    return shared_postgresql.with_tables()


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables, without a row: to be copied."""
    file = tmp_path_factory.mktemp("tables") / "calls.sqlite3"
    engine = open_engine(f"sqlite:///{file}")
    with writing(engine) as connection:
        migrate(connection)
    # Whoever closes the last connection brings what is in the log into the file.
    engine.dispose()
    return file


@pytest.fixture
def sqlite_url(sqlite_file: Path, tmp_path: Path) -> str:
    """The address of an SQLite file with all tables, without a row."""
    file = shutil.copy(sqlite_file, tmp_path / "calls.sqlite3")
    return f"sqlite:///{file}"


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """SQLite with all tables, without a row."""
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The address of a database with all tables, without a row."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        # The folder is made as well.
        return f"sqlite:///{tmp_path / 'deep' / 'calls.sqlite3'}"
    shared: Shared = request.getfixturevalue("shared_postgresql")
    return shared.empty()


def end(asker: Asker) -> None:
    """Wait for what nobody waits for any more: its connection is closed with the engine's others.

    One that is given back after the engine has been disposed of is never closed.
    """
    for lane in asker._lanes.values():
        lane.shutdown()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """SQLite, then PostgreSQL, with all tables, without a row."""
    engine = open_engine(database)
    yield engine
    engine.dispose()
