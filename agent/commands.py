"""What the session wants done, as plain data.

``live/lifecycle.py`` decides and returns these; ``live/session.py`` carries them out, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.events import AudioReceived, FunctionCall


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """The one answer to one function call; an ``error`` key says that it failed."""

    id: str
    name: str
    response: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Dial the Live API; caller audio is held until it answers."""

    attempt: int
    """Counts dials from 1, and comes back in what becomes of it."""
    model: str
    handle: str | None = None
    """Resume by it; None opens a fresh session, which is told what was said."""
    moved: bool = False
    """The call had another connection before, of this session or of another worker's."""
    standby: bool = False
    """Keep the connection in reserve."""
    cut_off: bool = False
    """The agent had not finished when the connection before was left."""
    untold: frozenset[str] = frozenset()
    """Function calls whose results are still to be told."""


@dataclass(frozen=True, slots=True)
class LeaveConnection:
    """Hear no more of the connection and close it; answered by ``ConnectionClosed``."""

    said_again: bool
    """What the caller said last goes to the next connection as audio."""


@dataclass(frozen=True, slots=True)
class PromoteStandby:
    """The connection in reserve serves from now on; answered by ``Opened``."""

    attempt: int


@dataclass(frozen=True, slots=True)
class CloseStandby:
    """The connection in reserve is not needed."""


@dataclass(frozen=True, slots=True)
class PlayFiller:
    """Let the caller hear that somebody is there."""


@dataclass(frozen=True, slots=True)
class DropAudio:
    """The audio just received is not to be heard, for the reason given, or not yet."""

    why: str


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Let the caller hear audio that was kept back."""

    kept: tuple[AudioReceived, ...]


@dataclass(frozen=True, slots=True)
class PlayGreeting:
    """Play the kept audio of the greeting; it does not wait for a connection."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Say something to the model that the caller did not say aloud."""

    text: str
    opening: bool = False
    """The first words of the session, which some models take in a message of their own."""


@dataclass(frozen=True, slots=True)
class SendInstruction:
    """Put a new system instruction, with all that is remembered, in the place of the old one."""


@dataclass(frozen=True, slots=True)
class SendReminder:
    """Tell the model what is remembered in a message that asks for no answer."""


@dataclass(frozen=True, slots=True)
class NoteCut:
    """The server has cut the oldest turns off the context."""

    before_tokens: int
    after_tokens: int
    ago_s: float = 0.0
    """How long ago: as the turn began whose count shows it."""


@dataclass(frozen=True, slots=True)
class NoteUpdateRefused:
    """The connection was closed for what the model was told last; the next one is told it."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run the functions the model asked for."""

    calls: tuple[FunctionCall, ...]


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop these functions; their results must not be sent any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendToolResponses:
    """Answer all calls of one ``toolCall`` message in one message."""

    responses: tuple[ToolResponse, ...]


@dataclass(frozen=True, slots=True)
class ReleaseCallerAudio:
    """Send what was held, before anything newer, then send as it comes."""


@dataclass(frozen=True, slots=True)
class ClearPlayout:
    """The caller barged in: what is queued for the phone must not be played."""

    leftover: bool = False
    """It came from a connection that was left."""


Command = (
    OpenConnection
    | LeaveConnection
    | PromoteStandby
    | CloseStandby
    | PlayGreeting
    | PlayFiller
    | DropAudio
    | PlayAudio
    | SendText
    | SendInstruction
    | SendReminder
    | NoteCut
    | NoteUpdateRefused
    | RunTools
    | CancelTools
    | SendToolResponses
    | ReleaseCallerAudio
    | ClearPlayout
)
