"""How an attempt ended, and what that means for its contact and its campaign.

``line_outcome`` reads how a call that Twilio took has ended, ``after`` decides what comes next for
the contact. What a refusal to dial means is in ``workers.campaign.refusals``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from telephony.calls.status import AnsweredBy, CallStatus
from workers.campaign.model import Attempts, Contact, ContactState, LineOutcome

# -- how a call ended --------------------------------------------------------------------------

# Twilio's error on a call that it took; twilio.com/docs/api/errors/<code>.
_BY_ERROR_CODE: Mapping[int, LineOutcome] = MappingProxyType(
    {
        21211: LineOutcome.BAD_NUMBER,  # To invalid
        21214: LineOutcome.BAD_NUMBER,  # To unreachable
        21216: LineOutcome.BAD_NUMBER,  # Twilio's block list
        21217: LineOutcome.BAD_NUMBER,  # To invalid
        32016: LineOutcome.FAILED,  # no carrier answered within 60 s: the number may be fine
        32017: LineOutcome.CARRIER_BLOCKED,  # carrier blocked the call for its caller ID
    }
)

# ``SipResponseCode`` of the last callback.
_BY_SIP_CODE: Mapping[int, LineOutcome] = MappingProxyType(
    {
        404: LineOutcome.BAD_NUMBER,  # not found, RFC 3261, 21.4.5
        410: LineOutcome.BAD_NUMBER,  # gone, likely for good, 21.4.11
        480: LineOutcome.NO_ANSWER,  # temporarily unavailable: switched off, no reception, 21.4.18
        484: LineOutcome.BAD_NUMBER,  # address incomplete, 21.4.22
        486: LineOutcome.BUSY,  # busy here, 21.4.24
        487: LineOutcome.NO_ANSWER,  # our own ring time-out, 21.4.25; Twilio, call resource
        600: LineOutcome.BUSY,  # busy everywhere, 21.6.1
        # Decline, 21.6.2. By a person or, since networks block calls by analytics, by one of
        # these (ATIS-1000099 "603+"); nothing tells them apart, and both do not want our calls.
        603: LineOutcome.CARRIER_BLOCKED,
        604: LineOutcome.BAD_NUMBER,  # does not exist anywhere, 21.6.3
        607: LineOutcome.CARRIER_BLOCKED,  # unwanted, RFC 8197
        608: LineOutcome.CARRIER_BLOCKED,  # rejected by analytics on the way, RFC 8688
    }
)

_BY_STATUS: Mapping[CallStatus, LineOutcome] = MappingProxyType(
    {
        CallStatus.BUSY: LineOutcome.BUSY,
        CallStatus.NO_ANSWER: LineOutcome.NO_ANSWER,
        CallStatus.FAILED: LineOutcome.FAILED,
    }
)

_MACHINES = frozenset(
    {
        AnsweredBy.MACHINE_START,
        AnsweredBy.MACHINE_END_BEEP,
        AnsweredBy.MACHINE_END_SILENCE,
        AnsweredBy.MACHINE_END_OTHER,
    }
)


def line_outcome(
    status: CallStatus,
    answered_by: AnsweredBy | None,
    *,
    sip_code: int | None = None,
    error_code: int = 0,
    message_left: bool = False,
    opted_out: bool = False,
    over_as_machine: bool = False,
) -> LineOutcome:
    """How a call that Twilio took has ended.

    What happened in the call outweighs what the network says of it: an opt-out, then a message
    left. A call that was answered is a person's unless a machine has been found there: Twilio
    reports ``answered`` for a voicemail as well, and ``unknown`` is treated as a person, because
    hanging up on people is worse than talking to a machine. A call that was not answered is read
    by Twilio's error code, then by the SIP code, then by its status. Verdicts may come after the
    end: ask again then.

    Args:
        status: The terminal one.
        answered_by: Detection's verdict; None: it did not run, or has not spoken.
        sip_code: ``SipResponseCode``; None: not told.
        error_code: Twilio's, 0: none.
        message_left: A message was spoken after the beep, to its end.
        opted_out: The callee asked not to be called, by word or key.
        over_as_machine: Our side ended the call as a machine's, whatever detection says: the agent
            heard the greeting, or voicemail was hung up on.

    Raises:
        ValueError: ``status`` is not terminal, so the outcome is not known.
    """
    if not status.terminal:
        raise ValueError(f"a call that is {status} has not ended")
    if opted_out:
        return LineOutcome.OPTED_OUT
    if message_left and answered_by is not AnsweredBy.FAX:
        return LineOutcome.MESSAGE_LEFT
    if status is CallStatus.CANCELED:
        return LineOutcome.CANCELED
    if status is CallStatus.COMPLETED:
        return _who_answered(answered_by, over_as_machine)
    known = _BY_ERROR_CODE.get(error_code)
    if known is None and sip_code is not None:
        known = _BY_SIP_CODE.get(sip_code)
    return _BY_STATUS[status] if known is None else known


def _who_answered(answered_by: AnsweredBy | None, over_as_machine: bool) -> LineOutcome:
    if answered_by is AnsweredBy.FAX:
        return LineOutcome.FAX
    if answered_by in _MACHINES or over_as_machine:
        return LineOutcome.VOICEMAIL
    return LineOutcome.HUMAN


# -- what comes next ---------------------------------------------------------------------------

NOT_PLACED_MOST = 8
"""So many times Twilio may not have had a contact's call: with the wait doubling from 5 minutes,
the last is half a day after the first. Longer than that it is no hiccup, and somebody should know.
"""


@dataclass(frozen=True, slots=True)
class Done:
    """Reached; nothing is left to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """To be called again, not before ``at``; hours and limits per day may make it later."""

    at: datetime
    """Aware, in UTC."""


@dataclass(frozen=True, slots=True)
class Never:
    """Not to be called any more: the number, or whoever has it, is not for calls."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Not reached, and not tried again."""

    reason: str


Next = Done | Again | Never | Exhausted

_WORDS: Mapping[LineOutcome, str] = MappingProxyType(
    {
        LineOutcome.HUMAN: "a person answered",
        LineOutcome.VOICEMAIL: "a machine answered",
        LineOutcome.MESSAGE_LEFT: "a message was left",
        LineOutcome.FAX: "a fax machine answered",
        LineOutcome.BUSY: "the line was busy",
        LineOutcome.NO_ANSWER: "nobody answered",
        LineOutcome.FAILED: "the network could not place the call",
        LineOutcome.CARRIER_BLOCKED: "the carrier blocked the call",
        LineOutcome.BAD_NUMBER: "the number cannot be called",
        LineOutcome.CANCELED: "the call was canceled before it was answered",
        LineOutcome.NOT_PLACED: "Twilio never had the call",
        LineOutcome.OPTED_OUT: "they asked not to be called",
    }
)
_REACHED = frozenset({LineOutcome.HUMAN, LineOutcome.MESSAGE_LEFT})
# No campaign's file can have these tried again.
_FOR_GOOD = frozenset({LineOutcome.OPTED_OUT, LineOutcome.BAD_NUMBER})


def after(
    contact: Contact,
    outcome: LineOutcome,
    attempts: Attempts,
    now: datetime,
    *,
    not_placed_before: int = 0,
) -> Next:
    """What comes next for a contact whose attempt has ended.

    Attempts that Twilio never had do not count against ``attempts.most``: nobody's phone rang.
    They are bounded by themselves, ``NOT_PLACED_MOST`` for a contact, each waiting twice as long
    as the one before.

    Args:
        contact: With the attempt that ended counted in ``contact.attempts``, as all that were
            asked of Twilio.
        outcome: Of that attempt.
        attempts: Of the campaign's file.
        now: Aware.
        not_placed_before: How many of ``contact.attempts`` had ended as ``NOT_PLACED`` before this
            one. Left out, those count as calls: fewer calls than allowed, never more.

    Returns:
        The moment in ``Again`` is that long after ``now``, also over a change of clocks.

    Raises:
        ValueError: ``now`` is naive, or more attempts were not placed than were made.
    """
    if now.utcoffset() is None:
        raise ValueError("now must be aware")
    not_placed = not_placed_before + (outcome is LineOutcome.NOT_PLACED)
    rang = contact.attempts - not_placed
    if not_placed_before < 0 or rang < 0:
        raise ValueError("not_placed_before is not part of the contact's attempts")
    words = _WORDS[outcome]
    if outcome in _FOR_GOOD:
        return Never(_sentence(words))
    if contact.state is ContactState.NEVER:
        # Suppressed while the attempt was under way.
        return Never(contact.reason or "Suppressed while the call was under way.")
    spacing = attempts.spacing.get(outcome)
    if spacing is None:
        return _not_again(outcome, f"{words}, after which this campaign does not call again")
    if rang >= attempts.most:
        return _not_again(
            outcome, f"called {_times(rang)}, as often as allowed; the last time {words}"
        )
    if outcome is LineOutcome.NOT_PLACED:
        if not_placed >= NOT_PLACED_MOST:
            return Exhausted(f"Tried {_times(not_placed)}, and Twilio never had the call.")
        spacing *= 2 ** (not_placed - 1)
    # In UTC: adding to a time with a zone moves the hands of its clock, and where the clocks have
    # changed in between that is an hour too early.
    return Again(now.astimezone(UTC) + max(spacing, timedelta(0)))


def _not_again(outcome: LineOutcome, why: str) -> Done | Never | Exhausted:
    if outcome in _REACHED:
        return Done(_sentence(_WORDS[outcome]))
    if outcome is LineOutcome.FAX:
        return Never(_sentence(_WORDS[outcome]))
    return Exhausted(_sentence(why))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
