"""A broker in a folder: for one machine, with nothing to install and nothing to start.

Kombu has a transport like it (``filesystem://``), which we cannot use: it opens a message's file
before it writes to it, so that a reader may find it empty and ends with a ``JSONDecodeError``
(celery/kombu #1551), and a process that is killed while it writes the table of an exchange leaves
one that nobody can ever read again (treeverse/dvc-task #73 is the same without the kill). Kombu's
SQL transport keeps every message for good and has no fanout, which ``inspect`` and Flower need.

Here every message and every binding is a file of its own, written under another name and then
renamed, so that it is whole or not there. A message belongs to whoever manages to delete it.
Nothing is locked. What was taken and not done is lost when its process is killed; messages only
say "look", and the next one says it again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import structlog
from kombu.transport import TRANSPORT_ALIASES, virtual

SCHEME: Final = "folder"
"""Of a broker's URL; the folder itself is the transport option of this name."""
MOST_WAITING: Final = 1_000
"""In one queue; the newest is dropped. Nobody reads a queue that is so long."""
OLD_S: Final = 600.0
"""A message's age when it is deleted unread; ours expire in a tenth of it."""
SWEEP_S: Final = 60.0

_MESSAGE: Final = ".msg"
_BINDING: Final = ".binding"
_PARTIAL: Final = ".partial"

_log = structlog.get_logger(__name__)


def register() -> None:
    """Let Kombu know of ``folder://``."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


class Channel(virtual.Channel):
    """Queues and bindings as files."""

    # Kombu calls _queue_bind for those alone.
    supports_fanout = True

    _numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Kombu's
        self._folder = Path(self.connection.client.transport_options[SCHEME])
        self._swept = time.monotonic()

    # Queues: what virtual.Channel asks for.

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        self._sweep()
        if self._size(queue) >= MOST_WAITING:
            _log.warning("embedded.queue_full", queue=queue)
            return
        # Sorted by name is sorted by age.
        name = f"{time.time_ns():020}-{next(self._numbers):06}-{uuid4().hex}{_MESSAGE}"
        _write(self._queue(queue) / name, message)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for path in self._messages(queue):
            try:
                data = path.read_bytes()
                path.unlink()
            except FileNotFoundError:
                # Somebody else's.
                continue
            try:
                return json.loads(data)
            except ValueError:
                # A disk that lost power; files of ours are whole.
                _log.warning("embedded.unreadable", queue=queue, size_bytes=len(data))
        raise Empty

    def _size(self, queue: str) -> int:
        return sum(1 for _ in self._messages(queue))

    def _purge(self, queue: str) -> int:
        count = 0
        for path in self._messages(queue):
            with suppress(FileNotFoundError):
                path.unlink()
                count += 1
        return count

    # Bindings.

    def get_table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """Return routing key, pattern and queue of everything bound to an exchange."""
        table = []
        for path in _files(self._exchange(exchange), _BINDING):
            with suppress(FileNotFoundError, ValueError):
                key, pattern, queue = json.loads(path.read_bytes())
                table.append((key, pattern, queue))
        return table

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        path = self._binding(exchange, routing_key, pattern, queue)
        if not path.exists():
            _write(path, [routing_key or "", pattern or None, queue or ""])

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **_: Any) -> None:
        for _key, _pattern, queue in self.get_table(exchange):
            self._put(queue, message)

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *_: Any, **__: Any
    ) -> None:
        self._binding(exchange, routing_key, pattern, queue).unlink(missing_ok=True)
        shutil.rmtree(self._queue(queue), ignore_errors=True)

    # Files.

    def _queue(self, queue: str) -> Path:
        return self._folder / "queues" / quote(queue, safe="")

    def _exchange(self, exchange: str) -> Path:
        # The default exchange has no name.
        return self._folder / "exchanges" / f"x-{quote(exchange, safe='')}"

    def _binding(self, exchange: str, routing_key: str, pattern: str, queue: str) -> Path:
        whole = json.dumps([routing_key or "", pattern or None, queue or ""])
        digest = hashlib.sha256(whole.encode()).hexdigest()[:32]
        return self._exchange(exchange) / f"{digest}{_BINDING}"

    def _messages(self, queue: str) -> list[Path]:
        return _files(self._queue(queue), _MESSAGE)

    def _sweep(self) -> None:
        """Delete what is too old to be read by anybody, once in a while."""
        if time.monotonic() - self._swept < SWEEP_S:
            return
        self._swept = time.monotonic()
        for path in self._old(time.time() - OLD_S):
            with suppress(OSError):
                path.unlink()

    def _old(self, before: float) -> Iterator[Path]:
        for pattern in (f"queues/*/*{_MESSAGE}", f"*/*/*{_PARTIAL}"):
            for path in self._folder.glob(pattern):
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        yield path


class Transport(virtual.Transport):
    """``folder://``; the transport option ``folder`` says where."""

    Channel = Channel
    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    # A full disk, or a folder that may not be written: tried again later.
    connection_errors: tuple[type[Exception], ...] = (  # type: ignore[assignment]  # Kombu's
        *virtual.Transport.connection_errors,
        OSError,
    )
    driver_type = SCHEME
    driver_name = SCHEME

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]  # Kombu's
        # What this connection has declared; what is bound is in the folder.
        self.state = virtual.BrokerState()

    def driver_version(self) -> str:
        """Return that there is none of its own."""
        return "N/A"


def _files(folder: Path, suffix: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(suffix)]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names)]


def _write(path: Path, content: Any) -> None:
    """Write a file that is whole from the moment it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{uuid4().hex}{_PARTIAL}")
    partial.write_text(json.dumps(content))
    partial.replace(path)
