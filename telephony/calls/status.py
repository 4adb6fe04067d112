"""The status of a phone call and who answered it, with the moves that are legal.

Status callbacks are separate HTTP requests that arrive in any order, late or twice. ``advance``
is the only way a status changes: a move the table does not know is a stale report and is ignored,
so that nothing leads out of a terminal status.
Source: twilio.com/docs/voice/api/call-resource (status table).
"""

from __future__ import annotations

from enum import StrEnum


class CallStatus(StrEnum):
    """Twilio's ``CallStatus``."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """The call is over."""
        return not _NEXT[self]


class AnsweredBy(StrEnum):
    """Answering machine detection's verdict; ``unknown`` also for values of tomorrow."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> AnsweredBy:
        return cls.UNKNOWN


class DialStatus(StrEnum):
    """``DialCallStatus``: how a ``<Dial>`` ended; values of tomorrow count as failed."""

    COMPLETED = "completed"
    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"

    @classmethod
    def _missing_(cls, value: object) -> DialStatus:
        return cls.FAILED

    @property
    def answered(self) -> bool:
        """Somebody, or something, picked up."""
        return self in (DialStatus.COMPLETED, DialStatus.ANSWERED)


_TERMINAL = frozenset(
    {
        CallStatus.COMPLETED,
        CallStatus.BUSY,
        CallStatus.NO_ANSWER,
        CallStatus.FAILED,
        CallStatus.CANCELED,
    }
)
_AFTER_RINGING = _TERMINAL | {CallStatus.IN_PROGRESS}
_AFTER_INITIATED = _AFTER_RINGING | {CallStatus.RINGING}

# Steps may be missing (ringing often is), never reversed.
_NEXT: dict[CallStatus, frozenset[CallStatus]] = {
    CallStatus.QUEUED: _AFTER_INITIATED | {CallStatus.INITIATED},
    CallStatus.INITIATED: _AFTER_INITIATED,
    CallStatus.RINGING: _AFTER_RINGING,
    CallStatus.IN_PROGRESS: _TERMINAL,
    **{status: frozenset() for status in _TERMINAL},
}


def advance(current: CallStatus, reported: CallStatus) -> CallStatus:
    """The status after a report: the reported one where that is a legal move."""
    return reported if reported in _NEXT[current] else current
