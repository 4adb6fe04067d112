"""A campaign in the middle of its life, looked at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.store.campaigns.filled import NOW, fill
from workers.store.campaigns.campaigns import load_by_id
from workers.store.campaigns.overview import Overview, overview
from workers.store.database import open_engine, reading, writing
from workers.store.migrate import migrate


def look(folder: Path, *, other: bool = False) -> Overview:
    engine = open_engine(f"sqlite:///{folder / 'campaigns.sqlite3'}")
    with writing(engine) as connection:
        migrate(connection)
        written = fill(connection)
    with reading(engine) as connection:
        campaign = load_by_id(connection, written.other_id if other else written.campaign_id)
        assert campaign is not None
        found = overview(connection, campaign, now=NOW)
    engine.dispose()
    return found


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    return look(tmp_path_factory.mktemp("seen"))


@pytest.fixture
def draft(tmp_path: Path) -> Overview:
    """A campaign that has not been started."""
    return look(tmp_path, other=True)
