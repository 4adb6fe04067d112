"""A customer's CSV as rows that can be called and rows that cannot, in bounded memory.

Whatever is doubtful is kept aside: nobody is called because a damaged row happened to look like a
number. What cannot be a contact file at all raises ``ContactFileError`` before any row.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import BinaryIO, TypeAlias

# As themselves: whoever reads rows needs both of the errors, too.
from workers.campaign.contact_text import ContactFileError as ContactFileError
from workers.campaign.contact_text import RowError as RowError
from workers.campaign.contact_text import TextTable
from workers.campaign.model import Columns, Source
from workers.campaign.numbers import is_zone, parse_number, parse_with_zones, zone_names

_NO_CONSENT = frozenset(
    {"0", "-", "n", "no", "none", "null", "false", "n/a", "na", "nein", "non", "unknown"}
)


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


RowOrError: TypeAlias = Row | RowError


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
    return _Rows(file, source, consent_required).rows()


def preview(
    file: BinaryIO, source: Source, rows: int = 5, *, consent_required: bool = True
) -> Preview:
    """What ``read_rows`` would take the file for, with its first rows.

    Raises:
        ContactFileError: as ``read_rows``.
    """
    found = _Rows(file, source, consent_required)
    first, table = tuple(islice(found.rows(), rows)), found.table
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


def told_apart_by(columns: Columns) -> str:
    """What ``identity`` goes by, in words; with others the same rows are other contacts."""
    if columns.key:
        return "their key"
    return " and ".join(["number", *sorted(columns.variables)])


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


class _Rows:
    """A file whose columns have been found."""

    def __init__(self, file: BinaryIO, source: Source, consent_required: bool) -> None:
        self._source = source
        self._consent_required = consent_required
        self.table = TextTable(
            file,
            source.file,
            encoding=source.encoding,
            delimiter=source.delimiter,
            columns=[column for _, column in self._wanted()],
        )
        self._at = self._places()

    def rows(self) -> Iterator[RowOrError]:
        row_of = self._row_maker()
        for record in self.table.records():
            if isinstance(record, RowError):
                yield record
                continue
            line, raw, fields = record
            made = row_of(line, fields)
            if isinstance(made, Row):
                yield made
            elif any(map(str.strip, fields)):
                name, message = made
                yield RowError(line, name, message, raw)

    def _row_maker(self) -> Callable[[int, list[str]], Row | tuple[str, str]]:
        """From fields to a row, or to the column that is wrong and why."""
        at, header, region = self._at, self.table.header, self._source.region
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
        header = self.table.header
        if self._consent_required and not self._source.columns.consent:
            message = "names no column, and consent is required: no row could be called"
            raise ContactFileError(self._source.file, 0, "columns.consent", message)
        count = Counter(header)
        for each, column in self._wanted():
            if count[column] == 1:
                continue
            if count[column]:
                message = f"the header has {column!r} {count[column]} times"
            else:
                by_case = {name.casefold(): name for name in header if name}
                near = get_close_matches(column.casefold(), by_case, 1, cutoff=0.5)
                message = f"there is no column {column!r}" + (
                    _suggestion([by_case[name] for name in near])
                    or f"; there are {', '.join(map(repr, header[:20]))}"
                )
            raise ContactFileError(self._source.file, self.table.line, f"columns.{each}", message)
        return {each: header.index(column) for each, column in self._wanted()}


# Milliseconds each, and a file that has one wrong has the same on every row.
@lru_cache(maxsize=1000)
def _nearest_zone(zone: str) -> str:
    return _suggestion(get_close_matches(zone[:64], zone_names(), 1))


def _suggestion(near: list[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""
