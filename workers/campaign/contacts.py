"""A customer's CSV as rows that can be called and rows that cannot, in bounded memory.

A line that is a whole record is read alone. One that ends inside quotes takes the next lines with
it, up to ``LONGEST`` characters and ``MOST_LINES`` lines; if they make no record that fits the
header, the quote was a slip: that line is an error, and reading goes on with the line behind it.
So nothing swallows the rest of a file. Whatever is doubtful is kept aside: nobody is called
because a damaged row happened to look like a number.

What cannot be a contact file at all raises ``ContactFileError`` before any row.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import BinaryIO, TypeAlias

from charset_normalizer import from_bytes

from workers.campaign.model import Source
from workers.campaign.numbers import is_zone, parse_number, parse_with_zones, zone_names

HEAD = 64 * 1024
"""Bytes from which encoding and delimiter are found out."""
LONGEST = 64 * 1024
"""Characters of a record."""
MOST_LINES = 100
"""Of a record, by line breaks within quotes."""
DELIMITERS = ",;\t|"

_CHUNK = 256 * 1024
_SHOWN = 1000
# C1 as well: it is what cp1252 looks like to somebody who took it for Latin-1. U+FFFD stands for
# bytes that the encoding does not know. Tabs and line breaks may stand in quotes.
_DAMAGE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")
_NO_CONSENT = frozenset(
    {"0", "-", "n", "no", "none", "null", "false", "n/a", "na", "nein", "non", "unknown"}
)
# Order of UTF-32 and UTF-16 matters: FF FE begins both.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = (
    (b"PK\x03\x04", "is a workbook or a ZIP archive; save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save the sheet as CSV"),
    (b"%PDF", "is a PDF"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"SQLite format 3", "is an SQLite database; export the table as CSV"),
)
_WESTERN = frozenset("äöüßÄÖÜéèêëÉÈÊàâáãåÀÂÁÅçÇîïíìÍôóòõøÓØûùúÚñÑæÆœ€–—‘’“”„…°§«»´·º")
# What charset-normalizer may choose from: left alone, it takes Russian in KOI8-R for Korean
# (observed 2026-11, 3.5).
_LEGACY = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_15", "koi8_r", "cp932", "euc_jp"),
    *("gb18030", "big5", "cp949", "cp874", "cp437", "cp850", "mac_roman"),
]


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be called, as far as the file says."""

    line: int
    """Its first, counted from 1; the header's is 1."""
    number: str
    """E.164."""
    zones: tuple[str, ...]
    """The column's, else every one the number may be in; empty: nothing is known."""
    name: str = ""
    key: str = ""
    """The customer's own; empty: there is no such column."""
    consent: str = ""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By the prompt's names."""


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


RowOrError: TypeAlias = Row | RowError


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


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file was taken for, and its first rows."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[RowOrError, ...]


def read_rows(
    file: BinaryIO, source: Source, *, consent_required: bool = True
) -> Iterator[RowOrError]:
    """Every row of a contact file, good or bad, in its order; empty ones are passed over.

    Args:
        file: read once from where it stands, in pieces; it need not be seekable.
        source: what the columns are, and whatever else is not to be found out.
        consent_required: rows without evidence are errors.

    Raises:
        ContactFileError: at the call, before any row: empty, binary, a column that is missing or
            there twice, an encoding or delimiter that does not exist.
    """
    return _Table(file, source, consent_required).rows()


def preview(
    file: BinaryIO, source: Source, rows: int = 5, *, consent_required: bool = True
) -> Preview:
    """What ``read_rows`` would take the file for, with its first rows.

    Raises:
        ContactFileError: as ``read_rows``.
    """
    table = _Table(file, source, consent_required)
    first = tuple(islice(table.rows(), rows))
    return Preview(table.encoding, table.delimiter, tuple(table.header), first)


def identity(row: Row) -> bytes:
    """16 bytes that are the same for the same contact in every run, on every machine.

    The key if there is one, else number and variables; neither name nor zone.
    """
    if row.key:
        parts = ["key", row.key]
    else:
        parts = ["number", row.number]
        for name in sorted(row.variables):
            parts += (name, row.variables[name])
    # Lengths before the parts: else a blank could move from one to the next unseen.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Folding:
    """Lets the first of equal contacts through and counts the others.

    Holds 16 bytes for each contact, which Python's set makes some 95: 93 MB at 1,000,000
    (measured by ``tests/benchmarks/contact_import.py``, 2026-11, Python 3.11). That two different
    contacts of so many are taken for one has odds of 1e-27.

    Args:
        known: identities imported before, from which the new ones are told apart.
    """

    def __init__(self, known: Iterable[bytes] = ()) -> None:
        self._seen = set(known)
        self.rows = 0
        """Let through."""
        self.duplicates = 0
        """Folded: there before them, in this file or among the known."""
        self.errors = 0

    def fold(self, rows: Iterable[RowOrError]) -> Iterator[RowOrError]:
        """The errors, and of each contact its first row."""
        seen = self._seen
        for row in rows:
            if isinstance(row, RowError):
                self.errors += 1
                yield row
                continue
            digest = identity(row)
            if digest in seen:
                self.duplicates += 1
                continue
            seen.add(digest)
            self.rows += 1
            yield row


# -- the file ----------------------------------------------------------------------------------


class _Table:
    """A file whose header has been read and found good."""

    def __init__(self, file: BinaryIO, source: Source, consent_required: bool) -> None:
        self._source = source
        self._consent_required = consent_required
        head = _read_head(file)
        self.encoding = self._encoding(head)
        self._lines = _Lines(_texts(file, head, self.encoding))
        try:
            text = _text_of_head(head, self.encoding)
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
            text, said if source.delimiter is None else source.delimiter
        )
        self._line, self.header = self._read_header()
        self._at = self._places()

    def rows(self) -> Iterator[RowOrError]:
        lines, delimiter, width = self._lines, self.delimiter, len(self.header)
        row_of = self._row_maker()
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
            made = row_of(number, fields)
            if isinstance(made, Row):
                yield made
            elif any(map(str.strip, fields)):
                name, message = made
                yield RowError(number, name, message, raw)

    def _row_maker(self) -> Callable[[int, list[str]], Row | tuple[str, str]]:
        """From fields to a row, or to the column that is wrong and why."""
        at, header, region = self._at, self.header, self._source.region
        number_at = at["number"]
        name_at, zone_at = at.get("name"), at.get("zone")
        key_at, consent_at = at.get("key"), at.get("consent")
        variables = [
            (name, header.index(column.strip()))
            for name, column in self._source.columns.variables.items()
        ]
        consent_required = self._consent_required

        def row_of(line: int, fields: list[str]) -> Row | tuple[str, str]:
            zone = fields[zone_at].strip() if zone_at is not None else ""
            zones: tuple[str, ...] = (zone,)
            try:
                if zone:
                    number = parse_number(fields[number_at], region)
                else:
                    number, zones = parse_with_zones(fields[number_at], region)
            except ValueError as error:
                return header[number_at], str(error)
            if zone and not is_zone(zone):
                assert zone_at is not None
                return header[zone_at], "is no time zone" + _nearest_zone(zone)
            key = consent = ""
            if key_at is not None and not (key := fields[key_at].strip()):
                return header[key_at], "is empty"
            if consent_at is not None:
                consent = fields[consent_at].strip()
                if consent_required and (not consent or consent.casefold() in _NO_CONSENT):
                    return header[consent_at], "holds no evidence of consent"
            return Row(
                line,
                number,
                zones,
                fields[name_at].strip() if name_at is not None else "",
                key,
                consent,
                {name: fields[place].strip() for name, place in variables},
            )

        return row_of

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

    # -- before the rows -----------------------------------------------------------------------

    def _error(self, line: int, field: str, message: str) -> ContactFileError:
        return ContactFileError(self._source.file, line, field, message)

    def _encoding(self, head: bytes) -> str:
        if not head.strip():
            raise self._error(0, "", "is empty")
        for magic, message in _NO_TEXT:
            if head.startswith(magic):
                raise self._error(0, "", message)
        named = self._source.encoding
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

    def _delimiter(self, text: str, said: str | None) -> str:
        """The one with which the header has the wanted columns, else what the sniffer thinks."""
        if said is not None:
            if len(said) != 1 or said in '"\0\r\n\ufeff':
                message = "must be one character, neither quote nor line break"
                raise self._error(0, "delimiter", message)
            return said
        text = text.lstrip("\n")
        header = text.partition("\n")[0][:LONGEST]
        wanted = {column for _, column in self._wanted()}
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
                return number, names
        raise self._error(1, "", "has no header")

    def _wanted(self) -> list[tuple[str, str]]:
        """Fields of the source and the columns they name."""
        columns = self._source.columns
        fixed = ("number", "name", "zone", "key", "consent")
        named: list[tuple[str, str]] = [(each, getattr(columns, each)) for each in fixed]
        named += [(f"variables.{name}", column) for name, column in columns.variables.items()]
        return [
            (each, column.strip())
            for each, column in named
            if column or each not in ("name", "zone", "key", "consent")
        ]

    def _places(self) -> dict[str, int]:
        if self._consent_required and not self._source.columns.consent:
            message = "names no column, and consent is required: no row could be called"
            raise self._error(0, "columns.consent", message)
        count = Counter(self.header)
        for each, column in self._wanted():
            if count[column] == 1:
                continue
            if count[column]:
                message = f"the header has {column!r} {count[column]} times"
            else:
                by_case = {name.casefold(): name for name in self.header if name}
                near = get_close_matches(column.casefold(), by_case, 1, cutoff=0.5)
                message = f"there is no column {column!r}" + (
                    _suggestion([by_case[name] for name in near])
                    or f"; there are {', '.join(map(repr, self.header[:20]))}"
                )
            raise self._error(self._line, f"columns.{each}", message)
        return {each: self.header.index(column) for each, column in self._wanted()}


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


# Milliseconds each, and a file that has one wrong has the same on every row.
@lru_cache(maxsize=1000)
def _nearest_zone(zone: str) -> str:
    return _suggestion(get_close_matches(zone[:64], zone_names(), 1))


def _suggestion(near: list[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""


# -- bytes to text -----------------------------------------------------------------------------


def find_encoding(head: bytes) -> str:
    """A file's encoding by its first bytes.

    A mark says it. UTF-16 without one shows by its zeros; UTF-8 by being right, or more often
    right than wrong: a few damaged rows do not make it another one. Western Europe's cp1252 comes
    before what charset-normalizer thinks, which takes French for Czech (observed 2026-11, 3.5).
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    odd, even = head[1::2].count(0), head[0::2].count(0)
    if pairs and max(odd, even) > pairs * 0.4 and min(odd, even) < pairs * 0.1:
        return "utf-16-le" if odd > even else "utf-16-be"
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    wrong = text.count("\ufffd")
    if not wrong or sum(char > "\x7f" for char in text) > 2 * wrong:
        return "utf-8"
    # ASCII lines say nothing, and a character may be cut at the end.
    lines = head[: head.rfind(b"\n") + 1 or None].split(b"\n")
    sample = b"\n".join(line for line in lines if not line.isascii())
    western = sample.decode("cp1252", "replace")
    foreign = re.findall(r"[^\x00-\x7f]+", western)
    # Cyrillic and Greek look like accents, too, but whole words of them.
    joined = sum(len(run) > 1 for run in foreign)
    if joined <= len(foreign) // 20 and all(map(_WESTERN.issuperset, foreign)):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=_LEGACY).best()
    return best.encoding if best else "cp1252"


def _read_head(file: BinaryIO) -> bytes:
    # A pipe may give less than is asked for.
    head = b""
    while len(head) < HEAD and (piece := file.read(HEAD - len(head))):
        head += piece
    return head


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder:
    # "replace": whoever uses U+FFFD himself has lost those bytes before.
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return io.IncrementalNewlineDecoder(decoder, translate=True)


def _text_of_head(head: bytes, encoding: str) -> str:
    return _decoder(encoding).decode(head).removeprefix("\ufeff")


def _texts(file: BinaryIO, head: bytes, encoding: str) -> Iterator[str]:
    decoder = _decoder(encoding)
    yield decoder.decode(head).removeprefix("\ufeff")
    while piece := file.read(_CHUNK):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)
