"""Stores for the contract tests. PostgreSQL is a given one, else a throw-away cluster."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.fakes.postgresql import NoPostgresqlError, postgresql
from tests.fakes.store import MemoryCallStore
from workers.store.calls import CallStore
from workers.store.campaign_schema import campaigns
from workers.store.database import open_engine
from workers.store.schema import metadata
from workers.store.sql import SqlCallStore

GIVEN = "EVERCALL_TEST_POSTGRESQL_URL"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    try:
        with postgresql() as cluster:
            yield cluster.url
    except NoPostgresqlError as error:
        pytest.skip(f"{error}, and {GIVEN} names none")


class Wall:
    """A wall clock that can be moved on."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def later(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    return _empty(request.param, request, tmp_path)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, wall: Wall
) -> AsyncIterator[CallStore]:
    """Every kind of store, empty."""
    if request.param == "memory":
        yield MemoryCallStore()
        return
    sql = SqlCallStore(_empty(request.param, request, tmp_path), now=wall.now)
    # Its thread makes the tables first.
    assert await sql.flush()
    yield sql
    await sql.close()


@pytest.fixture
def later(store: CallStore, wall: Wall) -> Callable[[float], None]:
    """Lets time pass for the store."""
    return store.later if isinstance(store, MemoryCallStore) else wall.later


def _empty(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'calls.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    engine = open_engine(url)
    assert campaigns.metadata is metadata  # so that all tables go
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()
    return url
