"""The record of one call: identifiers, timings, turns, tools, and why it ended.

Times ending in ``_s`` are seconds since the call was answered (its first stream started).
A call that goes on over several streams or sessions keeps one record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Literal, TypeVar

T = TypeVar("T")
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
    HANDED_OVER = "handed_over"
    """This worker let go of the call, so that another goes on with it."""
    TAKEN_OVER = "taken_over"
    """Another worker has the call: this one fell silent at once."""
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
    outcome: Literal["ok", "error", "timeout", "cancelled", "unknown"]
    """``unknown``: its worker died meanwhile; it may have been carried out."""
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
    CONTEXT = "context"
    """The context was nearly full, or was about to be cut and held what nothing else did."""
    TAKEOVER = "takeover"
    """The call goes on at another worker, or on another stream."""
    UPDATE = "update"
    """There was something to tell the model, and it takes that at a move only."""


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
    summary_tokens: int = 0
    """Of the text model that keeps the running summary, prompts and answers."""


@dataclass(frozen=True, slots=True)
class FactRecord:
    """Something the agent was told to remember (``remember``)."""

    key: str
    value: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SummaryRecord:
    """The running summary: what the first ``turns`` turns of the call were about."""

    caller: str = ""
    """Who is calling."""
    wants: str = ""
    """What they want."""
    facts: tuple[str, ...] = ()
    """Names, numbers, dates, amounts and the like, each with what it is."""
    promises: tuple[str, ...] = ()
    """What the agent has promised."""
    open_points: tuple[str, ...] = ()
    """What has not been settled."""
    language: str = ""
    """What is being spoken, in its own words or as a BCP 47 tag."""
    turns: int = 0
    """How many turns of the record it covers, from the first on."""


@dataclass(frozen=True, slots=True)
class ContextSample:
    """How many tokens the model held at a moment."""

    at_s: float
    tokens: int
    reported: bool
    """By the server; else estimated from what was said since."""


@dataclass(frozen=True, slots=True)
class CutRecord:
    """The server cut the oldest turns off the context, as seen in its token counts."""

    at_s: float
    before_tokens: int
    after_tokens: int


@dataclass(frozen=True, slots=True)
class SummaryMade:
    """One attempt to bring the running summary up to date."""

    at_s: float
    took_s: float
    outcome: Literal["ok", "failed", "timeout", "discarded"]
    """``discarded``: what came back had the wrong shape, was empty or far too long."""
    turns: int
    """How many turns were folded in, or would have been."""
    by: str
    """The text model; ``extract`` where none is configured, or none answered."""
    tokens: int = 0
    detail: str = ""


@dataclass(slots=True)
class UpdateRecord:
    """Something the model was told in the middle of the call; the text itself is not kept here."""

    at_s: float
    kind: Literal["context", "instruction"]
    how: Literal["system_content", "context_update", "next_move"]
    """How it reaches the model; ``next_move``: in the instruction of the next connection."""
    done_s: float | None = None
    """When it was sent to the model; None while it waits."""


@dataclass(slots=True)
class ContextRecord:
    """What the model held in the course of the call, and what was done about it."""

    window_tokens: int = 0
    trigger_tokens: int | None = None
    """``contextWindowCompression.triggerTokens``; None where compression is off."""
    target_tokens: int | None = None
    tokens: int = 0
    """At the end, or by now."""
    most_tokens: int = 0
    caller_tokens_per_s: float = 0.0
    """Of speech, as learned from the server's counts."""
    model_tokens_per_s: float = 0.0
    left_s: float | None = None
    """At the present rate, until the next cut or else until the window is full; None: unknown."""
    samples: list[ContextSample] = field(default_factory=list)
    cuts: list[CutRecord] = field(default_factory=list)
    summaries: list[SummaryMade] = field(default_factory=list)
    updates: list[UpdateRecord] = field(default_factory=list)


@dataclass(slots=True)
class StreamRecord:
    """One media stream of the call and how it ended."""

    stream_sid: str
    started_s: float
    ended_s: float | None = None
    end_reason: EndReason | None = None
    detail: str = ""
    """A sentence for the operator: close code, reason text, setting to look at."""
    worker: str = ""
    """Who served it."""


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
    context: ContextRecord = field(default_factory=ContextRecord)
    summary: SummaryRecord | None = None
    facts: list[FactRecord] = field(default_factory=list)
    """What the agent was told to remember, newest value of each key."""
    opted_out: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    """What was skipped or lost, by name: ``live_malformed``, ``caller_audio_lost_ms`` and so on."""


def copy_of(item: T) -> T:
    """A copy of an item of a record, not of what is in it; a sixth of what ``replace`` takes."""
    kind: Any = type(item)
    copied: T = kind(*_values_of(kind)(item))
    return copied


@cache
def _values_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(each.name for each in fields(kind)))
