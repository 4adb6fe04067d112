"""Holds ``Lifecycle.speaks_on`` to what ``receive`` does with the same audio."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from agent import events
from agent.commands import Command
from agent.live.lifecycle import Lifecycle
from agent.live.move import ReportMove
from agent.live.session_events import SessionEvent


def receive(life: Lifecycle, event: SessionEvent, now: float) -> list[Command | ReportMove]:
    """Let it receive an event; where it would have taken the short way, see that both are one."""
    short = None
    if isinstance(event, events.AudioReceived):
        # What never changes need not be copied, and not all of an agent can be.
        short = deepcopy(life, {id(life._spec): life._spec})
        if not short.speaks_on(event.audio, now):
            assert state_of(short) == state_of(life), "refused, but not left alone"
            short = None
    out = life.receive(event, now)
    if short is not None:
        assert out == []
        assert state_of(short) == state_of(life)
    return out


def state_of(thing: object) -> Any:
    """Everything a value holds, by name, down to what is compared as it is."""
    if isinstance(thing, list | tuple | deque):
        return [state_of(each) for each in thing]
    if isinstance(thing, Mapping):
        return {key: state_of(each) for key, each in thing.items()}
    if callable(thing):
        return getattr(thing, "__qualname__", type(thing).__name__)
    names = [*getattr(thing, "__dict__", ())]
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else [*slots]
    if not names or isinstance(thing, str | bytes | int | float | frozenset | set):
        return thing
    return {name: state_of(getattr(thing, name, None)) for name in names}
