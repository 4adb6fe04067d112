"""Records of text in every shape, and what is wrong with those that are none."""

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.campaign.contact_text import LONGEST, ContactFileError, Record, RowError, TextTable

COLUMNS = ("number", "note")


def opened(
    text: str | bytes, *, encoding: str | None = None, delimiter: str | None = None
) -> TextTable:
    data = text.encode() if isinstance(text, str) else text
    return TextTable(
        io.BytesIO(data), "x.csv", encoding=encoding, delimiter=delimiter, columns=COLUMNS
    )


def read(text: str | bytes) -> list[Record | RowError]:
    return list(opened(text).records())


def outcomes(records: Sequence[Record | RowError]) -> list[tuple[int, str]]:
    """Line and first field of good records, line and column of bad ones."""
    return [
        (each.line, f"! {each.field}") if isinstance(each, RowError) else (each[0], each[2][0])
        for each in records
    ]


def error(
    text: str, *, encoding: str | None = None, delimiter: str | None = None
) -> ContactFileError:
    with pytest.raises(ContactFileError) as caught:
        opened(text, encoding=encoding, delimiter=delimiter)
    return caught.value


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
    text = 'number,note\r\n+12125550123,"a\r\nb ""c""\r\n\r\nd"\r\n+12125550124,x\r\n'
    raw = '+12125550123,"a\nb ""c""\n\nd"'
    assert read(text) == [
        (2, raw, ["+12125550123", 'a\nb "c"\n\nd']),
        (6, "+12125550124,x", ["+12125550124", "x"]),
    ]


def test_an_endless_line_is_an_error_of_bounded_size() -> None:
    """Its beginning is kept, and the next line is read."""
    rows = read("number,note\n" + "+1212555" * 200_000 + "\n+12125550124,x\n")
    assert outcomes(rows) == [(2, "! "), (3, "+12125550124")]
    assert isinstance(rows[0], RowError)
    assert len(rows[0].raw) < LONGEST


def test_old_line_ends_are_line_ends_and_odd_ones_are_not() -> None:
    """CR alone ends a line; a line separator is a character like others."""
    assert outcomes(read("number,note\r+12125550123,x\r+12125550124,y")) == [
        (2, "+12125550123"),
        (3, "+12125550124"),
    ]
    assert outcomes(read("number,note\n+12125550123,x\u2028y\n")) == [(2, "+12125550123")]


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13", "", "undefined"])
def test_an_encoding_that_does_not_exist_is_refused(encoding: str) -> None:
    """And one that is none of text."""
    assert error("number\n", encoding=encoding).field == "encoding"


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n", "\0"])
def test_an_impossible_delimiter_is_refused(delimiter: str) -> None:
    """It must be one character that can stand between fields."""
    assert error("number\n", delimiter=delimiter).field == "delimiter"


def test_an_encoding_that_needs_a_mark_is_refused_without_one() -> None:
    """Which half of a character comes first is not guessed."""
    refused = error("number,note\n", encoding="utf-16")
    assert refused.field == "encoding"
    assert "-le" in refused.message


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
    assert opened(text).delimiter == delimiter


@given(st.lists(st.sampled_from(['"', ",", "\n", "a", '""', "+12125550124"]), max_size=40))
def test_no_quotes_swallow_a_row_behind_them(pieces: list[str]) -> None:
    """A good row at the end is found, if no quoted field before it may hold it."""
    rows = read("number,note\n" + "".join(pieces) + "\n" + "+12125550125,x\n" * 3)
    assert outcomes(rows)[-1][1] == "+12125550125"


def test_undecodable_bytes_spoil_their_row_alone() -> None:
    """A Latin-1 row within UTF-8 is an error; the encoding stays what most of it is."""
    head = "number,note\n" + "+12125550123,Müller\n" * 3
    rows = read(head.encode() + b"+12125550124,M\xfcller\n+12125550125,x\n")
    assert outcomes(rows)[3:] == [(5, "! note"), (6, "+12125550125")]
    # Behind the first 64 kB, too.
    head = "number,note\n" + "+12125550123,x\n" * 6000
    rows = read(head.encode() + b"+12125550124,M\xfcller\n+12125550125,x\n")
    assert outcomes(rows)[-2:] == [(6002, "! note"), (6003, "+12125550125")]


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
    """Any text, odd delimiter and encoding come through as they were."""
    if breaks:
        # The writer quotes only the line ends it writes itself.
        quoting = csv.QUOTE_ALL
        notes = ["\n".join(pair) for pair in pairwise(["", *notes])]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["note", "number"])
    for note in notes:
        writer.writerow([note, "+12125550123"])
    table = opened(
        out.getvalue().encode(encoding),
        delimiter=None if detected and delimiter in ",;\t|" else delimiter,
        encoding=None if detected and encoding != "gb18030" else encoding,
    )
    assert table.header == ["note", "number"]
    records = list(table.records())
    assert [record[2][0] for record in records if not isinstance(record, RowError)] == notes
    assert len(records) == len(notes)
