"""What became of every contact of a campaign, for a spreadsheet (CSV) or for a program (JSON).

CSV has one row for each contact, in UTF-8 with the mark by which spreadsheets know it. A
spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` (or with a tab or return
before it) for a formula, and runs it (OWASP, CSV Injection). Such a cell gets an apostrophe in
front, which spreadsheets take for "this is text"; who reads it with a program takes it off again.
Numbers in E.164 form are left as they are: a plus and digits compute to nothing but themselves,
and whoever calls somebody by the file needs them unchanged (a spreadsheet shows them without their
plus unless the column is imported as text). So are numbers that an agent has reported as numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, BinaryIO

import orjson

from workers.campaign.model import Campaign
from workers.dashboard.campaign_words import reason_words
from workers.store.campaigns.exporting import Exported
from workers.store.campaigns.rows import AttemptRow

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_FORMULA = re.compile(r"[\t\r\n]*[=+\-@\t\r]")
_CONTACT = (
    "line",
    "key",
    "number",
    "name",
    "state",
    "reason",
    "outcome",
    "attempts",
    "finished_at",
)
_ATTEMPT = (
    "asked_at",
    "outcome",
    "answered_at",
    "ended_at",
    "duration_s",
    "answered_by",
    "sip_code",
    "error_code",
    "call_sid",
)


def write_csv(
    rows: Iterable[Exported], campaign: Campaign, out: BinaryIO, *, most_attempts: int
) -> int:
    """Write one row for each contact and return how many there were.

    Args:
        rows: contacts with their attempts; not held.
        campaign: names the variables and the fields of the agent's report.
        out: left open.
        most_attempts: that any contact has; as many groups of columns there are.
    """
    variables, fields = list(campaign.source.columns.variables), list(campaign.outcome)
    header = [
        *_CONTACT,
        *(f"variables.{name}" for name in variables),
        *(f"report.{name}" for name in fields),
        *(f"attempt_{n}.{name}" for n in range(1, most_attempts + 1) for name in _ATTEMPT),
    ]
    text = TextIOWrapper(out, encoding="utf-8-sig", errors="replace", newline="")
    writer = csv.writer(text)
    writer.writerow([_cell(name) for name in header])
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - it is what is returned
        contact, report = _contact(row), row.contact.report or {}
        cells = [contact[name] for name in _CONTACT]
        cells += [row.contact.contact.variables.get(name, "") for name in variables]
        cells += [report.get(name) for name in fields]
        for attempt in row.attempts[:most_attempts]:
            told = _attempt(attempt)
            cells += [told[name] for name in _ATTEMPT]
        cells += [""] * (len(header) - len(cells))
        writer.writerow([_cell(cell) for cell in cells])
    text.flush()
    text.detach()
    return count


def write_json(rows: Iterable[Exported], out: BinaryIO) -> int:
    """Write an array with one object to a line and return how many there were.

    So that a program can read it whole, or line by line once the comma is taken off.
    """
    count = 0
    out.write(b"[")
    for count, row in enumerate(rows, start=1):
        told = {
            **_contact(row),
            "variables": dict(row.contact.contact.variables),
            "report": row.contact.report,
            "attempts": [
                {"ordinal": one.attempt.ordinal, "state": one.attempt.state, **_attempt(one)}
                for one in row.attempts
            ],
        }
        out.write(b",\n" if count > 1 else b"\n")
        out.write(orjson.dumps(told))
    out.write(b"\n]\n")
    return count


def _contact(row: Exported) -> dict[str, Any]:
    stored, contact = row.contact, row.contact.contact
    return {
        "line": stored.line,
        "key": stored.key,
        "number": contact.number,
        "name": contact.name,
        "state": contact.state.value,
        "reason": reason_words(contact.state, contact.reason),
        "outcome": None if stored.outcome is None else stored.outcome.value,
        "attempts": contact.attempts,
        "finished_at": _moment(stored.finished_at),
    }


def _attempt(row: AttemptRow) -> Mapping[str, Any]:
    attempt = row.attempt
    return {
        "asked_at": _moment(attempt.asked_at),
        "outcome": None if attempt.outcome is None else attempt.outcome.value,
        "answered_at": _moment(row.answered_at),
        "ended_at": _moment(row.ended_at),
        "duration_s": row.duration_s,
        "answered_by": row.answered_by,
        "sip_code": row.sip_code,
        "error_code": attempt.code or None,
        "call_sid": attempt.call_sid,
    }


def _moment(at: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second: what spreadsheets can read."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _cell(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) and not _E164.fullmatch(text) else text
