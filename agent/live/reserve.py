"""A connection in reserve, opened while another is left, so that a failed resume costs no dial.

It is told what was said up to then. Whatever is said or done afterwards makes it stale, and with
the next turn a newer one takes its place, a few times.
"""

from __future__ import annotations

MAX_STANDBYS = 3
"""Opened while one connection is left; after that a fresh dial is as good."""


class Reserve:
    """Which stand-by there is, and whether it is of use."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._opened = 0
        self._attempt: int | None = None
        self._model = ""
        self._changes = 0
        self._ready = False

    @property
    def pending(self) -> bool:
        """Whether one is being dialled."""
        return self._attempt is not None and not self._ready

    def holds(self, attempt: int) -> bool:
        """Whether the stand-by is the one of this dial."""
        return self._attempt == attempt

    def left(self) -> None:
        """Another connection is going to be left: count anew."""
        self._opened = 0

    def needs_one(self, changes: int, *, planned: bool = False) -> bool:
        """Whether a stand-by should be opened, in place of one that is stale.

        Args:
            changes: How often the conversation has changed.
            planned: The next session will be a fresh one in any case.
        """
        fresh = self._attempt is not None and self._changes == changes
        return (self._wanted or planned) and not fresh and self._opened < MAX_STANDBYS

    def dialled(self, attempt: int, model: str, changes: int) -> None:
        """A stand-by is being dialled; it is told what was said up to now."""
        self._opened += 1
        self._attempt, self._model, self._changes = attempt, model, changes
        self._ready = False

    def came_up(self) -> None:
        """Its setup is complete."""
        self._ready = True

    def take(self, model: str, changes: int) -> int | None:
        """Return the dial of a stand-by that may serve at once, and keep it no longer."""
        if not self.fits(model, changes):
            return None
        attempt, self._attempt, self._ready = self._attempt, None, False
        return attempt

    def fits(self, model: str, changes: int) -> bool:
        """Whether it may serve at once."""
        return self._ready and (self._model, self._changes) == (model, changes)

    def drop(self) -> bool:
        """Give it up; False where there was none."""
        known, self._attempt, self._ready = self._attempt is not None, None, False
        return known
