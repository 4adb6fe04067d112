"""The database of a fleet: it can be gone for a while."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.fakes.postgresql import NoPostgresqlError, Postgresql, postgresql

KINDS = ("sqlite", "postgresql")


def kinds(*normal: str) -> list[Any]:
    """Every kind of database: those named here in `make test`, the rest in `make test-long`."""
    return [
        pytest.param(kind, marks=[] if kind in normal else [pytest.mark.long]) for kind in KINDS
    ]


class Database(Protocol):
    """What a fleet shares."""

    url: str

    def away(self) -> AbstractAsyncContextManager[None]:
        """Take it away from enter to exit."""
        ...


class SqliteDatabase:
    """A file. It cannot be stopped; but somebody who writes keeps all others from writing."""

    def __init__(self, file: Path) -> None:
        self.url = f"sqlite:///{file}"
        self._file = file

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Keep every writer out."""
        lock = await asyncio.to_thread(self._locked)
        try:
            yield
        finally:
            lock.rollback()
            lock.close()

    def _locked(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._file, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("BEGIN IMMEDIATE")
        return connection


class PostgresqlDatabase:
    """A cluster of one's own, so that it can be stopped."""

    def __init__(self, cluster: Postgresql) -> None:
        self.url = cluster.url
        self._cluster = cluster

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Stop it as a crash does, and start it again."""
        await asyncio.to_thread(self._cluster.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self._cluster.start)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[Database]:
    """Have an empty database of this kind; skips the test where there is no PostgreSQL."""
    if kind == "sqlite":
        yield SqliteDatabase(folder / "evercall.sqlite3")
        return
    try:
        with postgresql() as cluster:
            yield PostgresqlDatabase(cluster)
    except NoPostgresqlError as error:
        pytest.skip(str(error))
