"""A child's end of the socket pair to its parent."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Self

import structlog

from workers.entrypoints.supervisor.events import Reason
from workers.entrypoints.supervisor.words import HURRY, LEAVE, READY, RECYCLE, REPLACED, Lines

_READ_BYTES = 1024

_log = structlog.get_logger(__name__)


class ParentLink:
    """Tells the parent how it goes, and hears when to leave; from enter to exit."""

    def __init__(self, end: socket.socket) -> None:
        self.leave = asyncio.Event()
        """The parent wants it, or is gone."""
        self.hurry = asyncio.Event()
        self.replaced = False
        """Another one serves in its place by now."""
        self.parent_gone = False
        self._end = end
        self._lines = Lines()

    def __enter__(self) -> Self:
        self._end.setblocking(False)
        asyncio.get_running_loop().add_reader(self._end, self._read)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()

    def ready(self) -> None:
        """Serving begins."""
        self._tell(READY)

    def recycle(self, reason: Reason) -> None:
        """A replacement is wanted."""
        self._tell(f"{RECYCLE} {reason}")

    def _tell(self, line: str) -> None:
        try:
            self._end.send(f"{line}\n".encode())
        except OSError:
            # It is gone, which reading tells, or has not read for thousands of lines.
            return

    def _read(self) -> None:
        try:
            data = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._end)
            self.parent_gone = True
            _log.error("supervisor.parent_gone")
            self.leave.set()
            return
        for word in self._lines.feed(data):
            if word in (LEAVE, REPLACED):
                self.replaced = word == REPLACED
                self.leave.set()
            elif word == HURRY:
                self.leave.set()
                self.hurry.set()
