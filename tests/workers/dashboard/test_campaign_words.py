"""A campaign in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.campaign.model import ContactState, LineOutcome
from workers.dashboard.campaign_words import (
    CONTACT_WORDS,
    OUTCOME_WORDS,
    event_words,
    percent,
    reason_words,
    told_events,
    width_words,
    without_numbers,
)
from workers.store.campaigns.events import IMPORTED, MOVED, CampaignEvent

AT = datetime(2026, 11, 23, tzinfo=UTC)


def test_every_state_and_outcome_has_words() -> None:
    """A new one must be put into the order in which they are shown."""
    assert set(CONTACT_WORDS) == set(ContactState)
    assert set(OUTCOME_WORDS) == set(LineOutcome)


@pytest.mark.parametrize("state", list(ContactState))
def test_there_is_always_a_reason(state: ContactState) -> None:
    """What is stored wins."""
    assert reason_words(state, "").endswith(".")
    assert reason_words(state, "So it is.") == "So it is."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("asked from +49 170 1234567 by mail", "asked from (number) by mail"),
        ("+15550100001", "(number)"),
        ("(030) 1234-567", "(number)"),
        ("0170/123.45.67", "(number)"),
        ("until 2027-01-31, 0170 1234567", "until 2027-01-31, (number)"),
        ("Called 3 times, 12 % of 50; error 32017", "Called 3 times, 12 % of 50; error 32017"),
    ],
)
def test_numbers_are_left_out(text: str, expected: str) -> None:
    """In any spelling; counts and codes stay."""
    assert without_numbers(text) == expected


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        (MOVED, {"from": "draft", "to": "running"}, ("Started", "", "good")),
        (MOVED, {"from": "paused", "to": "running"}, ("Resumed", "", "good")),
        (MOVED, {"to": "paused", "reason": "Look."}, ("Paused", "Look.", "odd")),
        (MOVED, {"to": "canary", "canary": 5}, ("Canary of 5 started", "", "good")),
        (MOVED, {"to": "cancelled"}, ("Cancelled", "", "bad")),
        (MOVED, {}, ("Became ", "", "good")),
        (
            IMPORTED,
            {"new": 1200, "known": 3},
            ("Contacts were imported", "1,200 new, 3 known", "good"),
        ),
        ("brake", {"reason": "Too many."}, ("The brake was pulled", "Too many.", "bad")),
        ("of_tomorrow", {}, ("Of tomorrow", "", "good")),
    ],
)
def test_events_are_told(
    kind: str, detail: dict[str, object], expected: tuple[str, str, str]
) -> None:
    """One of a later release as it stands."""
    assert event_words(CampaignEvent(AT, kind, detail)) == expected


def test_a_reason_is_told_once() -> None:
    """The brake's is the pause's as well; another one is told."""
    events = [
        CampaignEvent(AT, MOVED, {"to": "paused", "reason": "Too many."}),
        CampaignEvent(AT, "brake", {"reason": "Too many."}),
        CampaignEvent(AT, MOVED, {"to": "cancelled", "reason": "Enough."}),
    ]
    assert [reason for _, _, reason, _ in told_events(events)] == ["Too many.", "", "Enough."]


def test_shares_and_widths() -> None:
    """A decimal where it says something."""
    assert [percent(x) for x in (0, 0.034, 0.0994, 0.0996, 0.5, 1)] == [
        "0 %", "3.4 %", "9.9 %", "10 %", "50 %", "100 %",
    ]  # fmt: skip
    widths = [width_words(timedelta(seconds=s)) for s in (1, 5, 60, 900, 3600, 86_400, 604_800)]
    assert widths == ["second", "5 seconds", "minute", "15 minutes", "hour", "day", "week"]
