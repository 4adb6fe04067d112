"""Accepting from a socket that several processes listen on, so that all of them get streams.

Left to the kernel, whoever is awake first gets a connection. That is mostly the process that is
busy already: of three processes one got all of 36 calls, of two one got seven eighths (observed,
Linux 6.18, libuv accepting). So whoever has more streams than another lets the others go first.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import structlog

from workers.entrypoints.stream_counts import StreamCounts

GIVE_WAY_S: Final = 0.05
"""So long the others have to take what waits: a loop in which calls begin takes tens of ms to turn.
Where none of them does, a connection is that much later, which nobody notices."""
MANY: Final = 16
"""So many are taken where the others had time and did not: they may stand still for long."""
NEW_S: Final = 0.1
"""So long a connection counts as a stream before its request says what it is."""
RETRY_S: Final = 1.0
"""After an error that passes; as asyncio has it (``ACCEPT_RETRY_DELAY``)."""
# accept(2): no file descriptors or memory are left, for the process or the system.
_PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = structlog.get_logger(__name__)


class TakingTurns:
    """A server, as asyncio makes them, on a socket that other processes accept from as well.

    Args:
        listener: The socket; it is closed at the end, which does not close it elsewhere.
        protocol: Makes the protocol of a connection.
        counts: The streams of all of them.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        counts: StreamCounts,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._counts = counts
        self._later: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[object]] = set()
        self._closed = False
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Accept no more; what is connected goes on."""
        if self._closed:
            return
        self._closed = True
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Return at once: connections are the protocols' to close."""

    def _watch(self) -> None:
        self._later = None
        self._loop.add_reader(self._listener, self._somebody_waits)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(seconds, then)

    def _somebody_waits(self) -> None:
        if self._counts.somebody_has_fewer():
            self._pause(GIVE_WAY_S, self._after_giving_way)
        else:
            self._accept()

    def _after_giving_way(self) -> None:
        """Whoever waits still is taken: the others are busier than they seem, or stand still."""
        self._watch()
        for _ in range(MANY):
            if not self._accept():
                break

    def _accept(self) -> bool:
        """Take one connection; with the next it may be another's turn."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was first, or the caller has gone
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            _log.error("server.cannot_accept", why=str(error), again_in_s=RETRY_S)
            self._pause(RETRY_S, self._watch)
            return False
        connection.setblocking(False)
        self._counts.add(1)
        self._loop.call_later(NEW_S, self._counts.add, -1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._connecting.add(task)
        task.add_done_callback(self._connected)
        return True

    def _connected(self, task: asyncio.Task[object]) -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("server.connection_not_begun", exc_info=error)
