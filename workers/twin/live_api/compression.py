"""``contextWindowCompression``: when the context is cut, and what becomes of it.

A context is measured as a turn of the model begins, before the turn runs. Where it is over the
trigger, whole exchanges are forgotten, the oldest first: truncation, not a summary. Nobody is told.
Source: google-genai, ``ContextWindowCompressionConfig`` and ``SlidingWindow``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.twin.live_api.memory import Memory
from workers.twin.live_api.messages import invalid
from workers.twin.live_api.profiles import Profile
from workers.twin.live_api.session_log import Cut, SessionLog

# The default of triggerTokens, as pipecat quotes it.
_TRIGGER_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Compression:
    """What a model makes of the sizes that it was asked for."""

    trigger_tokens: int
    """A turn that would begin with more is preceded by a cut."""
    target_tokens: int
    """What a cut leaves, at most, where whole exchanges allow it."""


def read_compression(
    raw: dict[str, Any], profile: Profile, *, window_tokens: int
) -> Compression | None:
    """Return the compression that a setup asks for, None where it asks for none.

    Raises:
        RefusedError: 1007; the sizes do not fit together or into the window.
    """
    asked = raw.get("contextWindowCompression")
    if asked is None:
        return None
    # int64: a number or a string; 0 is protobuf's way to leave a field out.
    trigger = int(asked.get("triggerTokens", 0)) or int(window_tokens * _TRIGGER_SHARE)
    target = int(asked.get("slidingWindow", {}).get("targetTokens", 0)) or trigger // 2
    if not 0 < target < trigger <= window_tokens:
        raise invalid()
    if profile.cuts_late > 1:
        return Compression(min(window_tokens, round(trigger * profile.cuts_late)), trigger)
    return Compression(trigger, target)


def make_room(
    memory: Memory,
    compression: Compression | None,
    log: SessionLog,
    now: float,
    *,
    window_tokens: int,
    answering: int | None,
) -> None:
    """Measure the context before a turn of the model, and cut it where it is too large.

    Args:
        memory: What the model holds, the turn to be answered included.
        compression: What the setup asked for.
        log: Where the cut is told.
        now: The time.
        window_tokens: What the model can hold.
        answering: The number of the line that is being answered; None for the user's last one.

    Raises:
        RefusedError: 1007; nothing more can be cut, and it is still over the window.
    """
    before = memory.meter.context_tokens
    log.sample(now, before)
    if compression is not None and before > compression.trigger_tokens:
        lines = memory.cut(compression.target_tokens, answering=answering)
        if lines:
            after = memory.meter.context_tokens
            words = tuple((line.role, line.text) for line in lines if line.text)
            log.cuts.append(Cut(now, before, after, words))
            log.note(now, "cut", f"{before} to {after} tokens, {len(words)} lines")
            log.sample(now, after)
    check_window(memory, window_tokens)


def check_window(memory: Memory, window_tokens: int) -> None:
    """Close the session of a model that holds more than it can.

    Raises:
        RefusedError: 1007, as livekit reports it of an exhausted context.
    """
    if memory.meter.context_tokens > window_tokens:
        raise invalid()
