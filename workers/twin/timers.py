"""How long to have an event loop wait for a moment."""

from __future__ import annotations

import math


def whole_ms(seconds: float) -> float:
    """Round a delay up to milliseconds, 0 where it is over.

    uvloop counts whole ones and rounds: what is woken too early for its moment spins until then.
    """
    return max(0, math.ceil(seconds * 1000)) / 1000
