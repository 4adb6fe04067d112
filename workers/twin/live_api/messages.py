"""What a client may send after its setup, as plain data, and how the server turns it away.

Source: ai.google.dev/api/live (BidiGenerateContentClientMessage).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INVALID_ARGUMENT = "Request contains an invalid argument."


class RefusedError(Exception):
    """The server closes the connection with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def invalid(reason: str = INVALID_ARGUMENT) -> RefusedError:
    """Build the refusal of a message that is not valid here (close 1007)."""
    return RefusedError(1007, reason)


@dataclass(frozen=True, slots=True)
class AudioIn:
    """Caller audio: PCM16 mono little-endian at the rate its mime type declared."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class LegacyMediaIn:
    """``mediaChunks``, which models from 3.1 on refuse."""

    chunks: tuple[AudioIn, ...]


@dataclass(frozen=True, slots=True)
class VideoIn:
    """An image; taken in and not looked at."""


@dataclass(frozen=True, slots=True)
class TextIn:
    """``realtimeInput.text``: user activity that needs no end of turn."""

    text: str


@dataclass(frozen=True, slots=True)
class ActivityStartIn:
    """The client says that the caller began to speak (manual activity detection)."""


@dataclass(frozen=True, slots=True)
class ActivityEndIn:
    """The client says that the caller stopped speaking."""


@dataclass(frozen=True, slots=True)
class AudioStreamEndIn:
    """The client's microphone is off; the next audio message opens it again."""


@dataclass(frozen=True, slots=True)
class ContentIn:
    """``clientContent``: (role, text) of each turn, in order."""

    turns: tuple[tuple[str, str], ...]
    turn_complete: bool


@dataclass(frozen=True, slots=True)
class FunctionAnswer:
    """One function's result; ``scheduling`` is empty where the client left it to the server."""

    id: str
    name: str
    response: dict[str, Any]
    scheduling: str = ""
    will_continue: bool = False


@dataclass(frozen=True, slots=True)
class ToolResponseIn:
    """``toolResponse``: all answers that came in one message."""

    answers: tuple[FunctionAnswer, ...]


@dataclass(frozen=True, slots=True)
class ContextUpdateIn:
    """``contextUpdate``: a new system instruction or new tools from here on."""

    system_instruction: str | None


ClientMessage = (
    AudioIn
    | LegacyMediaIn
    | VideoIn
    | TextIn
    | ActivityStartIn
    | ActivityEndIn
    | AudioStreamEndIn
    | ContentIn
    | ToolResponseIn
    | ContextUpdateIn
)
