"""Figures of a campaign, against a count of the same rows in Python; on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from tests.workers.store.campaigns.filled import (
    BRAKE_REASON,
    CREATED,
    NOW,
    RESUMED,
    Filled,
    fill,
)
from workers.campaign.model import AttemptState, CampaignState, ContactState, LineOutcome
from workers.store.campaigns import figures
from workers.store.database import reading, writing

_LIVE = (AttemptState.ASKING, AttemptState.PLACED, AttemptState.UNKNOWN)


@pytest.fixture
def filled(engine: Engine) -> Iterator[tuple[Connection, Filled]]:
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        yield connection, written


def live(written: Filled) -> list[dict[str, Any]]:
    return [call for call in written.attempts if call["state"] in _LIVE]


def test_contacts_are_counted_by_state_and_reason(filled: tuple[Connection, Filled]) -> None:
    """Another campaign's are not among them."""
    connection, written = filled
    stands = figures.standing(connection, written.campaign_id)
    states = Counter(row["state"] for row in written.contacts)
    assert set(states) == set(ContactState)  # or the fixture has become too small
    assert {state: stands.of(state) for state in ContactState} == states
    assert stands.total == 400
    open_ = states[ContactState.WAITING] + states[ContactState.IN_HAND]
    assert stands.final == 400 - open_
    assert stands.share == (400 - open_) / 400
    reasons = figures.reasons(connection, written.campaign_id)
    expected = Counter((row["state"], row["reason"]) for row in written.contacts)
    assert {(one.state, one.reason): one.contacts for one in reasons} == expected
    assert [one.contacts for one in reasons] == sorted(expected.values(), reverse=True)
    assert len(figures.reasons(connection, written.campaign_id, most=2)) == 2


def test_a_campaign_without_contacts_has_a_share_of_nothing() -> None:
    """No division by zero."""
    assert figures.Standing().share == 0.0


def test_calls_under_way_are_counted_by_twilios_status(
    filled: tuple[Connection, Filled],
) -> None:
    """Where Twilio has said nothing, by our own state; what is only intended is no call."""
    connection, written = filled
    expected = Counter(str(call["status"] or call["state"]) for call in live(written))
    assert {"ringing", "asking", "unknown"} <= set(expected)
    assert figures.under_way(connection, written.campaign_id) == expected


def test_outcomes_are_those_of_settled_attempts(filled: tuple[Connection, Filled]) -> None:
    """By what the line saw."""
    connection, written = filled
    expected = Counter(call["outcome"] for call in written.settled)
    assert figures.outcomes(connection, written.campaign_id) == expected


def test_pace_counts_what_was_asked_within_the_time(filled: tuple[Connection, Filled]) -> None:
    """Settled or not, however long ago the campaign began."""
    connection, written = filled
    for span in (timedelta(seconds=45), timedelta(minutes=10), timedelta(days=3)):
        since = NOW - span
        expected = sum(
            call["asked_at"] is not None and call["asked_at"] >= since for call in written.attempts
        )
        assert figures.started_since(connection, written.campaign_id, since) == expected
        assert (
            figures.pace(connection, written.campaign_id, NOW, span)
            == expected / span.total_seconds()
        )
    assert figures.started_since(connection, written.campaign_id, NOW - timedelta(days=3)) > 400


def test_all_campaigns_are_listed_newest_first(filled: tuple[Connection, Filled]) -> None:
    """Each with its own contacts and calls."""
    connection, written = filled
    other, first = figures.listed(connection)
    assert (first.name, first.state, first.started_at) == (
        "spring-reminders",
        CampaignState.RUNNING,
        RESUMED,
    )
    assert first.created_at == CREATED
    assert first.standing.total == 400
    assert first.calls_now == len(live(written))
    assert (other.name, other.standing.total, other.started_at) == ("other", 30, None)


def test_row_errors_are_counted_by_line_and_by_message(
    filled: tuple[Connection, Filled],
) -> None:
    """The commonest message first."""
    connection, written = filled
    total, commonest = figures.row_errors(connection, written.campaign_id)
    assert total == 3
    assert [(one.field, one.message, one.rows) for one in commonest] == [
        ("phone", "no number", 2),
        ("zone", "no such zone", 1),
    ]
    assert figures.row_errors(connection, written.other_id) == (0, [])


def test_newest_events_come_oldest_first(filled: tuple[Connection, Filled]) -> None:
    """The last three are the pause, the brake that caused it and the resume."""
    connection, written = filled
    paused, brake, resumed = figures.newest_events(connection, written.campaign_id, most=3)
    assert brake.kind == "brake"
    assert (paused.detail["to"], paused.detail["reason"]) == ("paused", BRAKE_REASON)
    assert (resumed.at, resumed.detail["to"]) == (RESUMED, "running")
    assert len(figures.newest_events(connection, written.campaign_id, most=100)) == 7


def test_a_campaign_that_is_not_there_has_no_figures(
    filled: tuple[Connection, Filled],
) -> None:
    """Nothing is counted, nothing fails."""
    connection, _ = filled
    assert figures.standing(connection, 99).total == 0
    assert figures.reasons(connection, 99) == []
    assert figures.outcomes(connection, 99) == {}
    assert LineOutcome.HUMAN not in figures.outcomes(connection, 99)
