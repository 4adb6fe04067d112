"""The record of one call: identifiers, timings, turns, tools, and why it ended.

Times ending in ``_s`` are seconds since the call was answered (its first stream started).
A call that goes on over several streams or sessions keeps one record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Speaker = Literal["caller", "agent"]


class EndReason(StrEnum):
    """Why a call, or one stream of it, ended."""

    CALLER_HUNG_UP = "caller_hung_up"
    AGENT_HUNG_UP = "agent_hung_up"
    TRANSFERRED = "transferred"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    STREAM_LOST = "stream_lost"
    """The media socket ended without a ``stop``."""
    LIVE_LOST = "live_lost"
    """The Live connection ended; a fresh session may go on."""
    LIVE_REFUSED = "live_refused"
    """The Live API refused us for a reason that a retry does not mend (key, model, voice)."""
    MODEL_SILENT = "model_silent"
    """The model did not answer in time."""
    WORKER_STOPPED = "worker_stopped"
    INTERNAL_ERROR = "internal_error"


@dataclass(slots=True)
class TurnRecord:
    """What one side said in one go, and for the agent how much of it was heard."""

    speaker: Speaker
    said: str
    heard: str
    started_s: float
    ended_s: float
    interrupted: bool = False
    said_ms: float = 0.0
    """Milliseconds of model audio; 0 for the caller."""
    heard_ms: float = 0.0
    """Milliseconds of it that were played to the caller."""
    answer_delay_s: float | None = None
    """Agent turns: from the end of the caller's speech to the first audio sent to Twilio."""


@dataclass(slots=True)
class ToolRecord:
    """One function call of the model."""

    call_id: str
    name: str
    args: dict[str, Any]
    started_s: float
    ended_s: float
    outcome: Literal["ok", "error", "timeout", "cancelled"]
    response: dict[str, Any] | None = None


@dataclass(slots=True)
class BargeInRecord:
    """The caller interrupted the agent."""

    at_s: float
    cut_ms: float
    """Model audio that was queued and not heard."""


@dataclass(slots=True)
class DigitRecord:
    """A key the caller pressed, or (``sent``) a tone the agent sent."""

    digit: str
    at_s: float
    sent: bool = False


@dataclass(slots=True)
class UsageRecord:
    """Token counts: the newest context size, and sums over the call."""

    context_tokens: int = 0
    response_tokens: int = 0
    total_tokens: int = 0


@dataclass(slots=True)
class StreamRecord:
    """One media stream of the call and how it ended."""

    stream_sid: str
    started_s: float
    ended_s: float | None = None
    end_reason: EndReason | None = None
    detail: str = ""
    """A sentence for the operator: close code, reason text, setting to look at."""


@dataclass(slots=True)
class CallRecord:
    """Everything that is kept of one call."""

    call_sid: str
    agent: str
    model: str
    direction: str = "inbound"
    started_at: str = ""
    """UTC, ISO 8601."""
    ended_s: float | None = None
    end_reason: EndReason | None = None
    detail: str = ""
    streams: list[StreamRecord] = field(default_factory=list)
    turns: list[TurnRecord] = field(default_factory=list)
    tools: list[ToolRecord] = field(default_factory=list)
    barge_ins: list[BargeInRecord] = field(default_factory=list)
    digits: list[DigitRecord] = field(default_factory=list)
    usage: UsageRecord = field(default_factory=UsageRecord)
    opted_out: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    """What was skipped or lost, by name: ``live_malformed``, ``caller_audio_lost_ms`` and so on."""
