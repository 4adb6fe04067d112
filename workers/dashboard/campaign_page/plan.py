"""How many calls a campaign was meant to start, from its pace, its ramp and its starts and pauses.

Permitted hours and calls at once are not in it: they are what may keep a campaign below its plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from workers.campaign.model import CampaignState, Pace
from workers.campaign.pacing import allowed
from workers.store.campaigns.events import MOVED, CampaignEvent

_DIALS = frozenset(state.value for state in CampaignState if state.dials)


@dataclass(frozen=True, slots=True)
class Period:
    """A campaign dialled from ``begin`` on, until before ``end``; its ramp counts from there."""

    begin: datetime
    end: datetime


def periods(events: Iterable[CampaignEvent], now: datetime) -> list[Period]:
    """When a campaign dialled, oldest first; one that still does ends now.

    Every start counts, also one of a campaign that dials already: its ramp begins anew.
    """
    found: list[Period] = []
    begin: datetime | None = None
    for event in events:
        if event.kind != MOVED:
            continue
        if begin is not None:
            found.append(Period(begin, event.at))
        begin = event.at if event.detail.get("to") in _DIALS else None
    if begin is not None:
        found.append(Period(begin, max(begin, now)))
    return found


def planned(dialled: Sequence[Period], pace: Pace, begin: datetime, end: datetime) -> float:
    """Calls that were to start from ``begin`` on, until before ``end``."""
    return sum(_within(period, pace, begin, end) for period in dialled)


def _within(period: Period, pace: Pace, begin: datetime, end: datetime) -> float:
    begin, end = max(begin, period.begin), min(end, period.end)
    calls = 0.0
    steps = [period.begin + after for after, _ in pace.ramp if after > timedelta(0)]
    edges = sorted({begin, *(step for step in steps if begin < step < end)})
    for at, until in zip(edges, [*edges[1:], end], strict=True):
        if until > at:
            rate = allowed(pace, at - period.begin).calls_per_second
            calls += rate * (until - at).total_seconds()
    return calls
