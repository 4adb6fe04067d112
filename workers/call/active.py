"""The calls of this process: who may open a stream, how many at once, and when to forget.

An entry is made by the signed voice request, or for a stream that another process has announced
(``workers.call.takeover``). It lives until the call is over: a terminal status callback, or
``FORGET_AFTER_S`` without a stream, since Twilio sends the callback for inbound calls only where
the number has one configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from telephony.calls.status import CallStatus, advance
from workers.call.entry import CallEntry, CallState
from workers.store.calls import CallStore

# Longer than the 30 s a transfer rings (twilio.com/docs/voice/twiml/dial) and than a ticket's life.
FORGET_AFTER_S = 60.0
# A transfer that was answered: Twilio asks what is next when the two have spoken, at most 4 hours
# later (twiml/dial, timeLimit). Forgotten before, the call would end, and be counted, twice.
FORGET_TRANSFERRED_AFTER_S = 4 * 3600 + FORGET_AFTER_S
# A stream follows its announcement within a second or two, a spoken sentence later where one is
# said; one that another process was given takes up no place here for longer than that.
ANNOUNCED_S = 15.0
# A stream whose end is known from elsewhere gets this long to end by itself (field: about 2 s
# between a closed socket and its redirect, openclaw PR #125469).
STREAM_GRACE_S = 2.0

_log = structlog.get_logger(__name__)


class StreamRefused(Exception):
    """A stream may not be opened, or goes on no longer.

    ``reason`` is ``unknown``, ``over``, ``second``; or, from within, ``left`` (by Twilio) or
    ``taken`` (by another worker).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"stream refused: {reason}")
        self.reason = reason


class ActiveCalls:
    """Entries by call SID. All methods belong to the event loop's thread.

    Args:
        limit: Calls at once.
        store: Where the entries are kept, too.
        clock: Monotonic seconds.
        worker: This worker's name.
        on_over: Is told, once, that a call is over and forgotten.
    """

    def __init__(
        self,
        limit: int,
        store: CallStore,
        clock: Callable[[], float] = time.monotonic,
        *,
        worker: str = "",
        on_over: Callable[[CallEntry], None] = lambda _entry: None,
    ) -> None:
        self.limit = limit
        self.worker = worker
        self.draining = False
        """True: calls that go on are served, new ones are not."""
        self.elsewhere: Callable[[], bool] = lambda: False
        """Whether another worker would take a call that is sent away."""
        self.on_taken: Callable[[], None] = lambda: None
        """Told when another worker has taken a call while a stream of it was served here."""
        self._store = store
        self._clock = clock
        self._on_over = on_over
        self._entries: dict[str, CallEntry] = {}
        self._live = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[CallEntry]:
        return iter(list(self._entries.values()))

    def now(self) -> float:
        """Its clock."""
        return self._clock()

    @property
    def live_streams(self) -> int:
        """Streams open now."""
        return self._live

    @property
    def open_calls(self) -> int:
        """Calls that take up capacity: announced or under way, not those that are ending."""
        now = self._clock()
        return sum(
            entry.stream_live
            or (entry.undecided and now - entry.touched_at < _expected_within_s(entry))
            for entry in self._entries.values()
        )

    @property
    def serving(self) -> dict[str, int]:
        """Fencing numbers by call SID of what was claimed here and is not over."""
        return {
            entry.call_sid: entry.fence
            for entry in self._entries.values()
            if entry.fence and not entry.unclaimed
        }

    @property
    def awaited(self) -> bool:
        """Whether a stream is open, or Twilio may be about to ask something about a call."""
        return any(map(self._is_awaited, self._entries.values()))

    def get(self, call_sid: str) -> CallEntry | None:
        """The entry of a call, if it is known here."""
        return self._entries.get(call_sid)

    def is_over(self, call_sid: str) -> bool:
        """Whether its agent will not speak again here: it is unknown, or has nothing more to do."""
        entry = self._entries.get(call_sid)
        return entry is None or entry.state in (CallState.FINISHED, CallState.APOLOGY)

    def admit(
        self, *, call_sid: str, account_sid: str, direction: str, from_: str, to: str
    ) -> CallEntry | None:
        """Make the entry of a new call; None where there is no room for it.

        A repeated voice request (Twilio retries after a connect failure) finds its entry again. A
        worker that is being emptied keeps none where another one will have the stream.
        """
        self.sweep()
        known = self._entries.get(call_sid)
        if known is not None:
            known.touched_at = self._clock()
            return known
        entry = CallEntry(
            call_sid=call_sid, account_sid=account_sid, direction=direction, from_=from_, to=to
        )
        if self.draining:
            return entry if self.elsewhere() else None
        if self.open_calls >= self.limit:
            return None
        return self.adopt(entry)

    def adopt(self, entry: CallEntry) -> CallEntry:
        """Take in a call, new or already under way: the latter is not refused for lack of room."""
        entry.touched_at = self._clock()
        self._entries[entry.call_sid] = entry
        self._save(entry)
        return entry

    def drop(self, entry: CallEntry) -> None:
        """Forget a call that goes on elsewhere."""
        if self._entries.get(entry.call_sid) is entry:
            del self._entries[entry.call_sid]

    @contextmanager
    def stream(self, entry: CallEntry) -> Iterator[CallEntry]:
        """Hold the call's only stream, in the task that serves it.

        Raises:
            StreamRefused: the call is over, or has a stream; or, from within, Twilio has left the
                stream and it did not end by itself, or another worker has taken the call.
        """
        if entry.stream_live:
            raise StreamRefused("second")
        if entry.status.terminal or not entry.undecided:
            raise StreamRefused("over")
        entry.stream_live = True
        entry.owner = self.worker
        entry.state = CallState.IN_PROGRESS
        entry.task = task = asyncio.current_task()
        entry.ousted = False
        entry.released.clear()
        self._live += 1
        self._save(entry)
        try:
            yield entry
        except asyncio.CancelledError:
            if not entry.ousted:
                raise
            if task is not None:
                task.uncancel()
            raise StreamRefused("taken" if entry.taken_over else "left") from None
        finally:
            self._release(entry)

    def keep(self, entry: CallEntry) -> None:
        """Have a call stored as it stands. To be called before the stream's socket is closed."""
        self._save(entry)

    def finish(self, entry: CallEntry) -> None:
        """Nothing more to do. To be called before the stream's socket is closed."""
        self._set(entry, CallState.FINISHED)

    def apologise(self, entry: CallEntry) -> None:
        """We cannot go on. To be called before the stream's socket is closed."""
        self._set(entry, CallState.APOLOGY)

    def hand_over(self, entry: CallEntry) -> None:
        """Another worker is to go on. To be called before the stream's socket is closed."""
        self._set(entry, CallState.HANDED_OVER)

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

    def resume(self, entry: CallEntry) -> None:
        """The call comes back from a transfer."""
        self.take(entry)
        entry.transfer_to = None
        self._set(entry, CallState.HANDED_OVER)

    def note_unserved(self, entry: CallEntry) -> None:
        """A stream has ended that nobody served, which is counted; the call gets another one."""
        self.take(entry)
        entry.unserved = False
        self._set(entry, CallState.HANDED_OVER)

    def take(self, entry: CallEntry) -> None:
        """Decide about a call from now on, also where it is not kept here.

        Then under a number of its own, so that whoever may still keep it knows that it is not the
        newest any more, and neither decides otherwise nor counts the call a second time.
        """
        if self._entries.get(entry.call_sid) is not entry:
            entry.fence += entry.fence > 0

    def note_status(self, call_sid: str, status: CallStatus) -> CallEntry | None:
        """Take in a status report; after a terminal one the call is forgotten.

        A stream that is still open then gets ``STREAM_GRACE_S`` to end by itself. The store is told
        whether or not the call is known here: reports reach any worker.
        """
        self._store.note_status(call_sid, status.value)
        entry = self._entries.get(call_sid)
        if entry is None:
            return None
        entry.status = advance(entry.status, status)
        entry.touched_at = self._clock()
        if entry.status.terminal:
            if entry.fence or entry.record is not None:
                self._set(entry, CallState.FINISHED)
            else:
                entry.state = CallState.FINISHED
            if entry.stream_live:
                asyncio.get_running_loop().call_later(STREAM_GRACE_S, _oust, entry)
            else:
                self._forget(entry)
        return entry

    def taken(self, call_sid: str, fence: int | None = None) -> None:
        """Another worker has a call's number: say and write nothing more about it, at once.

        Args:
            call_sid: The call.
            fence: The number that was found to be old; None: whatever ours is.
        """
        entry = self._entries.get(call_sid)
        if entry is not None and not entry.unclaimed and fence in (None, entry.fence):
            self.lose(entry)

    def lose(self, entry: CallEntry) -> None:
        """A call goes on elsewhere, or here on a later stream: this one is to fall silent."""
        entry.taken_over = True
        self.drop(entry)
        if entry.stream_live:
            self.on_taken()
            _log.warning("call.taken_over", call_sid=entry.call_sid, fence=entry.fence)
            _oust(entry)

    async def stream_ended(self, entry: CallEntry, *, grace_s: float = STREAM_GRACE_S) -> bool:
        """Wait for the end of a stream that Twilio has left; cancel it after ``grace_s``.

        Returns False where even that did not end it in another ``grace_s``.
        """
        if not entry.stream_live or await _set_within(entry.released, grace_s):
            return True
        _oust(entry)
        return await _set_within(entry.released, grace_s)

    def sweep(self) -> None:
        """Forget calls that have had no stream and no request for ``FORGET_AFTER_S``.

        One of which nobody has said that it is over is left to the fleet, whose sweeper asks Twilio
        and closes its books: it is not told to be over here, or it would be counted twice.
        """
        now = self._clock()
        for entry in list(self._entries.values()):
            transferred = entry.state is CallState.TRANSFER
            forget_after_s = FORGET_TRANSFERRED_AFTER_S if transferred else FORGET_AFTER_S
            if entry.stream_live or now - entry.touched_at < forget_after_s:
                continue
            if entry.fence and entry.state is not CallState.FINISHED:
                self.drop(entry)
            else:
                self._forget(entry)

    def _is_awaited(self, entry: CallEntry) -> bool:
        # A finished call's request is for the hang-up; nothing follows it, or a hang-up of the
        # caller's. Where nobody answers any other, the caller hears Twilio's "an application error
        # has occurred"; but a call that was handed over may ask elsewhere.
        quick = entry.state in (CallState.FINISHED, CallState.HANDED_OVER)
        asks_within_s = STREAM_GRACE_S if quick else _expected_within_s(entry)
        return entry.stream_live or self._clock() - entry.touched_at < asks_within_s

    def _release(self, entry: CallEntry) -> None:
        entry.stream_live = False
        entry.owner = ""
        entry.task = None
        entry.released.set()
        entry.touched_at = self._clock()
        self._live -= 1
        self._save(entry)
        if entry.status.terminal:
            self._forget(entry)

    def _forget(self, entry: CallEntry) -> None:
        if self._entries.get(entry.call_sid) is entry:
            del self._entries[entry.call_sid]
            self._on_over(entry)

    def _set(self, entry: CallEntry, state: CallState) -> None:
        entry.state = state
        entry.touched_at = self._clock()
        self._save(entry)

    def _save(self, entry: CallEntry) -> None:
        if not (entry.taken_over or entry.unclaimed):
            self._store.save_call(entry.row())


def _expected_within_s(entry: CallEntry) -> float:
    return ANNOUNCED_S if entry.state is CallState.RINGING else FORGET_AFTER_S


def _oust(entry: CallEntry) -> None:
    # Once: a second time would cut short what is cleared away and kept after the first.
    if entry.task is not None and not entry.ousted:
        entry.ousted = True
        entry.task.cancel("Twilio or another worker has ended this stream")


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
