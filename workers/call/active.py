"""The calls of this process: who may open a stream, how many at once, and when to forget.

An entry is made by the signed voice request, so a stream for a call that nobody announced has
none. It lives until the call is over: a terminal status callback, or ``FORGET_AFTER_S`` without a
stream, since Twilio sends the callback for inbound calls only where the number has one configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from agent.context.notes import Notes
from agent.conversation.record import CallRecord, TurnRecord
from telephony.calls.status import CallStatus, advance
from workers.store.calls import CallRow, CallStore

# Longer than the 30 s a transfer rings (twilio.com/docs/voice/twiml/dial) and than a ticket's life.
FORGET_AFTER_S = 60.0
# A transfer that was answered: Twilio asks what is next when the two have spoken, at most 4 hours
# later (twiml/dial, timeLimit). Forgotten before, the call would end, and be counted, twice.
FORGET_TRANSFERRED_AFTER_S = 4 * 3600 + FORGET_AFTER_S
# A stream whose end is known from elsewhere gets this long to end by itself (field: about 2 s
# between a closed socket and its redirect, openclaw PR #125469).
STREAM_GRACE_S = 2.0
IDLE_POLL_S = 0.1


class CallState(StrEnum):
    """What is to become of a call when its stream ends."""

    RINGING = "ringing"
    """Announced by the voice request; no stream yet."""
    IN_PROGRESS = "in_progress"
    """A stream has started; if it ends now, the call is unfinished."""
    FINISHED = "finished"
    """Nothing more to do: hang up."""
    APOLOGY = "apology"
    """We cannot go on: say so and hang up."""
    TRANSFER = "transfer"
    """To be connected to ``transfer_to``."""


@dataclass(slots=True, eq=False)
class CallEntry:
    """One call in memory."""

    call_sid: str
    account_sid: str
    direction: str
    from_: str
    to: str
    state: CallState = CallState.RINGING
    status: CallStatus = CallStatus.RINGING
    streams_started: int = 0
    reconnects: int = 0
    """Streams asked for because one ended before the call did."""
    history: list[TurnRecord] = field(default_factory=list)
    """Turns of the streams before this one."""
    notice: str | None = None
    """What a continued session is told first, such as that nobody answered a transfer."""
    transfer_to: str | None = None
    last_resort: bool = False
    """The transfer stands in for an agent that cannot go on: there is nothing to come back to."""
    notes: Notes = field(default_factory=Notes)
    """What operators and functions have its model know."""
    briefing: str | None = None
    """What whoever takes over hears before they are connected; never stored."""
    record: CallRecord | None = None
    stream_live: bool = False
    touched_at: float = 0.0
    _task: asyncio.Task[object] | None = None
    _ousted: bool = False
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def undecided(self) -> bool:
        """No stream has said yet what is to become of the call."""
        return self.state in (CallState.RINGING, CallState.IN_PROGRESS)

    def row(self) -> CallRow:
        """What the store keeps of it."""
        return CallRow(
            call_sid=self.call_sid,
            account_sid=self.account_sid,
            direction=self.direction,
            from_number=self.from_,
            to_number=self.to,
            state=self.state.value,
            status=self.status.value,
        )


class StreamRefused(Exception):
    """A stream may not be opened; ``reason`` is ``unknown``, ``over``, ``second`` or ``left``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"stream refused: {reason}")
        self.reason = reason


class ActiveCalls:
    """Entries by call SID. All methods belong to the event loop's thread.

    Args:
        limit: Calls at once.
        store: Where the entries are kept, too.
        clock: Monotonic seconds.
        on_over: Is told, once, that a call is over and forgotten.
    """

    def __init__(
        self,
        limit: int,
        store: CallStore,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_over: Callable[[CallEntry], None] = lambda _entry: None,
    ) -> None:
        self.limit = limit
        self.draining = False
        """True: calls that go on are served, new ones are not."""
        self._store = store
        self._clock = clock
        self._on_over = on_over
        self._entries: dict[str, CallEntry] = {}
        self._live = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[CallEntry]:
        return iter(list(self._entries.values()))

    @property
    def live_streams(self) -> int:
        """Streams open now."""
        return self._live

    @property
    def open_calls(self) -> int:
        """Calls that take up capacity: announced or under way, not those that are ending."""
        return sum(entry.stream_live or entry.undecided for entry in self._entries.values())

    def get(self, call_sid: str) -> CallEntry | None:
        """The entry of a call, if it is known here."""
        return self._entries.get(call_sid)

    def is_over(self, call_sid: str) -> bool:
        """Whether its agent will not speak again: it is unknown, or has nothing more to do."""
        entry = self._entries.get(call_sid)
        return entry is None or entry.state in (CallState.FINISHED, CallState.APOLOGY)

    def admit(
        self, *, call_sid: str, account_sid: str, direction: str, from_: str, to: str
    ) -> CallEntry | None:
        """Make the entry of a new call; None where there is no room for it.

        A repeated voice request (Twilio retries after a connect failure) finds its entry again.
        """
        self.sweep()
        known = self._entries.get(call_sid)
        if known is not None:
            known.touched_at = self._clock()
            return known
        if self.draining or self.open_calls >= self.limit:
            return None
        return self.adopt(
            CallEntry(
                call_sid=call_sid, account_sid=account_sid, direction=direction, from_=from_, to=to
            )
        )

    def adopt(self, entry: CallEntry) -> CallEntry:
        """Take over a call that is already under way: it is not refused for lack of room."""
        entry.touched_at = self._clock()
        self._entries[entry.call_sid] = entry
        self._store.save_call(entry.row())
        return entry

    @contextmanager
    def stream(self, call_sid: str, *, account_sid: str) -> Iterator[CallEntry]:
        """Hold the call's only stream, in the task that serves it.

        Raises:
            StreamRefused: the call is unknown or over, or has a stream; or (``left``, from
                within) Twilio has left the stream and it did not end by itself.
        """
        entry = self._entries.get(call_sid)
        if entry is None or entry.account_sid != account_sid:
            raise StreamRefused("unknown")
        if entry.stream_live:
            raise StreamRefused("second")
        if entry.status.terminal or not entry.undecided:
            raise StreamRefused("over")
        entry.stream_live = True
        entry.streams_started += 1
        entry.state = CallState.IN_PROGRESS
        entry._task = task = asyncio.current_task()
        entry._ousted = False
        entry._released.clear()
        self._live += 1
        self._store.save_call(entry.row())
        try:
            yield entry
        except asyncio.CancelledError:
            if not entry._ousted:
                raise
            if task is not None:
                task.uncancel()
            raise StreamRefused("left") from None
        finally:
            self._release(entry)

    def finish(self, entry: CallEntry) -> None:
        """Nothing more to do. To be called before the stream's socket is closed."""
        self._set(entry, CallState.FINISHED)

    def apologise(self, entry: CallEntry) -> None:
        """We cannot go on. To be called before the stream's socket is closed."""
        self._set(entry, CallState.APOLOGY)

    def transfer(
        self,
        entry: CallEntry,
        to: str,
        *,
        last_resort: bool = False,
        briefing: str | None = None,
    ) -> None:
        """Connect the caller to ``to``. To be called before the stream's socket is closed."""
        entry.transfer_to = to
        entry.briefing = briefing
        entry.last_resort = last_resort
        self._set(entry, CallState.TRANSFER)

    def resume(self, entry: CallEntry, *, notice: str | None = None) -> None:
        """The call gets another stream, whose session is told ``notice`` first."""
        entry.notice = notice
        entry.transfer_to = None
        self._set(entry, CallState.IN_PROGRESS)

    def note_status(self, call_sid: str, status: CallStatus) -> CallEntry | None:
        """Take in a status report; after a terminal one the call is forgotten.

        A stream that is still open then gets ``STREAM_GRACE_S`` to end by itself.
        """
        entry = self._entries.get(call_sid)
        if entry is None:
            return None
        entry.status = advance(entry.status, status)
        if not entry.status.terminal:
            self._set(entry, entry.state)
        else:
            self._set(entry, CallState.FINISHED)
            if entry.stream_live:
                asyncio.get_running_loop().call_later(STREAM_GRACE_S, _oust, entry)
            else:
                self._forget(entry)
        return entry

    async def stream_ended(self, entry: CallEntry, *, grace_s: float = STREAM_GRACE_S) -> bool:
        """Wait for the end of a stream that Twilio has left; cancel it after ``grace_s``.

        Returns False where even that did not end it in another ``grace_s``.
        """
        if not entry.stream_live or await _set_within(entry._released, grace_s):
            return True
        _oust(entry)
        return await _set_within(entry._released, grace_s)

    def sweep(self) -> None:
        """Forget calls that have had no stream and no request for ``FORGET_AFTER_S``."""
        now = self._clock()
        for entry in list(self._entries.values()):
            transferred = entry.state is CallState.TRANSFER
            forget_after_s = FORGET_TRANSFERRED_AFTER_S if transferred else FORGET_AFTER_S
            if not entry.stream_live and now - entry.touched_at >= forget_after_s:
                self._forget(entry)

    async def wait_idle(self, *, timeout_s: float) -> bool:
        """Wait until no stream is open and Twilio has asked what it is about to ask.

        Where nobody answers that, the caller hears Twilio's "an application error has occurred".
        Returns False where there was more to wait for after ``timeout_s``.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while any(map(self._awaited, self._entries.values())):  # noqa: ASYNC110  what is waited for is time
                    await asyncio.sleep(IDLE_POLL_S)
        except TimeoutError:
            return False
        return True

    def _awaited(self, entry: CallEntry) -> bool:
        """Whether a stream of the call is open, or a request about it may be on its way."""
        # A finished call's is for the hang-up; nothing follows it, or a hang-up of the caller's.
        over = entry.state is CallState.FINISHED
        asks_within_s = STREAM_GRACE_S if over else FORGET_AFTER_S
        return entry.stream_live or self._clock() - entry.touched_at < asks_within_s

    def _release(self, entry: CallEntry) -> None:
        entry.stream_live = False
        entry._task = None
        entry._released.set()
        entry.touched_at = self._clock()
        self._live -= 1
        self._store.save_call(entry.row())
        if entry.status.terminal:
            self._forget(entry)

    def _forget(self, entry: CallEntry) -> None:
        if self._entries.pop(entry.call_sid, None) is not None:
            self._on_over(entry)

    def _set(self, entry: CallEntry, state: CallState) -> None:
        entry.state = state
        entry.touched_at = self._clock()
        self._store.save_call(entry.row())


def _oust(entry: CallEntry) -> None:
    # Once: a second time would cut short what is cleared away and kept after the first.
    if entry._task is not None and not entry._ousted:
        entry._ousted = True
        entry._task.cancel("Twilio has left this stream")


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
