"""What is kept of calls: the port, with the rows that go through it.

Writing never waits: ``save_…``, ``add_event`` and ``settle_message`` hand over and return at once,
and what cannot be written is counted, never raised, because a call must not notice its database.
Reading waits, with a deadline; so do the three that leave, take and withdraw messages, because they
need to know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.conversation.record import CallRecord
from workers.store.messages import CallMessage, MessageKind, MessageOutcome, MessageState


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
    """What was waited for did not succeed within its deadline."""


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

    async def leave_message(
        self, call_sid: str, kind: MessageKind, text: str, *, deadline_s: float = 2.0
    ) -> int:
        """Leave a message for the agent of a call; returns its number.

        Raises:
            StoreUnavailable: it was not written by the deadline, nor will be.
        """
        ...

    async def take_messages(
        self, call_sids: Collection[str], *, taker: str, deadline_s: float = 2.0
    ) -> list[CallMessage]:
        """Take the messages for these calls, oldest first; none that is older than its life.

        The first taker to ask has a message for good. It gets the same one again until it settles
        it, because the answer to an earlier question may have been lost: it must know by its
        number what it has seen.

        Args:
            call_sids: Calls that the taker serves.
            taker: The worker, by a name that no other has.
            deadline_s: How long an answer is waited for.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    def settle_message(self, number: int, outcome: MessageOutcome, detail: str = "") -> None:
        """Say what has become of a message; where that was final, nothing changes."""
        ...

    async def message_state(self, number: int, *, deadline_s: float = 2.0) -> MessageState | None:
        """How far a message has got, as far as it is written by now; None where there is none.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def withdraw_message(self, number: int, *, deadline_s: float = 2.0) -> bool:
        """Take a message back, so that nobody can take it any more; False where somebody has.

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
