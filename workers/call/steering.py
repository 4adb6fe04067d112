"""What happens next to a call whose session, whose stream or whose transfer has ended.

How a session ended says what is to become of the call; that is kept in the call's entry. Twilio
asks ``/voice/continue`` when a stream's socket is closed, whoever closed it and why. The answer is
decided by the entry alone, so that the same request meets the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation.record import EndReason
from agent.live.session_events import SessionEnd
from telephony.calls.webhooks import DialEnded
from workers.call.active import CallEntry, CallState

# A stream that is lost three times over does not come back: the caller hears why instead.
MAX_RECONNECTS = 2

# A session that ends so has tried what there is (``moves.budget_s``): the next would fare no better
# and cost the caller the same wait again.
NO_AGENT_LEFT = frozenset({EndReason.LIVE_LOST, EndReason.LIVE_REFUSED, EndReason.MODEL_SILENT})

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
    last_resort: bool = False
    """Where nobody answers, the caller hears the apology: there is no agent to come back to."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Open another stream, with a fresh session that is told what was said so far."""

    notice: str | None = None
    """What the session is told first."""
    lost: bool = True
    """The stream before ended too early, which may happen ``MAX_RECONNECTS`` times."""


Step = HangUp | Apologise | DialTransfer | Reconnect


def after_session(end: SessionEnd) -> Step:
    """Decide after the end of a session, or of the stream under it."""
    if end.reason in NO_AGENT_LEFT:
        if end.transfer_to is None:
            return Apologise()
        return DialTransfer(end.transfer_to, last_resort=True)
    match end.reason:
        case EndReason.TRANSFERRED if end.transfer_to is not None:
            return DialTransfer(end.transfer_to)
        case EndReason.STREAM_LOST | EndReason.WORKER_STOPPED | EndReason.INTERNAL_ERROR:
            return Reconnect()
        case _:
            return HangUp()


def continue_call(entry: CallEntry) -> Step:
    """Decide after the end of a stream."""
    if entry.status.terminal or entry.state is CallState.FINISHED:
        return HangUp()
    if entry.state is CallState.APOLOGY:
        return Apologise()
    if entry.state is CallState.TRANSFER:
        if entry.transfer_to is None:
            return HangUp()
        return DialTransfer(entry.transfer_to, last_resort=entry.last_resort)
    return Reconnect() if entry.reconnects < MAX_RECONNECTS else Apologise()


def after_transfer(entry: CallEntry, ended: DialEnded) -> Step:
    """Decide after the end of a transfer's ``<Dial>``.

    ``DialBridged`` is the proof that two spoke; where it is missing, an answer counts as one.
    """
    bridged = ended.status.answered if ended.bridged is None else ended.bridged
    if ended.request.status.terminal or bridged:
        return HangUp()
    return Apologise() if entry.last_resort else Reconnect(notice=NOBODY_ANSWERED, lost=False)
