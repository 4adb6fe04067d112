"""Mappings of a campaign's file whose fields depend on each other: its hours and its ramp.

What is wrong inside them is reported all at once and in its place, as pydantic does for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time, timedelta
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from agent.yaml_source import FieldPath, did_you_mean
from workers.campaign.campaign_values import (
    read_date,
    read_duration,
    read_share,
    read_text,
)
from workers.campaign.model import Hours, Weekday, Window

T = TypeVar("T")

_DAYS: Final = tuple(day.value for day in Weekday)
_DAY_MINUTES: Final = 24 * 60


class _Problems:
    """What is wrong inside one mapping, so that pydantic reports all of it in its place."""

    def __init__(self) -> None:
        self._found: list[InitErrorDetails] = []

    def note(self, at: FieldPath, message: str, raw: object = "") -> None:
        kind = PydanticCustomError("refused", "{message}", {"message": message})
        self._found.append(InitErrorDetails(type=kind, loc=at, input=raw))

    def read(self, at: FieldPath, parse: Callable[[object], T], raw: object) -> T | None:
        try:
            return parse(raw)
        except ValueError as error:
            self.note(at, str(error), raw)
            return None

    def done(self) -> None:
        if self._found:
            raise ValidationError.from_exception_data("mapping", self._found)


def read_ramp(raw: object) -> tuple[tuple[timedelta, float], ...]:
    """Steps of the pace: time since the start, and the share of the pace from then on.

    Both rise from step to step; the first is at 0 s, the last share is 1.

    Raises:
        ValueError: it is no mapping; pydantic's ``ValidationError``, which is one as well, holds
            every problem inside it.
    """
    if not isinstance(raw, dict) or not raw:
        raise ValueError("must be a mapping such as {0m: 10%, 10m: 100%}")
    problems = _Problems()
    steps: list[tuple[timedelta, float]] = []
    for key, value in raw.items():
        after = problems.read((key,), read_duration, key)
        share = problems.read((key,), read_share, value)
        if after is None or share is None:
            continue
        if steps and after <= steps[-1][0]:
            problems.note((key,), "must be later than the step before")
        if steps and share <= steps[-1][1]:
            problems.note((key,), "must be more than the step before")
        steps.append((after, share))
    # A step that cannot be read says nothing of where the ramp begins and ends.
    if len(steps) == len(raw):
        keys = list(raw)
        if steps[0][0]:
            problems.note((keys[0],), "the first step must be at 0m")
        if steps[-1][1] != 1:
            problems.note((keys[-1],), "the last step must be 100%")
    problems.done()
    return tuple(steps)


def read_hours(raw: object) -> Hours:
    """Windows by day, in order, and holidays; a day without calls has no key.

    Raises:
        ValueError: as ``read_ramp`` does.
    """
    if not isinstance(raw, dict):
        raise ValueError("must be a mapping such as {mon-fri: 09:00-18:00}")  # noqa: TRY004
    problems = _Problems()
    windows: dict[Weekday, tuple[Window, ...]] = {}
    given: dict[Weekday, str] = {}
    holidays: frozenset[date] = frozenset()
    key: str
    for key, value in raw.items():
        if key == "holidays":
            holidays = _holidays(value, problems)
            continue
        days = problems.read((key,), _days, key) or ()
        spans = _spans(key, value, problems)
        if twice := [f"{day} (under {given[day]})" for day in days if day in given]:
            problems.note((key,), f"days that already have hours: {', '.join(twice)}")
        given.update({day: str(key) for day in days})
        windows.update(dict.fromkeys(days, spans))
    if not set(raw) - {"holidays"}:
        problems.note((), "names no day on which people may be called")
    problems.done()
    return Hours(MappingProxyType(windows), holidays)


def _days(raw: object) -> tuple[Weekday, ...]:
    """A range may go past Sunday, as ``fri-mon`` does."""
    parts = [part.strip() for part in re.split("[-–]", read_text(raw).lower())]
    if len(parts) > 2 or not set(parts) <= set(_DAYS):
        known = _DAYS if len(parts) > 1 else (*_DAYS, "holidays")
        unknown = next((part for part in parts if part not in _DAYS), "")
        hint = did_you_mean(unknown, known)
        raise ValueError(f"is not a day or a range of days such as mon-fri{hint}")
    first, last = _DAYS.index(parts[0]), _DAYS.index(parts[-1])
    week = tuple(Weekday)
    return tuple(week[(first + step) % 7] for step in range((last - first) % 7 + 1))


def _spans(key: str, raw: object, problems: _Problems) -> tuple[Window, ...]:
    listed = isinstance(raw, list)
    items = raw if isinstance(raw, list) else [raw]
    if not items:
        problems.note((key,), "is empty; a day without calls is left out")
    read: list[tuple[int, int]] = []
    for index, item in enumerate(items):
        at: FieldPath = (key, index) if listed else (key,)
        span = problems.read(at, _span, item)
        if span is None:
            continue
        if any(start < span[1] and span[0] < end for start, end in read):
            problems.note(at, "overlaps another window of the day")
        read.append(span)
    return tuple(Window(_clock(start), _clock(end)) for start, end in sorted(read))


def _span(raw: object) -> tuple[int, int]:
    """Minutes since midnight."""
    found = re.fullmatch(
        r"([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})",
        raw.strip() if isinstance(raw, str) else "",
    )
    if not found:
        raise ValueError("must be hours such as 09:00-18:00")
    start_h, start_min, end_h, end_min = (int(part) for part in found.groups())
    start, end = start_h * 60 + start_min, end_h * 60 + end_min
    if max(start_min, end_min) > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError("is not a time of day: from 00:00 on, until 24:00 at the latest")
    if end <= start:
        hint = "; midnight at the end of a day is 24:00" if end == 0 else ""
        raise ValueError(f"ends before it starts{hint}")
    return start, end


def _clock(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)


def _holidays(raw: object, problems: _Problems) -> frozenset[date]:
    if not isinstance(raw, list):
        problems.note(("holidays",), "must be a list of dates such as [2026-12-25]", raw)
        return frozenset()
    days: set[date] = set()
    for index, item in enumerate(raw):
        at = ("holidays", index)
        if (day := problems.read(at, read_date, item)) in days:
            problems.note(at, "is already listed")
        elif day is not None:
            days.add(day)
    return frozenset(days)
