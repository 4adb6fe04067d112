"""Every call that was asked for by REST and made, and what became of it: the test's own evidence.

It is kept apart from what REST remembers, so that nobody can delete from it, and it has no audio:
some hundred bytes a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from workers.twin.twilio_api import states

# Ten times the largest campaign that is rehearsed; beyond it the oldest are dropped and counted.
MOST_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One call; instants are POSIX seconds of the twin's wall clock, None: has not come to it."""

    sid: str
    to: str
    from_: str
    status_callback: str
    """The whole URL."""
    asked_at: float
    """When ``POST /Calls.json`` was carried out."""
    left_queue_at: float | None = None
    rang_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: str = states.QUEUED
    """The last that it came to; ``initiated`` is told apart from ``queued``, unlike in REST."""
    recorded_ms: int = 0
    """How long a voicemail heard somebody speak after its beep."""

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters in the status callback's URL; of several with one name the last."""
        return dict(parse_qsl(urlsplit(self.status_callback).query, keep_blank_values=True))


_INSTANTS = {
    states.INITIATED: "left_queue_at",
    states.RINGING: "rang_at",
    states.IN_PROGRESS: "answered_at",
    **dict.fromkeys(states.TERMINAL, "ended_at"),
}


class Ledger:
    """Iterate over it for the entries, oldest first."""

    def __init__(self) -> None:
        self._entries: dict[str, LedgerEntry] = {}
        self.dropped = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __iter__(self) -> Iterator[LedgerEntry]:
        """Go through a copy, so that calls may change meanwhile."""
        return iter(tuple(self._entries.values()))

    def __getitem__(self, sid: str) -> LedgerEntry:
        """Give one call's entry.

        Raises:
            KeyError: no such call was asked for.
        """
        return self._entries[sid]

    def open(self, entry: LedgerEntry) -> None:
        """Enter a call that has just been asked for."""
        if len(self._entries) >= MOST_ENTRIES:
            del self._entries[next(iter(self._entries))]
            self.dropped += 1
        self._entries[entry.sid] = entry

    def enter(self, sid: str, state: str, at: float) -> None:
        """Note that a call came to another state; calls that were not asked for are left out."""
        entry = self._entries.get(sid)
        if entry is not None:
            # By name, and each name is one of a float.
            instant: dict[str, float] = {_INSTANTS[state]: at}
            self._entries[sid] = replace(entry, status=state, **instant)  # type: ignore[arg-type]

    def recorded(self, sid: str, loud_ms: int) -> None:
        """Note for how long a voicemail heard speech."""
        entry = self._entries.get(sid)
        if entry is not None:
            self._entries[sid] = replace(entry, recorded_ms=loud_ms)

    def asked_per_second(self) -> Counter[int]:
        """Count the requests in each whole POSIX second of the wall clock that had any."""
        return Counter(int(entry.asked_at) for entry in self._entries.values())

    def started_per_second(self) -> Counter[int]:
        """Count the calls that left the queue, likewise."""
        return Counter(
            int(entry.left_queue_at)
            for entry in self._entries.values()
            if entry.left_queue_at is not None
        )
