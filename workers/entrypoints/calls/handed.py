"""``evercall calls hand-over``: have another worker go on with a call, and see that it does.

The worker that serves the call is told by the way messages take (``workers.store.messages``). What
has come of it is read from the call itself: it is at another worker, or on another stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.call.entry import CallState
from workers.entrypoints.calls.find import DEADLINE_S, MOST_LIVE, Failed, find_call, is_over, meant
from workers.entrypoints.calls.words import counted
from workers.entrypoints.stored import why_away
from workers.store.calls import CallRow, CallStore, StoreUnavailable, WorkerRow
from workers.store.messages import MESSAGE_LIFE_S, MessageKind, MessageOutcome, MessageState

# A worker asks once a second and gives the store two; then it may be taken for away.
TAKEN_WITHIN_S = 6.0
# Twilio asks what is next about 2 s after its socket was closed (field: openclaw PR #125469), and
# opens the next stream then.
RESUMED_WITHIN_S = 15.0
LOOK_S = 0.2
# Of one worker's calls; each is looked after until it is elsewhere.
AT_ONCE = 16

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each step may take, in seconds."""

    taken_s: float = TAKEN_WITHIN_S
    resumed_s: float = RESUMED_WITHIN_S
    look_s: float = LOOK_S


PACE = Pace()


async def hand_over_call(
    store: CallStore, text: str, *, within_s: float, tell: Tell, pace: Pace = PACE
) -> None:
    """Hand one call over; ``tell`` is given a sentence for each thing that happens.

    Raises:
        Failed: the call is not at another worker or stream, as far as is known.
        StoreUnavailable: the store does not answer; nothing was asked of anybody.
    """
    row = (await find_call(store, text)).row
    _check_served(row)
    _warn_alone(row.owner, await store.list_workers(deadline_s=DEADLINE_S), tell)
    tell(await _HandOver(store, row, within_s, tell, pace).run())


async def hand_over_worker(
    store: CallStore, text: str, *, within_s: float, tell: Tell, pace: Pace = PACE
) -> None:
    """Hand over every call that a worker serves, several at a time.

    Raises:
        Failed: there is no such worker, or not all of its calls are elsewhere.
        StoreUnavailable: the store does not answer; nothing was asked of anybody.
    """
    workers = await store.list_workers(deadline_s=DEADLINE_S)
    live = await store.list_calls(limit=MOST_LIVE, live=True, deadline_s=DEADLINE_S)
    owners = {call.row.owner for call in live if call.row.owner}
    worker = meant(text, owners | {row.worker for row in workers}, "worker")
    rows = [call.row for call in live if call.row.owner == worker]
    if not rows:
        tell(f"{worker} serves no calls.")
        return
    _warn_alone(worker, workers, tell)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: CallRow) -> bool:
        async with gate:
            try:
                tell(await _HandOver(store, row, within_s, _silent, pace).run())
            except Failed as failed:
                tell(f"{row.call_sid}: {failed}")
                return False
            except StoreUnavailable as error:
                tell(f"{row.call_sid}: the store is away: {why_away(error)}")
                return False
        return True

    done = sum(await asyncio.gather(*map(one, rows)))
    if done < len(rows):
        raise Failed(f"{done} of {counted(len(rows), 'call')} were handed over.")
    tell(f"{counted(done, 'call')} handed over.")


def _check_served(row: CallRow) -> None:
    if is_over(row):
        raise Failed(f"Call {row.call_sid} is over.")
    if row.state == CallState.TRANSFER:
        raise Failed(f"Call {row.call_sid} was transferred: there is no agent with the caller.")
    if not row.owner:
        raise Failed(f"Nobody serves call {row.call_sid} at the moment: it has no stream.")


def _warn_alone(owner: str, workers: Sequence[WorkerRow], tell: Tell) -> None:
    if not any(row.worker != owner and not row.draining for row in workers):
        tell("No other worker is ready: the same one will take the call up again.")


def _silent(_sentence: str) -> None:
    """Tell nothing: of many calls at once, only what became of each is of use."""


class _HandOver:
    """One call on its way to another worker."""

    def __init__(
        self, store: CallStore, row: CallRow, within_s: float, tell: Tell, pace: Pace
    ) -> None:
        self._store = store
        self._before = row
        self._within_s = within_s
        self._tell = tell
        self._pace = pace
        self._number = 0

    async def run(self) -> str:
        """Ask for it and follow it to its end; returns where the call has gone and how fast."""
        began = time.monotonic()
        self._number = await self._store.leave_message(
            self._before.call_sid,
            MessageKind.HAND_OVER,
            f"{self._within_s:g}",
            deadline_s=DEADLINE_S,
        )
        try:
            await self._taken()
            after = await self._moved()
        except asyncio.CancelledError:
            # Whoever interrupts this does not want it any more, if it still can be helped.
            with contextlib.suppress(StoreUnavailable):
                await self._store.withdraw_message(self._number)
            raise
        except StoreUnavailable as error:
            raise Failed(
                "Its worker was asked, then the store went away: whether the call was handed over "
                f"is not known. If no worker has been told, none will be after "
                f"{MESSAGE_LIFE_S:g} s. {why_away(error)}"
            ) from error
        return self._gone(after, time.monotonic() - began)

    async def _taken(self) -> None:
        until = time.monotonic() + self._pace.taken_s
        while time.monotonic() < until:
            if (await self._state()).taken:
                return
            await asyncio.sleep(self._pace.look_s)
        if await self._store.withdraw_message(self._number, deadline_s=DEADLINE_S):
            raise Failed(
                f"Its worker, {self._before.owner}, did not take the message within "
                f"{self._pace.taken_s:g} s, so it was withdrawn and the call stays where it is. "
                "If that worker is dead, the others notice within seconds and take its calls over."
            )

    async def _moved(self) -> CallRow:
        """Wait until the call is elsewhere."""
        until = time.monotonic() + self._within_s + self._pace.resumed_s
        said: MessageOutcome | None = None
        while time.monotonic() < until:
            # The message first: what it says has happened by the time the call is looked at.
            state = await self._state()
            row = await self._row()
            if self._is_elsewhere(row):
                return row
            if is_over(row):
                how = f" ({state.detail.replace('_', ' ')})" if state.detail else ""
                raise Failed(f"The call ended before it was handed over{how}.")
            if row.state == CallState.TRANSFER:
                raise Failed("The caller was put through before the call was handed over.")
            match state.outcome:
                case MessageOutcome.REFUSED:
                    raise Failed(f"The worker would not hand it over: {state.detail}", code=2)
                case MessageOutcome.FAILED:
                    raise Failed(f"It was not handed over: {state.detail}")
                case MessageOutcome.WAITS if said is None:
                    self._tell(f"Its worker waits for a safe point, {self._within_s:g} s at most.")
                case MessageOutcome.HANDED_OVER | MessageOutcome.OVER if said is not state.outcome:
                    # The stream is gone either way; what follows takes as long as Twilio takes.
                    until = time.monotonic() + self._pace.resumed_s
                    if state.outcome is MessageOutcome.HANDED_OVER:
                        self._tell("Its worker has let go of the call.")
            said = state.outcome
            await asyncio.sleep(self._pace.look_s)
        raise Failed(self._stuck(said))

    def _is_elsewhere(self, row: CallRow) -> bool:
        other = row.owner != self._before.owner
        return bool(row.owner) and (other or row.streams > self._before.streams)

    def _stuck(self, said: MessageOutcome | None) -> str:
        if said in (MessageOutcome.HANDED_OVER, MessageOutcome.OVER):
            return (
                f"Its stream has ended, and no worker has taken the call up within "
                f"{self._pace.resumed_s:g} s. Does one answer /voice/continue?"
            )
        return "Its worker took the message and the call is still there; see that worker's log."

    def _gone(self, after: CallRow, took_s: float) -> str:
        before = self._before
        to = "the same worker" if after.owner == before.owner else after.owner
        return (
            f"{before.call_sid}: {before.owner} → {to}, "
            f"stream {before.streams} → {after.streams}, in {took_s:.1f} s"
        )

    async def _row(self) -> CallRow:
        stored = await self._store.load_call(self._before.call_sid, deadline_s=DEADLINE_S)
        if stored is None:
            raise Failed("The call is gone from the store.")
        return stored.row

    async def _state(self) -> MessageState:
        state = await self._store.message_state(self._number, deadline_s=DEADLINE_S)
        if state is None:
            raise Failed("The message is gone from the store; the call stays where it is.")
        return state
