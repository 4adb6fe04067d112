"""CSV files of every kind, good rows and bad."""

import csv
import io
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.contacts import (
    LONGEST,
    ContactFileError,
    Folding,
    Row,
    RowError,
    find_encoding,
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


def test_undecodable_bytes_spoil_their_row_alone() -> None:
    """A Latin-1 row within UTF-8 is an error; the encoding stays what most of it is."""
    head = "number,note\n" + "+12125550123,Müller\n" * 3
    rows = read(head.encode() + b"+12125550124,M\xfcller\n+12125550125,x\n")
    assert outcomes(rows)[3:] == [(5, "! note"), (6, "+12125550125")]
    # Behind the first 64 kB, too.
    head = "number,note\n" + "+12125550123,x\n" * 6000
    rows = read(head.encode() + b"+12125550124,M\xfcller\n+12125550125,x\n")
    assert outcomes(rows)[-2:] == [(6002, "! note"), (6003, "+12125550125")]


@pytest.mark.parametrize(
    "bad",
    [
        '+12125550123,"open',
        '+12125550123,"open ""and doubled"" ',
        '"+12125550123,open',
        '+12125550123,"',
        "+12125550123," + '"' * 3,
    ],
)
@pytest.mark.parametrize("tail", ["+12125550124,x", '"+12125550124","x"', '+12125550124,""'])
def test_an_open_quote_costs_one_row(bad: str, tail: str) -> None:
    """Whatever the rows behind it look like, each of them is read."""
    rows = read("number,note\n" + bad + "\n" + f"{tail}\n" * 500)
    assert outcomes(rows) == [(2, "! "), *((line, "+12125550124") for line in range(3, 503))]


def test_a_file_of_open_quotes_takes_linear_time() -> None:
    """20,000 of them are as many errors, at once."""
    rows = read("number,note\n" + '+12125550123,"a ""b"" c\n' * 20_000)
    assert len(rows) == 20_000
    assert all(isinstance(row, RowError) for row in rows)


def test_a_field_may_have_lines() -> None:
    """Line breaks in quotes belong to the field, and lines are counted on."""
    rows = read('number,note\r\n+12125550123,"a\r\nb ""c""\r\n\r\nd"\r\n+12125550124,x\r\n')
    assert rows == [
        Row(2, "+12125550123", ("America/New_York",), variables={"note": 'a\nb "c"\n\nd'}),
        Row(6, "+12125550124", ("America/New_York",), variables={"note": "x"}),
    ]


def test_an_endless_line_is_an_error_of_bounded_size() -> None:
    """Its beginning is kept, and the next line is read."""
    rows = read("number,note\n" + "+1212555" * 200_000 + "\n+12125550124,x\n")
    assert outcomes(rows) == [(2, "! "), (3, "+12125550124")]
    assert isinstance(rows[0], RowError)
    assert len(rows[0].raw) < LONGEST


def test_empty_rows_are_no_rows() -> None:
    """Blank lines, and those of a spreadsheet that has only delimiters."""
    assert outcomes(read("\n\nnumber,note\n\n,\n  \n+12125550123,x\n,,,\n\n")) == [
        (7, "+12125550123")
    ]


def test_old_line_ends_are_line_ends_and_odd_ones_are_not() -> None:
    """CR alone ends a line; a line separator is a character like others."""
    assert outcomes(read("number,note\r+12125550123,x\r+12125550124,y")) == [
        (2, "+12125550123"),
        (3, "+12125550124"),
    ]
    assert outcomes(read("number,note\n+12125550123,x\u2028y\n")) == [(2, "+12125550123")]


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


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13", "", "undefined"])
def test_an_encoding_that_does_not_exist_is_refused(encoding: str) -> None:
    """And one that is none of text."""
    assert error("number\n", Source("x.csv", encoding=encoding)).field == "encoding"


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n", "\0"])
def test_an_impossible_delimiter_is_refused(delimiter: str) -> None:
    """It must be one character that can stand between fields."""
    assert error("number\n", Source("x.csv", delimiter=delimiter)).field == "delimiter"


def test_an_encoding_that_needs_a_mark_is_refused_without_one() -> None:
    """Which half of a character comes first is not guessed."""
    refused = error("number,note\n", Source("x.csv", encoding="utf-16"))
    assert refused.field == "encoding"
    assert "-le" in refused.message


def test_a_variable_needs_a_column() -> None:
    """An empty name is none."""
    source = Source("x.csv", Columns(variables={"due": ""}))
    assert error("number,note\n", source).field == "columns.variables.due"


def test_excel_says_its_delimiter_itself() -> None:
    """The line that says it is no header."""
    rows = read("sep=;\r\nnumber;note\r\n+12125550123;a,b\r\n")
    assert outcomes(rows) == [(3, "+12125550123")]


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_the_delimiter_is_found_with_others_in_the_header(delimiter: str) -> None:
    """It is the one that makes the columns the source names."""
    text = (
        f'number{delimiter}note{delimiter}"a,b;c|d,e,f;g"\n+12125550123{delimiter}x{delimiter}y\n'
    )
    assert preview(io.BytesIO(text.encode()), NUMBER, consent_required=False).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Müller;Köln", "utf-8", "utf-8"),
        ("Müller;Köln", "utf-8-sig", "utf-8"),
        ("Müller;Köln", "utf-16", "utf-16"),
        ("Müller;Köln", "utf-16-le", "utf-16-le"),
        ("Müller;Köln", "utf-16-be", "utf-16-be"),
        ("Müller;Köln", "utf-32", "utf-32"),
        ("Müller;Köln €", "cp1252", "cp1252"),
        ("François Lefèvre;Orléans", "latin-1", "cp1252"),
        ("Иван Петров;Москва", "cp1251", "cp1251"),
        ("Γιώργος Παπαδόπουλος;Αθήνα", "cp1253", "cp1253"),
        ("山田太郎;東京", "shift_jis", "cp932"),
        ("plain;ascii", "ascii", "utf-8"),
    ],
)
@pytest.mark.parametrize("rows", [50, 5000])
def test_the_encoding_is_found_out(text: str, encoding: str, found: str, rows: int) -> None:
    """By mark, zeros, right UTF-8, accents, or charset-normalizer; cut characters do no harm."""
    lines = "".join(f"+4930{n:07};{text}\n" for n in range(rows))
    head = ("number;name;note\n" + lines).encode(encoding)[: 64 * 1024]
    assert find_encoding(head) == found
    rows_read = read(head)
    assert isinstance(rows_read[3], Row)
    assert rows_read[3].variables == {"note": text.partition(";")[2]}


texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="\ufffd\ufeff")
)


@given(
    notes=st.lists(texts, min_size=1, max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|", "^", "~", ":", " ", "\u00a7"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    breaks=st.booleans(),
    detected=st.booleans(),
)
def test_what_was_written_is_read(
    notes: list[str],
    delimiter: str,
    encoding: str,
    end: str,
    quoting: Literal[0, 1],
    breaks: bool,
    detected: bool,
) -> None:
    """Any text, odd delimiter and encoding come through as they were, but for blanks around."""
    if breaks:
        # The writer quotes only the line ends it writes itself.
        quoting = csv.QUOTE_ALL
        notes = ["\n".join(pair) for pair in pairwise(["", *notes])]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["note", "number"])
    for note in notes:
        writer.writerow([note, "+12125550123"])
    source = Source(
        "x.csv",
        NUMBER.columns,
        delimiter=None if detected and delimiter in ",;\t|" else delimiter,
        encoding=None if detected and encoding != "gb18030" else encoding,
    )
    rows = read(out.getvalue().encode(encoding), source)
    assert [row.variables["note"] for row in rows if isinstance(row, Row)] == [
        note.strip() for note in notes
    ]


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


@given(st.lists(st.sampled_from(['"', ",", "\n", "a", '""', "+12125550124"]), max_size=40))
def test_no_quotes_swallow_a_row_behind_them(pieces: list[str]) -> None:
    """A good row at the end is found, if no quoted field before it may hold it."""
    rows = read("number,note\n" + "".join(pieces) + "\n" + "+12125550125,x\n" * 3)
    last = rows[-1]
    assert isinstance(last, Row)
    assert last.number == "+12125550125"


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
