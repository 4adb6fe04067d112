"""Stores for the contract tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.store import MemoryCallStore
from workers.store.calls import CallStore
from workers.store.sql import SqlCallStore


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


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, wall: Wall) -> AsyncIterator[CallStore]:
    """Every kind of store, empty."""
    if request.param == "memory":
        yield MemoryCallStore()
        return
    sql = SqlCallStore(request.getfixturevalue(f"{request.param}_url"), now=wall.now)
    # Its thread looks for the tables first.
    assert await sql.flush()
    yield sql
    await sql.close()


@pytest.fixture
def later(store: CallStore, wall: Wall) -> Callable[[float], None]:
    """Lets time pass for the store."""
    return store.later if isinstance(store, MemoryCallStore) else wall.later
