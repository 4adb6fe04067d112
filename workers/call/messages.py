"""Brings what operators leave in the store to the agents of this worker's calls.

One task per worker, off the media path: once a second it asks for the messages of all live calls
at once, and it does not ask while there is no live call. What it takes it hands to the session,
and it says in the store what has become of it: at once, and again when a message that had to wait
was told or the call ended before that.

A message may also have the worker hand its call over. That is done when the stream is gone.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from agent.conversation.record import EndReason
from workers.store.calls import CallStore, StoreUnavailable
from workers.store.messages import (
    HAND_OVER_WITHIN_S,
    CallMessage,
    MessageKind,
    MessageOutcome,
)

POLL_S = 1.0
# Looks in memory whether what waited was told: somebody waits at a terminal to hear of it.
WATCH_S = 0.2
# Longer than messages live; a message that is older is not given out again.
REMEMBERED = 10_000

_log = structlog.get_logger(__name__)


class Update(Protocol):
    """How something is told to a model (``agent.conversation.record.UpdateRecord``)."""

    @property
    def how(self) -> Literal["system_content", "context_update", "next_move"]:
        """The way it takes."""

    @property
    def done_s(self) -> float | None:
        """When it was sent to the model; None while it waits."""


class Session(Protocol):
    """The session of a call, as far as it is told something."""

    def add_context(self, text: str) -> Update:
        """Have the model know a text from now on.

        Raises:
            ValueError: it cannot be told; the text is a sentence for the operator.
        """

    def update_instruction(self, text: str) -> Update:
        """Replace the agent's own instruction.

        Raises:
            ValueError: as above.
        """

    def hand_over(self, limit_s: float) -> None:
        """End at the next safe point, so that another worker goes on with the call.

        Args:
            limit_s: Where no safe point has come by then, end all the same.
        """


class Stream(Protocol):
    """The stream of a call (``agent.conversation.record.StreamRecord``)."""

    @property
    def end_reason(self) -> EndReason | None:
        """Why it ended; None while it goes on."""


class Live(Protocol):
    """A call that has a stream (``workers.call.live_call.LiveCall``)."""

    @property
    def session(self) -> Session:
        """Its session."""

    @property
    def stream(self) -> Stream:
        """The stream that is served."""

    @property
    def instructed_s(self) -> float | None:
        """When its session knew what earlier streams of the call had left to be told."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message that the session has and has not carried out yet."""

    message: CallMessage
    live: Live
    update: Update | None
    """None: it is to hand the call over."""


class MessagePoller:
    """Takes messages for the calls of one worker.

    Args:
        store: Where they are left.
        live: The worker's calls by SID, as they are at any moment.
        is_over: Whether a call without a stream will not get another one.
        worker: A name that no other worker has.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: CallStore,
        live: Mapping[str, Live],
        *,
        is_over: Callable[[str], bool],
        worker: str | None = None,
        poll_s: float = POLL_S,
        watch_s: float = WATCH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._live = live
        self._is_over = is_over
        self._worker = worker or f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._poll_s = poll_s
        self._watch_s = watch_s
        self._clock = clock
        self._waiting: dict[int, _Waiting] = {}
        # The store gives out a message until it is settled; the agent is told once.
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, in a task of its own."""
        self._task = asyncio.create_task(self._run(), name="messages")

    async def close(self) -> None:
        """Stop asking; what was not told by now is said to have come too late."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        # Handed over in the last moment is handed over.
        self.watch()
        for waiting in list(self._waiting.values()):
            self._settle(waiting.message, MessageOutcome.OVER, "the worker was stopped")

    async def _run(self) -> None:
        ask_at = self._clock()
        while True:
            try:
                self.watch()
                if self._clock() >= ask_at:
                    ask_at = self._clock() + self._poll_s
                    await self.ask()
            except Exception:  # noqa: BLE001  the edge of a task: calls go on without messages, too
                _log.exception("messages.failed")
            pause_s = ask_at - self._clock()
            await asyncio.sleep(max(0.0, min(pause_s, self._watch_s) if self._waiting else pause_s))

    async def ask(self) -> None:
        """Take what waits for this worker's calls, and hand it on."""
        if not self._live:
            return
        try:
            found = await self._store.take_messages(list(self._live), taker=self._worker)
        except StoreUnavailable as error:
            if not self._away:
                _log.warning("messages.store_unavailable", error=str(error))
            self._away = True
            return
        self._away = False
        for message in found:
            if message.id not in self._seen:
                self._remember(message.id)
                self._hand_over(message)

    def watch(self) -> None:
        """Say of what waited that it was carried out, or that it came too late."""
        for waiting in list(self._waiting.values()):
            live = self._live.get(waiting.message.call_sid)
            if waiting.update is None:
                if live is not waiting.live:
                    self._settle(waiting.message, *_left(waiting.live.stream.end_reason))
                continue
            if waiting.update.done_s is not None:
                self._settle(waiting.message, MessageOutcome.TOLD)
                continue
            call_sid = waiting.message.call_sid
            if live is None:
                if self._is_over(call_sid):
                    self._settle(waiting.message, MessageOutcome.OVER)
            elif live is not waiting.live and live.instructed_s is not None:
                # What one stream of a call left untold is in the setup of the next one.
                self._settle(waiting.message, MessageOutcome.TOLD)

    def _hand_over(self, message: CallMessage) -> None:
        live = self._live.get(message.call_sid)
        if live is None:
            # It ended while the store was asked.
            self._settle(message, MessageOutcome.OVER)
            return
        update: Update | None = None
        try:
            match message.kind:
                case MessageKind.CONTEXT:
                    update = live.session.add_context(message.text)
                case MessageKind.INSTRUCTION:
                    update = live.session.update_instruction(message.text)
                case MessageKind.HAND_OVER:
                    live.session.hand_over(_limit_s(message.text))
        except ValueError as error:
            self._settle(message, MessageOutcome.REFUSED, str(error))
            return
        except Exception:  # noqa: BLE001  whoever waits for an answer must get one
            _log.exception("messages.session_failed", call_sid=message.call_sid)
            detail = "an error of the worker's; see its log"
            self._settle(message, MessageOutcome.FAILED, detail)
            return
        if update is not None and update.done_s is not None:
            self._settle(message, MessageOutcome.TOLD)
            return
        self._waiting[message.id] = _Waiting(message, live, update)
        at_move = update is not None and update.how == "next_move"
        self._say(message, MessageOutcome.NEXT_MOVE if at_move else MessageOutcome.WAITS)

    def _settle(self, message: CallMessage, outcome: MessageOutcome, detail: str = "") -> None:
        self._waiting.pop(message.id, None)
        self._say(message, outcome, detail)

    def _say(self, message: CallMessage, outcome: MessageOutcome, detail: str = "") -> None:
        self._store.settle_message(message.id, outcome, detail)
        # Not the text: it may hold anything.
        _log.info(
            "call.message",
            call_sid=message.call_sid,
            kind=message.kind.value,
            outcome=outcome.value,
        )

    def _remember(self, number: int) -> None:
        self._seen[number] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _limit_s(text: str) -> float:
    try:
        limit_s = float(text) if text else HAND_OVER_WITHIN_S
    except ValueError:
        limit_s = math.nan
    if not 0 <= limit_s < math.inf:
        raise ValueError(f"{text!r} is no number of seconds")
    return limit_s


def _left(reason: EndReason | None) -> tuple[MessageOutcome, str]:
    """Return what to say of a stream that is gone and was to be handed over."""
    # Taken over: another worker had been quicker; it has the call, as was wanted.
    if reason in (EndReason.HANDED_OVER, EndReason.TAKEN_OVER):
        return MessageOutcome.HANDED_OVER, ""
    return MessageOutcome.OVER, reason.value if reason is not None else ""
