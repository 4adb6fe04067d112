"""What the Live API told us, as plain data.

``live/codec.py`` turns messages into these; everything above it reads nothing else of the wire.
Field names follow the Live API's own, in snake case.
Source: ai.google.dev/api/live (BidiGenerateContentServerMessage).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.audio import PcmChunk


@dataclass(frozen=True, slots=True)
class SetupCompleted:
    """The server accepted the setup message; realtime input may follow."""

    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """A piece of model speech, of any length."""

    audio: PcmChunk


@dataclass(frozen=True, slots=True)
class InputTranscribed:
    """What the caller said; word-wise or sentence-wise, depending on the model."""

    text: str
    finished: bool = False


@dataclass(frozen=True, slots=True)
class OutputTranscribed:
    """What the model says; runs slightly ahead of its audio, with no ordering guarantee."""

    text: str
    finished: bool = False


@dataclass(frozen=True, slots=True)
class ThoughtReceived:
    """A thought summary: never spoken, never stored as speech."""

    text: str


@dataclass(frozen=True, slots=True)
class GenerationCompleted:
    """The model has produced the last audio of this turn; playback may go on."""


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The server thinks the turn is over, playback included. Protocol state only."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The caller barged in: generation stopped, what is queued must not be played."""


@dataclass(frozen=True, slots=True)
class InteractionStatusChanged:
    """``IN_PROGRESS`` or ``IDLE``; models of generation 3.8 send it."""

    status: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One function the model wants run."""

    id: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallsRequested:
    """``toolCall``: all calls of one message are answered in one message."""

    calls: tuple[FunctionCall, ...]


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """``toolCallCancellation``: these ids must not be answered any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UsageReported:
    """``usageMetadata``; ``prompt_tokens`` is the context size where it is above zero."""

    prompt_tokens: int
    response_tokens: int
    total_tokens: int
    thoughts_tokens: int = 0
    tool_use_prompt_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The server will close this connection in ``time_left_s``; None where it did not say."""

    time_left_s: float | None


@dataclass(frozen=True, slots=True)
class ResumptionUpdated:
    """``sessionResumptionUpdate``; ``handle`` is None while the session is not resumable."""

    handle: str | None
    resumable: bool
    last_consumed_client_message_index: int | None = None


@dataclass(frozen=True, slots=True)
class VoiceActivityChanged:
    """``voiceActivity``: the server's own detection of the caller's speech (Vertex)."""

    started: bool


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A well-formed message of which we know no field; peers grow."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MalformedReceived:
    """A frame that is not a Live API message; it is counted and skipped."""

    detail: str


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The WebSocket ended. ``code`` is the close code, 1006 where there was none."""

    code: int
    reason: str


LiveEvent = (
    SetupCompleted
    | AudioReceived
    | InputTranscribed
    | OutputTranscribed
    | ThoughtReceived
    | GenerationCompleted
    | TurnCompleted
    | Interrupted
    | InteractionStatusChanged
    | ToolCallsRequested
    | ToolCallsCancelled
    | UsageReported
    | GoAwayReceived
    | ResumptionUpdated
    | VoiceActivityChanged
    | Unrecognised
    | MalformedReceived
    | ConnectionLost
)
