"""Where a session is in its life; what may happen there stands in ``lifecycle.py``."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a session is in its life."""

    CONNECTING = "connecting"
    SERVING = "serving"
    LEAVING = "leaving"
    MOVING = "moving"
    CLOSING = "closing"
    ENDED = "ended"
