"""Messages that operators leave for a live call, as plain data.

A message waits in the store until the worker that serves the call takes it. It is void after
``MESSAGE_LIFE_S``: what was meant for this moment must not arrive an hour later, even where the
command that left it was killed before it could withdraw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Ten times what a worker that is well takes to ask, and far less than until it would surprise.
MESSAGE_LIFE_S = 60.0
# How long a session may wait for a safe point before it hands its call over all the same. A turn of
# either side is over by then, nearly always; and a deploy is not held up for longer. Our own.
HAND_OVER_WITHIN_S = 30.0


class MessageKind(StrEnum):
    """What a message is for."""

    CONTEXT = "context"
    """To be known from now on."""
    INSTRUCTION = "instruction"
    """Replaces the agent's own instruction."""
    HAND_OVER = "hand_over"
    """Not for the agent: the worker is to let another one go on with the call. The text says how
    many seconds it may wait for a safe point; where it is empty, ``HAND_OVER_WITHIN_S``."""


class MessageOutcome(StrEnum):
    """What has become of a message that was taken."""

    TOLD = "told"
    """It was sent to the model."""
    NEXT_MOVE = "next_move"
    """The model takes it at a move only; one was asked for at the next quiet moment."""
    WAITS = "waits"
    """It is to be sent as soon as the connection takes it."""
    REFUSED = "refused"
    """The session would not have it; the detail says why."""
    FAILED = "failed"
    """The worker could not hand it to the session; the detail says where to look."""
    OVER = "over"
    """The call, or the stream it was meant for, ended before it was told or handed over; the detail
    says how where that is known."""
    HANDED_OVER = "handed_over"
    """The worker has let go of the call."""
    WITHDRAWN = "withdrawn"
    """Nobody had taken it, and whoever left it waits no longer."""

    @property
    def final(self) -> bool:
        """It stays at that."""
        return self not in (MessageOutcome.NEXT_MOVE, MessageOutcome.WAITS)


@dataclass(frozen=True, slots=True)
class CallMessage:
    """One message as a worker takes it."""

    id: int
    call_sid: str
    kind: MessageKind
    text: str


@dataclass(frozen=True, slots=True)
class MessageState:
    """How far a message has got."""

    taken: bool
    outcome: MessageOutcome | None = None
    """None while nobody has said."""
    detail: str = ""
