"""Whether a contact may be called: now, later or never, and why.

Asked when an attempt is scheduled, and again at the instant of dialling with everything read anew.
The checks, in this order; the first that fails gives the reason:

1. the emergency stop
2. the state of the campaign
3. the state of the contact
4. the suppression list
5. consent
6. the last day of the campaign
7. attempts in total
8. attempts in 24 hours, to this number
9. not before
10. permitted hours
11. no other call to this number that may still be going on

It fails closed: what could not be read counts as a no, for as long as it cannot be read. ``Never``
is only said where nothing leads back, since it ends a contact. ``Later`` has a moment where waiting
is enough: the first at which checks 8 to 10 all pass. Where that moment never comes (no zone known,
no hours, past the last day) the answer is ``Never`` with that reason.

Not legal advice: every limit is the campaign's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Final

from workers.campaign.hours import UnknownZone, is_over, next_permitted, utc, zone_named
from workers.campaign.model import Campaign, CampaignState, Contact, ContactState

ATTEMPTS_WITHIN = timedelta(hours=24)
"""What ``Attempts.per_day`` counts over: real hours, also where a day has 23 or 25."""


class Unreadable(Enum):
    """Stands for what a store could not say."""

    UNREADABLE = auto()


UNREADABLE: Final = Unreadable.UNREADABLE


class Stage(StrEnum):
    """When it is asked."""

    SCHEDULING = "scheduling"
    """Before an attempt is written down: the contact waits."""
    DIALLING = "dialling"
    """Right before Twilio is asked: the contact is in hand, for this attempt."""


class Reason(StrEnum):
    """Why somebody is not called."""

    EMERGENCY_STOP = "emergency_stop"
    STOP_UNREADABLE = "stop_unreadable"
    CAMPAIGN_DRAFT = "campaign_draft"
    CAMPAIGN_PAUSED = "campaign_paused"
    CAMPAIGN_FINISHED = "campaign_finished"
    CAMPAIGN_CANCELLED = "campaign_cancelled"
    IN_HAND = "in_hand"
    NOT_IN_HAND = "not_in_hand"
    DONE = "done"
    EXHAUSTED = "exhausted"
    SET_ASIDE = "set_aside"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    SUPPRESSION_UNREADABLE = "suppression_unreadable"
    NO_CONSENT = "no_consent"
    CONSENT_UNREADABLE = "consent_unreadable"
    ENDED = "ended"
    ALL_ATTEMPTS_MADE = "all_attempts_made"
    TOO_MANY_IN_24_HOURS = "too_many_in_24_hours"
    ATTEMPTS_UNREADABLE = "attempts_unreadable"
    NOT_YET = "not_yet"
    BEING_CALLED = "being_called"
    OUT_OF_HOURS = "out_of_hours"
    NO_ZONE = "no_zone"
    UNKNOWN_ZONE = "unknown_zone"
    NO_HOURS = "no_hours"
    NO_TIME_LEFT = "no_time_left"

    @property
    def sentence(self) -> str:
        """It, for the report."""
        return _SENTENCES[self]


_SENTENCES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.EMERGENCY_STOP: "All calls are stopped.",
        Reason.STOP_UNREADABLE: "Whether all calls are stopped could not be read.",
        Reason.CAMPAIGN_DRAFT: "The campaign has not been started.",
        Reason.CAMPAIGN_PAUSED: "The campaign is paused.",
        Reason.CAMPAIGN_FINISHED: "The campaign is finished.",
        Reason.CAMPAIGN_CANCELLED: "The campaign was cancelled.",
        Reason.IN_HAND: "An attempt is under way.",
        Reason.NOT_IN_HAND: "The attempt was taken back before it was dialled.",
        Reason.DONE: "They have been reached.",
        Reason.EXHAUSTED: "They were not reached in the attempts or the time allowed.",
        Reason.SET_ASIDE: "They are never to be called.",
        Reason.CANCELLED: "They were cancelled with the campaign.",
        Reason.SUPPRESSED: "Their number is on the suppression list.",
        Reason.SUPPRESSION_UNREADABLE: "The suppression list could not be read.",
        Reason.NO_CONSENT: "There is no evidence that they agreed to be called.",
        Reason.CONSENT_UNREADABLE: "The evidence of their consent could not be read.",
        Reason.ENDED: "The last day of the campaign is over where they are.",
        Reason.ALL_ATTEMPTS_MADE: "As many attempts as allowed have been made.",
        Reason.TOO_MANY_IN_24_HOURS: "Their number was called as often as allowed in 24 hours.",
        Reason.ATTEMPTS_UNREADABLE: "How often their number was called could not be read.",
        Reason.NOT_YET: "The next attempt is not due yet.",
        Reason.BEING_CALLED: "Their number is being called already.",
        Reason.OUT_OF_HOURS: "It is outside the permitted hours where they are.",
        Reason.NO_ZONE: "It is not known in which time zone they are.",
        Reason.UNKNOWN_ZONE: "Their time zone is not in this machine's time zone data.",
        Reason.NO_HOURS: "No hour is permitted in all the time zones they may be in.",
        Reason.NO_TIME_LEFT: "No permitted hour is left before the campaign ends.",
    }
)


@dataclass(frozen=True, slots=True)
class Check:
    """All that the decision looks at; read just before it."""

    stage: Stage
    stopped: bool | Unreadable
    """The emergency stop for everything."""
    campaign_state: CampaignState
    campaign: Campaign
    contact: Contact
    suppressed: str | Unreadable | None
    """Why the number is on the suppression list, even if that is empty; None: it is not there."""
    consent: bool | Unreadable
    """Whether there is evidence; looked at where the campaign requires it."""
    recent: tuple[datetime, ...] | Unreadable
    """When this number was asked for in the last 24 hours, for any campaign, without the attempt
    in question; those with unknown outcome included. Aware, in any order; older ones do no harm."""
    being_called: bool = False
    """Whether any other attempt to this number may still be ringing, or a call going on."""


@dataclass(frozen=True, slots=True)
class Call:
    """They may be called, at this moment."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not now."""

    at: datetime | None
    """When, in UTC, if nothing else changes by then; ask again. None: something else has to."""
    reason: Reason


@dataclass(frozen=True, slots=True)
class Never:
    """Not for this campaign any more."""

    reason: Reason
    detail: str = ""
    """What the suppression list says."""


Decision = Call | Later | Never

_NO_DIAL: Mapping[CampaignState, Later | Never] = MappingProxyType(
    {
        CampaignState.DRAFT: Later(None, Reason.CAMPAIGN_DRAFT),
        CampaignState.PAUSED: Later(None, Reason.CAMPAIGN_PAUSED),
        # More contacts may be imported into it, and it goes on (CAMPAIGN_MOVES).
        CampaignState.FINISHED: Later(None, Reason.CAMPAIGN_FINISHED),
        CampaignState.CANCELLED: Never(Reason.CAMPAIGN_CANCELLED),
    }
)

_DIALLED_FROM = MappingProxyType(
    {Stage.SCHEDULING: ContactState.WAITING, Stage.DIALLING: ContactState.IN_HAND}
)

_NO_ATTEMPT: Mapping[ContactState, Later | Never] = MappingProxyType(
    {
        ContactState.WAITING: Later(None, Reason.NOT_IN_HAND),
        ContactState.IN_HAND: Later(None, Reason.IN_HAND),
        ContactState.DONE: Never(Reason.DONE),
        ContactState.EXHAUSTED: Never(Reason.EXHAUSTED),
        ContactState.NEVER: Never(Reason.SET_ASIDE),
        ContactState.CANCELLED: Never(Reason.CANCELLED),
    }
)


def decide(check: Check, now: datetime) -> Decision:
    """Whether a contact may be called at ``now``.

    Args:
        check: everything it depends on, just read.
        now: aware.

    Returns:
        ``Call`` only if every condition holds.

    Raises:
        ValueError: ``now`` or another time is naive; nobody is called.
    """
    moment = utc(now)
    return _standing(check) or _lasting(check, moment) or _timely(check, moment)


def explain(decision: Decision) -> str:
    """The decision in a sentence, for the report."""
    match decision:
        case Call():
            return "They may be called."
        case Never(reason, detail) if detail:
            return f"{reason.sentence.removesuffix('.')}: {detail}"
        case Later(reason=reason) | Never(reason=reason):
            return reason.sentence


def _standing(check: Check) -> Later | Never | None:
    """Checks 1 to 3: whether anybody, and this one, is being called at all."""
    if check.stopped is UNREADABLE:
        return Later(None, Reason.STOP_UNREADABLE)
    if check.stopped:
        return Later(None, Reason.EMERGENCY_STOP)
    if not check.campaign_state.dials:
        return _NO_DIAL[check.campaign_state]
    if check.contact.state != _DIALLED_FROM[check.stage]:
        return _NO_ATTEMPT[check.contact.state]
    return None


def _lasting(check: Check, now: datetime) -> Later | Never | None:
    """Checks 4 to 7: what no waiting mends."""
    campaign, contact = check.campaign, check.contact
    if check.suppressed is UNREADABLE:
        return Later(None, Reason.SUPPRESSION_UNREADABLE)
    if check.suppressed is not None:
        return Never(Reason.SUPPRESSED, check.suppressed)
    if campaign.consent_required:
        if check.consent is UNREADABLE:
            return Later(None, Reason.CONSENT_UNREADABLE)
        if not check.consent:
            return Never(Reason.NO_CONSENT)
    if campaign.ends_on is not None:
        try:
            if is_over(campaign.ends_on, contact.zones, now):
                return Never(Reason.ENDED)
        except UnknownZone:
            # Newer data may know it. A file that is missing on one machine ends nobody's turn.
            return Later(None, Reason.UNKNOWN_ZONE)
    if contact.attempts >= campaign.attempts.most or campaign.attempts.per_day < 1:
        return Never(Reason.ALL_ATTEMPTS_MADE)
    return None


def _timely(check: Check, now: datetime) -> Decision:
    """Checks 8 to 10: what waiting mends, in one moment at which all of it holds."""
    contact = check.contact
    if isinstance(check.recent, Unreadable):
        return Later(None, Reason.ATTEMPTS_UNREADABLE)
    reason, earliest = Reason.OUT_OF_HOURS, now
    if contact.not_before is not None and (not_before := utc(contact.not_before)) > now:
        reason, earliest = Reason.NOT_YET, not_before
    free_at = _number_free_at(check.recent, check.campaign.attempts.per_day, now)
    if free_at > now:
        reason, earliest = Reason.TOO_MANY_IN_24_HOURS, max(earliest, free_at)
    hours, ends_on = check.campaign.hours, check.campaign.ends_on
    at = next_permitted(hours, contact.zones, earliest, ends_on=ends_on)
    if at is None:
        return _no_moment(check, earliest)
    # `at` is no earlier than every wait, so one that is `now` has passed them all.
    if at > now:
        return Later(at, reason)
    return Later(None, Reason.BEING_CALLED) if check.being_called else Call()


def _number_free_at(recent: Iterable[datetime], per_day: int, now: datetime) -> datetime:
    """From when on fewer than ``per_day`` attempts are less than 24 hours old.

    One in the future (another machine's clock) counts as well.
    """
    ends = sorted(end for asked in recent if (end := utc(asked) + ATTEMPTS_WITHIN) > now)
    return ends[-per_day] if len(ends) >= per_day else now


def _no_moment(check: Check, earliest: datetime) -> Later | Never:
    """Why no moment from ``earliest`` on is permitted."""
    contact, campaign = check.contact, check.campaign
    if not contact.zones:
        return Never(Reason.NO_ZONE)
    try:
        for name in contact.zones:
            zone_named(name)
    except UnknownZone:
        return Later(None, Reason.UNKNOWN_ZONE)
    if next_permitted(campaign.hours, contact.zones, earliest) is None:
        return Never(Reason.NO_HOURS)
    return Never(Reason.NO_TIME_LEFT)
