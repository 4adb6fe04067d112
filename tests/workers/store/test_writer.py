"""An ill database costs writes, never time, and what it costs is counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.databases import end
from tests.workers.store.test_calls import row
from workers.store.calls import StoreUnavailable
from workers.store.sql import SqlCallStore
from workers.store.writer import Write, Writer


def nothing(_connection: Connection) -> None:
    return None


def note(done: list[int], number: int) -> Write:
    def write(_connection: Connection) -> None:
        done.append(number)

    return write


def away(_connection: Connection) -> None:
    raise OperationalError("INSERT", {}, Exception("database or disk is full"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'x.sqlite3'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_outage_is_waited_for(engine: Engine) -> None:
    """Writes made during an outage are written after it, in order."""
    done: list[int] = []
    back = threading.Event()

    def prepare(connection: Connection) -> None:
        if not back.is_set():
            away(connection)

    writer = Writer(engine, prepare, retry_s=0.01)
    for number in range(500):
        writer.put(note(done, number))
    assert not writer.flush(0.05)
    back.set()
    assert writer.flush(5)
    assert done == list(range(500))
    assert writer.lost == 0
    writer.close(5)


def test_long_outage_is_given_up_and_counted(engine: Engine) -> None:
    """Past the limit the writes in hand are lost, and the next ones are tried again."""
    writer = Writer(engine, away, retry_s=0.01, outage_s=0.0)
    writer.put(nothing)
    writer.put(nothing)
    assert writer.flush(5)
    assert writer.lost == 2
    writer.close(5)


def test_full_queue_drops_the_newest(engine: Engine) -> None:
    """Handing over never waits: what does not fit is counted."""
    go_on = threading.Event()
    done: list[int] = []
    writer = Writer(engine, nothing, queue_writes=5)
    taken = threading.Event()

    def slow(_connection: Connection) -> None:
        taken.set()
        go_on.wait(10)

    writer.put(slow)
    assert taken.wait(5)
    started = time.monotonic()
    for number in range(8):
        writer.put(note(done, number))
    assert time.monotonic() - started < 1
    assert writer.lost == 3
    # Those of the queue, and the one in hand.
    assert writer.waiting == 6
    go_on.set()
    writer.close(5)
    assert done == [0, 1, 2, 3, 4]
    assert writer.waiting == 0


def test_bad_write_costs_itself_alone(engine: Engine) -> None:
    """The writes beside it in the batch are written."""
    done: list[str] = []

    def bad(connection: Connection) -> None:
        raise ValueError("such a value cannot be")

    writer = Writer(engine, nothing)
    writer.put(lambda connection: done.append("before"))
    writer.put(bad)
    writer.put(lambda connection: done.append("after"))
    assert writer.flush(5)
    assert writer.lost == 1
    assert {"before", "after"} <= set(done)
    writer.close(5)


def test_close_in_an_outage_ends_in_time_and_counts(engine: Engine) -> None:
    """Stopping the worker does not wait for a database that is away."""
    writer = Writer(engine, away)
    for _ in range(300):
        writer.put(nothing)
    started = time.monotonic()
    writer.close(0.2)
    writer.put(nothing)
    assert time.monotonic() - started < 2
    assert writer.lost == 301


async def test_read_that_hangs_ends_at_its_deadline(url: str) -> None:
    """A locked-up database makes a read unavailable, not the caller's wait endless."""
    store = SqlCallStore(url)
    store.save_call(row())
    assert await store.flush()
    go_on = threading.Event()

    def hang(_connection: Connection) -> None:
        go_on.wait(10)

    for deadline_s in (0.05, 0.05, 0.05):
        with pytest.raises(StoreUnavailable):
            await store._asker.read(hang, deadline_s)
    go_on.set()
    assert await store.load_call("CA1", deadline_s=5.0) is not None
    end(store._asker)
    await store.close()


async def test_unusable_database_makes_reads_unavailable(tmp_path: Path) -> None:
    """Whatever SQLAlchemy raises is told as one error."""
    (tmp_path / "x.sqlite3").write_bytes(b"this is no database" * 100)
    store = SqlCallStore(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    store.save_call(row())
    with pytest.raises(StoreUnavailable):
        await store.load_call("CA1")
    await asyncio.wait_for(store.close(deadline_s=0.2), 5)


async def test_numbers_are_not_in_database_errors(url: str) -> None:
    """SQLAlchemy would put the values of a failed statement into its message."""
    store = SqlCallStore(url)
    assert store._engine.hide_parameters
    with store._engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("INSERT INTO nowhere VALUES (:n)"), {"n": "+15550100001"})
    assert "5550100001" not in str(caught.value)
    await store.close()
