"""What is kept of calls: the port, with the rows that go through it.

Writing never waits: the four writers hand over and return at once, and what cannot be written is
counted, never raised, because a call must not notice its database. Reading waits, with a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.conversation.record import CallRecord


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as the phone side knows it."""

    call_sid: str
    account_sid: str
    direction: str
    from_number: str
    to_number: str
    state: str
    """``CallState`` of workers.call.active."""
    status: str
    """Twilio's ``CallStatus``."""


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened to a call, such as a status callback."""

    at: datetime
    kind: str
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call as it is stored. ``record`` is None until the first stream of it has ended."""

    row: CallRow
    record: CallRecord | None
    created_at: datetime
    updated_at: datetime


class StoreUnavailable(Exception):
    """A read did not succeed within its deadline."""


class CallStore(Protocol):
    """Where calls are kept."""

    @property
    def lost(self) -> int:
        """Writes that were given up so far."""
        ...

    def save_call(self, row: CallRow) -> None:
        """Insert the call, or bring it up to date."""
        ...

    def save_record(self, call_sid: str, record: CallRecord) -> None:
        """Keep the record as it is now, replacing an older one of the same call."""
        ...

    def add_event(self, call_sid: str, kind: str, payload: Mapping[str, object]) -> None:
        """Append to what happened to a call."""
        ...

    async def load_call(self, call_sid: str, *, deadline_s: float = 2.0) -> StoredCall | None:
        """The call, as far as it is written by now; None where there is none.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def load_events(self, call_sid: str, *, deadline_s: float = 2.0) -> list[CallEvent]:
        """What happened to a call, oldest first.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def list_calls(self, *, limit: int = 50, deadline_s: float = 5.0) -> list[StoredCall]:
        """The newest calls, newest first.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        """Wait until everything handed over before is written or given up; False if it is not."""
        ...

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left, as far as the deadline allows, and let go of the database."""
        ...
