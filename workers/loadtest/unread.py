"""When the caller's own end of the line took nothing in: what came late then is not the worker's.

A slow reader's audio waits in the network and arrives at once when reading goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from workers.loadtest.loudness import Span
from workers.twin.caller import ReadSlowly
from workers.twin.twilio_api.result import CallResult

# As the twin's journal writes the step down.
_READS_SLOWLY: Final = re.compile(rf"{ReadSlowly.__name__}\(ms=(\d+)\)")
_CATCHING_UP_MS: Final = 60.0
"""Reading what has piled up takes a while, and the loop's own time."""


def unread_ms(call: CallResult) -> list[Span]:
    """Return when nothing was read, in ms since the ring, with the moment of catching up."""
    found: list[Span] = []
    for event in call.named("script"):
        reads = _READS_SLOWLY.search(str(event.data.get("doing", "")))
        if reads is not None:
            from_ms = event.at_s * 1000
            found.append((from_ms, from_ms + float(reads[1]) + _CATCHING_UP_MS))
    return found


def within(at_ms: float, spans: Sequence[Span]) -> bool:
    """Whether a moment is in one of these spans."""
    return any(start <= at_ms <= end for start, end in spans)
