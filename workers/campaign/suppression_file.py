"""A list of people who must not be called, as CSV: read with care, written to be read again.

Columns: ``number``, and where they are there ``reason``, ``at`` (ISO 8601 with its zone) and
``source``, in any order and case; others are passed over. A file whose first row has a number in
it has no header, and its first column is the number. Encoding and delimiter are found out as those
of contacts.

A row that is missed here is somebody who asked not to be called and is called. So whatever leaves
a row out says so, and what is wrong beside the number leaves nothing out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO

from workers.campaign.contact_text import ContactFileError, RowError, TextTable
from workers.campaign.hours import utc
from workers.campaign.numbers import is_region, parse_number

COLUMNS = ("number", "reason", "at", "source")
LONGEST_TEXT = 1000
"""Characters of a reason or a source; what is longer loses its end, in and out."""
LEFT_OUT = "not suppressed: whoever asked not to be called with this row may still be called"
"""Ends the message of every row that is left out."""

# A header may be "Phone 1"; the shortest number that anybody lists has more digits.
_NUMBER = re.compile(r"\d(?:[^\w]*\d){2}")
# What the reader would take for damage, and what no encoding can write.
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Suppression:
    """Somebody who must not be called."""

    number: str
    """E.164."""
    reason: str = ""
    source: str = ""
    """Where it comes from: a customer's list, a call."""
    at: datetime | None = None
    """Since when; None: nobody knows."""


def read_suppressions(
    file: BinaryIO, *, name: str, region: str | None
) -> Iterator[Suppression | RowError]:
    """Every number of a list once, with the first row's reason, and every row that is in doubt.

    A time that cannot be read gives an error, and the number all the same, without a time. Any
    other error means that the row was left out; its message says so (``LEFT_OUT``).

    Args:
        file: read once from where it stands, in pieces.
        name: of the file, for errors.
        region: of numbers without a country code, ISO 3166-1 alpha-2; None: they are errors.

    Raises:
        ContactFileError: at the call, before any row: empty, binary, no column ``number``, one of
            the columns twice, or no such region.
    """
    if region is not None and not is_region(region):
        raise ContactFileError(name, 0, "region", f"there is no region {region!r}")
    table = TextTable(file, name, columns=COLUMNS[:1])
    names = [each.casefold() for each in table.header]
    if "number" not in names:
        if not any(map(_NUMBER.search, table.header)):
            there = ", ".join(map(repr, table.header[:20]))
            raise ContactFileError(
                name, table.line, "", f"there is no column 'number'; there are {there}"
            )
        table.without_header(COLUMNS[:1])
        names = table.header
    for each in COLUMNS:
        if names.count(each) > 1:
            message = f"the header has {each!r} {names.count(each)} times"
            raise ContactFileError(name, table.line, "", message)
    return _rows(table, {each: names.index(each) for each in COLUMNS if each in names}, region)


def write_suppressions(rows: Iterable[Suppression], file: BinaryIO) -> None:
    """A list in UTF-8 that ``read_suppressions`` reads as it was, without any region.

    Times become UTC. Of reasons and sources, runs of blanks and line breaks become one blank, and
    what no row may have (control characters) a question mark. A number that nobody could dial
    (``numbers.parse_number``) is written as it is, and is an error when it is read.

    Raises:
        ValueError: a time has no zone.
    """
    out = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            at = "" if row.at is None else utc(row.at).isoformat()
            writer.writerow((row.number, _tidy(row.reason), at, _tidy(row.source)))
    finally:
        # The file is the caller's; else it would be closed with the wrapper.
        out.detach()


def _rows(
    table: TextTable, at: dict[str, int], region: str | None
) -> Iterator[Suppression | RowError]:
    seen: set[str] = set()
    number_at, when_at = at["number"], at.get("at")
    reason_at, source_at = at.get("reason"), at.get("source")
    for record in table.records():
        if isinstance(record, RowError):
            yield replace(record, message=f"{record.message}; {LEFT_OUT}")
            continue
        line, raw, fields = record
        if not any(map(str.strip, fields)):
            continue
        try:
            number = parse_number(fields[number_at], region)
        except ValueError as error:
            yield RowError(line, table.header[number_at], f"{error}; {LEFT_OUT}", raw)
            continue
        if number in seen:
            continue
        seen.add(number)
        when = None
        if when_at is not None and (text := fields[when_at].strip()):
            when = _moment(text)
            if when is None:
                message = "is no ISO 8601 time with a zone; the number is suppressed without it"
                yield RowError(line, table.header[when_at], message, raw)
        yield Suppression(
            number,
            _tidy(fields[reason_at]) if reason_at is not None else "",
            _tidy(fields[source_at]) if source_at is not None else "",
            when,
        )


def _moment(text: str) -> datetime | None:
    """In UTC; None: no time, no zone, or one that the calendar does not reach in UTC."""
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _tidy(text: str) -> str:
    """A text that reads the same after it was written; the same again when it is tidied twice."""
    return _UNREADABLE.sub("?", " ".join(text.split()))[:LONGEST_TEXT].rstrip()
