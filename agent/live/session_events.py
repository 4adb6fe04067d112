"""What happens to a session beside what the Live API tells, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from agent import events
from agent.conversation.record import EndReason
from agent.errors import LiveError
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.watchdog import AnswerOverdue, AnswerSlow, DurationReached, IdleReached
from agent.tools.runner import ClosingRequested, ToolAnswers


@dataclass(frozen=True, slots=True)
class Started:
    """The call has a stream; the session begins."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection is up and its setup is complete."""


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """No connection came up."""

    error: LiveError


@dataclass(frozen=True, slots=True)
class KeysPressed:
    """The caller pressed these keys."""

    keys: str


@dataclass(frozen=True, slots=True)
class GoodbyeHeard:
    """The caller has heard the agent's last words, or has waited long enough for them."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Somebody outside wants the session to end: the caller hung up, the worker stops."""

    reason: EndReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Why a session ended."""

    reason: EndReason
    detail: str = ""
    """A sentence for the operator."""
    transfer_to: str | None = None


SessionEvent = (
    events.LiveEvent
    | Started
    | Opened
    | ConnectFailed
    | KeysPressed
    | GoodbyeHeard
    | EndRequested
    | ToolAnswers
    | ClosingRequested
    | CallerSpeechStarted
    | CallerSpeechEnded
    | AnswerSlow
    | AnswerOverdue
    | IdleReached
    | DurationReached
)
