"""The files of the demo's campaign, as they have to be at the moment it is run.

Permitted hours are the callee's own. So that the demo goes the same way at any hour, its list names
time zones in which it is day now, and one in which the last permitted hour is over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import cycle
from pathlib import Path
from zoneinfo import ZoneInfo

from workers.entrypoints.demo_calls import DATA

FOLDER = DATA / "campaign"
_ENDS_ON = "{ends_on}"
_MOST_DAYS = 3
# All round the earth, from east to west.
_ZONES = (
    *("Pacific/Kiritimati", "Pacific/Tongatapu", "Pacific/Fiji", "Pacific/Noumea"),
    *("Australia/Brisbane", "Asia/Tokyo", "Asia/Singapore", "Asia/Jakarta", "Asia/Dhaka"),
    *("Asia/Karachi", "Asia/Dubai", "Africa/Nairobi", "Africa/Cairo", "Europe/Berlin"),
    *("Europe/London", "Atlantic/Azores", "America/Noronha", "America/Sao_Paulo"),
    *("America/Santiago", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu", "Pacific/Pago_Pago"),
)
# Within 09:00 to 18:00, with some minutes to spare for the demo itself, and outside.
_DAY = (time(9, 10), time(17, 20))
_NIGHT = (time(18, 10), time(23, 50))


@dataclass(frozen=True, slots=True)
class Where:
    """Where the people of the list are."""

    days: tuple[str, ...]
    """Time zones in which it is day."""
    night: str
    """One in which it is too late today."""
    ends_on: date
    """Today, in all of them: the campaign's last day."""


def where(now: datetime) -> Where:
    """Choose time zones by the clock; ``now`` is aware."""
    local = {zone: now.astimezone(ZoneInfo(zone)) for zone in _ZONES}
    found = []
    for night, at in local.items():
        if _NIGHT[0] <= at.time() <= _NIGHT[1]:
            days = tuple(zone for zone, there in local.items() if _is_day(there, at.date()))
            if days:
                found.append(Where(_spread(days), night, at.date()))
    # There always is one: tests/workers/entrypoints/test_demo_campaign_files.py.
    return max(found, key=lambda one: (len(one.days), one.night))


def write_files(folder: Path, chosen: Where) -> Path:
    """Write campaign, agent and lists into a folder; returns the campaign's file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("agent.yaml", "suppressed.csv"):
        (folder / name).write_text(_packaged(name), encoding="utf-8")
    file = folder / "campaign.yaml"
    said = _packaged("campaign.yaml").replace(_ENDS_ON, chosen.ends_on.isoformat())
    file.write_text(said, encoding="utf-8")
    with (folder / "people.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows(_placed(csv.reader(_packaged("people.csv").splitlines()), chosen))
    return file


def _placed(rows: Iterable[list[str]], chosen: Where) -> Iterable[list[str]]:
    days = cycle(chosen.days)
    for row in rows:
        yield [
            next(days) if cell == "day" else chosen.night if cell == "night" else cell
            for cell in row
        ]


def _is_day(there: datetime, on: date) -> bool:
    return there.date() == on and _DAY[0] <= there.time() <= _DAY[1]


def _spread(zones: tuple[str, ...]) -> tuple[str, ...]:
    """A few of them, from one end to the other."""
    if len(zones) <= _MOST_DAYS:
        return zones
    return (zones[0], zones[len(zones) // 2], zones[-1])


def _packaged(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
