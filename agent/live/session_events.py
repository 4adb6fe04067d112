"""What happens to a session beside what the Live API tells, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from agent import events
from agent.conversation.record import EndReason, MoveCause
from agent.errors import LiveError
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.resumption import Departure
from agent.live.watchdog import AnswerOverdue, AnswerSlow, DurationReached, IdleReached
from agent.tools.runner import ClosingRequested, ToolAnswers

FORCED = "by force"
"""How the detail of a hand-over begins that did not wait for a safe point."""


@dataclass(frozen=True, slots=True)
class Started:
    """The call has a stream; the session begins."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection is up and its setup is complete; of two dials ``attempt`` says which."""

    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """No connection came up."""

    error: LiveError
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class StandbyLost:
    """The connection kept in reserve has ended."""

    attempt: int


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection that was given up is closed, or as good as closed."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The connection has been sent all the caller audio there is."""


@dataclass(frozen=True, slots=True)
class LeaveWanted:
    """The connection is old, slow or without memory."""

    departure: Departure


@dataclass(frozen=True, slots=True)
class UpdateWanted:
    """The connection's instruction is behind what is remembered, and the model should know."""

    cause: MoveCause
    """``UPDATE`` or ``CONTEXT``, should it take a move."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SafePointReached:
    """Nothing is lost by leaving now."""


@dataclass(frozen=True, slots=True)
class LeaveDeadlineReached:
    """No safe point came in time; the connection is left all the same."""


@dataclass(frozen=True, slots=True)
class GreetsAgain:
    """The resumed session has begun to greet: it has lost its memory."""


@dataclass(frozen=True, slots=True)
class RetryDue:
    """It is time for the next dial."""


@dataclass(frozen=True, slots=True)
class FillerDue:
    """The caller waits in silence and should hear that somebody is there."""


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """Connections have been looked for long enough."""


@dataclass(frozen=True, slots=True)
class SpokenOver:
    """The caller speaks over audio that no server can interrupt: its connection is gone."""


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
class HandOverWanted:
    """Another worker is to go on with the call: end at the next safe point."""

    limit_s: float
    """By force after so long; 0: at once."""


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
    | StandbyLost
    | ConnectionClosed
    | CaughtUp
    | LeaveWanted
    | UpdateWanted
    | SafePointReached
    | LeaveDeadlineReached
    | GreetsAgain
    | RetryDue
    | FillerDue
    | BudgetSpent
    | SpokenOver
    | KeysPressed
    | GoodbyeHeard
    | EndRequested
    | HandOverWanted
    | ToolAnswers
    | ClosingRequested
    | CallerSpeechStarted
    | CallerSpeechEnded
    | AnswerSlow
    | AnswerOverdue
    | IdleReached
    | DurationReached
)
