"""From a contact file into the database, in bounded memory.

Each batch is a transaction of its own, read before it begins: dialling goes on beside an import,
and one that breaks off in the middle is mended by importing the same file again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import BinaryIO

import orjson
from sqlalchemy import Connection, Engine

from workers.campaign.contacts import Row, RowError, read_rows
from workers.dialling.transactions import write
from workers.store.campaigns.contacts import Added, add_contacts, clear_errors, keep_errors
from workers.store.campaigns.events import IMPORTED, note
from workers.store.campaigns.rows import CampaignRow

BATCH_ROWS = 4_000
"""More are quicker, and keep whoever dials beside from the database for longer: this is 0.2 s."""
BATCH_CHARACTERS = 4_000_000
"""Of one row 64 K are taken: 4,000 of those would be too much."""
SHOWN_ERRORS = 20
SQLITE_CACHE_KIB = 64 * 1024
"""Of the connection that imports."""
SQLITE_LOG_PAGES = 16_000
"""What that connection lets the write-ahead log grow to, 64 MB of it: at the usual 1,000 pages
(sqlite.org/wal.html, "Automatic Checkpoint") each batch copies most of the index of identities
into the database and waits for the disk."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file, or of as much of it as has been read."""

    new: int = 0
    """Contacts that had not been there; those suppressed are among them."""
    known: int = 0
    """Imported before, or twice in this file."""
    suppressed: int = 0
    """Of the new: never to be called."""
    errors: int = 0
    """Rows kept aside."""
    first_errors: tuple[RowError, ...] = ()
    """The first ``SHOWN_ERRORS``."""

    @property
    def rows(self) -> int:
        """All of them."""
        return self.new + self.known + self.errors


@dataclass(slots=True)
class _Batch:
    rows: list[Row] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)


def import_contacts(
    engine: Engine,
    campaign: CampaignRow,
    file: BinaryIO,
    *,
    now: datetime,
    on_progress: Callable[[Imported], None] = lambda _done: None,
) -> Imported:
    """Take in the contacts of a file that a campaign does not have yet.

    Rows that cannot be called are kept in ``contact_errors``, in place of those of the last import.

    Args:
        engine: of the store.
        campaign: its definition says what the columns are.
        file: read once from where it stands; it need not be seekable.
        now: aware, in UTC; new contacts are due then.
        on_progress: called after each batch.

    Raises:
        ContactFileError: no row of the file can be read; nothing has changed.
        SQLAlchemyError: the database is away; the batches before that are in it.
    """
    campaign_id, definition = campaign.campaign_id, campaign.definition
    rows = read_rows(file, definition.source, consent_required=definition.consent_required)
    write(engine, lambda connection: clear_errors(connection, campaign_id))
    done = Imported()
    with _seldom_collected():
        for batch, added in _written(engine, _batches(rows), campaign_id, now):
            done = _after(done, batch, added)
            on_progress(done)
    detail = {
        "new": done.new,
        "known": done.known,
        "suppressed": done.suppressed,
        "errors": done.errors,
    }
    write(engine, lambda connection: note(connection, campaign_id, IMPORTED, detail, now=now))
    return done


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Have cycles looked for less often: rows have none, and each look costs a tenth of the time.

    Every 700 objects by default (docs.python.org/3/library/gc.html), and a batch has thousands.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _written(
    engine: Engine, batches: Iterator[_Batch], campaign_id: int, now: datetime
) -> Iterator[tuple[_Batch, Added]]:
    """Each batch when it is in the database."""
    if engine.dialect.name == "sqlite":
        # Not beside reading: SQLite is in this process, and on a busy machine that gained nothing
        # (observed 2026-11).
        for batch in batches:
            yield batch, write(engine, partial(_take_in, campaign_id, batch, now))
        return
    # The next one is read while the server works on this one.
    with ThreadPoolExecutor(1, thread_name_prefix="import") as pool:
        under_way: tuple[_Batch, Future[Added]] | None = None
        for batch in batches:
            if under_way is not None:
                yield under_way[0], under_way[1].result()
            under_way = (
                batch,
                pool.submit(write, engine, partial(_take_in, campaign_id, batch, now)),
            )
        if under_way is not None:
            yield under_way[0], under_way[1].result()


def _take_in(campaign_id: int, batch: _Batch, now: datetime, connection: Connection) -> Added:
    if connection.dialect.name == "sqlite":
        # Identities fall anywhere into their index, most of which is not in SQLite's usual 2 MB:
        # 200,000 rows came in at 16,000 a second with it, at 19,000 with this (observed 2026-11).
        connection.exec_driver_sql(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
        connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={SQLITE_LOG_PAGES}")
    added = add_contacts(connection, campaign_id, batch.rows, now=now)
    keep_errors(connection, campaign_id, batch.errors)
    return added


def _after(done: Imported, batch: _Batch, added: Added) -> Imported:
    room = SHOWN_ERRORS - len(done.first_errors)
    return Imported(
        done.new + added.new,
        done.known + added.known,
        done.suppressed + added.suppressed,
        done.errors + len(batch.errors),
        done.first_errors + tuple(batch.errors[:room]),
    )


def _batches(rows: Iterable[Row | RowError]) -> Iterator[_Batch]:
    batch, size = _Batch(), 0
    for row in rows:
        if isinstance(row, RowError):
            batch.errors.append(row)
            size += len(row.raw)
        elif (text := _text(row)) is None:
            message = "has half a character in it (a lone surrogate)"
            batch.errors.append(RowError(row.line, "", message, ""))
        else:
            batch.rows.append(row)
            size += len(text)
        if len(batch.rows) + len(batch.errors) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = _Batch(), 0
    if batch.rows or batch.errors:
        yield batch


def _text(row: Row) -> bytes | None:
    """All of it that has no bound; None: no database takes it, and it must not stop the others."""
    try:
        return orjson.dumps((row.name, row.key, row.consent, row.variables))
    except orjson.JSONEncodeError:
        return None
