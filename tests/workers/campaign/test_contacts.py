"""CSV files of every kind, good rows and bad."""

import io
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.contacts import (
    ContactFileError,
    Folding,
    Row,
    RowError,
    identity,
    preview,
    read_rows,
)
from workers.campaign.model import Columns, Source

COLUMNS = Columns(
    name="name", zone="zone", key="id", consent="consent", variables={"due": "amount"}
)
FULL = Source("people.csv", COLUMNS)
NUMBER = Source("people.csv", Columns(variables={"note": "note"}))


def read(text: str | bytes, source: Source = NUMBER, *, consent: bool = False) -> list[object]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_rows(io.BytesIO(data), source, consent_required=consent))


def outcomes(rows: Sequence[object]) -> list[tuple[int, str]]:
    """Line and number of good rows, line and column of bad ones."""
    found = []
    for row in rows:
        assert isinstance(row, Row | RowError)
        found.append((row.line, row.number if isinstance(row, Row) else f"! {row.field}"))
    return found


def error(text: str | bytes, source: Source = NUMBER, *, consent: bool = False) -> ContactFileError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ContactFileError) as caught:
        read_rows(io.BytesIO(data), source, consent_required=consent)
    return caught.value


def test_a_row_is_read_with_all_its_columns() -> None:
    """Number, zone, name, key, consent and variables come from the columns the source names."""
    text = (
        "id,number,name,zone,consent,amount,ignored\n"
        '7,+1 212 555 0123," Ann, ""A"" ",Europe/Berlin,form 3,12 EUR,x\n'
        "8,+12125550124,Bob,,form 4,,\n"
    )
    assert read(text, FULL, consent=True) == [
        Row(2, "+12125550123", ("Europe/Berlin",), 'Ann, "A"', "7", "form 3", {"due": "12 EUR"}),
        Row(3, "+12125550124", ("America/New_York",), "Bob", "8", "form 4", {"due": ""}),
    ]


def test_each_bad_row_is_told_and_the_good_ones_go_on() -> None:
    """Line, the file's column and the row as given; what follows is read."""
    lines = [
        "id,number,name,zone,consent,amount",
        "1,,Ann,,yes,1",
        "2,12,Ann,,yes,1",
        "3,+12125550123,Ann,Europe/Berln,yes,1",
        "4,+12125550123,Ann,,yes,1,more",
        "5,+12125550123,Ann",
        "6,+12125550123,A\x07nn,,yes,1",
        "7,+12125550123,A\x00nn,,yes,1",
        "8,+12125550123,Ann,, No ,1",
        "9,+12125550123,Ann,,,1",
        ",+12125550123,Ann,,yes,1",
        '11,+12125550123,"Ann"a,,yes,1',
        "12,+12125550123,Ann,,yes,1",
    ]
    rows = read("\n".join(lines), FULL, consent=True)
    assert outcomes(rows) == [
        (2, "! number"),
        (3, "! number"),
        (4, "! zone"),
        (5, "! "),
        (6, "! "),
        (7, "! name"),
        (8, "! name"),
        (9, "! consent"),
        (10, "! consent"),
        (11, "! id"),
        (12, "! "),
        (13, "+12125550123"),
    ]
    for row in rows[:-1]:
        assert isinstance(row, RowError)
        assert row.raw == lines[row.line - 1]
        assert row.raw not in repr(row)
        assert "2125550123" not in row.message
    assert isinstance(rows[2], RowError)
    assert rows[2].message == "is no time zone; did you mean 'Europe/Berlin'?"


def test_consent_may_be_missing_where_it_is_not_required() -> None:
    """Nothing is kept aside for it, then."""
    text = "id,number,name,zone,consent,amount\n1,+12125550123,,,,\n"
    assert outcomes(read(text, FULL)) == [(2, "+12125550123")]


def test_empty_rows_are_no_rows() -> None:
    """Blank lines, and those of a spreadsheet that has only delimiters."""
    assert outcomes(read("\n\nnumber,note\n\n,\n  \n+12125550123,x\n,,,\n\n")) == [
        (7, "+12125550123")
    ]


@pytest.mark.parametrize(
    ("data", "line", "field", "message"),
    [
        (b"", 0, "", "is empty"),
        (b" \r\n \n", 0, "", "is empty"),
        (b"\xef\xbb\xbf", 0, "", "is empty"),
        (b"PK\x03\x04 and so on", 0, "", "workbook"),
        (bytes(range(256)) * 40, 0, "", "is binary"),
        (bytes(1000), 0, "", "is binary"),
        (b"numbr,note\n1,2\n", 1, "columns.number", "did you mean 'numbr'?"),
        (b"NUMBER,note\n1,2\n", 1, "columns.number", "did you mean 'NUMBER'?"),
        (b"a;b\n1;2\n", 1, "columns.number", "there are 'a', 'b'"),
        (b"\n\nnumber,note,number\n1,2,3\n", 3, "columns.number", "'number' 2 times"),
        (b'number,"note\n1,2\n', 1, "", "quotes"),
    ],
)
def test_an_impossible_file_is_refused_before_any_row(
    data: bytes, line: int, field: str, message: str
) -> None:
    """With the file, the line and the field of the source."""
    refused = error(data)
    assert (refused.file, refused.line, refused.field) == ("people.csv", line, field)
    assert message in refused.message
    assert str(refused).startswith("people.csv")


def test_required_consent_needs_a_column() -> None:
    """Else every row would be kept aside: the campaign's file is wrong, not the rows."""
    assert error("number,note\n+12125550123,x\n", consent=True).field == "columns.consent"


def test_a_variable_needs_a_column() -> None:
    """An empty name is none."""
    source = Source("x.csv", Columns(variables={"due": ""}))
    assert error("number,note\n", source).field == "columns.variables.due"


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-16", "cp1252"]))
def test_garbage_is_rows_errors_or_a_refusal(data: bytes, encoding: str | None) -> None:
    """Any bytes behind a header, or alone, and nothing else is raised."""
    source = Source("x.csv", NUMBER.columns, encoding=encoding)
    for whole in (data, b"number,note\n" + data):
        try:
            rows = read(whole, source)
        except ContactFileError:
            continue
        lines = [row.line for row in rows if isinstance(row, Row | RowError)]
        assert lines == sorted(set(lines))


def test_preview_shows_what_the_file_is_taken_for() -> None:
    """Encoding, delimiter, header and the first rows, bad ones too."""
    text = "number;note\n+12125550123;x\n12;y\n+12125550124;z\n"
    shown = preview(io.BytesIO(text.encode("utf-16")), NUMBER, 2, consent_required=False)
    assert (shown.encoding, shown.delimiter, shown.header) == ("utf-16", ";", ("number", "note"))
    assert outcomes(shown.rows) == [(2, "+12125550123"), (3, "! number")]


def test_identity_is_the_same_in_every_run() -> None:
    """Its value is written in databases: it must never change."""
    keyed = Row(1, "+12125550123", (), key="7")
    plain = Row(1, "+12125550123", (), variables={"b": "2", "a": "1"})
    assert identity(keyed).hex() == "80eaa57c2ddcfe0c1153d9c5d1f139b7"
    assert identity(plain).hex() == "c514e7ed705e36ec6f7e1a68bdf90ac2"


def test_identity_is_the_key_else_number_and_variables() -> None:
    """What else differs does not make another contact."""
    keyed = Row(1, "+12125550123", (), key="7")
    assert identity(keyed) == identity(Row(9, "+12125550199", ("UTC",), "Ann", "7"))
    assert identity(keyed) != identity(Row(1, "+12125550123", (), key="8"))
    plain = Row(1, "+12125550123", (), variables={"a": "1", "b": "2"})
    same = Row(4, "+12125550123", ("UTC",), "Ann", "", "yes", {"b": "2", "a": "1"})
    assert identity(plain) == identity(same)
    for other in ({"a": "12", "b": ""}, {"a": "1"}, {"a": "2", "b": "1"}):
        assert identity(plain) != identity(Row(1, "+12125550123", (), variables=other))


def test_folding_counts_duplicates_and_a_second_import_adds_only_what_is_new() -> None:
    """The first of equal rows goes through, errors always."""
    text = "number,note\n+12125550123,x\n(212) 555-0123,x\n12,x\n+12125550123,y\n"
    source = Source("x.csv", NUMBER.columns, region="US")
    first = Folding()
    kept = list(first.fold(read_rows(io.BytesIO(text.encode()), source, consent_required=False)))
    assert outcomes(kept) == [(2, "+12125550123"), (4, "! number"), (5, "+12125550123")]
    assert (first.rows, first.duplicates, first.errors) == (2, 1, 1)
    again = Folding(identity(row) for row in kept if isinstance(row, Row))
    text += "+12125550124,x\n"
    new = list(again.fold(read_rows(io.BytesIO(text.encode()), source, consent_required=False)))
    assert outcomes(new) == [(4, "! number"), (6, "+12125550124")]
    assert (again.rows, again.duplicates, again.errors) == (1, 3, 1)


class Endless(io.RawIOBase):
    """A file made as it is read, in small pieces, which cannot be sought."""

    def __init__(self, rows: int) -> None:
        self._lines = self._made(rows)
        self._rest = b""

    @staticmethod
    def _made(rows: int) -> Iterator[bytes]:
        yield b"number,note\n"
        for n in range(rows):
            yield b"+1212%07d,note %d\n" % (5_550_100 + n % 100, n)

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < min(size, 5000):
            line = next(self._lines, None)
            if line is None:
                break
            self._rest += line
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def test_memory_does_not_grow_with_the_file() -> None:
    """50,000 rows take no more than 5,000 do."""
    peaks = []
    for count in (5_000, 50_000):
        tracemalloc.start()
        file = cast("BinaryIO", Endless(count))
        found = sum(1 for _ in read_rows(file, NUMBER, consent_required=False))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == count
    assert peaks[1] < peaks[0] + 500_000
