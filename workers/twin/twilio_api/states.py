"""The states of a call at Twilio, as a table, and which subscribed event each of them is.

Source: twilio.com/docs/voice/api/call-resource (status values, status callback events).
"""

from __future__ import annotations

QUEUED = "queued"
INITIATED = "initiated"
RINGING = "ringing"
IN_PROGRESS = "in-progress"
COMPLETED = "completed"
BUSY = "busy"
NO_ANSWER = "no-answer"
FAILED = "failed"
CANCELED = "canceled"

TERMINAL = frozenset({COMPLETED, BUSY, NO_ANSWER, FAILED, CANCELED})

_UNANSWERED_ENDS = {BUSY, NO_ANSWER, FAILED, CANCELED}

MOVES: dict[str, frozenset[str]] = {
    QUEUED: frozenset({INITIATED, FAILED, CANCELED}),
    INITIATED: frozenset({RINGING, IN_PROGRESS} | _UNANSWERED_ENDS),
    # A call that is rejected or whose document ends before anything answered it.
    RINGING: frozenset({IN_PROGRESS, COMPLETED} | _UNANSWERED_ENDS),
    IN_PROGRESS: frozenset({COMPLETED, FAILED}),
    **{state: frozenset() for state in TERMINAL},
}

EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})


def event_of(state: str) -> str | None:
    """Name the subscribable event that entering ``state`` is; None if there is none."""
    if state in TERMINAL:
        return "completed"
    return {INITIATED: "initiated", RINGING: "ringing", IN_PROGRESS: "answered"}.get(state)


def shown(state: str) -> str:
    """Give the status as REST shows it, which never says ``initiated``."""
    return QUEUED if state == INITIATED else state
