"""What a campaign did over time, against a count of the same rows in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, Engine

from tests.workers.store.campaigns.filled import RESUMED, Filled, fill
from workers.campaign.model import LineOutcome
from workers.store.campaigns import series
from workers.store.database import reading, writing


@pytest.fixture
def filled(engine: Engine) -> Iterator[tuple[Connection, Filled]]:
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        yield connection, written


def begin(at: datetime, every: timedelta) -> datetime:
    """The bucket that a time lies in."""
    width = int(every.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // width * width, UTC)


@pytest.mark.parametrize("seconds", [1, 60, 3600, 86_400])
def test_starts_are_counted_by_bucket(filled: tuple[Connection, Filled], seconds: int) -> None:
    """Of any width, from the moment that is asked for on."""
    connection, written = filled
    every = timedelta(seconds=seconds)
    found = series.starts(connection, written.campaign_id, since=RESUMED, every=every)
    asked = [call["asked_at"] for call in written.attempts if call["asked_at"] is not None]
    expected = Counter(begin(at, every) for at in asked if at >= RESUMED)
    assert found == expected
    assert list(found) == sorted(found)


def test_outcomes_over_time_are_by_the_moment_of_dialling(
    filled: tuple[Connection, Filled],
) -> None:
    """Hours and days alike, and every settled attempt once."""
    connection, written = filled
    for every in (timedelta(hours=1), timedelta(days=1)):
        found = series.outcomes_over_time(connection, written.campaign_id, every=every)
        expected: dict[datetime, Counter[LineOutcome]] = {}
        for call in written.settled:
            expected.setdefault(begin(call["asked_at"], every), Counter())[call["outcome"]] += 1
        assert found == expected
    assert series.outcomes_over_time(connection, 99, every=timedelta(hours=1)) == {}


def test_answer_rate_is_by_the_callees_own_hour_and_first_zone(
    filled: tuple[Connection, Filled],
) -> None:
    """Half-hour zones included; calls that never rang are left out of both."""
    connection, written = filled
    zones = {row["id"]: row["zones"].split(",")[0] for row in written.contacts}
    hours: dict[int, list[bool]] = {}
    by_zone: dict[str, list[bool]] = {}
    for call in written.settled:
        if call["outcome"] in series.REACHED_NETWORK:
            zone, person = zones[call["contact_id"]], call["outcome"] in series.PEOPLE
            by_zone.setdefault(zone, []).append(person)
            if zone:
                local = call["asked_at"].astimezone(ZoneInfo(zone))
                hours.setdefault(local.hour, []).append(person)
    rates = series.answer_rates(connection, written.campaign_id)
    assert "Asia/Kolkata" in by_zone
    assert {hour: (rate.calls, rate.people) for hour, rate in rates.by_hour.items()} == {
        hour: (len(seen), sum(seen)) for hour, seen in hours.items()
    }
    assert {zone: (rate.calls, rate.people) for zone, rate in rates.by_zone.items()} == {
        zone: (len(seen), sum(seen)) for zone, seen in by_zone.items()
    }
    assert list(rates.by_hour) == sorted(rates.by_hour)


def test_lengths_tell_people_from_machines(filled: tuple[Connection, Filled]) -> None:
    """By whole seconds; calls that nobody answered have none."""
    connection, written = filled
    found = series.lengths(connection, written.campaign_id)
    for of_people, lengths in ((True, found.people), (False, found.machines)):
        assert lengths == Counter(
            call["duration_s"]
            for call in written.settled
            if call["duration_s"] is not None and (call["outcome"] in series.PEOPLE) is of_people
        )


def test_first_and_newest_call(filled: tuple[Connection, Filled]) -> None:
    """What a time axis goes by; a campaign that has not dialled has none."""
    connection, written = filled
    asked = [call["asked_at"] for call in written.attempts if call["asked_at"] is not None]
    assert series.dialled_between(connection, written.campaign_id) == (min(asked), max(asked))
    assert series.dialled_between(connection, 99) is None


def test_a_bucket_is_whole_seconds_wide(filled: tuple[Connection, Filled]) -> None:
    """Less, or a part of one, is a mistake of the caller's."""
    connection, written = filled
    for every in (timedelta(), timedelta(milliseconds=1500)):
        with pytest.raises(ValueError, match="whole seconds"):
            series.starts(connection, written.campaign_id, since=RESUMED, every=every)
