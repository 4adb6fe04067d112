"""How many media streams each process of one parent has, in a page of memory that they share.

A number for each place, which its process alone writes: nothing is locked, and a process that is
killed leaves its last one behind until the one that replaces it writes.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

_FILE: Final = "streams"
_UNSET: Final = 0
"""Nobody has served at this place yet; else there is one more than the streams it has."""


class StreamCounts:
    """This process's view of them.

    Args:
        folder: The parent's private directory.
        place: This process's place; what is beyond the page neither gives way nor is given way to.
    """

    def __init__(self, folder: Path, place: int) -> None:
        fd = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            page = mmap.mmap(fd, mmap.PAGESIZE)
        finally:
            os.close(fd)
        self._all = memoryview(page).cast("I")
        self._place = place if place < len(self._all) else None
        self._own = 0

    def add(self, streams: int) -> None:
        """So many more this process has."""
        self._own += streams
        self._write()

    def hand_on(self) -> None:
        """The place is another's from now on."""
        self._place = None

    def somebody_has_fewer(self) -> bool:
        """Whether another process has fewer than this one."""
        if self._place is None:
            return False
        return any(_UNSET < each <= self._own for each in self._all)

    def _write(self) -> None:
        if self._place is not None:
            self._all[self._place] = self._own + 1
