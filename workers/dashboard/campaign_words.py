"""A campaign in words: its states, outcomes, events and reasons, for pages, screens and exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from workers.campaign.brake import Measure
from workers.campaign.compliance import Reason
from workers.campaign.model import CampaignState, ContactState, LineOutcome
from workers.dashboard.story import Tone
from workers.store.campaigns.events import IMPORTED, MOVED, REDEFINED, CampaignEvent

STATE_TONES: Final[Mapping[CampaignState, Tone]] = MappingProxyType(
    {
        CampaignState.DRAFT: "odd",
        CampaignState.CANARY: "good",
        CampaignState.RUNNING: "good",
        CampaignState.PAUSED: "odd",
        CampaignState.FINISHED: "good",
        CampaignState.CANCELLED: "bad",
    }
)

CONTACT_WORDS: Final[Mapping[ContactState, str]] = MappingProxyType(
    {
        ContactState.DONE: "Reached",
        ContactState.EXHAUSTED: "Not reached",
        ContactState.NEVER: "Never to be called",
        ContactState.CANCELLED: "Cancelled",
        ContactState.IN_HAND: "In hand",
        ContactState.WAITING: "Waiting",
    }
)
"""In the order in which they are shown."""

OUTCOME_WORDS: Final[Mapping[LineOutcome, str]] = MappingProxyType(
    {
        LineOutcome.HUMAN: "A person answered",
        LineOutcome.OPTED_OUT: "Asked not to be called",
        LineOutcome.MESSAGE_LEFT: "Message left",
        LineOutcome.VOICEMAIL: "Voicemail",
        LineOutcome.FAX: "Fax machine",
        LineOutcome.NO_ANSWER: "No answer",
        LineOutcome.BUSY: "Busy",
        LineOutcome.CANCELED: "Canceled by us",
        LineOutcome.FAILED: "Network failed",
        LineOutcome.BAD_NUMBER: "Bad number",
        LineOutcome.CARRIER_BLOCKED: "Blocked by the carrier",
        LineOutcome.NOT_PLACED: "Not placed by Twilio",
    }
)
"""In the order in which they are shown and stacked."""

MEASURE_WORDS: Final[Mapping[Measure, str]] = MappingProxyType(
    {
        "blocked": "Blocked by the carrier",
        "abandoned": "Answered, and nobody spoke within 2 s",
        "opted_out": "Asked not to be called",
        "failed": "Failed",
    }
)

_NO_REASON: Mapping[ContactState, str] = MappingProxyType(
    {
        ContactState.WAITING: "Waiting for their turn.",
        ContactState.IN_HAND: Reason.IN_HAND.sentence,
        ContactState.DONE: Reason.DONE.sentence,
        ContactState.EXHAUSTED: Reason.EXHAUSTED.sentence,
        ContactState.NEVER: Reason.SET_ASIDE.sentence,
        ContactState.CANCELLED: Reason.CANCELLED.sentence,
    }
)
# A number in any spelling: seven digits or more, with what people put between them; not a date.
_NUMBER = re.compile(r"(?P<date>\b\d{4}-\d\d-\d\d\b)|\+?\(?\d(?:[ ().\-/\u00a0]{0,3}\d){6,}")
_EVENT_WORDS: Mapping[str, str] = MappingProxyType(
    {REDEFINED: "The campaign's file was read again", "brake": "The brake was pulled"}
)


def reason_words(state: ContactState, reason: str) -> str:
    """Why a contact is in its state, in a sentence; never empty."""
    return reason or _NO_REASON[state]


def without_numbers(text: str) -> str:
    """A text in which anything that could be a telephone number is left out.

    Reasons and messages hold what people wrote, numbers among it.
    """
    return _NUMBER.sub(lambda found: found["date"] or "(number)", text)


def event_words(event: CampaignEvent) -> tuple[str, str, Tone]:
    """What was done, why, and how grave that is; one that is not known is told as it stands."""
    detail = event.detail
    reason = str(detail.get("reason") or "")
    if event.kind == MOVED:
        return _moved(detail), reason, _tone_of_move(str(detail.get("to", "")), reason)
    if event.kind == IMPORTED:
        counts = ", ".join(
            f"{detail[key]:,} {key}"
            for key in ("new", "known", "suppressed", "errors")
            if isinstance(detail.get(key), int)
        )
        return "Contacts were imported", counts, "good"
    what = _EVENT_WORDS.get(event.kind, event.kind.replace("_", " ").capitalize())
    return what, reason, "bad" if event.kind == "brake" else "good"


def told_events(
    events: Iterable[CampaignEvent],
) -> Iterator[tuple[CampaignEvent, str, str, Tone]]:
    """Each event with its words; a reason that stands beside the one before is not repeated."""
    before = ""
    for event in events:
        what, reason, tone = event_words(event)
        yield event, what, "" if reason == before else reason, tone
        before = reason


def percent(share: float) -> str:
    """``12 %``, ``3.4 %``: with a decimal below ten."""
    value = share * 100
    text = f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
    return f"{text} %"


def width_words(every: timedelta) -> str:
    """A bucket's width: ``hour``, ``15 minutes``."""
    seconds = int(every.total_seconds())
    for size, name in ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return name if count == 1 else f"{count} {name}s"
    return "second" if seconds == 1 else f"{seconds} seconds"


def _moved(detail: Mapping[str, object]) -> str:
    to = str(detail.get("to", ""))
    canary = detail.get("canary")
    words = {
        CampaignState.CANARY: f"Canary of {canary} started",
        CampaignState.RUNNING: "Started" if detail.get("from") == "draft" else "Resumed",
        CampaignState.PAUSED: "Paused",
        CampaignState.FINISHED: "Finished",
        CampaignState.CANCELLED: "Cancelled",
    }
    return next((text for state, text in words.items() if state == to), f"Became {to}")


def _tone_of_move(to: str, reason: str) -> Tone:
    if to == CampaignState.CANCELLED:
        return "bad"
    return "odd" if to == CampaignState.PAUSED and reason else "good"
