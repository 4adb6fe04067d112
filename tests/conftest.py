"""What holds for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import (
    database,
    empty_database,
    engine,
    postgresql_url,
    shared_postgresql,
    sqlite_engine,
    sqlite_file,
    sqlite_url,
)

__all__ = [
    "database",
    "empty_database",
    "engine",
    "postgresql_url",
    "shared_postgresql",
    "sqlite_engine",
    "sqlite_file",
    "sqlite_url",
]

# numpy, which nothing has imported yet. A second thread of its waits for work by spinning: one of
# two processors was busy with nothing while the twin looked for position codes (observed).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes says more about the machine, which has other things to do.
settings.register_profile("evercall", deadline=None)
settings.load_profile("evercall")

# In one process each, since a file is not divided: begun last, they would be waited for. The first
# two wait for speech, for two minutes each; the others compute.
LONGEST = [
    Path(__file__).parent / name
    for name in (
        "workers/entrypoints/test_demo.py",
        "workers/entrypoints/test_demo_long.py",
        "scenarios/test_long_call.py",
        "properties/test_fleet.py",
        "workers/dialling/test_dialling.py",
        "properties/test_dialling.py",
        "workers/dialling/test_concurrency.py",
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, in their order."""
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
