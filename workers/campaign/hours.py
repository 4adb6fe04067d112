"""When somebody may be called, as moments in UTC.

People write hours in the callee's own time; this turns them into moments, and is never early. A
zone is asked in one direction only, from UTC to local, where every moment has one answer. The other
way has none for a skipped hour and two for a repeated one, which is where dialers ring too soon.

A UTC day is cut into pieces of constant offset (one, nearly always). Inside a piece local time runs
like UTC, so a window of a local day is a span of it. The pieces depend on the zone alone and are
kept. Where several zones are possible, what is open in all of them is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from workers.campaign.model import Hours, Weekday

HORIZON = timedelta(days=400)
"""How far ``next_permitted`` looks: a year of holidays, and a month."""

_WEEKDAYS = tuple(Weekday)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_END_OF_DAY = time(0)

_NO_PLACE = frozenset({"Factory", "localtime", "posixrules"})
"""Files beside the zones: no zone set, and that of the machine."""

_Span = tuple[datetime, datetime]
"""From the first moment on, until before the second; UTC."""
_Piece = tuple[datetime, datetime, timedelta]
"""A span in which local time is UTC plus the same."""


class UnknownZone(LookupError):
    """There is no such zone in the time zone data of this machine."""


def permitted(
    hours: Hours, zones: Iterable[str], at: datetime, *, ends_on: date | None = None
) -> bool:
    """Whether somebody who may be in any of these zones may be called at a moment.

    Args:
        hours: in the callee's zone.
        zones: IANA names, every zone the callee may be in.
        at: aware.
        ends_on: last day with calls, in the callee's zone.

    Returns:
        True if every zone permits. False also where there is no zone, or one nobody knows.

    Raises:
        ValueError: ``at`` has no zone.
    """
    moment = utc(at)
    try:
        known = [zone_named(name) for name in zones]
    except UnknownZone:
        return False
    return bool(known) and all(_open(hours, zone, moment, ends_on) for zone in known)


def next_permitted(
    hours: Hours, zones: Iterable[str], at: datetime, *, ends_on: date | None = None
) -> datetime | None:
    """The first moment from ``at`` on at which ``permitted`` is true.

    Args:
        hours: in the callee's zone.
        zones: IANA names, every zone the callee may be in.
        at: aware.
        ends_on: last day with calls, in the callee's zone.

    Returns:
        In UTC, ``at`` itself where it is permitted. None: not within ``HORIZON``, not before the
        end of ``ends_on``, or nothing is known of the zones.

    Raises:
        ValueError: ``at`` has no zone.
    """
    moment = utc(at)
    try:
        known = [zone_named(name) for name in dict.fromkeys(zones)]
    except UnknownZone:
        return None
    if not known or not any(hours.windows.values()):
        return None
    last = moment.date() + HORIZON
    if ends_on is not None and ends_on < last:
        # West of Greenwich a day ends on the next one of UTC (an offset is less than a day).
        last = min(last, ends_on + _DAY)
    day = moment.date()
    while day <= last:
        spans = _open_spans(hours, known, day, ends_on)
        later = [max(begin, moment) for begin, end in spans if end > moment]
        if later:
            return min(later)
        day += _DAY
    return None


def is_over(ends_on: date, zones: Iterable[str], at: datetime) -> bool:
    """Whether the last day is over in any of the zones: the callee may be in that one.

    Raises:
        UnknownZone: nobody can say.
        ValueError: ``at`` has no zone.
    """
    moment = utc(at)
    return any(moment.astimezone(zone_named(name)).date() > ends_on for name in zones)


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        UnknownZone: there is none of this name, or its file cannot be read.
    """
    if name in _NO_PLACE or name.startswith("right/"):  # "right" counts leap seconds: 27 s off
        raise UnknownZone(f"not a zone people live in: {name!r}")
    try:
        return ZoneInfo(name)
    # All seen for names from files: a folder ("America") is an OSError, "" a ValueError.
    except (LookupError, ValueError, OSError) as error:
        raise UnknownZone(f"unknown time zone: {name!r}") from error


def utc(moment: datetime) -> datetime:
    """The moment in UTC, where sums and comparisons are those of real time.

    Between two times of one zone Python compares and adds what the clock on the wall says (docs,
    datetime: "if both comparands are aware and have the same tzinfo attribute").

    Raises:
        ValueError: it has no zone, so it is no moment.
    """
    if moment.utcoffset() is None:
        raise ValueError("a moment needs a zone; this datetime is naive")
    return moment.astimezone(UTC)


def _open(hours: Hours, zone: ZoneInfo, moment: datetime, ends_on: date | None) -> bool:
    """Whether one zone permits; ``moment`` in UTC."""
    local = moment.astimezone(zone)
    day, clock = local.date(), local.time()
    if day in hours.holidays or (ends_on is not None and day > ends_on):
        return False
    return any(
        window.start <= clock and (clock < window.end or window.end == _END_OF_DAY)
        for window in hours.windows.get(_WEEKDAYS[day.weekday()], ())
    )


def _open_spans(
    hours: Hours, zones: Sequence[ZoneInfo], day: date, ends_on: date | None
) -> list[_Span]:
    """What is open in all zones on a UTC day, in no order."""
    shared = _zone_spans(hours, zones[0], day, ends_on)
    for zone in zones[1:]:
        if not shared:
            break
        shared = [
            (max(begin, other_begin), min(end, other_end))
            for other_begin, other_end in _zone_spans(hours, zone, day, ends_on)
            for begin, end in shared
            if begin < other_end and other_begin < end
        ]
    return shared


def _zone_spans(hours: Hours, zone: ZoneInfo, day: date, ends_on: date | None) -> list[_Span]:
    """What is open in one zone on a UTC day, in no order."""
    spans = []
    for piece_begin, piece_end, offset in _pieces(zone, day):
        midnight = (piece_begin + offset).replace(hour=0, minute=0, second=0, microsecond=0)
        while (begins := midnight - offset) < piece_end:
            local_day = midnight.date()
            if local_day not in hours.holidays and (ends_on is None or local_day <= ends_on):
                for window in hours.windows.get(_WEEKDAYS[local_day.weekday()], ()):
                    end = _DAY if window.end == _END_OF_DAY else _since_midnight(window.end)
                    span_begin = max(piece_begin, begins + _since_midnight(window.start))
                    span_end = min(piece_end, begins + end)
                    if span_begin < span_end:
                        spans.append((span_begin, span_end))
            midnight += _DAY
    return spans


def _since_midnight(clock: time) -> timedelta:
    return timedelta(
        hours=clock.hour,
        minutes=clock.minute,
        seconds=clock.second,
        microseconds=clock.microsecond,
    )


@lru_cache(maxsize=16_384)  # some 40 zones for the whole horizon
def _pieces(zone: ZoneInfo, day: date) -> tuple[_Piece, ...]:
    """The pieces of constant offset of a UTC day: one, or two where the zone changes.

    The second is empty where the zone changes at the end of the day.

    Zones do not tell when they change, so the day's ends are compared. No zone has changed twice
    within six days (tzdata 2026f; a test looks at it).
    """
    begin = datetime.combine(day, _END_OF_DAY, UTC)
    end = begin + _DAY
    first, second = _offset(zone, begin), _offset(zone, end)
    if first == second:
        return ((begin, end, first),)
    # Changes are at whole seconds (RFC 8536, section 3.2: transition times).
    before, change = begin, end
    while change - before > _SECOND:
        middle = before + (change - before) // _SECOND // 2 * _SECOND
        if _offset(zone, middle) == first:
            before = middle
        else:
            change = middle
    return ((begin, change, first), (change, end, second))


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset
