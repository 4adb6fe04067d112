"""What happens next to a call whose session, whose stream or whose transfer has ended.

How a session ended says what is to become of the call; that is kept in the call's entry. Twilio
asks ``/voice/continue`` when a stream's socket is closed, whoever closed it and why. The answer is
decided by the entry alone, so that the same request meets the same answer, at any worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation.record import EndReason
from agent.live.session_events import SessionEnd
from agent.spec import AgentSpec
from telephony.calls.webhooks import DialEnded
from workers.call.entry import CallEntry, CallState

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
    """Open another stream, whose session goes on where the one before ended."""

    notice: str | None = None
    """What the session is told first."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Another worker, or this one on another stream, is to go on."""


Step = HangUp | Apologise | DialTransfer | Reconnect | LetGo


def after_session(end: SessionEnd) -> Step:
    """Decide after the end of a session, or of the stream under it."""
    if end.reason in NO_AGENT_LEFT:
        if end.transfer_to is None:
            return Apologise()
        return DialTransfer(end.transfer_to, last_resort=True)
    match end.reason:
        case EndReason.TRANSFERRED if end.transfer_to is not None:
            return DialTransfer(end.transfer_to)
        case EndReason.HANDED_OVER:
            return LetGo()
        case EndReason.STREAM_LOST | EndReason.WORKER_STOPPED | EndReason.INTERNAL_ERROR:
            return Reconnect()
        case _:
            return HangUp()


def continue_call(entry: CallEntry, spec: AgentSpec, *, now: float) -> Step:
    """Decide after the end of a stream.

    Args:
        entry: The call.
        spec: The agent: how often a stream may be lost, and who is there when it was too often.
        now: The Unix clock.
    """
    if entry.status.terminal or entry.state is CallState.FINISHED:
        return HangUp()
    if entry.state is CallState.APOLOGY:
        return Apologise()
    if entry.state is CallState.TRANSFER:
        if entry.transfer_to is None:
            return HangUp()
        return DialTransfer(entry.transfer_to, last_resort=entry.last_resort)
    if entry.state is CallState.HANDED_OVER:
        return Reconnect()
    since = now - spec.limits.takeovers_within_s
    # One that was served and lost just now is counted when the next stream starts.
    lost = sum(at > since for at in entry.lost_at) - entry.unserved
    if lost < spec.limits.takeovers:
        return Reconnect()
    person = None if spec.moves.person is None else spec.transfer.get(spec.moves.person)
    return Apologise() if person is None else DialTransfer(person, last_resort=True)


def after_transfer(entry: CallEntry, ended: DialEnded) -> Step:
    """Decide after the end of a transfer's ``<Dial>``.

    ``DialBridged`` is the proof that two spoke; where it is missing, an answer counts as one.
    """
    bridged = ended.status.answered if ended.bridged is None else ended.bridged
    if ended.request.status.terminal or bridged:
        return HangUp()
    return Apologise() if entry.last_resort else Reconnect(notice=NOBODY_ANSWERED)
