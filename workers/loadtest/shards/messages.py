"""What the one who leads a test and its shards tell each other, and the JSON it travels as.

The leader asks a shard to prepare, what time it is there, and to begin; then it holds the line
until the shard has finished, and asks for the sound of some calls. Calls are told one by one as
they are measured, so that what a shard has found is not lost with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from workers.loadtest.arrivals import Part
from workers.loadtest.measured import CallMeasured, OwnSlip
from workers.loadtest.plain import plain, read_plain
from workers.loadtest.plan import Plan
from workers.loadtest.result import Machine

# -- from the leader ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnWorker:
    """The worker that was started for the test, on the machine of the shard.

    Attributes:
        voice_url: The webhook of its number.
        status_url: Of its calls' states.
        desk: Where its Live side and its records are asked (``shards.desk``).
    """

    voice_url: str
    status_url: str
    desk: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make everything ready for this part of a plan; ``own`` is None where it has a target."""

    plan: Plan
    part: Part
    own: OwnWorker | None = None


@dataclass(frozen=True, slots=True)
class WhatTime:
    """Say what time it is; ``asked`` is what it was when this was asked, POSIX seconds."""

    asked: float


@dataclass(frozen=True, slots=True)
class Begin:
    """The test begins at this time, POSIX seconds by the shard's own clock."""

    at: float


@dataclass(frozen=True, slots=True)
class Hold:
    """The leader is there."""


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Let every caller hang up, and finish."""


@dataclass(frozen=True, slots=True)
class SendWavs:
    """Send the sound of these calls, and leave."""

    numbers: tuple[int, ...]


# -- from a shard ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything is ready on ``host``; ``rest_url`` is its simulated Twilio's."""

    host: str
    machine: Machine
    rest_url: str


@dataclass(frozen=True, slots=True)
class TimeTold:
    """It is ``told`` here; both in POSIX seconds."""

    asked: float
    told: float


@dataclass(frozen=True, slots=True)
class Going:
    """How it goes, again and again from when it is ready: calls under way and begun so far."""

    running: int
    begun: int
    slip: OwnSlip


@dataclass(frozen=True, slots=True)
class CallOver:
    """A call is over and measured."""

    call: CallMeasured


@dataclass(frozen=True, slots=True)
class Finished:
    """All calls were told; ``sums`` of them (``sums_json``) let that be checked."""

    slip: OwnSlip
    sums: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WavPiece:
    """The next part of a call's WAV file, in base64."""

    number: int
    data: str


@dataclass(frozen=True, slots=True)
class Left:
    """The sound is all sent; nothing follows."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be done; why, as a sentence. Nothing follows."""

    why: str


FromLeader: TypeAlias = Prepare | WhatTime | Begin | Hold | BreakOff | SendWavs
FromShard: TypeAlias = Ready | TimeTold | Going | CallOver | Finished | WavPiece | Left | Failed
Message: TypeAlias = FromLeader | FromShard

_KINDS: Final[Mapping[str, type[Message]]] = {
    kind.__name__: kind
    for kind in (
        *(Prepare, WhatTime, Begin, Hold, BreakOff, SendWavs),
        *(Ready, TimeTold, Going, CallOver, Finished, WavPiece, Left, Failed),
    )
}


def encode(message: Message) -> dict[str, Any]:
    """Write a message as plain data."""
    return {"kind": type(message).__name__, "body": plain(message)}


def decode(data: object) -> Message:
    """Read what ``encode`` wrote.

    Raises:
        ValueError: it did not, or in another version; the text names the place.
    """
    if not isinstance(data, Mapping) or data.get("kind") not in _KINDS:
        raise ValueError("this is no message of a load test")
    return read_plain(_KINDS[data["kind"]], data.get("body"))
