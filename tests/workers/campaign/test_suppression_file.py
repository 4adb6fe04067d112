"""Suppression lists: nobody on them may be missed unseen."""

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.contact_text import ContactFileError, RowError
from workers.campaign.suppression_file import (
    LEFT_OUT,
    Suppression,
    read_suppressions,
    write_suppressions,
)

ANN, BOB = "+12125550123", "+493012345678"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def read(text: str | bytes, region: str | None = None) -> list[Suppression | RowError]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_suppressions(io.BytesIO(data), name="stop.csv", region=region))


def outcomes(rows: list[Suppression | RowError]) -> list[str]:
    """Numbers of good rows, line and column of bad ones."""
    return [
        f"! {row.line} {row.field}" if isinstance(row, RowError) else row.number for row in rows
    ]


def test_all_columns_are_read_in_any_order_and_case() -> None:
    """Others are passed over; the time is given in UTC."""
    text = (
        "At;Reason;Number;id;Source\n"
        f"2026-11-27T13:00:00+01:00; asked\tus ;{ANN};7;call\n"
        f";;{BOB};8;\n"
    )
    assert read(text) == [Suppression(ANN, "asked us", "call", NOON), Suppression(BOB)]


@pytest.mark.parametrize("text", [f"{ANN}\n{BOB}\n", f"{ANN},x\n\n{BOB},y\n", f'"{ANN}"\r"{BOB}"'])
def test_without_a_header_the_first_column_is_the_number(text: str) -> None:
    """And the first row is one of the list."""
    assert read(text) == [Suppression(ANN), Suppression(BOB)]


def test_a_bad_first_row_without_a_header_is_told_without_its_number() -> None:
    """It stops no other, and is not taken for the names of columns."""
    rows = read(f"0123 45678\n{ANN}\n")
    assert outcomes(rows) == ["! 1 number", ANN]
    assert isinstance(rows[0], RowError)
    assert "45678" not in rows[0].message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_any_encoding_and_delimiter_is_read(encoding: str) -> None:
    """As those of contacts are."""
    text = f"number;reason\n{ANN};Müller hat abgesagt\n"
    assert read(text.encode(encoding)) == [Suppression(ANN, "Müller hat abgesagt")]


def test_a_region_reads_national_numbers() -> None:
    """Without one they are in doubt."""
    assert outcomes(read("number\n030 12345678\n", "DE")) == [BOB]
    assert outcomes(read("number\n030 12345678\n")) == ["! 2 number"]


def test_every_row_in_doubt_is_told_and_says_what_it_means() -> None:
    """Line, column, and that somebody may be called; the others are read."""
    text = (
        f"number,reason\n12,x\n{ANN},x\n{ANN},too,many\n,x\n"
        f'{BOB},"open\n+1212555,x\n{ANN} Ann,x\n{BOB},a\x07b\n,\n{BOB},last\n'
    )
    rows = read(text)
    assert outcomes(rows) == [
        "! 2 number",
        ANN,
        "! 4 ",
        "! 5 number",
        "! 6 ",
        "! 7 number",
        "! 8 number",
        "! 9 reason",
        BOB,
    ]
    for row in rows:
        if isinstance(row, RowError):
            assert row.message.endswith(LEFT_OUT)
            assert row.raw == text.split("\n")[row.line - 1]
    assert "may still be called" in LEFT_OUT


@pytest.mark.parametrize("at", ["27.11.2026", "2026-11-27", "2026-11-27T12:00", "soon"])
def test_a_time_in_doubt_leaves_nobody_out(at: str) -> None:
    """It is told, and the number is suppressed without it."""
    rows = read(f"number,at\n{ANN},{at}\n")
    assert outcomes(rows) == ["! 2 at", ANN]
    assert isinstance(rows[0], RowError)
    assert LEFT_OUT not in rows[0].message
    assert rows[1] == Suppression(ANN)


def test_a_time_out_of_the_calendar_is_one_in_doubt() -> None:
    """The first year has no UTC for every zone."""
    assert outcomes(read(f"number,at\n{ANN},0001-01-01T00:00+14:00\n")) == ["! 2 at", ANN]


def test_of_equal_numbers_the_first_row_is_kept() -> None:
    """However they are spelled."""
    rows = read(f"number,reason\n{ANN},first\n(212) 555-0123,second\n", "US")
    assert rows == [Suppression(ANN, "first")]


@pytest.mark.parametrize(
    ("text", "region", "said"),
    [
        ("", None, "is empty"),
        ("name,phone\nAnn,+12125550123\n", None, "no column 'number'; there are 'name', 'phone'"),
        ("number,Number\n1,2\n", None, "'number' 2 times"),
        ("number,at,at\n1,2,3\n", None, "'at' 2 times"),
        ("number\n1\n", "XX", "no region 'XX'"),
        ("PK\x03\x04", None, "workbook"),
    ],
)
def test_an_impossible_list_is_refused_before_any_row(
    text: str, region: str | None, said: str
) -> None:
    """At the call: a list that is half read must not look like a whole one."""
    with pytest.raises(ContactFileError, match=r"stop\.csv") as caught:
        read_suppressions(io.BytesIO(text.encode()), name="stop.csv", region=region)
    assert said in str(caught.value)


def test_a_time_without_a_zone_is_not_written() -> None:
    """It would be no moment; the file stays the caller's."""
    file = io.BytesIO()
    with pytest.raises(ValueError, match="zone"):
        write_suppressions([Suppression(ANN, at=datetime(2026, 11, 27))], file)
    assert not file.closed


numbers = st.integers(2_000_000, 9_999_999).map("+1212{}".format)
texts = st.text(max_size=1200)
times = st.none() | st.datetimes(
    datetime(1970, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.timezones() | st.just(timezone(timedelta(hours=-9.5))),
)


@given(st.lists(st.builds(Suppression, numbers, texts, texts, times), unique_by=lambda s: s.number))
def test_what_is_exported_is_imported_as_it_was(rows: list[Suppression]) -> None:
    """Numbers and times at once, texts from the first time on, and the second file is the first."""
    first, second = io.BytesIO(), io.BytesIO()
    write_suppressions(rows, first)
    back = read(first.getvalue())
    assert [row for row in back if isinstance(row, RowError)] == []
    good = [row for row in back if isinstance(row, Suppression)]
    assert [row.number for row in good] == [row.number for row in rows]
    assert [row.at for row in good] == [row.at and row.at.astimezone(UTC) for row in rows]
    write_suppressions(good, second)
    assert second.getvalue() == first.getvalue()
    assert read(second.getvalue()) == back


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=200))
def test_a_plain_reason_is_exported_as_it_is(reason: str) -> None:
    """Quotes, delimiters and signs of every script."""
    reason = reason.replace("\ufffd", "")
    file = io.BytesIO()
    row = Suppression(ANN, reason, "call", NOON)
    write_suppressions([row], file)
    assert read(file.getvalue()) == [row]
