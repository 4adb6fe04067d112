"""What goes wrong with the callbacks of a call on their way: order, copies, delays, losses.

Twilio sends them as separate requests in no guaranteed order, and they may be late or lost (Twilio
reference, 5.1). Which of it happens is written down, or follows from a seed alone, whatever order
things happen in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

# How long one waits for the next to overtake it, where none may come.
HELD_S = 2.0


@dataclass(frozen=True, slots=True)
class CallbackFault:
    """What happens to one callback; several of these may."""

    drop: bool = False
    delay_s: float = 0.0
    behind_next: bool = False
    """It leaves when the next callback of the call has been answered, ``HELD_S`` later at most."""
    repeats: int = 0
    """Further copies, one ``repeat_after_s`` after the other."""
    repeat_after_s: float = 0.05


SOUND = CallbackFault()


class CallbackFaults(Protocol):
    """Says what happens to each callback of a call.

    Events go by Twilio's names: ``initiated``, ``ringing``, ``answered``, ``completed``,
    ``stream-started``, ``stream-stopped``, ``stream-error``; ``amd`` is the verdict of detection.
    """

    def of(self, event: str, number: int) -> CallbackFault:
        """Say what happens to the call's ``number``-th callback of this kind, from 1."""


@dataclass(frozen=True, slots=True)
class ScriptedCallbacks:
    """By event; ``{"completed": CallbackFault(drop=True)}``. Those not named are sound."""

    events: Mapping[str, CallbackFault] = field(default_factory=dict)
    only: int | None = None
    """Of each kind, only the callback with this number."""

    def of(self, event: str, number: int) -> CallbackFault:
        """Look it up."""
        if self.only is not None and number != self.only:
            return SOUND
        return self.events.get(event, SOUND)


@dataclass(frozen=True, slots=True)
class RandomCallbacks:
    """By chance that ``seed`` fixes, alike for every event."""

    seed: int
    drop: float = 0.1
    delay: float = 0.3
    behind_next: float = 0.3
    repeat: float = 0.3
    longest_delay_s: float = 1.0

    def of(self, event: str, number: int) -> CallbackFault:
        """Throw the dice for this one."""
        # Of their own for each callback, so that the order in which they come changes nothing.
        dice = Random(f"{self.seed} {event} {number}")  # noqa: S311 - not for secrets
        return CallbackFault(
            drop=dice.random() < self.drop,
            delay_s=dice.uniform(0, self.longest_delay_s) if dice.random() < self.delay else 0.0,
            behind_next=dice.random() < self.behind_next,
            repeats=dice.randint(1, 2) if dice.random() < self.repeat else 0,
        )


class CallbackPost:
    """Carries the callbacks of one call, with what happens to them on the way."""

    def __init__(self, faults: CallbackFaults, note: Callable[..., None]) -> None:
        self._faults = faults
        self._note = note
        self._counts: dict[str, int] = {}
        # Those that wait for the next one; as many as a call has callbacks.
        self._held: list[asyncio.Event] = []

    async def carry(self, event: str, send: Callable[[], Awaitable[None]]) -> None:
        """Carry one callback to its end, in a task of its own; ``send`` delivers it once."""
        number = self._counts[event] = self._counts.get(event, 0) + 1
        fault = self._faults.of(event, number)
        if fault != SOUND:
            self._note("callback.fault", event=event, number=number, fault=fault)
        if fault.drop:
            return
        overtaken, self._held = self._held, []
        next_sent = asyncio.Event()
        try:
            if fault.behind_next:
                self._held.append(next_sent)
            await asyncio.sleep(fault.delay_s)
            if fault.behind_next:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HELD_S):
                        await next_sent.wait()
            await send()
            for _ in range(fault.repeats):
                await asyncio.sleep(fault.repeat_after_s)
                await send()
        finally:
            for one in overtaken:
                one.set()
