"""A database of any age is brought up to date, once, and keeps what it holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, Engine, bindparam, text

from tests.workers.store.samples import row
from tests.workers.store.test_calls import record
from workers.store import migrate as migrating
from workers.store.calls import ClaimOutcome
from workers.store.database import open_engine, writing
from workers.store.migrate import HEAD, MIGRATIONS, migrate, version
from workers.store.probe import probe_database
from workers.store.rows import json_text
from workers.store.schema import metadata
from workers.store.sql import SqlCallStore


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    engine = open_engine(empty_database)
    yield engine
    engine.dispose()


def up(engine: Engine) -> None:
    with writing(engine) as connection:
        migrate(connection)


def at(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return version(connection)


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def make_old(engine: Engine) -> None:
    """The tables as releases made them that knew no migrations, with a call of today."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("DROP TABLE alembic_version"))
    insert_as_the_release_before_does(engine, "CA1")


def insert_as_the_release_before_does(
    engine: Engine,
    call_sid: str,
    *,
    state: str = "in_progress",
    status: str = "in-progress",
    age: timedelta = timedelta(),
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO calls (call_sid, account_sid, direction, from_number, to_number, "
                "state, status, created_at, updated_at) VALUES (:sid, 'AC1', 'inbound', "
                "'+15550100001', '+15550100002', :state, :status, :at, :at)"
            ).bindparams(bindparam("at", type_=DateTime(timezone=True))),
            {"sid": call_sid, "state": state, "status": status, "at": datetime.now(UTC) - age},
        )
        connection.execute(
            text("INSERT INTO call_records (call_sid, record) VALUES (:sid, :record)"),
            {"sid": call_sid, "record": json_text(record())},
        )


def test_migrations_make_the_tables_of_the_code(engine: Engine) -> None:
    """No column, type or index more or less; and a second time there is nothing to do."""
    for _ in range(2):
        up(engine)
        assert differences(engine) == []
        assert at(engine) == HEAD
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE calls ADD COLUMN more TEXT"))
    assert len(differences(engine)) == 1


def test_code_knows_the_newest_migration() -> None:
    """Else a database that is up to date would be migrated at each start."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert {None, *(script.revision for script in scripts.walk_revisions())} == {*migrating._KNOWN}


def test_migrations_are_packaged() -> None:
    """They lie under ``infra``, which no wheel has; a link puts them where a wheel does."""
    # Python 3.12 and later make virtual environments without it.
    setuptools = pytest.importorskip("setuptools")
    root = MIGRATIONS.parents[2]
    packages = setuptools.find_namespace_packages(str(root), include=["workers*"])
    assert {"workers.store.migrations", "workers.store.migrations.versions"} <= set(packages)
    assert MIGRATIONS.resolve() == root / "infra" / "migrations"


async def test_old_database_keeps_what_it_holds(empty_database: str, engine: Engine) -> None:
    """Its calls are found with their records, and the release before can go on writing."""
    make_old(engine)
    assert differences(engine) != []
    store = SqlCallStore(empty_database)
    assert await store.flush()
    assert store.lost == 0
    assert differences(engine) == []
    insert_as_the_release_before_does(engine, "CA2")
    for call_sid in ("CA1", "CA2"):
        loaded = await store.load_call(call_sid)
        assert loaded is not None
        assert (loaded.row, loaded.record) == (row(call_sid), record())
    claim = await store.claim(row(), owner="w1", stream=1, at=1.0)
    assert (claim.outcome, claim.call.row.fence) == (ClaimOutcome.TAKEN, 1)
    await store.close()


async def test_calls_of_the_past_are_finished(empty_database: str, engine: Engine) -> None:
    """Whoever looks after calls that nobody serves does not find years of them."""
    make_old(engine)
    insert_as_the_release_before_does(engine, "CA2", status="completed")
    insert_as_the_release_before_does(engine, "CA3", age=timedelta(days=2))
    insert_as_the_release_before_does(engine, "CA4", state="ringing", age=timedelta(hours=2))
    store = SqlCallStore(empty_database)
    assert await store.flush()
    states = {call.row.call_sid: call.row.state for call in await store.list_calls()}
    assert states == {
        "CA1": "in_progress",
        "CA2": "finished",
        "CA3": "finished",
        "CA4": "ringing",
    }
    unserved = await store.unserved([], idle_s=0, over_s=0)
    assert [call.row.call_sid for call in unserved] == ["CA4"]
    await store.close()


def test_database_older_than_messages_is_completed(engine: Engine) -> None:
    """Tables used to be made where they were missing."""
    make_old(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE call_messages"))
    up(engine)
    assert differences(engine) == []


@pytest.mark.parametrize("old", [False, True])
def test_processes_that_start_at_once_wait_for_each_other(
    empty_database: str, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, old: bool
) -> None:
    """By the database's own means: nothing in a process keeps them apart."""
    if old:
        make_old(engine)
    alembic, done = threading.Lock(), []
    upgrade = migrating._upgrade

    def counted(connection: Connection) -> None:
        with alembic:
            done.append(1)
            upgrade(connection)

    class Nothing:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(migrating, "_alone", Nothing())
    monkeypatch.setattr(migrating, "_upgrade", counted)
    together = threading.Barrier(4)

    def start(_number: int) -> None:
        mine = open_engine(empty_database)
        together.wait(10)
        up(mine)
        mine.dispose()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(4)))
    assert (differences(engine), done) == ([], [1])


async def test_stores_that_start_at_once_lose_nothing(empty_database: str) -> None:
    """What is handed over before there are tables waits for them; so does who asks."""
    stores = [SqlCallStore(empty_database) for _ in range(4)]
    for number, store in enumerate(stores):
        store.save_call(row(f"CA{number}"))
        assert await store.list_workers(deadline_s=15) == []
    for store in stores:
        assert await store.flush(deadline_s=15)
        assert store.lost == 0
    assert len(await stores[0].list_calls()) == 4
    for store in stores:
        await store.close()


def test_migration_that_fails_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt begins where this one did."""
    upgrade = migrating._upgrade

    def fail(connection: Connection) -> None:
        upgrade(connection)
        raise OSError("gone")

    monkeypatch.setattr(migrating, "_upgrade", fail)
    with pytest.raises(OSError, match="gone"):
        up(engine)
    assert at(engine) is None
    monkeypatch.undo()
    up(engine)
    assert differences(engine) == []


def test_tables_of_a_later_release_are_left_alone(engine: Engine) -> None:
    """A worker that is restarted in the middle of a deploy finds what its successor has made."""
    up(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    up(engine)
    assert at(engine) == "9999"


def test_probe_migrates_as_a_worker_does(empty_database: str, engine: Engine) -> None:
    """What makes the tables is one thing."""
    assert probe_database(empty_database) == engine.dialect.name
    assert at(engine) == HEAD
    assert differences(engine) == []
