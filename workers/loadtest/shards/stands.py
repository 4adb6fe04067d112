"""How far a shard is, which message leads from where to where, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from workers.loadtest.measured import CallMeasured, OwnSlip
from workers.loadtest.result import Machine
from workers.loadtest.shards.messages import (
    CallOver,
    Failed,
    Finished,
    FromShard,
    Going,
    Left,
    Ready,
    TimeTold,
    WavPiece,
)


class Stand(StrEnum):
    """How far a shard is."""

    PREPARING = "preparing"
    READY = "ready"
    """It was asked for the time."""
    SET = "set"
    """Its clock is right."""
    CALLING = "calling"
    CALLED = "called"
    """Its calls are all told."""
    SENDING = "sending"
    LEFT = "left"
    LOST = "lost"
    """It is gone before it had told all."""


OVER: Final = frozenset({Stand.LEFT, Stand.LOST})
TABLE: Final[Mapping[tuple[Stand, type[FromShard]], Stand]] = {
    (Stand.PREPARING, Ready): Stand.READY,
    (Stand.READY, TimeTold): Stand.SET,
    **{(stand, Going): stand for stand in Stand if stand is not Stand.PREPARING},
    (Stand.CALLING, CallOver): Stand.CALLING,
    (Stand.CALLING, Finished): Stand.CALLED,
    (Stand.SENDING, WavPiece): Stand.SENDING,
    (Stand.SENDING, Left): Stand.LEFT,
    **{(stand, Failed): Stand.LOST for stand in Stand},
}
_NO_SLIP: Final = OwnSlip(0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Shard:
    """What is known of one; ``name`` is for people."""

    name: str
    stand: Stand = Stand.PREPARING
    heard_s: float = 0.0
    machine: Machine | None = None
    rest_url: str = ""
    running: int = 0
    begun: int = 0
    slip: OwnSlip = _NO_SLIP
    calls: list[CallMeasured] = field(default_factory=list)
    lost: str = ""
    """Why, as a sentence."""
