"""Databases for what dials: those of the store's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.workers.store.conftest import database, postgresql_url
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate

__all__ = ["database", "postgresql_url"]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An empty database with all tables, SQLite and PostgreSQL in turn."""
    made = open_engine(database)
    with writing(made) as connection:
        migrate(connection)
    yield made
    made.dispose()
