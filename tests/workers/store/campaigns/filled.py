"""A campaign in the middle of its life, as rows: contacts and attempts in every state."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Connection, insert

from telephony.calls.status import CallStatus
from workers.campaign.model import (
    AttemptState,
    Campaign,
    CampaignState,
    Columns,
    ContactState,
    Hours,
    LineOutcome,
    OutcomeField,
    Pace,
    Source,
    Weekday,
    Window,
)
from workers.store.campaign_schema import (
    attempts,
    campaign_events,
    campaigns,
    contact_errors,
    contacts,
)
from workers.store.campaigns.events import IMPORTED, MOVED
from workers.store.campaigns.rows import definition_text

NOW = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
CREATED = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
CANARY = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
STARTED = datetime(2026, 11, 23, 14, 40, tzinfo=UTC)
BRAKED = datetime(2026, 11, 23, 18, 10, tzinfo=UTC)
RESUMED = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
BRAKE_REASON = "6 of the last 50 calls were blocked by the carrier: 12 %, and the limit is 10 %."
SUPPRESSED = "Their number is on the suppression list: asked by mail, from +491701234567"

CAMPAIGN = Campaign(
    name="spring-reminders",
    agent="reminder.yaml",
    callers=("+15550100001", "+15550100002"),
    source=Source(
        file="customers.csv",
        columns=Columns(number="phone", name="name", key="id", variables={"order": "order_no"}),
    ),
    hours=Hours({day: (Window(time(9), time(18)),) for day in Weekday}),
    pace=Pace(calls_per_second=0.025, calls_at_once=4),
    outcome={
        "answer": OutcomeField("choice", required=True, choices=("yes", "no", "later")),
        "people": OutcomeField("integer"),
        "note": OutcomeField("text"),
    },
)
ZONES = (
    "America/New_York",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/Denver,America/Phoenix",
    "Asia/Kolkata",
    "",
)
NOTES = (
    "",
    "=HYPERLINK(1)",
    "Call back, please; after six",
    'said "maybe"\nand hung up',
    "-2 days",
)
_OVER = {
    LineOutcome.BUSY: (CallStatus.BUSY, 486, 0),
    LineOutcome.NO_ANSWER: (CallStatus.NO_ANSWER, 487, 0),
    LineOutcome.FAILED: (CallStatus.FAILED, 503, 32016),
    LineOutcome.CARRIER_BLOCKED: (CallStatus.FAILED, 603, 32017),
    LineOutcome.BAD_NUMBER: (CallStatus.FAILED, 404, 0),
    LineOutcome.CANCELED: (CallStatus.CANCELED, 487, 0),
}


@dataclass(frozen=True, slots=True)
class Filled:
    """What was written."""

    campaign_id: int
    other_id: int
    """Of a second campaign, which must not show in the first's figures."""
    contacts: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    """Of the first campaign, as they were inserted."""

    @property
    def settled(self) -> list[dict[str, Any]]:
        """Attempts that have an outcome."""
        return [row for row in self.attempts if row["outcome"] is not None]


def fill(connection: Connection, *, seed: int = 6, people: int = 400) -> Filled:
    """Write two campaigns; the same for the same seed."""
    chance = random.Random(seed)
    campaign_id = _campaign(connection, CAMPAIGN, CampaignState.RUNNING, started_at=RESUMED)
    other = Campaign("other", "a.yaml", ("+15550100009",), Source("b.csv"), Hours({}))
    other_id = _campaign(connection, other, CampaignState.DRAFT, started_at=None)
    rows, calls = _people(chance, campaign_id, people, first_id=1)
    strangers, strange_calls = _people(chance, other_id, 30, first_id=people + 1)
    for call in strange_calls:
        call["call_sid"] = None
    connection.execute(insert(contacts), rows + strangers)
    connection.execute(insert(attempts), _numbered(calls + strange_calls))
    connection.execute(insert(campaign_events), _events(campaign_id, calls))
    errors = [
        {"line": 7, "field": "phone", "message": "no number", "raw": "x"},
        {"line": 9, "field": "phone", "message": "no number", "raw": "+4917012345678"},
        {"line": 11, "field": "zone", "message": "no such zone", "raw": "Mars/Olympus"},
    ]
    connection.execute(
        insert(contact_errors), [{"campaign_id": campaign_id, **error} for error in errors]
    )
    return Filled(campaign_id, other_id, rows, calls)


def _campaign(
    connection: Connection,
    campaign: Campaign,
    state: CampaignState,
    *,
    started_at: datetime | None,
) -> int:
    made: int = connection.execute(
        insert(campaigns)
        .values(
            name=campaign.name,
            state=state,
            definition=definition_text(campaign),
            created_at=CREATED,
            state_at=started_at or CREATED,
            started_at=started_at,
            reason="",
        )
        .returning(campaigns.c.id)
    ).scalar_one()
    return made


def _people(
    chance: random.Random, campaign_id: int, count: int, *, first_id: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for index in range(count):
        row = _contact(chance, campaign_id, first_id + index, line=index + 2)
        mine = _attempts(chance, row)
        row["attempts"] = sum(call["asked_at"] is not None for call in mine)
        ended = [call for call in mine if call["outcome"] is not None]
        if ended:
            row["outcome"] = ended[-1]["outcome"]
        rows.append(row)
        calls += mine
    return rows, calls


def _contact(chance: random.Random, campaign_id: int, number: int, *, line: int) -> dict[str, Any]:
    state = chance.choices(list(ContactState), [20, 3, 45, 20, 10, 2])[0]
    report = None
    if state is ContactState.DONE:
        said = {
            "answer": chance.choice(("yes", "no", "later")),
            "people": chance.randint(-1, 6),
            "note": chance.choice(NOTES),
        }
        report = orjson.dumps(said).decode()
    reasons: Mapping[ContactState, tuple[str, ...]] = {
        ContactState.WAITING: ("", "It is outside the permitted hours where they are."),
        ContactState.IN_HAND: ("",),
        ContactState.DONE: ("A person answered.",),
        ContactState.EXHAUSTED: (
            "Called 3 times, as often as allowed; the last time nobody answered.",
            "No permitted hour is left before the campaign ends.",
        ),
        ContactState.NEVER: (SUPPRESSED, "The number cannot be called."),
        ContactState.CANCELLED: ("The campaign was cancelled.",),
    }
    return {
        "id": number,
        "campaign_id": campaign_id,
        "identity": number.to_bytes(16, "big"),
        "line": line,
        "number": f"+1555{2_000_000 + number}",
        "zones": chance.choice(ZONES),
        "name": f"Contact {number}, Inc." if number % 9 else "@home",
        "key": f"K{number}",
        "consent": "form",
        "variables": orjson.dumps(
            {"order": f"={number}" if number % 7 == 0 else f"A{number}"}
        ).decode(),
        "state": state,
        "due_at": NOW,
        "not_before": None,
        "attempts": 0,
        "not_placed": 0,
        "reason": chance.choice(reasons[state]),
        "outcome": None,
        "report": report,
        "finished_at": None if state in (ContactState.WAITING, ContactState.IN_HAND) else NOW,
    }


def _attempts(chance: random.Random, contact: dict[str, Any]) -> list[dict[str, Any]]:
    state = contact["state"]
    made: list[dict[str, Any]] = []
    if state is ContactState.DONE:
        for _ in range(chance.randint(0, 2)):
            made.append(_ended(chance, contact, len(made) + 1, _unreached(chance)))
        made.append(_ended(chance, contact, len(made) + 1, LineOutcome.HUMAN))
    elif state is ContactState.EXHAUSTED and contact["reason"].startswith("Called"):
        for _ in range(3):
            made.append(_ended(chance, contact, len(made) + 1, _unreached(chance)))
    elif state is ContactState.NEVER and contact["reason"] != SUPPRESSED:
        outcome = chance.choice((LineOutcome.BAD_NUMBER, LineOutcome.OPTED_OUT))
        made.append(_ended(chance, contact, 1, outcome))
    elif state is ContactState.IN_HAND:
        made.append(_live(chance, contact))
    elif state is ContactState.WAITING and chance.random() < 0.4:
        if chance.random() < 0.2:
            made.append(_attempt(contact, 1, AttemptState.WITHDRAWN, settled_at=NOW))
        made.append(_ended(chance, contact, len(made) + 1, _unreached(chance)))
    return made


def _unreached(chance: random.Random) -> LineOutcome:
    return chance.choices(
        [
            LineOutcome.NO_ANSWER,
            LineOutcome.VOICEMAIL,
            LineOutcome.BUSY,
            LineOutcome.FAILED,
            LineOutcome.CARRIER_BLOCKED,
            LineOutcome.CANCELED,
            LineOutcome.NOT_PLACED,
            LineOutcome.MESSAGE_LEFT,
            LineOutcome.FAX,
        ],
        [40, 25, 12, 5, 5, 2, 2, 6, 1],
    )[0]


def _ended(
    chance: random.Random, contact: dict[str, Any], ordinal: int, outcome: LineOutcome
) -> dict[str, Any]:
    begin, end = chance.choices(((STARTED, BRAKED), (RESUMED, NOW - timedelta(minutes=3))), [1, 2])[
        0
    ]
    asked_at = begin + (end - begin) * chance.random()
    if outcome in (LineOutcome.HUMAN, LineOutcome.OPTED_OUT):
        zone = ZoneInfo((contact["zones"] or "UTC").split(",")[0])
        if asked_at.astimezone(zone).hour < 12 and chance.random() < 0.6:
            asked_at += timedelta(minutes=100)
        asked_at = min(asked_at, end)
    if outcome is LineOutcome.NOT_PLACED:
        state = chance.choice((AttemptState.REFUSED, AttemptState.NEVER_PLACED))
        return _attempt(
            contact,
            ordinal,
            state,
            asked_at=asked_at,
            settled_at=asked_at + timedelta(seconds=2),
            outcome=outcome,
            error_code=20429 if state is AttemptState.REFUSED else 0,
        )
    status, sip, code = _OVER.get(outcome, (CallStatus.COMPLETED, 200, 0))
    seconds = 0
    if status is CallStatus.COMPLETED:
        person = outcome in (LineOutcome.HUMAN, LineOutcome.OPTED_OUT)
        seconds = max(2, int(chance.gammavariate(3, 28 if person else 7)))
    over_at = asked_at + timedelta(seconds=20 + seconds)
    return _attempt(
        contact,
        ordinal,
        AttemptState.ENDED,
        asked_at=asked_at,
        settled_at=over_at + timedelta(seconds=3),
        ended_at=over_at,
        outcome=outcome,
        status=status,
        sip_code=sip,
        error_code=code,
        duration_s=seconds if seconds else None,
        abandoned=outcome is LineOutcome.HUMAN and chance.random() < 0.02,
        opted_out=outcome is LineOutcome.OPTED_OUT,
        message_left=outcome is LineOutcome.MESSAGE_LEFT,
        call_sid=f"CA{contact['id'] * 100 + ordinal:032x}",
    )


def _live(chance: random.Random, contact: dict[str, Any]) -> dict[str, Any]:
    state = chance.choice(
        (
            AttemptState.INTENDED,
            AttemptState.ASKING,
            AttemptState.UNKNOWN,
            AttemptState.PLACED,
            AttemptState.PLACED,
            AttemptState.PLACED,
        )
    )
    placed = state is AttemptState.PLACED
    return _attempt(
        contact,
        1,
        state,
        asked_at=None
        if state is AttemptState.INTENDED
        else NOW - timedelta(seconds=chance.randint(1, 90)),
        status=chance.choice((CallStatus.RINGING, CallStatus.IN_PROGRESS)) if placed else "",
        call_sid=f"CA{contact['id'] * 100:032x}" if placed else None,
    )


def _attempt(
    contact: dict[str, Any], ordinal: int, state: AttemptState, **known: Any
) -> dict[str, Any]:
    asked_at = known.get("asked_at")
    return {
        "contact_id": contact["id"],
        "campaign_id": contact["campaign_id"],
        "number": contact["number"],
        "caller": CAMPAIGN.callers[0],
        "ordinal": ordinal,
        "state": state,
        "created_at": NOW if asked_at is None else asked_at - timedelta(seconds=1),
        "asked_at": None,
        "settled_at": None,
        "ended_at": None,
        "outcome": None,
        "status": "",
        "sip_code": None,
        "error_code": 0,
        "duration_s": None,
        "abandoned": False,
        "opted_out": False,
        "message_left": False,
        "call_sid": None,
        **known,
    }


def _numbered(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids in the order of being written down, as a database would give them."""
    ordered = sorted(calls, key=lambda call: call["created_at"])
    for number, call in enumerate(ordered, start=1):
        call["id"] = number
    return ordered


def _events(campaign_id: int, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    blocked = [call["id"] for call in calls if call["outcome"] is LineOutcome.CARRIER_BLOCKED]
    moved: list[tuple[datetime, str, dict[str, Any]]] = [
        (CREATED, IMPORTED, {"new": 400, "known": 0, "suppressed": 12, "errors": 3}),
        (CANARY, MOVED, {"from": "draft", "to": "canary", "reason": "", "canary": 5}),
        (
            CANARY + timedelta(minutes=20),
            MOVED,
            {"from": "canary", "to": "paused", "reason": "The first 5 have been called."},
        ),
        (STARTED, MOVED, {"from": "paused", "to": "running", "reason": ""}),
        (BRAKED, MOVED, {"from": "running", "to": "paused", "reason": BRAKE_REASON}),
        (
            BRAKED,
            "brake",
            {"measure": "blocked", "reason": BRAKE_REASON, "offenders": blocked[:6]},
        ),
        (RESUMED, MOVED, {"from": "paused", "to": "running", "reason": ""}),
    ]
    return [
        {
            "campaign_id": campaign_id,
            "at": at,
            "kind": kind,
            "detail": orjson.dumps(detail).decode(),
        }
        for at, kind, detail in moved
    ]
