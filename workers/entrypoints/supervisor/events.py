"""What happens to a parent of serving processes, and what it is to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a child is replaced."""

    CALLS = "calls"
    MEMORY = "memory"
    RESTART = "restart"
    """The operator wants all of them new."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The parent listens."""


@dataclass(frozen=True, slots=True)
class ChildReady:
    """The child serves."""

    child: int


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The child is gone; ``code`` is negative where a signal ended it."""

    child: int
    code: int


@dataclass(frozen=True, slots=True)
class RecycleWanted:
    """The child has served enough, or grown too large."""

    child: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """All children of now are to be replaced."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Let all children leave; the second time in a hurry."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """``Supervision.deadline`` has come."""


Event = (
    Begun | ChildReady | ChildExited | RecycleWanted | RestartRequested | StopRequested | TimePassed
)


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a child."""

    child: int
    place: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Have it let its calls end or leave, and exit."""

    child: int
    replaced: bool = False
    """Another one serves at its place: new connections are no longer for it."""


@dataclass(frozen=True, slots=True)
class Hurry:
    """Have it do so at once."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """It did not get ready, or did not leave, in time."""

    child: int


@dataclass(frozen=True, slots=True)
class Finish:
    """All is done: exit with ``code``."""

    code: int


@dataclass(frozen=True, slots=True)
class ReportDeath:
    """A child exited that nobody had told to."""

    child: int
    lived_s: float
    restart_in_s: float | None
    """None: it is not started again."""


@dataclass(frozen=True, slots=True)
class ReportLeft:
    """A child that had been told to leave is gone."""

    child: int
    after_s: float


@dataclass(frozen=True, slots=True)
class ReportRecycling:
    """A child is about to be replaced."""

    child: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class ReportRestartGivenUp:
    """New children do not get ready; the old ones that are left serve on."""


Command = (
    Spawn
    | Leave
    | Hurry
    | Kill
    | Finish
    | ReportDeath
    | ReportLeft
    | ReportRecycling
    | ReportRestartGivenUp
)
