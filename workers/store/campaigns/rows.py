"""From rows of the database to what campaigns speak of, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row

from workers.campaign.model import (
    Attempt,
    AttemptState,
    Campaign,
    CampaignState,
    Contact,
    ContactState,
    LineOutcome,
)
from workers.store.rows import utc

_DEFINITION: Final = TypeAdapter(Campaign)


class DefinitionUnreadable(ValueError):
    """A campaign of the database cannot be worked with; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign as it stands."""

    campaign_id: int
    name: str
    state: CampaignState
    definition: Campaign
    created_at: datetime
    state_at: datetime
    started_at: datetime | None
    """Of the newest start or resume."""
    canary_left: int | None
    """How many more contacts a canary may begin with; None outside one."""
    reason: str
    """Why it is in its state, and what mends it."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt, with what Twilio and the call itself have told of it."""

    attempt: Attempt
    created_at: datetime
    lease_until: datetime | None
    look_at: datetime | None
    status: str
    """Twilio's ``CallStatus``; empty: none yet."""
    sequence: int | None
    answered_by: str | None
    sip_code: int | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_s: int | None
    message_left: bool
    opted_out: bool
    machine: bool
    abandoned: bool
    settled_at: datetime | None
    reason: str


def definition_text(campaign: Campaign) -> str:
    """A campaign as JSON text."""
    return orjson.dumps(_plain(campaign)).decode()


# Read with every campaign that is looked at, several times a second; it changes with its file.
@lru_cache(maxsize=256)
def definition_of(text: str) -> Campaign:
    """A campaign from its JSON text; what it leaves out has the default of a campaign's file.

    Raises:
        DefinitionUnreadable: it is none: of another version, or damaged.
    """
    try:
        return _DEFINITION.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise DefinitionUnreadable(f"{field}: {first['msg']}") from error


def campaign_row(row: Row[Any]) -> CampaignRow:
    """A campaign.

    Raises:
        DefinitionUnreadable: as ``definition_of``, with its name.
    """
    try:
        definition = definition_of(row.definition)
    except DefinitionUnreadable as error:
        raise DefinitionUnreadable(
            f"What the database says of campaign {row.name} cannot be read, so nobody is dialled "
            f"for it ({error}): it is of another version of evercall, or damaged."
        ) from error
    return CampaignRow(
        campaign_id=row.id,
        name=row.name,
        state=CampaignState(row.state),
        definition=definition,
        created_at=utc(row.created_at),
        state_at=utc(row.state_at),
        started_at=moment(row.started_at),
        canary_left=row.canary_left,
        reason=row.reason,
    )


def contact_of(row: Row[Any], *, variables: Mapping[str, str] | None = None) -> Contact:
    """A contact; with these variables, whatever its row says of them.

    Raises:
        TypeError, ValueError: its row is damaged, or of another version.
    """
    return Contact(
        contact_id=row.id,
        campaign_id=row.campaign_id,
        number=row.number,
        zones=zones_of_text(row.zones),
        state=ContactState(row.state),
        not_before=moment(row.not_before),
        attempts=int(row.attempts),
        name=row.name,
        variables=variables_of(row.variables) if variables is None else variables,
        reason=row.reason,
    )


def variables_of(text: str) -> dict[str, str]:
    """A contact's variables from their JSON text.

    Raises:
        TypeError, ValueError: that is not what it holds.
    """
    variables = orjson.loads(text)
    if not isinstance(variables, dict):
        # Whoever is called would get the apology.
        raise TypeError("a contact's variables are no object")
    return variables


def report_of(text: str | None) -> Mapping[str, Any] | None:
    """What an agent has reported, from its JSON text; None: nothing that can be read."""
    try:
        report = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return report if isinstance(report, dict) else None


def attempt_row(row: Row[Any]) -> AttemptRow:
    """An attempt."""
    return AttemptRow(
        attempt=Attempt(
            attempt_id=row.id,
            contact_id=row.contact_id,
            campaign_id=row.campaign_id,
            number=row.number,
            caller=row.caller,
            ordinal=row.ordinal,
            state=AttemptState(row.state),
            asked_at=moment(row.asked_at),
            call_sid=row.call_sid,
            outcome=None if row.outcome is None else LineOutcome(row.outcome),
            code=row.error_code,
        ),
        created_at=utc(row.created_at),
        lease_until=moment(row.lease_until),
        look_at=moment(row.look_at),
        status=row.status,
        sequence=row.sequence,
        answered_by=row.answered_by,
        sip_code=row.sip_code,
        answered_at=moment(row.answered_at),
        ended_at=moment(row.ended_at),
        duration_s=row.duration_s,
        message_left=bool(row.message_left),
        opted_out=bool(row.opted_out),
        machine=bool(row.machine),
        abandoned=bool(row.abandoned),
        settled_at=moment(row.settled_at),
        reason=row.reason,
    )


def _plain(value: object) -> object:
    """As JSON can hold it; pydantic, which reads it again, cannot write read-only mappings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | frozenset):
        return [_plain(each) for each in value]
    return value.total_seconds() if isinstance(value, timedelta) else value


def zones_text(zones: tuple[str, ...]) -> str:
    """IANA names as they are kept."""
    return ",".join(zones)


def zones_of_text(text: str) -> tuple[str, ...]:
    """The names again."""
    return tuple(text.split(",")) if text else ()


def moment(at: datetime | None) -> datetime | None:
    """A time of the database in UTC; None where there is none."""
    return None if at is None else utc(at)
