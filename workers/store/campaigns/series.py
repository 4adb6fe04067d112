"""What a campaign did over time, in buckets that the database counts.

Nothing here writes, and nothing here grows with the number of contacts: what comes back has as many
rows as there are buckets, outcomes, zones or lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    case,
    cast,
    func,
    literal_column,
    select,
)

from workers.campaign.hours import UnknownZone, zone_named
from workers.campaign.model import LineOutcome
from workers.store.campaign_schema import attempts, contacts
from workers.store.campaigns.rows import moment, zones_of_text

REACHED_NETWORK = frozenset(
    {
        LineOutcome.HUMAN,
        LineOutcome.OPTED_OUT,
        LineOutcome.VOICEMAIL,
        LineOutcome.MESSAGE_LEFT,
        LineOutcome.FAX,
        LineOutcome.BUSY,
        LineOutcome.NO_ANSWER,
    }
)
"""A telephone rang, or was in use. The others say nothing of the hour at which people answer."""
PEOPLE = frozenset({LineOutcome.HUMAN, LineOutcome.OPTED_OUT})
ANSWERED = REACHED_NETWORK - {LineOutcome.BUSY, LineOutcome.NO_ANSWER}

# Zones are off UTC by whole quarters of an hour (tzdata; the odd minutes ended in 1972).
_QUARTER_S = 900


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of the calls that reached a telephone a person answered."""

    calls: int
    people: int

    @property
    def share(self) -> float:
        """From 0 to 1; 0 where there were no calls."""
        return self.people / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class AnswerRates:
    """When and where people answer.

    A contact that may be in several zones counts as in its first, in both.
    """

    by_hour: Mapping[int, Rate]
    """By the hour of the callee's own clock, 0 to 23, at which they were dialled."""
    by_zone: Mapping[str, Rate]
    """By IANA name; empty: none is known."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long calls lasted that somebody or something answered."""

    people: Mapping[int, int]
    """From whole seconds to calls that a person answered."""
    machines: Mapping[int, int]
    """The same of machines."""


def dialled_between(connection: Connection, campaign_id: int) -> tuple[datetime, datetime] | None:
    """When the first and the newest call were asked of Twilio; None: none was."""
    first, newest = connection.execute(
        select(func.min(attempts.c.asked_at), func.max(attempts.c.asked_at)).where(
            attempts.c.campaign_id == campaign_id
        )
    ).one()
    begin, end = moment(first), moment(newest)
    return None if begin is None or end is None else (begin, end)


def starts(
    connection: Connection, campaign_id: int, *, since: datetime, every: timedelta
) -> dict[datetime, int]:
    """Calls asked of Twilio from ``since`` on, by the beginning of their bucket, in order.

    Buckets of a second, a minute or whatever ``every`` is begin at whole multiples of it since
    1970, in UTC; those without calls are left out.
    """
    bucket = _bucket(connection, attempts.c.asked_at, every).label("bucket")
    found = connection.execute(
        select(bucket, func.count())
        .where(attempts.c.campaign_id == campaign_id, attempts.c.asked_at >= since)
        .group_by(bucket)
        .order_by(bucket)
    )
    return {_begin(number, every): count for number, count in found}


def outcomes_over_time(
    connection: Connection, campaign_id: int, *, every: timedelta
) -> dict[datetime, dict[LineOutcome, int]]:
    """Settled attempts by when they were dialled and how they ended; buckets as in ``starts``.

    An attempt that was never asked of Twilio counts when it was written down.
    """
    at = func.coalesce(attempts.c.asked_at, attempts.c.created_at)
    bucket = _bucket(connection, at, every).label("bucket")
    found = connection.execute(
        select(bucket, attempts.c.outcome, func.count())
        .where(attempts.c.campaign_id == campaign_id, attempts.c.outcome.is_not(None))
        .group_by(bucket, attempts.c.outcome)
        .order_by(bucket)
    )
    over_time: dict[datetime, dict[LineOutcome, int]] = {}
    for number, outcome, count in found:
        over_time.setdefault(_begin(number, every), {})[LineOutcome(outcome)] = count
    return over_time


def answer_rates(connection: Connection, campaign_id: int) -> AnswerRates:
    """Share of calls that a person answered, by the callee's hour and zone."""
    # The database knows no zones on SQLite: it counts by quarters of an hour in UTC, of which
    # there are few, and each has one hour in each zone.
    quarter = _bucket(connection, attempts.c.asked_at, timedelta(seconds=_QUARTER_S)).label(
        "quarter"
    )
    people = func.sum(case((attempts.c.outcome.in_(PEOPLE), 1), else_=0))
    found = connection.execute(
        select(contacts.c.zones, quarter, func.count(), people)
        .join(contacts, contacts.c.id == attempts.c.contact_id)
        .where(
            attempts.c.campaign_id == campaign_id,
            attempts.c.asked_at.is_not(None),
            attempts.c.outcome.in_(REACHED_NETWORK),
        )
        .group_by(contacts.c.zones, quarter)
        .execution_options(stream_results=True)
    )
    hour_calls: Counter[int] = Counter()
    hour_people: Counter[int] = Counter()
    zone_calls: Counter[str] = Counter()
    zone_people: Counter[str] = Counter()
    for zones, number, calls, answered in found:
        name = (*zones_of_text(zones), "")[0]
        zone_calls[name] += calls
        zone_people[name] += answered
        zone = _zone(name)
        if zone is not None:
            hour = _begin(number, timedelta(seconds=_QUARTER_S)).astimezone(zone).hour
            hour_calls[hour] += calls
            hour_people[hour] += answered
    return AnswerRates(
        {hour: Rate(hour_calls[hour], hour_people[hour]) for hour in sorted(hour_calls)},
        {name: Rate(calls, zone_people[name]) for name, calls in zone_calls.most_common()},
    )


def lengths(connection: Connection, campaign_id: int) -> Lengths:
    """Answered calls by their length, as Twilio counts it."""
    person = case((attempts.c.outcome.in_(PEOPLE), 1), else_=0).label("person")
    found = connection.execute(
        select(person, attempts.c.duration_s, func.count())
        .where(
            attempts.c.campaign_id == campaign_id,
            attempts.c.outcome.in_(ANSWERED),
            attempts.c.duration_s.is_not(None),
        )
        .group_by(person, attempts.c.duration_s)
        .order_by(attempts.c.duration_s)
    )
    people: dict[int, int] = {}
    machines: dict[int, int] = {}
    for is_person, seconds, count in found:
        (people if is_person else machines)[seconds] = count
    return Lengths(people, machines)


def _bucket(
    connection: Connection, at: ColumnElement[datetime], every: timedelta
) -> ColumnElement[int]:
    """Which multiple of ``every`` since 1970 a time lies in."""
    # Not a bound value: PostgreSQL would take two of the same for different expressions, and
    # refuse to group by one what the other selects.
    width = literal_column(str(_whole_seconds(every)), Integer)
    if connection.dialect.name == "sqlite":
        # %s is whole seconds of UTC, which is what the column's text says.
        return cast(func.strftime("%s", at), BigInteger).op("/")(width)
    return cast(func.floor(func.extract("epoch", at).op("/")(width)), BigInteger)


def _whole_seconds(every: timedelta) -> int:
    seconds = int(every.total_seconds())
    if seconds < 1 or timedelta(seconds=seconds) != every:
        raise ValueError("a bucket must be whole seconds wide")
    return seconds


def _begin(number: int, every: timedelta) -> datetime:
    return datetime.fromtimestamp(number * _whole_seconds(every), UTC)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return zone_named(name) if name else None
    except UnknownZone:
        return None
