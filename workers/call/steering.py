"""What happens next to a call whose stream, or whose transfer, has ended.

Twilio asks ``/voice/continue`` when a stream's socket is closed, whoever closed it and why. The
answer is decided by the entry alone, so that the same request meets the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.calls.webhooks import DialEnded
from workers.call.active import CallEntry, CallState

# A stream that is lost three times over does not come back: the caller hears why instead.
MAX_RECONNECTS = 2

NOBODY_ANSWERED = (
    "The transfer failed: nobody answered. The caller is on the line with you again. "
    "Tell them so and ask how else you can help."
)


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call is done with."""


@dataclass(frozen=True, slots=True)
class Apologise:
    """Say that we cannot go on, then hang up."""


@dataclass(frozen=True, slots=True)
class DialTransfer:
    """Ring another number for the caller."""

    to: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Open another stream, with a fresh session that is told what was said so far."""

    notice: str | None = None
    """What the session is told first."""
    lost: bool = True
    """The stream before ended too early, which may happen ``MAX_RECONNECTS`` times."""


Step = HangUp | Apologise | DialTransfer | Reconnect


def continue_call(entry: CallEntry) -> Step:
    """Decide after the end of a stream."""
    if entry.status.terminal or entry.state is CallState.FINISHED:
        return HangUp()
    if entry.state is CallState.APOLOGY:
        return Apologise()
    if entry.state is CallState.TRANSFER:
        return HangUp() if entry.transfer_to is None else DialTransfer(entry.transfer_to)
    return Reconnect() if entry.reconnects < MAX_RECONNECTS else Apologise()


def after_transfer(ended: DialEnded) -> Step:
    """Decide after the end of a transfer's ``<Dial>``.

    ``DialBridged`` is the proof that two spoke; where it is missing, an answer counts as one.
    """
    if ended.request.status.terminal:
        return HangUp()
    bridged = ended.status.answered if ended.bridged is None else ended.bridged
    return HangUp() if bridged else Reconnect(notice=NOBODY_ANSWERED, lost=False)
