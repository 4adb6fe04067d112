"""Campaign, contact and attempt as data, with the tables of their states.

``Campaign`` is what a campaign's file says (``workers.campaign.campaign_file`` reads it);
``Contact`` is a person to be called about one thing, ``Attempt`` one request to dial them. Nothing
here reads a clock. All times are aware; what people write (hours, days) is in the callee's zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

# -- what a campaign's file says ---------------------------------------------------------------


class VoicemailPolicy(StrEnum):
    """What to do when a machine answers."""

    HANG_UP = "hang_up"
    LEAVE_MESSAGE = "leave_message"
    """After the beep."""
    TALK = "talk"
    """As if a person had answered."""


class Weekday(StrEnum):
    """In the order of ``date.weekday()``."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` on, until before ``end``, in the callee's own time; within one day."""

    start: time
    end: time
    """``time(0)`` at the end of the day, which no ``time`` can say."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When people may be called."""

    windows: Mapping[Weekday, tuple[Window, ...]]
    """A day that is missing is a day without calls."""
    holidays: frozenset[date] = frozenset()
    """Days without calls, in the callee's zone."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the contact source is what. Empty: there is none."""

    number: str = "number"
    name: str = ""
    zone: str = ""
    """IANA name of the contact's time zone."""
    key: str = ""
    """The customer's own identifier of the row; else number and variables tell rows apart."""
    consent: str = ""
    """Evidence that they agreed to be called."""
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """From a variable of the agent's prompt to its column."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where contacts come from."""

    file: str
    # By a factory: pydantic, by which it is read from the database, copies a default, and no
    # read-only mapping can be copied.
    columns: Columns = field(default_factory=Columns)
    delimiter: str | None = None
    """None: found out."""
    encoding: str | None = None
    """None: found out."""
    region: str | None = None
    """Of numbers without a country code: ISO 3166-1 alpha-2."""


class LineOutcome(StrEnum):
    """How one attempt ended, as the line sees it."""

    HUMAN = "human"
    VOICEMAIL = "voicemail"
    """A machine, and no message was left."""
    MESSAGE_LEFT = "message_left"
    FAX = "fax"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    """The network could not; another time it may."""
    CARRIER_BLOCKED = "carrier_blocked"
    """The carrier does not put our number through."""
    BAD_NUMBER = "bad_number"
    """Invalid, not assigned, or on Twilio's block list."""
    CANCELED = "canceled"
    """By us, before it was answered."""
    NOT_PLACED = "not_placed"
    """Twilio never had it."""
    OPTED_OUT = "opted_out"


DEFAULT_SPACING: Mapping[LineOutcome, timedelta] = MappingProxyType(
    {
        LineOutcome.BUSY: timedelta(minutes=30),
        LineOutcome.NO_ANSWER: timedelta(hours=4),
        LineOutcome.VOICEMAIL: timedelta(hours=24),
        LineOutcome.FAILED: timedelta(hours=2),
        LineOutcome.CANCELED: timedelta(minutes=30),
        LineOutcome.NOT_PLACED: timedelta(minutes=5),
    }
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often somebody is called, and how long after what."""

    most: int = 3
    """For each contact."""
    per_day: int = 1
    """For each number in 24 hours, over all campaigns; attempts with unknown outcome count."""
    spacing: Mapping[LineOutcome, timedelta] = field(default_factory=lambda: DEFAULT_SPACING)
    """Until the next attempt; an outcome that is missing is not tried again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and how many at once."""

    calls_per_second: float = 1.0
    """Twilio's default for an account (help on CPS: more than it takes it queues, and rings the
    callee later than anybody meant)."""
    calls_at_once: int = 10
    ramp: tuple[tuple[timedelta, float], ...] = (
        (timedelta(0), 0.1),
        (timedelta(minutes=2), 0.25),
        (timedelta(minutes=5), 0.5),
        (timedelta(minutes=10), 1.0),
    )
    """From so long after the start on this share of both, steps upwards."""


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """Shares of the newest calls at which a campaign pauses itself; None: not looked at."""

    calls: int = 50
    """So many of the newest are looked at."""
    at_least: int = 20
    """Nothing is judged before there are so many."""
    failed: float | None = 0.3
    abandoned: float | None = 0.03
    """Answered by a person who heard nobody within 2 s: 3 % is the limit of 16 CFR 310.4(b)(4),
    though over 30 days."""
    blocked: float | None = 0.1
    """By the carrier (Twilio's 32017, SIP 603 and 608)."""
    opted_out: float | None = 0.1


@dataclass(frozen=True, slots=True)
class OutcomeField:
    """One field of what the agent reports about a contact."""

    type: Literal["text", "integer", "number", "boolean", "choice", "date"]
    description: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    """Of a ``choice``."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the customer's system wants to be told of each contact that is done with."""

    url: str
    secret_env: str = ""
    """Environment variable that holds the key of the signature."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Everything a campaign's file says."""

    name: str
    agent: str
    """Path of the agent's file."""
    callers: tuple[str, ...]
    """Own numbers, E.164; one contact is always called from the same one."""
    source: Source
    hours: Hours
    # As Source.columns.
    attempts: Attempts = field(default_factory=Attempts)
    pace: Pace = Pace()
    brake: BrakeLimits = BrakeLimits()
    voicemail: VoicemailPolicy = VoicemailPolicy.HANG_UP
    voicemail_message: str = ""
    ends_on: date | None = None
    """The last day with calls, in the callee's zone."""
    consent_required: bool = True
    """Rows without evidence are kept aside."""
    disclosure: str = ""
    """What the agent says first: who calls, for whom, and that it is a machine."""
    opt_out_key: str = ""
    """The key of the callee's phone that stops all calls to their number; empty: none."""
    ring_s: float = 25.0
    """Twilio's ``Timeout``; four rings take some 20 s."""
    outcome: Mapping[str, OutcomeField] = field(default_factory=lambda: MappingProxyType({}))
    webhook: Webhook | None = None


# -- states ------------------------------------------------------------------------------------


class CampaignState(StrEnum):
    """Where a campaign is in its life."""

    DRAFT = "draft"
    """Contacts may be imported; nobody is dialled."""
    CANARY = "canary"
    """The first few are called, then it pauses by itself."""
    RUNNING = "running"
    PAUSED = "paused"
    """No new dial; calls in progress finish."""
    FINISHED = "finished"
    """Nobody is left to call, or the end date has passed."""
    CANCELLED = "cancelled"

    @property
    def dials(self) -> bool:
        """Whether anybody may be dialled for it."""
        return self in (CampaignState.CANARY, CampaignState.RUNNING)


class ContactState(StrEnum):
    """Where a contact is."""

    WAITING = "waiting"
    """To be called, from ``Contact.not_before`` on."""
    IN_HAND = "in_hand"
    """An attempt is under way, or nobody knows whether it is."""
    DONE = "done"
    """Reached; nothing is left to do."""
    EXHAUSTED = "exhausted"
    """Not reached in as many attempts as allowed, or in time."""
    NEVER = "never"
    """Suppressed, opted out, a number that cannot be dialled, or a row that cannot be read."""
    CANCELLED = "cancelled"
    """With the campaign."""


class AttemptState(StrEnum):
    """What is known of one request to dial."""

    INTENDED = "intended"
    """Written down; nobody has asked Twilio."""
    ASKING = "asking"
    """Somebody asks, once; whoever finds it in this state and is not that one asks nothing."""
    PLACED = "placed"
    """Twilio has it: there is a call SID."""
    UNKNOWN = "unknown"
    """A time-out, a server error or a crash after asking: it may be ringing."""
    ENDED = "ended"
    """The call is over."""
    REFUSED = "refused"
    """Twilio has said no: there is no call."""
    NEVER_PLACED = "never_placed"
    """Looked for at Twilio and not found: there was no call."""
    WITHDRAWN = "withdrawn"
    """Before anybody asked: suppressed, paused, out of hours."""


CAMPAIGN_MOVES: Mapping[CampaignState, frozenset[CampaignState]] = MappingProxyType(
    {
        CampaignState.DRAFT: frozenset(
            {CampaignState.CANARY, CampaignState.RUNNING, CampaignState.CANCELLED}
        ),
        CampaignState.CANARY: frozenset(
            {
                CampaignState.RUNNING,
                CampaignState.PAUSED,
                CampaignState.FINISHED,
                CampaignState.CANCELLED,
            }
        ),
        CampaignState.RUNNING: frozenset(
            {CampaignState.PAUSED, CampaignState.FINISHED, CampaignState.CANCELLED}
        ),
        CampaignState.PAUSED: frozenset(
            {
                CampaignState.CANARY,
                CampaignState.RUNNING,
                CampaignState.FINISHED,
                CampaignState.CANCELLED,
            }
        ),
        # More contacts may be imported into one that had run out of them.
        CampaignState.FINISHED: frozenset({CampaignState.RUNNING, CampaignState.CANCELLED}),
        CampaignState.CANCELLED: frozenset(),
    }
)

ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = MappingProxyType(
    {
        AttemptState.INTENDED: frozenset({AttemptState.ASKING, AttemptState.WITHDRAWN}),
        # A callback may come before the answer to the request.
        AttemptState.ASKING: frozenset(
            {
                AttemptState.PLACED,
                AttemptState.UNKNOWN,
                AttemptState.REFUSED,
                AttemptState.ENDED,
            }
        ),
        AttemptState.UNKNOWN: frozenset(
            {AttemptState.PLACED, AttemptState.ENDED, AttemptState.NEVER_PLACED}
        ),
        AttemptState.PLACED: frozenset({AttemptState.ENDED}),
        AttemptState.ENDED: frozenset(),
        AttemptState.REFUSED: frozenset(),
        AttemptState.NEVER_PLACED: frozenset(),
        AttemptState.WITHDRAWN: frozenset(),
    }
)


class IllegalMove(ValueError):
    """The table of states does not know this move."""


def move_campaign(now: CampaignState, to: CampaignState) -> CampaignState:
    """The state of a campaign after a move.

    Raises:
        IllegalMove: there is no way from here to there.
    """
    if to not in CAMPAIGN_MOVES[now]:
        raise IllegalMove(f"a campaign that is {now} cannot become {to}")
    return to


def advance_attempt(now: AttemptState, to: AttemptState) -> AttemptState:
    """The state of an attempt after a report.

    Reports come late, twice and out of order: one that the table does not know changes nothing, so
    that nothing leads out of a final state.
    """
    return to if to in ATTEMPT_MOVES[now] else now


# -- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """One row of the contact source that can be called."""

    contact_id: int
    campaign_id: int
    number: str
    """E.164."""
    zones: tuple[str, ...]
    """Every IANA zone the callee may be in; empty: nothing is known, so it is never permitted."""
    state: ContactState = ContactState.WAITING
    not_before: datetime | None = None
    attempts: int = 0
    """Those that count: asked of Twilio, whatever came of it."""
    name: str = ""
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""
    """Why it is in its state, in a sentence for the report."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to dial a contact."""

    attempt_id: int
    contact_id: int
    campaign_id: int
    number: str
    caller: str
    """Our number."""
    ordinal: int
    """Of this contact, from 1 on; unique with it."""
    state: AttemptState = AttemptState.INTENDED
    asked_at: datetime | None = None
    call_sid: str | None = None
    outcome: LineOutcome | None = None
    code: int = 0
    """Twilio's error code; 0: none."""
