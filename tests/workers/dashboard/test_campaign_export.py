"""What became of every contact, read back from CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.workers.store.campaigns.filled import CAMPAIGN, Filled, fill
from workers.dashboard.campaign_export import write_csv, write_json
from workers.store.campaigns.exporting import exported, most_attempts
from workers.store.database import open_engine, reading, writing


@pytest.fixture
def filled(sqlite_url: str) -> Iterator[tuple[Connection, Filled]]:
    engine = open_engine(sqlite_url)
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        yield connection, written
    engine.dispose()


def as_csv(connection: Connection, written: Filled) -> str:
    out = BytesIO()
    most = most_attempts(connection, written.campaign_id)
    rows = exported(connection, written.campaign_id, page_size=37)
    assert write_csv(rows, CAMPAIGN, out, most_attempts=most) == 400
    return out.getvalue().decode("utf-8")


def plain(cell: str) -> str:
    """A cell without the apostrophe that makes it text."""
    return cell[1:] if cell.startswith("'") else cell


def text_of(value: object) -> str:
    return "" if value is None else str(value)


def test_csv_has_a_row_for_each_contact(filled: tuple[Connection, Filled]) -> None:
    """With what it was told apart by, what became of it, and each of its attempts."""
    connection, written = filled
    text = as_csv(connection, written)
    assert text.startswith("\ufeffline,key,number,")
    rows = list(csv.DictReader(StringIO(text.removeprefix("\ufeff"), newline="")))
    by_contact: dict[int, list[dict[str, Any]]] = {}
    for call in sorted(written.attempts, key=lambda call: call["ordinal"]):
        by_contact.setdefault(call["contact_id"], []).append(call)
    for row, contact in zip(rows, written.contacts, strict=True):
        assert None not in row
        assert None not in row.values()
        for name in ("line", "key", "number", "name", "state", "outcome", "attempts"):
            assert plain(row[name]) == text_of(contact[name])
        assert row["reason"] == contact["reason"] or not contact["reason"]
        assert row["reason"].endswith(".") or "suppression" in row["reason"]
        assert plain(row["variables.order"]) == json.loads(contact["variables"])["order"]
        report = json.loads(contact["report"]) if contact["report"] else {}
        assert row["report.people"] == text_of(report.get("people"))
        for name in ("answer", "note"):
            assert plain(row[f"report.{name}"]) == text_of(report.get(name))
        for call in by_contact.get(contact["id"], []):
            told = {
                name: row[f"attempt_{call['ordinal']}.{name}"]
                for name in ("outcome", "duration_s", "sip_code", "call_sid", "asked_at")
            }
            asked = call["asked_at"]
            assert told == {
                "asked_at": f"{asked:%Y-%m-%dT%H:%M:%SZ}" if asked else "",
                **{
                    name: text_of(call[name])
                    for name in ("outcome", "duration_s", "sip_code", "call_sid")
                },
            }
            assert row[f"attempt_{call['ordinal']}.error_code"] == text_of(
                call["error_code"] or None
            )


def test_no_cell_is_a_formula(filled: tuple[Connection, Filled]) -> None:
    """But numbers are left as they are, in E.164 form and in an agent's report."""
    connection, written = filled
    rows = list(csv.reader(StringIO(as_csv(connection, written), newline="")))
    cells = {cell for row in rows for cell in row}
    for formula in ("=HYPERLINK(1)", "@home", "-2 days", "=7"):
        assert f"'{formula}" in cells
    risky = {cell for cell in cells if cell[:1] in "=+-@\t\r" and cell}
    assert {cell for cell in risky if not cell.startswith("+1555")} == {"-1"}


@pytest.mark.parametrize("page_size", [1, 399, 400, 1000])
def test_pages_lose_and_repeat_nobody(filled: tuple[Connection, Filled], page_size: int) -> None:
    """Whether the last page is full or not."""
    connection, written = filled
    rows = list(exported(connection, written.campaign_id, page_size=page_size))
    assert [row.contact.contact.contact_id for row in rows] == [c["id"] for c in written.contacts]
    assert sum(len(row.attempts) for row in rows) == len(written.attempts)


def test_json_is_an_array_with_an_object_to_a_line(filled: tuple[Connection, Filled]) -> None:
    """Nested, and with all that an agent has reported."""
    connection, written = filled
    out = BytesIO()
    assert write_json(exported(connection, written.campaign_id), out) == 400
    found = json.loads(out.getvalue())
    lines = out.getvalue().decode().splitlines()[1:-1]
    assert [json.loads(line.removesuffix(",")) for line in lines] == found
    for told, contact in zip(found, written.contacts, strict=True):
        assert (told["number"], told["line"]) == (contact["number"], contact["line"])
        assert told["variables"] == json.loads(contact["variables"])
        assert told["report"] == (json.loads(contact["report"]) if contact["report"] else None)
        mine = [call for call in written.attempts if call["contact_id"] == contact["id"]]
        assert [one["state"] for one in told["attempts"]] == [
            call["state"] for call in sorted(mine, key=lambda call: call["ordinal"])
        ]


def test_a_campaign_without_contacts(filled: tuple[Connection, Filled]) -> None:
    """A header and nothing; an empty array."""
    connection, _ = filled
    out = BytesIO()
    assert write_json(exported(connection, 99), out) == 0
    assert json.loads(out.getvalue()) == []
    out = BytesIO()
    assert write_csv(exported(connection, 99), CAMPAIGN, out, most_attempts=0) == 0
    assert len(out.getvalue().splitlines()) == 1
