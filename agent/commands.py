"""What the session wants done, as plain data.

``live/lifecycle.py`` decides and returns these; ``live/session.py`` carries them out, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.events import FunctionCall


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """The one answer to one function call; an ``error`` key says that it failed."""

    id: str
    name: str
    response: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Dial the Live API; caller audio is held until it answers."""


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
class HoldCallerAudio:
    """Keep what the caller says instead of sending it, in order."""


@dataclass(frozen=True, slots=True)
class ReleaseCallerAudio:
    """Send what was held, before anything newer, then send as it comes."""


@dataclass(frozen=True, slots=True)
class ClearPlayout:
    """The caller barged in: what is queued for the phone must not be played."""


Command = (
    OpenConnection
    | PlayGreeting
    | SendText
    | RunTools
    | CancelTools
    | SendToolResponses
    | HoldCallerAudio
    | ReleaseCallerAudio
    | ClearPlayout
)
