"""How many media streams each process of one parent has, in a page of memory that they share.

A number for each place, which its process alone writes: nothing is locked. A process that is killed
leaves its last one behind, which its parent takes away.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

_FILE: Final = "streams"
_UNSET: Final = 0
"""Nobody takes new calls at this place; else there is one more than the streams it has."""


class StreamCounts:
    """One process's view of them.

    Args:
        folder: The parent's private directory.
        place: The process's place; what is beyond the page neither gives way nor is given way to.
    """

    def __init__(self, folder: Path, place: int) -> None:
        fd = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size < mmap.PAGESIZE:
                # By the parent, before any other. Written, not left empty: a page that finds no
                # room on a full disk would kill whoever touches it (SIGBUS, mmap(2)).
                os.pwrite(fd, bytes(mmap.PAGESIZE), 0)
            page = mmap.mmap(fd, mmap.PAGESIZE)
        finally:
            os.close(fd)
        self._all = memoryview(page).cast("I")
        self._place = place if place < len(self._all) else None
        self._own = 0
        self._leaving = False

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the page's name; whoever has it open keeps it."""
        (folder / _FILE).unlink(missing_ok=True)

    def add(self, streams: int) -> None:
        """So many more this process has."""
        self._own += streams
        self._write()

    def leave(self) -> None:
        """New calls are for the others, as long as there are any."""
        if self._place is not None:
            self._all[self._place] = _UNSET
        self._leaving = True

    def hand_on(self) -> None:
        """The place is another's from now on."""
        self._place = None

    def somebody_has_fewer(self) -> bool:
        """Whether a new call is another process's rather than this one's."""
        if self._leaving:
            return any(self._all)
        if self._place is None:
            return False
        # Once more: one that is being replaced by this one has written there, too.
        self._write()
        return any(_UNSET < each <= self._own for each in self._all)

    def _write(self) -> None:
        if self._place is not None and not self._leaving:
            self._all[self._place] = self._own + 1
