"""The tables are made, and brought up to date, by migrations that say the same as the schema."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from workers.store.database import open_engine, writing
from workers.store.migrate import migrate
from workers.store.schema import metadata
from workers.store.sql import SqlCallStore

FIRST = ("calls", "call_records", "call_events", "call_messages")
SECOND = ("owner", "fence", "streams", "transfer_to", "last_resort", "lost_at")


def test_migrations_make_what_the_schema_says(database: str) -> None:
    """Also a second time, when there is nothing to do."""
    engine = open_engine(database)
    for _ in range(2):
        with writing(engine) as connection:
            migrate(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all()
    engine.dispose()


async def test_database_of_an_earlier_release_is_brought_up_to_date(database: str) -> None:
    """Its calls are still there, and can be claimed."""
    engine = open_engine(database)
    with engine.begin() as connection:
        for name in FIRST:
            metadata.tables[name].create(connection)
        for index in ("ix_calls_owner", "ix_calls_unfinished"):
            connection.execute(text(f"DROP INDEX {index}"))
        for column in SECOND:
            connection.execute(text(f"ALTER TABLE calls DROP COLUMN {column}"))
        connection.execute(
            text(
                "INSERT INTO calls (call_sid, account_sid, direction, from_number, to_number, "
                "state, status, created_at, updated_at) "
                "VALUES ('CA1', 'AC1', 'inbound', '', '', 'in_progress', 'in-progress', :at, :at)"
            ),
            {"at": datetime(2027, 1, 15, tzinfo=UTC)},
        )
    store = SqlCallStore(database)
    assert await store.flush()
    stored = await store.load_call("CA1")
    assert stored is not None
    assert (stored.row.fence, stored.row.lost_at) == (0, ())
    claim = await store.claim(stored.row, owner="w1", stream=1, at=1.0)
    assert claim.call.row.fence == 1
    await store.close()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_workers_that_start_at_once_wait_for_each_other(database: str) -> None:
    """Each finds the tables, and none fails."""
    failed: list[Exception] = []
    ready = threading.Barrier(4)

    def start() -> None:
        engine = open_engine(database)
        ready.wait()
        try:
            with writing(engine) as connection:
                migrate(connection)
                assert "workers" in inspect(connection).get_table_names()
        except Exception as error:  # noqa: BLE001  told in the main thread
            failed.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
