"""How the text model behaves, one request after the other: ``error(503), slow(2), ok``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a request is answered with."""

    OK = "ok"
    """A summary in the shape that was asked for."""
    SLOW = "slow"
    """The same, after ``slow(seconds)``."""
    HANG = "hang"
    """Nothing, until the client leaves."""
    ERROR = "error"
    """``error(status)``: the error that the real server sends with this HTTP status."""
    NONSENSE = "nonsense"
    """Prose where JSON was asked for."""
    WRONG_SHAPE = "wrong_shape"
    """JSON with other fields than were asked for."""
    EMPTY = "empty"
    """A candidate without text."""
    TOO_LONG = "too_long"
    """The shape that was asked for, with 100,000 characters in it."""
    BLOCKED = "blocked"
    """No candidate: the prompt was blocked."""
    TRUNCATED = "truncated"
    """Half of the answer, and ``finishReason`` ``MAX_TOKENS``."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One kind, with its number where it takes one."""

    kind: Kind
    number: float = 0.0
    """Seconds of ``slow``, HTTP status of ``error``."""


OK = Behaviour(Kind.OK)
_STEP = re.compile(r"(\w+)(?:\((\d+(?:\.\d+)?)\))?")
_WITH_NUMBER = (Kind.SLOW, Kind.ERROR)


def read_recipe(text: str) -> tuple[Behaviour, ...]:
    """Read a recipe; its last step is what all further requests get.

    Raises:
        ValueError: a step is not one of the kinds, or its number is missing or not wanted.
    """
    steps = []
    for step in text.split(","):
        match = _STEP.fullmatch(step.strip())
        if match is None or match[1] not in set(Kind):
            raise ValueError(f"{step.strip()!r} is none of {', '.join(Kind)}")
        kind = Kind(match[1])
        if (match[2] is not None) != (kind in _WITH_NUMBER):
            wants = "needs a number" if kind in _WITH_NUMBER else "takes no number"
            raise ValueError(f"{step.strip()!r}: {kind} {wants}")
        steps.append(Behaviour(kind, float(match[2] or 0)))
    return tuple(steps)
