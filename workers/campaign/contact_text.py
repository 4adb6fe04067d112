"""Text of unknown encoding and delimiter as records, in bounded memory.

A line that is a whole record is read alone. One that ends inside quotes takes the next lines with
it, up to ``LONGEST`` characters and ``MOST_LINES`` lines; if they make no record that fits the
header, the quote was a slip: that line is an error, and reading goes on with the line behind it.
So nothing swallows the rest of a file.

What cannot be a table at all raises ``ContactFileError`` before any record.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, TypeAlias

from workers.campaign.contact_encoding import find_encoding, read_head, text_of_head, texts

LONGEST = 64 * 1024
"""Characters of a record."""
MOST_LINES = 100
"""Of a record, by line breaks within quotes."""
DELIMITERS = ",;\t|"

_SHOWN = 1000
# C1 as well: it is what cp1252 looks like to somebody who took it for Latin-1. U+FFFD stands for
# bytes that the encoding does not know. Tabs and line breaks may stand in quotes.
_DAMAGE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")
_NO_TEXT = (
    (b"PK\x03\x04", "is a workbook or a ZIP archive; save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save the sheet as CSV"),
    (b"%PDF", "is a PDF"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"SQLite format 3", "is an SQLite database; export the table as CSV"),
)


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is kept aside."""

    line: int
    field: str
    """The file's own name of the column; empty: the whole row is meant."""
    message: str
    """Goes behind the field's name; no number in it."""
    raw: str = dataclasses.field(repr=False)
    """The row as it was given, decoded; only the beginning of one that is too long."""


class ContactFileError(ValueError):
    """A file from which no row can be read."""

    def __init__(self, file: str, line: int, field: str, message: str) -> None:
        self.file = file
        self.line = line
        """Counted from 1; 0 where the whole file is meant."""
        self.field = field
        """Of the source: ``columns.number``, ``encoding``; empty: none in particular."""
        self.message = message
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, field, message) if part))


Record: TypeAlias = tuple[int, str, list[str]]
"""Its first line, counted from 1; its text, decoded; its fields, as many as the header has."""


class TextTable:
    """A file whose header has been read.

    Args:
        file: read once from where it stands, in pieces; it need not be seekable.
        name: of the file, for errors.
        encoding: None: found out.
        delimiter: None: found out.
        columns: that the header should have, by which the delimiter is found.

    Raises:
        ContactFileError: empty, binary, no header, or an encoding or delimiter that does not exist.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        columns: Iterable[str] = (),
    ) -> None:
        self._name = name
        head = read_head(file)
        self.encoding = self._encoding(head, encoding)
        self._lines = _Lines(texts(file, head, self.encoding))
        try:
            text = text_of_head(head, self.encoding)
        except UnicodeError:
            # UTF-16 and UTF-32 alone cannot do without a mark.
            message = f"the file has no mark of {self.encoding}; name it with -le or -be"
            raise self._error(0, "encoding", message) from None
        self._refuse_binary(head, text)
        said = None
        if text.startswith("sep=") and text[5:6] == "\n":
            # Excel's own way to say it; to other programs it is the first line of the table.
            self._lines.take()
            said, text = text[4], text[6:]
        self.delimiter = self._delimiter(
            text, said if delimiter is None else delimiter, frozenset(columns)
        )
        self.line, self.header = self._read_header()
        """The header's line, counted from 1, and its names; 0: it turned out to be a record."""

    def without_header(self, names: Sequence[str]) -> None:
        """Take the header for the first record, before any has been read.

        Args:
            names: of the first columns; the others have none.
        """
        self._lines.give_back([self._header_text])
        self.line = 0
        self.header = [*names, *[""] * len(self.header)][: len(self.header)]

    def records(self) -> Iterator[Record | RowError]:
        """Every record, good or bad, in its order; lines without anything are passed over."""
        lines, delimiter, width = self._lines, self.delimiter, len(self.header)
        while (taken := lines.take()) is not None:
            number, line = taken
            if len(line) > LONGEST:
                yield RowError(number, "", f"is longer than {LONGEST} characters", line[:_SHOWN])
                continue
            if '"' not in line:
                raw, fields = line, line.split(delimiter)
            else:
                found = _quoted(line, lines, delimiter, width)
                if isinstance(found, str):
                    yield RowError(number, "", found, line)
                    continue
                raw, fields = found
            if len(fields) == 1 and width > 1 and not line.strip():
                continue
            if lines.damaged and (damage := self._damage(number, raw, fields)):
                yield damage
                continue
            if len(fields) != width:
                if any(map(str.strip, fields)):
                    many = "many" if len(fields) > width else "few"
                    message = f"has too {many} fields: {len(fields)}, and the header {width}"
                    yield RowError(number, "", message, raw)
                continue
            yield number, raw, fields

    def _damage(self, number: int, raw: str, fields: list[str]) -> RowError | None:
        for place, text in enumerate(fields):
            if found := _DAMAGE.search(text):
                name = self.header[place] if place < len(self.header) else ""
                match found[0]:
                    case "\0":
                        message = "has a NUL byte in it"
                    case "\ufffd":
                        message = f"has bytes in it that are not {self.encoding}"
                    case other:
                        message = f"has a control character in it (U+{ord(other):04X})"
                return RowError(number, name, message, raw)
        return None

    # -- before the records --------------------------------------------------------------------

    def _error(self, line: int, field: str, message: str) -> ContactFileError:
        return ContactFileError(self._name, line, field, message)

    def _encoding(self, head: bytes, named: str | None) -> str:
        if not head.strip():
            raise self._error(0, "", "is empty")
        for magic, message in _NO_TEXT:
            if head.startswith(magic):
                raise self._error(0, "", message)
        if named is None:
            return find_encoding(head)
        try:
            # Refuses what is no encoding of text (base64), and what cannot be read in pieces.
            b"a".decode(named, "replace")
            codecs.getincrementaldecoder(named)
        except (LookupError, UnicodeError, ValueError):
            raise self._error(0, "encoding", f"there is no encoding {named!r}") from None
        return named

    def _refuse_binary(self, head: bytes, text: str) -> None:
        text = text[:4096]
        if not text.strip("\ufeff\0 \t\n"):
            raise self._error(0, "", "is binary, not text" if b"\0" in head else "is empty")
        if len(_DAMAGE.findall(text)) > max(8, len(text) // 20):
            raise self._error(0, "", f"is binary, or not in {self.encoding}")

    def _delimiter(self, text: str, said: str | None, wanted: frozenset[str]) -> str:
        """The one with which the header has the wanted columns, else what the sniffer thinks."""
        if said is not None:
            if len(said) != 1 or said in '"\0\r\n\ufeff':
                message = "must be one character, neither quote nor line break"
                raise self._error(0, "delimiter", message)
            return said
        text = text.lstrip("\n")
        header = text.partition("\n")[0][:LONGEST]
        for delimiter in DELIMITERS:
            if delimiter in header and wanted <= set(_names(header, delimiter)):
                return delimiter
        try:
            # A few lines: the sniffer's time grows with the square of what it is given.
            found = csv.Sniffer().sniff(text[:4096].rpartition("\n")[0] or header, DELIMITERS)
        except csv.Error:
            pass
        else:
            if found.delimiter in header:
                return found.delimiter
        return max(DELIMITERS, key=header.count)

    def _read_header(self) -> tuple[int, list[str]]:
        while (taken := self._lines.take()) is not None:
            number, line = taken
            if len(line) > LONGEST:
                break
            if line.strip():
                if not (names := _names(line, self.delimiter)):
                    raise self._error(number, "", "the header's quotes do not close")
                self._header_text = line
                return number, names
        raise self._error(1, "", "has no header")


class _Lines:
    """Lines with their numbers, some of which may be given back."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._split = self._all(texts)
        self._returned: deque[str] = deque()
        self._number = 0
        self.damaged = False
        """Whether any line so far had a character that no row should have: few files do."""

    def take(self) -> tuple[int, str] | None:
        line = self._returned.popleft() if self._returned else next(self._split, None)
        if line is None:
            return None
        self._number += 1
        return self._number, line

    def give_back(self, lines: list[str]) -> None:
        self._returned.extendleft(reversed(lines))
        self._number -= len(lines)

    def _all(self, texts: Iterator[str]) -> Iterator[str]:
        rest = ""
        for text in texts:
            *lines, end = text.split("\n")
            self.damaged = self.damaged or _DAMAGE.search(text) is not None
            if lines:
                yield rest + lines[0]
                yield from islice(lines, 1, None)
                rest = end
            elif len(rest) <= LONGEST:
                # Of a line without end only as much is kept as shows that it is too long.
                rest += end
        if rest:
            yield rest


def _quoted(line: str, lines: _Lines, delimiter: str, width: int) -> tuple[str, list[str]] | str:
    """A record with quotes in it: its text and fields, or what is wrong with its first line."""
    taken: list[str] = []
    text, fields = line, _fields(line, delimiter)
    while fields == _OPEN:
        more = lines.take()
        if more is None:
            break
        taken.append(more[1])
        text += "\n" + more[1]
        if len(taken) > MOST_LINES or len(text) > LONGEST:
            break
        # Doubled quotes stand for one and close nothing.
        if '"' in more[1].replace('""', ""):
            fields = _fields(text, delimiter)
    if taken and (isinstance(fields, str) or len(fields) != width):
        lines.give_back(taken)
        return _OPEN
    return fields if isinstance(fields, str) else (text, fields)


_OPEN = "has a quote that does not close"


def _fields(text: str, delimiter: str) -> list[str] | str:
    """Fields of one record, or what is wrong with its quotes."""
    try:
        (fields,) = csv.reader([text], delimiter=delimiter, strict=True)
    except csv.Error as error:
        # The reader has one class for all; this is the message of Modules/_csv.c at the end.
        if "unexpected end" in str(error):
            return _OPEN
        return "has a quote within quotes that is not doubled"
    return fields


def _names(line: str, delimiter: str) -> list[str]:
    """The header's names; none if its quotes do not close."""
    names = _fields(line, delimiter)
    return [] if isinstance(names, str) else [name.strip("\ufeff \t") for name in names]
