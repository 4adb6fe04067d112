"""What a session leaves behind at any moment, so that another worker can go on with its call.

What was said, the tools and the moves are journalled beside it, as parts of the call's record; here
is what the record does not say: by which handle the Live API finds the session again, what that
handle knows, and what was owed to whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

HANDLE_LIFE_S = 2 * 3600.0
"""After the end of its connection (ai.google.dev/gemini-api/docs/live-session; the cookbook says
24 h): an older one is not tried."""


class News(IntEnum):
    """What a new checkpoint, or the journal beside it, would say; the greater, the sooner kept."""

    WORDS = 1
    """Of a turn that is not over; more of them will come."""
    CHANGED = 2
    TURN_TAKING = 3
    """Somebody has begun or ended to speak: the caller is owed something else now."""
    FINISHED = 4
    """A turn or a function is over: another worker is to know of it, whenever this one dies."""


@dataclass(frozen=True, slots=True)
class SessionCheckpoint:
    """A session as another worker has to take it up. Times count like the record's."""

    at_s: float
    model: str
    """Of the connection that serves, or served last."""
    handle: str | None = None
    """The newest resumable one."""
    handle_s: float = 0.0
    """When it came."""
    known_turns: int = 0
    """So many turns of the call, from the first on, the handle knows; the rest has to be told."""
    told_turns: tuple[int, ...] = ()
    """Places of known turns that stood in the instruction alone: each setup tells them again."""
    told_tools: tuple[str, ...] = ()
    """Ids of functions whose results stood there, likewise."""
    generating: bool = False
    """The model had not finished its turn."""
    caller_speaking: bool = False
    answer_due: bool = False
    """The caller had spoken, or a function had returned, and nothing had been answered yet."""
    notes: tuple[str, ...] = ()
    """What operators and functions have added."""
    instruction: str | None = None
    """In place of the agent's own; None: unchanged."""
