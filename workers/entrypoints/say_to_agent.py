"""``evercall call say-to-agent``: tell the agent of a live call something; say what became of it.

The message goes through the store, because the worker that serves the call may be another process
or another machine. Whoever sends it hears in the end what happened: a message that no worker takes
is withdrawn, so that it cannot arrive when nobody means it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import typer

from agent.conversation.redaction import Redactor
from agent.conversation.removal import CARD
from agent.spec import Redaction
from agent.text import UNSENDABLE
from telephony.calls.status import CallStatus
from workers.call.entry import CallState
from workers.entrypoints.complaint import complain
from workers.entrypoints.stored import opened_store, why_away
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings
from workers.store.calls import CallStore, StoredCall, StoreUnavailable
from workers.store.messages import MESSAGE_LIFE_S, MessageKind, MessageOutcome, MessageState

# A worker asks once a second and gives the store two; then it may be taken for away.
TAKEN_WITHIN_S = 6.0
# A quiet moment comes with the end of a turn.
TOLD_WITHIN_S = 10.0
LOOK_S = 0.2
DEADLINE_S = 5.0
# No session takes more; it says so in better words where it takes less.
MAX_CHARS = 100_000
_INTERRUPTED = 130
_OVER = frozenset(status.value for status in CallStatus if status.terminal)

Tell = Callable[[str], None]


class Failed(Exception):
    """The agent was not told, and why, in a sentence; with the command's exit code."""

    def __init__(self, sentence: str, *, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def run_say_to_agent(call_sid: str, text: str, *, instruction: bool) -> int:
    """Tell the agent of a call; the exit code is 0 where it was told or surely will be.

    1: it was not. 2: the text or a setting is wrong. 130: interrupted.
    """
    logs = start_logs("ERROR")
    kind = MessageKind.INSTRUCTION if instruction else MessageKind.CONTEXT
    try:
        settings = load_settings()
        asyncio.run(_say(settings, call_sid.strip(), kind, text))
    except SettingsError as error:
        return complain(error)
    except StoreUnavailable as error:
        typer.echo(f"The store is away, the agent was told nothing: {why_away(error)}", err=True)
        return 1
    except Failed as failed:
        typer.echo(str(failed), err=True)
        return failed.code
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        logs.close()
    return 0


async def _say(settings: WorkerSettings, call_sid: str, kind: MessageKind, text: str) -> None:
    cleaned = checked(text)
    if cleaned.count(CARD) > text.count(CARD):
        typer.echo("A card number was taken out of the text: it must not be stored.")
    async with opened_store(settings) as store:
        # First, because a read says at once why there is no way to the database.
        await store.load_call(call_sid, deadline_s=DEADLINE_S)
        # The table for messages is made by then, where an older version has left none.
        if not await store.flush(deadline_s=DEADLINE_S):
            raise StoreUnavailable(f"nothing could be written to it within {DEADLINE_S:g} s")
        await say_to_agent(store, call_sid, kind, cleaned, tell=typer.echo)


def checked(text: str) -> str:
    """The text without what must not go to a model, nor card numbers, which must not be stored.

    Contacts stay whatever the agent's file says, which is the worker's: they are what an agent is
    told to be able to tell the caller.

    Raises:
        Failed: nothing is left, or it is longer than any session takes.
    """
    cleaned = Redactor(Redaction()).redact_text(UNSENDABLE.sub("", text)).strip()
    if not cleaned:
        raise Failed("TEXT: is empty", code=2)
    if len(cleaned) > MAX_CHARS:
        raise Failed(f"TEXT: has {len(cleaned)} characters, more than {MAX_CHARS}", code=2)
    return cleaned


async def say_to_agent(
    store: CallStore,
    call_sid: str,
    kind: MessageKind,
    text: str,
    *,
    tell: Tell,
    taken_within_s: float = TAKEN_WITHIN_S,
    told_within_s: float = TOLD_WITHIN_S,
    look_s: float = LOOK_S,
) -> None:
    """Leave a message and follow it; ``tell`` is given a sentence for each thing that happens.

    Raises:
        Failed: the agent was not told, nor will be.
        StoreUnavailable: the store does not answer.
    """
    _check_live(call_sid, await store.load_call(call_sid, deadline_s=DEADLINE_S))
    number = await _left(store, call_sid, kind, text)
    follow = _Follow(store, number, kind, tell, look_s)
    try:
        if not await follow.taken(taken_within_s):
            raise Failed(
                f"No worker took the message within {taken_within_s:g} s, so it was withdrawn and "
                "the agent was told nothing. Does a worker serve this call on this database?"
            )
        await follow.told(told_within_s)
    except asyncio.CancelledError:
        # Whoever interrupts this does not want it said any more, if it still can be helped.
        with contextlib.suppress(StoreUnavailable):
            await store.withdraw_message(number)
        raise
    except StoreUnavailable as error:
        raise Failed(
            "The message was left, then the store went away: whether the agent was told is not "
            f"known. If no worker has taken it, it is void within {MESSAGE_LIFE_S:g} s. "
            f"{why_away(error)}"
        ) from error


async def _left(store: CallStore, call_sid: str, kind: MessageKind, text: str) -> int:
    """The message's number; whoever interrupts this takes back what may already be in the store."""
    leaving = asyncio.ensure_future(
        store.leave_message(call_sid, kind, text, deadline_s=DEADLINE_S)
    )
    try:
        return await asyncio.shield(leaving)
    except asyncio.CancelledError:
        with contextlib.suppress(StoreUnavailable):
            await store.withdraw_message(await leaving)
        raise


def _check_live(call_sid: str, stored: StoredCall | None) -> None:
    if stored is None:
        raise Failed(f"There is no call {call_sid}.")
    state = stored.row.state
    if stored.row.status in _OVER or state in (CallState.FINISHED, CallState.APOLOGY):
        raise Failed(f"Call {call_sid} is over.")
    if state == CallState.TRANSFER:
        raise Failed(f"Call {call_sid} was transferred: there is no agent with the caller.")


class _Follow:
    """Looks again and again how far a message has got."""

    def __init__(
        self, store: CallStore, number: int, kind: MessageKind, tell: Tell, look_s: float
    ) -> None:
        self._store = store
        self._number = number
        self._done = _DONE[kind]
        self._tell = tell
        self._look_s = look_s

    async def taken(self, within_s: float) -> bool:
        """Wait for a worker to take it; withdraw it where none does, and say False."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if (await self._state()).taken:
                return True
            await asyncio.sleep(self._look_s)
        return not await self._store.withdraw_message(self._number, deadline_s=DEADLINE_S)

    async def told(self, within_s: float) -> None:
        """Tell what has become of it, and what becomes of it while somebody waits.

        Raises:
            Failed: the agent was not told, nor will be.
        """
        until = time.monotonic() + within_s
        waits: MessageOutcome | None = None
        while time.monotonic() < until:
            state = await self._state()
            match state.outcome:
                case MessageOutcome.TOLD:
                    self._tell(self._done)
                    return
                case MessageOutcome.NEXT_MOVE | MessageOutcome.WAITS if waits is None:
                    waits = state.outcome
                    self._tell(_WAITS[waits])
                case MessageOutcome.REFUSED:
                    raise Failed(f"The agent was not told: {state.detail}", code=2)
                case MessageOutcome.FAILED:
                    raise Failed(f"The agent was not told: {state.detail}")
                case MessageOutcome.OVER | MessageOutcome.WITHDRAWN:
                    raise Failed("The call ended before the agent was told.")
            await asyncio.sleep(self._look_s)
        if waits is None:
            raise Failed(
                "A worker took the message and has not said what became of it; see its log."
            )
        self._tell(f"It has not been told within {within_s:g} s; it will be, unless the call ends.")

    async def _state(self) -> MessageState:
        state = await self._store.message_state(self._number, deadline_s=DEADLINE_S)
        if state is None:
            raise Failed("The message is gone from the store; the agent was told nothing.")
        return state


_DONE = {
    MessageKind.CONTEXT: "The agent has been told.",
    MessageKind.INSTRUCTION: "The agent has its new instruction.",
}
_WAITS = {
    MessageOutcome.NEXT_MOVE: "The model takes this only when the session moves to its next "
    "connection, which was asked for at the next quiet moment.",
    MessageOutcome.WAITS: "The agent will be told as soon as its connection takes it.",
}
