from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.campaign.hours import (
    HORIZON,
    UnknownZone,
    is_over,
    next_permitted,
    permitted,
    utc,
    zone_named,
)
from workers.campaign.model import Hours, Weekday, Window

MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)

# Near these moments (UTC) the zone changes, or its offset is an unusual one.
CHANGES = {
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Europe/Dublin": ["2026-03-29T01:00", "2026-10-25T01:00"],  # "negative" summer time
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "America/St_Johns": ["2026-03-08T05:30", "2026-11-01T04:30"],  # -03:30
    "America/Havana": ["2026-03-08T05:00", "2026-11-01T05:00"],  # midnight is skipped, or repeated
    "America/Santiago": ["2026-04-05T03:00", "2026-09-06T04:00"],  # at the end of the day
    "Africa/Cairo": ["2026-04-23T22:00", "2026-10-29T21:00"],  # at the beginning of the day
    "Africa/Casablanca": ["2026-02-15T02:00", "2026-03-22T02:00"],  # for Ramadan
    "Asia/Beirut": ["2026-03-28T22:00", "2026-10-24T21:00"],
    "Asia/Kathmandu": ["2026-05-01T00:00", "1985-12-31T18:30"],  # +05:45
    "Asia/Pyongyang": ["2015-08-14T15:00", "2018-05-04T15:00"],  # by 30 minutes
    "Asia/Kolkata": ["2026-05-01T00:00"],
    "Atlantic/Azores": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Australia/Eucla": ["2026-05-01T00:00"],  # +08:45
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],  # by 30 minutes
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],  # by 2 hours
    "Pacific/Apia": ["2011-12-30T10:00"],  # 30 December 2011 is skipped
    "Pacific/Kwajalein": ["1993-08-21T12:00"],  # 21 August 1993 is skipped
    "Pacific/Chatham": ["2026-04-04T14:00", "2026-09-26T14:00"],  # +12:45, +13:45
    "Pacific/Kiritimati": ["2026-05-01T00:00"],  # +14
    "Pacific/Niue": ["2026-05-01T00:00"],  # -11
    "UTC": ["2026-05-01T00:00"],
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(minute: int) -> time:
    """So many minutes after midnight; the end of the day is ``time(0)``."""
    return time(minute // 60 % 24, minute % 60)


def every_day(*windows: tuple[int, int], holidays: Iterable[date] = ()) -> Hours:
    """The same windows every day, in minutes after midnight."""
    same = tuple(Window(clock(start), clock(end)) for start, end in windows)
    return Hours(dict.fromkeys(Weekday, same), frozenset(holidays))


# -- the oracle --------------------------------------------------------------------------------
# Written without a look at the code under test: it reads a wall clock, minute by minute.

Table = dict[int, list[tuple[int, int]]]  # from weekday (Monday: 0) to minutes [start, end)


def wall_permits(
    table: Table, holidays: set[date], zones: list[str], epoch_s: int, ends_on: date | None
) -> bool:
    for zone in zones:
        wall = datetime.fromtimestamp(epoch_s, ZoneInfo(zone))
        today = date(wall.year, wall.month, wall.day)
        if today in holidays or (ends_on is not None and today > ends_on):
            return False
        minute = wall.hour * 60 + wall.minute
        if not any(start <= minute < end for start, end in table.get(today.weekday(), [])):
            return False
    return len(zones) > 0


def first_minute(
    table: Table,
    holidays: set[date],
    zones: list[str],
    from_s: int,
    until_s: int,
    ends_on: date | None,
) -> int | None:
    for epoch_s in range(from_s, until_s, 60):
        if wall_permits(table, holidays, zones, epoch_s, ends_on):
            return epoch_s
    return None


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Few windows, short or at the ends of the day: those that a change of the clock hits."""
    minutes = st.sampled_from([0, 1, 30, 60, 90, 119, 120, 150, 180, 540, 1080, 1260, 1410, 1439])
    windows = st.lists(
        st.tuples(minutes, st.one_of(minutes, st.just(1440))).filter(lambda w: w[0] < w[1]),
        max_size=2,
    )
    return {day: draw(windows) for day in range(7) if draw(st.booleans())}


def hours_of(table: Table, holidays: set[date]) -> Hours:
    week = list(Weekday)
    return Hours(
        {
            week[day]: tuple(Window(clock(start), clock(end)) for start, end in windows)
            for day, windows in table.items()
        },
        frozenset(holidays),
    )


@st.composite
def moments_and_zones(draw: st.DrawFn) -> tuple[datetime, list[str]]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    change = at(draw(st.sampled_from(CHANGES[zone])))
    others = draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=2))
    minutes = draw(st.integers(-2 * 24 * 60, 24 * 60))
    return change + minutes * MINUTE, [zone, *others]


@settings(max_examples=150, deadline=None)
@given(moments_and_zones(), tables(), st.sets(st.integers(-1, 3), max_size=2), st.data())
def test_next_permitted_agrees_with_a_wall_clock_read_each_minute(
    moment_and_zones: tuple[datetime, list[str]],
    table: Table,
    holidays_after: set[int],
    data: st.DataObject,
) -> None:
    """Around changes of the clock the answer is the first minute at which all clocks permit."""
    moment, zones = moment_and_zones
    holidays = {moment.date() + timedelta(days) for days in holidays_after}
    ends_on = data.draw(
        st.one_of(st.none(), st.integers(-1, 4).map(lambda days: moment.date() + timedelta(days)))
    )
    hours = hours_of(table, holidays)
    from_s = int(moment.timestamp())
    until_s = from_s + 4 * 24 * 3600

    answer = next_permitted(hours, zones, moment, ends_on=ends_on)
    expected = first_minute(table, holidays, zones, from_s, until_s, ends_on)

    if expected is not None:
        assert answer is not None
        assert answer.timestamp() == expected
    else:
        assert answer is None or answer.timestamp() >= until_s


@settings(max_examples=300, deadline=None)
@given(moments_and_zones(), tables(), st.integers(0, 59_999_999))
def test_permitted_agrees_with_a_wall_clock(
    moment_and_zones: tuple[datetime, list[str]], table: Table, microseconds: int
) -> None:
    """At any moment within a minute the answer is that of the clocks on the walls."""
    moment, zones = moment_and_zones
    expected = wall_permits(table, set(), zones, int(moment.timestamp()), None)
    within = moment + timedelta(microseconds=microseconds)
    assert permitted(hours_of(table, set()), zones, within) is expected


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(datetime(1975, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
    st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3),
    tables(),
    st.data(),
)
def test_the_next_permitted_moment_is_permitted_and_none_before_it(
    moment: datetime, zones: list[str], table: Table, data: st.DataObject
) -> None:
    """At any microsecond, years ahead: permitted then, and neither just before nor in between."""
    hours = hours_of(table, set())
    answer = next_permitted(hours, zones, moment)
    if answer is None:
        end = moment + HORIZON - timedelta(days=1)
    else:
        assert permitted(hours, zones, answer)
        assert answer.tzinfo is UTC
        end = answer
    assert answer is None or answer >= moment
    if end > moment:
        between = data.draw(st.lists(st.datetimes(naive(moment), naive(end - TICK)), max_size=20))
        for early in [moment, end - TICK, *(each.replace(tzinfo=UTC) for each in between)]:
            assert not permitted(hours, zones, early)


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


# -- by example --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "window", "asked", "expected"),
    [
        # 02:00 to 03:00 does not exist on 29 March: 02:30 is never shown, 03:00 is at 01:00 UTC.
        ("Europe/Berlin", (150, 600), "2026-03-29T00:10", "2026-03-29T01:00"),
        ("Europe/Berlin", (120, 180), "2026-03-29T00:10", "2026-03-30T00:00"),
        # 02:00 to 03:00 comes twice on 25 October; 08:00 is an hour later in UTC.
        ("Europe/Berlin", (150, 155), "2026-10-25T00:00", "2026-10-25T00:30"),
        ("Europe/Berlin", (150, 155), "2026-10-25T00:35", "2026-10-25T01:30"),
        ("Europe/Berlin", (480, 600), "2026-10-24T12:00", "2026-10-25T07:00"),
        # The day begins at 01:00.
        ("America/Havana", (0, 480), "2026-03-08T04:59", "2026-03-08T05:00"),
        ("America/Havana", (0, 30), "2026-03-08T05:00", "2026-03-09T04:00"),
        ("Australia/Lord_Howe", (120, 135), "2026-10-03T15:00", "2026-10-04T15:00"),
        ("Australia/Lord_Howe", (135, 180), "2026-10-03T15:00", "2026-10-03T15:30"),
        ("Asia/Kathmandu", (540, 600), "2026-05-01T00:00", "2026-05-01T03:15"),
        ("Pacific/Chatham", (540, 600), "2026-05-01T00:00", "2026-05-01T20:15"),
        # Until 1972 Liberia was 44 min 30 s behind.
        ("Africa/Monrovia", (540, 600), "1971-06-01T00:00", "1971-06-01T09:44:30"),
    ],
)
def test_a_window_opens_at_its_moment(
    zone: str, window: tuple[int, int], asked: str, expected: str
) -> None:
    """Skipped, repeated and odd local times open a window at the moment the clock shows it."""
    hours = every_day(window)
    answer = next_permitted(hours, [zone], at(asked))
    assert answer == at(expected)
    assert permitted(hours, [zone], at(expected))


def test_a_window_has_its_first_moment_and_not_its_last() -> None:
    """A window is from its start on, until before its end."""
    hours = every_day((540, 600))
    for text, expected in [
        ("2026-05-01T08:59:59.999999", False),
        ("2026-05-01T09:00", True),
        ("2026-05-01T09:59:59.999999", True),
        ("2026-05-01T10:00", False),
    ]:
        assert permitted(hours, ["UTC"], at(text)) is expected


def test_a_window_can_end_with_the_day() -> None:
    """An end of ``time(0)`` is midnight at the end of the day, and 00:00 is the next day."""
    hours = Hours({Weekday.FRIDAY: (Window(time(20), time(0)),)})
    friday = at("2026-05-01T00:00")
    assert not permitted(hours, ["UTC"], friday)
    assert next_permitted(hours, ["UTC"], friday) == at("2026-05-01T20:00")
    assert permitted(hours, ["UTC"], at("2026-05-01T23:59:59.999999"))
    assert not permitted(hours, ["UTC"], at("2026-05-02T00:00"))
    assert next_permitted(hours, ["UTC"], at("2026-05-02T00:00")) == at("2026-05-08T20:00")


def test_a_window_that_ends_before_it_begins_is_never_open() -> None:
    """Windows lie within one day; one that does not is closed, rather than open all night."""
    hours = every_day((1200, 480), (600, 600))
    assert next_permitted(hours, ["Europe/Berlin"], at("2026-05-01T00:00")) is None
    assert not permitted(hours, ["UTC"], at("2026-05-01T22:00"))
    assert not permitted(hours, ["UTC"], at("2026-05-01T10:00"))


def test_a_skipped_day_has_no_windows() -> None:
    """Samoa had no Friday in the last week of 2011: hours on Fridays begin a week later."""
    hours = Hours({Weekday.FRIDAY: (Window(time(9), time(18)),)})
    answer = next_permitted(hours, ["Pacific/Apia"], at("2011-12-30T00:00"))
    assert answer is not None
    assert answer.astimezone(ZoneInfo("Pacific/Apia")).isoformat() == "2012-01-06T09:00:00+14:00"


def test_a_holiday_is_a_day_of_the_callee() -> None:
    """A holiday closes the day of the callee's zone, not that of UTC."""
    hours = every_day((0, 1440), holidays=[date(2026, 12, 25)])
    tokyo = ["Asia/Tokyo"]
    assert permitted(hours, tokyo, at("2026-12-24T14:59"))
    assert not permitted(hours, tokyo, at("2026-12-24T15:00"))
    assert next_permitted(hours, tokyo, at("2026-12-24T15:00")) == at("2026-12-25T15:00")


def test_every_zone_has_to_permit() -> None:
    """From coast to coast, 9 to 18 is 9 in the west until 18 in the east."""
    hours = every_day((540, 1080))
    coasts = ["America/New_York", "America/Los_Angeles"]
    answer = next_permitted(hours, coasts, at("2026-05-01T13:00"))
    assert answer == at("2026-05-01T16:00")
    assert permitted(hours, coasts, at("2026-05-01T21:59"))
    assert not permitted(hours, coasts, at("2026-05-01T22:00"))


def test_zones_that_are_never_open_together_have_no_moment() -> None:
    """Where no moment suits all zones there is none."""
    hours = every_day((540, 600))
    assert next_permitted(hours, ["Asia/Tokyo", "Europe/Berlin"], at("2026-05-01T00:00")) is None


@pytest.mark.parametrize(
    "zones",
    [
        [],
        ["Mars/Olympus"],
        ["Europe/Berlin", "Mars/Olympus"],
        [""],
        ["America"],
        ["../UTC"],
        ["/etc/localtime"],
        ["localtime"],
        ["right/UTC"],
        ["a\0b"],
        ["x" * 5000],
    ],
)
def test_a_zone_that_nobody_knows_permits_nothing(zones: list[str]) -> None:
    """No zone, or one without data, is never permitted, though the others would be."""
    hours = every_day((0, 1440))
    assert not permitted(hours, zones, at("2026-05-01T12:00"))
    assert next_permitted(hours, zones, at("2026-05-01T12:00")) is None


def test_an_unknown_zone_is_named() -> None:
    """Who wants to know why is told the name."""
    with pytest.raises(UnknownZone, match="Mars/Olympus"):
        zone_named("Mars/Olympus")


def test_nothing_is_permitted_after_the_last_day() -> None:
    """The last day ends in the callee's zone; in several, when it ends in the first of them."""
    hours = every_day((0, 1440))
    last = date(2026, 5, 1)
    honolulu, berlin = "Pacific/Honolulu", "Europe/Berlin"
    end_in_honolulu, end_in_berlin = at("2026-05-02T10:00"), at("2026-05-01T22:00")
    for zones, end in [
        ([honolulu], end_in_honolulu),
        ([berlin], end_in_berlin),
        ([honolulu, berlin], end_in_berlin),
    ]:
        assert next_permitted(hours, zones, end - TICK, ends_on=last) == end - TICK
        assert next_permitted(hours, zones, end, ends_on=last) is None
        assert permitted(hours, zones, end - TICK, ends_on=last)
        assert not permitted(hours, zones, end, ends_on=last)
        assert not is_over(last, zones, end - TICK)
        assert is_over(last, zones, end)


def test_the_search_ends() -> None:
    """Hours that open after more than the horizon are none; just before it they are found."""
    start = at("2026-01-01T00:00")
    first = date(2026, 1, 1)
    closed = [first + timedelta(days) for days in range(HORIZON.days)]
    found = every_day((0, 1440), holidays=closed)
    assert next_permitted(found, ["UTC"], start) == start + HORIZON
    closed += [first + HORIZON, first + HORIZON + timedelta(1)]
    assert next_permitted(every_day((0, 1440), holidays=closed), ["UTC"], start) is None
    assert next_permitted(Hours({}), ["UTC"], start) is None


def test_a_moment_needs_a_zone() -> None:
    """A naive datetime is refused: it would be read in the zone of the machine."""
    hours = every_day((0, 1440))
    for ask in (permitted, next_permitted):
        with pytest.raises(ValueError, match="naive"):
            ask(hours, ["UTC"], datetime(2026, 5, 1))
    with pytest.raises(ValueError, match="naive"):
        is_over(date(2026, 5, 1), ["UTC"], datetime(2026, 5, 1))


def test_a_skipped_local_time_is_taken_for_the_moment_it_stands_for() -> None:
    """02:30 in the skipped hour is 03:30 on the wall, and no window of that hour is open."""
    berlin = ZoneInfo("Europe/Berlin")
    skipped = datetime(2026, 3, 29, 2, 30, tzinfo=berlin)
    assert utc(skipped) == at("2026-03-29T01:30")
    assert not permitted(every_day((120, 180)), ["Europe/Berlin"], skipped)
    assert permitted(every_day((180, 240)), ["Europe/Berlin"], skipped)


def test_no_zone_changes_twice_within_six_days() -> None:
    """What lets the search ask a zone once a day, in the zone data we ship."""
    zones = resources.files("tzdata").joinpath("zoneinfo")
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    for name in names:
        data = zones.joinpath(*name.split("/")).read_bytes()
        times = transition_times(data)
        gaps = [after - before for before, after in pairwise(times)]
        assert all(gap > 6 * 24 * 3600 for gap in gaps), name


def transition_times(data: bytes) -> tuple[int, ...]:
    """From a TZif file of version 2 or above (RFC 8536, section 3)."""
    counts = ">6l"
    isut, isstd, leap, times, types, chars = struct.unpack_from(counts, data, 20)
    second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    times = struct.unpack_from(counts, data, second + 20)[3]
    return struct.unpack_from(f">{times}q", data, second + 44)
