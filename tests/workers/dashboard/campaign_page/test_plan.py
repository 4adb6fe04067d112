"""How many calls were to be started, from the events alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.campaign.model import Pace
from workers.dashboard.campaign_page.plan import Period, periods, planned
from workers.store.campaigns.events import IMPORTED, MOVED, CampaignEvent

T0 = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
PACE = Pace(
    calls_per_second=2.0,
    ramp=((timedelta(0), 0.25), (timedelta(minutes=2), 0.5), (timedelta(minutes=10), 1.0)),
)


def minutes(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


def moved(at: datetime, to: str) -> CampaignEvent:
    return CampaignEvent(at, MOVED, {"to": to})


def test_periods_run_from_a_start_to_the_next_change() -> None:
    """A canary that becomes a run begins its ramp anew; what dials still ends now."""
    events = [
        CampaignEvent(T0, IMPORTED, {}),
        moved(minutes(1), "canary"),
        moved(minutes(3), "running"),
        moved(minutes(5), "paused"),
        moved(minutes(6), "cancelled"),
    ]
    assert periods(events, minutes(9)) == [
        Period(minutes(1), minutes(3)),
        Period(minutes(3), minutes(5)),
    ]
    assert periods(events[:3], minutes(9))[-1] == Period(minutes(3), minutes(9))
    assert periods(events[:1], minutes(9)) == []


@pytest.mark.parametrize(
    ("begin", "end", "calls"),
    [
        (0, 1, 30.0),
        (1, 3, 30.0 + 60.0),
        (9, 11, 60.0 + 120.0),
        (0, 20, 2 * 30 + 8 * 60 + 10 * 120),
        (19, 30, 120.0),
        (-5, 0, 0.0),
        (25, 30, 0.0),
    ],
)
def test_steps_of_the_ramp_are_counted_to_the_second(
    begin: float, end: float, calls: float
) -> None:
    """A bucket may lie across steps, and across the begin and end of a period."""
    dialled = [Period(T0, minutes(20))]
    assert planned(dialled, PACE, minutes(begin), minutes(end)) == pytest.approx(calls)


def test_each_period_has_its_own_ramp() -> None:
    """After a pause it begins at the first step again."""
    dialled = [Period(T0, minutes(1)), Period(minutes(1), minutes(2))]
    assert planned(dialled, PACE, T0, minutes(2)) == pytest.approx(60.0)
