"""The shape of a campaign's file: its fields, what each holds, and within which bounds.

The ``TypedDict``s have no defaults: a field that the file leaves out keeps the model's, which is
written nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Annotated, Literal, Required

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, with_config

# Pydantic reads typing's own TypedDict from Python 3.12 on only; it brings this package along.
from typing_extensions import TypedDict

from agent.spec import Text
from workers.campaign.campaign_values import (
    read_date,
    read_delimiter,
    read_encoding,
    read_env_name,
    read_key,
    read_limit,
    read_name,
    read_number,
    read_outcome_name,
    read_region,
    read_tried_again,
    read_url,
    read_variable,
    read_wait,
)
from workers.campaign.hours_text import read_hours, read_ramp
from workers.campaign.model import (
    DEFAULT_SPACING,
    Attempts,
    BrakeLimits,
    Columns,
    Hours,
    LineOutcome,
    OutcomeField,
    Pace,
    Source,
    VoicemailPolicy,
    Webhook,
)


def _over_defaults(
    said: Mapping[LineOutcome, timedelta | None],
) -> Mapping[LineOutcome, timedelta]:
    """What the file does not mention keeps its default; whoever wants none writes ``off``."""
    merged = {**DEFAULT_SPACING, **said}
    return MappingProxyType({key: wait for key, wait in merged.items() if wait is not None})


_Count = Annotated[int, Field(ge=1, le=10_000)]
_Limit = Annotated[float | None, PlainValidator(read_limit)]
_Date = Annotated[date, PlainValidator(read_date)]
_Name = Annotated[str, PlainValidator(read_name)]
_OutcomeName = Annotated[str, PlainValidator(read_outcome_name)]
_Number = Annotated[str, PlainValidator(read_number)]


class _ColumnsShape(TypedDict, total=False):
    number: Text
    name: Text
    zone: Text
    key: Text
    consent: Text
    variables: Annotated[
        dict[Annotated[str, PlainValidator(read_variable)], Text], AfterValidator(MappingProxyType)
    ]


class _ContactsShape(TypedDict, total=False):
    file: Required[Text]
    delimiter: Annotated[str, PlainValidator(read_delimiter)]
    encoding: Annotated[str, PlainValidator(read_encoding)]
    region: Annotated[str, PlainValidator(read_region)]
    columns: Annotated[_ColumnsShape, AfterValidator(lambda said: Columns(**said))]


class _AttemptsShape(TypedDict, total=False):
    most: Annotated[int, Field(ge=1, le=100)]
    per_day: Annotated[int, Field(ge=1, le=24)]
    spacing: Annotated[
        dict[
            Annotated[LineOutcome, PlainValidator(read_tried_again)],
            Annotated[timedelta | None, PlainValidator(read_wait)],
        ],
        AfterValidator(_over_defaults),
    ]


class _PaceShape(TypedDict, total=False):
    calls_per_second: Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
    calls_at_once: _Count
    ramp: Annotated[tuple[tuple[timedelta, float], ...], PlainValidator(read_ramp)]


class _BrakeShape(TypedDict, total=False):
    calls: _Count
    at_least: _Count
    failed: _Limit
    abandoned: _Limit
    blocked: _Limit
    opted_out: _Limit


class _VoicemailShape(TypedDict, total=False):
    policy: VoicemailPolicy
    message: Text


class _OutcomeShape(TypedDict, total=False):
    type: Required[Literal["text", "integer", "number", "boolean", "choice", "date"]]
    description: Text
    required: bool
    choices: tuple[Text, ...]


class _WebhookShape(TypedDict, total=False):
    url: Required[Annotated[str, PlainValidator(read_url)]]
    secret_env: Annotated[
        str,
        PlainValidator(read_env_name),
    ]


# The shapes inside take this over from the one around them.
@with_config(ConfigDict(extra="forbid", str_strip_whitespace=True))
class FileShape(TypedDict, total=False):
    """The whole file; a field that it leaves out is not a key."""

    name: Required[_Name]
    agent: Required[Text]
    callers: Required[tuple[_Number, ...]]
    contacts: Required[Annotated[_ContactsShape, AfterValidator(lambda said: Source(**said))]]
    hours: Required[Annotated[Hours, PlainValidator(read_hours)]]
    attempts: Annotated[_AttemptsShape, AfterValidator(lambda said: Attempts(**said))]
    pace: Annotated[_PaceShape, AfterValidator(lambda said: Pace(**said))]
    brake: Annotated[_BrakeShape, AfterValidator(lambda said: BrakeLimits(**said))]
    voicemail: _VoicemailShape
    ends_on: _Date
    consent_required: bool
    disclosure: Text
    opt_out_key: Annotated[str, PlainValidator(read_key)]
    # Twilio's Timeout is 600 s at most (Calls API); less than 15 s is a call nobody can reach
    # (16 CFR 310.4(b)(4)(ii): at least 15 seconds or four rings).
    ring_s: Annotated[float, Field(ge=15, le=600, allow_inf_nan=False)]
    outcome: Annotated[
        dict[_OutcomeName, Annotated[_OutcomeShape, AfterValidator(lambda s: OutcomeField(**s))]],
        AfterValidator(MappingProxyType),
    ]
    webhook: Annotated[_WebhookShape, AfterValidator(lambda said: Webhook(**said))]
