"""How long ago, and how many: as short as a table needs it."""

from __future__ import annotations

from workers.dashboard.story import long

NOBODY = "nobody"
_HOUR_S, _DAY_S = 3600, 86_400


def age(seconds: float) -> str:
    """A time since: ``48 s``, ``12 min 05 s``, ``3 h 05 min``, ``2 d 4 h``."""
    seconds = max(0.0, seconds)
    if seconds < _HOUR_S:
        return long(seconds)
    minutes = round(seconds / 60)
    if minutes < _DAY_S // 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / _HOUR_S)
    return f"{hours // 24} d {hours % 24} h"


def counted(number: int, thing: str) -> str:
    """A number of things: ``1 call``, ``2 calls``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
