"""A database with the tables, and a campaign in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.workers.store.campaigns.samples import NOW, campaign
from workers.store.campaigns.campaigns import create
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """SQLite, then PostgreSQL."""
    engine = open_engine(database)
    with writing(engine) as connection:
        migrate(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def campaign_id(engine: Engine) -> int:
    """A campaign in draft, without contacts."""
    with writing(engine) as connection:
        return create(connection, campaign(), now=NOW)
