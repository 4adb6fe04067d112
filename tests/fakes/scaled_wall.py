"""A wall clock that runs faster than time, the same in every process of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = "SCALED_WALL"


@dataclass(frozen=True, slots=True)
class ScaledWall:
    """Call it for POSIX seconds.

    Attributes:
        origin_s: The monotonic clock, which Linux has one of for all processes, at its beginning.
        origin_wall_s: POSIX seconds at that instant.
        factor: How many of its seconds pass in one.
    """

    origin_s: float
    origin_wall_s: float
    factor: float

    @classmethod
    def beginning(cls, at_wall_s: float, factor: float) -> ScaledWall:
        """One that shows ``at_wall_s`` now."""
        return cls(time.monotonic(), at_wall_s, factor)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ScaledWall:
        """The one that another process has handed on.

        Raises:
            KeyError: none has.
        """
        return cls(*map(float, environment[_NAME].split()))

    @property
    def environment(self) -> dict[str, str]:
        """How it is handed on."""
        return {_NAME: f"{self.origin_s!r} {self.origin_wall_s!r} {self.factor!r}"}

    def __call__(self) -> float:
        return self.origin_wall_s + (time.monotonic() - self.origin_s) * self.factor

    async def sleep(self, seconds: float) -> None:
        """Let so many of its seconds pass."""
        await asyncio.sleep(seconds / self.factor)
