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
    """No Live connection came up again within ``moves.budget_s``."""
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


class MoveCause(StrEnum):
    """Why a session left a connection."""

    GO_AWAY = "go_away"
    """The server said that it will close the connection."""
    AGE = "age"
    """The connection reached ``moves.max_age_s``."""
    LATENCY = "latency"
    """Answers had become slower than ``moves.latency_drift_s`` allows."""
    LOST = "lost"
    """The connection ended without our wish."""
    SILENT = "silent"
    """The model did not answer, or not audibly."""
    DEAF = "deaf"
    """The session resumed and never answered: a poisoned handle."""
    FORGOT = "forgot"
    """The session resumed without its memory: amnesia."""


class MoveKind(StrEnum):
    """How a session got to its next connection."""

    RESUME = "resume"
    """By handle: the server restored the session."""
    REFILL = "refill"
    """A fresh session that was told what was said."""
    STANDBY = "standby"
    """A refill whose connection was opened beforehand."""


class MoveMoment(StrEnum):
    """What the conversation was doing when the connection was left."""

    SAFE_POINT = "safe_point"
    """Nobody was speaking and nothing was under way."""
    FORCED = "forced"
    """The deadline came before a safe point did."""
    ABRUPT = "abrupt"
    """The connection was gone already, or of no use any more."""


@dataclass(slots=True)
class MoveRecord:
    """The reset report: one move of a session from one Live connection to the next.

    Times count like the rest of the record's. ``gap_ms`` is what evercall is judged by.
    """

    cause: MoveCause
    moment: MoveMoment
    kind: MoveKind | None
    """None where no connection was found within the budget."""
    wanted_s: float
    """When the session began to want to leave."""
    left_s: float
    """When it gave up the old connection: caller audio was held from here."""
    done_s: float
    """When the next connection had been given everything that was held."""
    gap_ms: float = 0.0
    """How long the caller was owed something to hear and heard nothing."""
    held_ms: float = 0.0
    """Caller audio that arrived between ``left_s`` and ``done_s``."""
    replayed_ms: float = 0.0
    """Caller audio sent again, because the session may not know it."""
    lost_ms: float = 0.0
    """Caller audio that no session has heard or ever will."""
    cut_ms: float = 0.0
    """Model audio that was queued and dropped because the caller spoke meanwhile."""
    tries: int = 1
    """Connections dialled."""
    model: str = ""
    """The model of the connection moved to."""
    detail: str = ""
    """A sentence for the operator: close code and reason, or what was waited for."""


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
    moves: list[MoveRecord] = field(default_factory=list)
    """Reset reports, one for each move between Live connections."""
    usage: UsageRecord = field(default_factory=UsageRecord)
    opted_out: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    """What was skipped or lost, by name: ``live_malformed``, ``caller_audio_lost_ms`` and so on."""
