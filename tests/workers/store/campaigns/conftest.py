"""A campaign in the database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.workers.store.campaigns.samples import NOW, campaign
from workers.store.campaigns.campaigns import create
from workers.store.database import writing


@pytest.fixture
def campaign_id(engine: Engine) -> int:
    """A campaign in draft, without contacts."""
    with writing(engine) as connection:
        return create(connection, campaign(), now=NOW)
