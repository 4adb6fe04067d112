"""Campaigns and rows for tests of what is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from workers.campaign.contacts import Row
from workers.campaign.model import Campaign, Hours, Source, Weekday, Window

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
HOURS = Hours({day: (Window(time(9), time(18)),) for day in Weekday})


def campaign(name: str = "reminders", **fields: Any) -> Campaign:
    """One that may call at any day."""
    return Campaign(
        name=name,
        agent="/agent.yaml",
        callers=("+12125550100",),
        source=Source("/people.csv"),
        hours=HOURS,
        **fields,
    )


def number(n: int) -> str:
    """E.164; no two are the same."""
    return f"+1212{n:07}"


def row(n: int, **fields: Any) -> Row:
    """The contact on line ``n``."""
    values: dict[str, Any] = {
        "line": n,
        "number": number(n),
        "zones": ("America/New_York",),
        "name": f"Person {n}",
        "consent": "form",
        "variables": {"order": f"A-{n}"},
    }
    return Row(**values | fields)
