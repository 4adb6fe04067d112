"""What is kept of calls: the port, with the rows that go through it.

Writing never waits: ``save_…``, ``checkpoint``, ``note_status``, ``add_event`` and
``settle_message`` hand over and return at once, and what cannot be written is counted, never
raised, because a call must not notice its database. Reading waits, with a deadline; so does what
needs to know: who leaves, takes and withdraws messages, claims a call, or says that it lives.

A call has one owner. Whoever takes it over takes its fencing number, which is one higher then, and
what is written under a lower one is refused (Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from agent.checkpoint import SessionCheckpoint
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
    """Twilio's ``CallStatus``. A terminal one stays."""
    owner: str = ""
    """The worker that serves its stream; empty where none does."""
    fence: int = 0
    """The fencing number of whoever writes this; 0 before the call's first stream."""
    streams: int = 0
    """The number of its newest stream, counted from 1."""
    transfer_to: str | None = None
    last_resort: bool = False
    lost_at: tuple[float, ...] = ()
    """When streams were lost under the caller, in seconds of the Unix clock, oldest first."""


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


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One item of the lists in a call's record, by its place there; a later one replaces it."""

    kind: str
    """The field of ``CallRecord``, ``turns`` for one; with a dot what lies deeper:
    ``context.samples``."""
    place: int
    item: object
    """A dataclass of ``agent.conversation.record``."""


@dataclass(frozen=True, slots=True)
class RecalledCall:
    """A call as another worker finds it."""

    row: CallRow
    record: CallRecord | None
    """The newest there is: the checkpoint's with its journal, else the one of the last stream."""
    checkpoint: SessionCheckpoint | None
    updated_at: datetime


class ClaimOutcome(StrEnum):
    """What became of a claim."""

    TAKEN = "taken"
    """The call is ours, under a new fencing number."""
    SECOND = "second"
    """A stream with this number, or a later one, is there or has been."""
    OVER = "over"
    """Its state or status says that it has ended, or is to be hung up or transferred."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim; ``call`` is as it is now, and as the last owner left it."""

    outcome: ClaimOutcome
    call: RecalledCall


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it says of itself."""

    worker: str
    """By a name that no other has, nor ever had."""
    beats: int
    """Counts its signs of life: one that stands still is dead, whatever anybody's clock says."""
    draining: bool
    calls: int
    """Streams it serves."""
    host: str
    pid: int
    started_at: datetime | None = None
    seen_at: datetime | None = None
    """When it said so, by its own clock."""
    capacity: int | None = None
    """Calls it takes at once; None: not said."""


@dataclass(frozen=True, slots=True)
class FleetSeen:
    """What a sign of life is answered with."""

    workers: tuple[WorkerRow, ...]
    """All there are, the asker included."""
    lost: tuple[str, ...]
    """Calls of the asker's that have a higher fencing number by now."""


class StoreUnavailable(Exception):
    """What was waited for did not succeed within its deadline."""


class CallStore(Protocol):
    """Where calls are kept."""

    on_refused: Callable[[str, int], None]
    """Told the call SID and the fencing number of a write that was refused because the call has a
    higher one. Called in a thread of the store's; does nothing until somebody sets it."""

    @property
    def lost(self) -> int:
        """Writes that were given up so far."""
        ...

    @property
    def refused(self) -> int:
        """Writes so far that were refused because their call had a higher fencing number."""
        ...

    @property
    def waiting(self) -> int:
        """Writes that were handed over and are still to be made."""
        ...

    @property
    def away(self) -> bool:
        """Whether the last attempt to write failed: the database is not there at the moment."""
        ...

    def save_call(self, row: CallRow) -> None:
        """Insert the call, or bring it up to date; refused under a lower fencing number.

        A terminal status stays, whatever the row says.
        """
        ...

    def note_status(self, call_sid: str, status: str) -> None:
        """Keep what Twilio says of a call, whoever serves it; a terminal status stays.

        Where there is no such call, nothing is kept.
        """
        ...

    def checkpoint(
        self,
        call_sid: str,
        checkpoint: SessionCheckpoint,
        head: CallRecord,
        entries: Sequence[JournalEntry],
        *,
        fence: int,
    ) -> None:
        """Keep what another worker needs to go on with the call; refused under a lower number.

        Args:
            call_sid: The call.
            checkpoint: Its session.
            head: Its record, the journalled lists of which are empty.
            entries: What has been added to these lists, or has changed there.
            fence: Ours.
        """
        ...

    def save_record(
        self, call_sid: str, record: CallRecord, *, fence: int = 0, final: bool = False
    ) -> None:
        """Keep the record as it is now, replacing an older one of the same call.

        ``final``: the call is over, its checkpoint and journal are dropped. Refused under a lower
        fencing number; of a call without a row, it is kept.
        """
        ...

    def add_event(self, call_sid: str, kind: str, payload: Mapping[str, object]) -> None:
        """Append to what happened to a call."""
        ...

    async def claim(
        self, row: CallRow, *, owner: str, stream: int, at: float, deadline_s: float = 1.0
    ) -> Claim:
        """Take a call over for the stream that has just started, under the next fencing number.

        One stream number is claimed once. The owner is set, and the state to ``in_progress``; where
        it was that before and there was a stream, that one was lost, and ``at`` is added to
        ``lost_at``.

        Args:
            row: The call, where it is not known yet; else only its SID is looked at.
            owner: Us.
            stream: The number of the stream.
            at: The Unix clock.
            deadline_s: How long an answer is waited for.

        Raises:
            StoreUnavailable: no answer by the deadline. It may have been taken for all that.
        """
        ...

    async def recall(self, call_sid: str, *, deadline_s: float = 1.0) -> RecalledCall | None:
        """A call with its newest record and checkpoint; None where there is none.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def unserved(
        self,
        dead: Collection[str],
        *,
        idle_s: float,
        over_s: float,
        limit: int = 100,
        deadline_s: float = 2.0,
    ) -> list[StoredCall]:
        """Calls that nobody serves and that there is something to do about, oldest first.

        That is until their state is ``finished``, whatever their status says. Of those without an
        owner, one that has had no stream counts only while it is ``ringing``.

        Args:
            dead: Workers that are; what they own counts as served by nobody, whatever they had
                decided about it.
            idle_s: Of calls without an owner, or with one that is on no list: nothing was written
                of them for so long.
            over_s: The same where Twilio has said that the call is over and it had a stream; at
                most ``idle_s``.
            limit: How many at most.
            deadline_s: How long an answer is waited for.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def take_from(
        self, call_sid: str, *, fence: int, deadline_s: float = 2.0
    ) -> CallRow | None:
        """Take a call away from a dead owner, so that nothing it may still write counts.

        Its fencing number is one higher then, and it has no owner. One asker has it, where several
        ask at once; None for the others, and where ``fence`` is not its number any more.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        """Say that a worker lives, and learn who else does and which calls it has lost.

        Args:
            worker: Us.
            serving: Fencing number by call SID of what we serve.
            deadline_s: How long an answer is waited for.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def forget_worker(self, worker: str, *, deadline_s: float = 2.0) -> None:
        """Take a worker off the list: it has left in order, or is dead and has no calls any more.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
        ...

    async def list_workers(self, *, deadline_s: float = 2.0) -> list[WorkerRow]:
        """All workers on the list.

        Raises:
            StoreUnavailable: no answer by the deadline.
        """
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

    async def list_calls(
        self, *, limit: int = 50, live: bool = False, deadline_s: float = 5.0
    ) -> list[StoredCall]:
        """The newest calls, newest first; ``live``: only those that are not over.

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

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        """Wait until what was handed over before is written; False where it is not by then.

        Unlike ``flush`` it does not wait at all for a database that is ``away``.
        """
        ...

    async def flush(self, *, deadline_s: float = 5.0) -> bool:
        """Wait until everything handed over before is written or given up; False if it is not."""
        ...

    async def close(self, *, deadline_s: float = 5.0) -> None:
        """Write what is left, as far as the deadline allows, and let go of the database."""
        ...
