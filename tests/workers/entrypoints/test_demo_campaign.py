"""``evercall demo --campaign`` as a newcomer runs it: from a CSV file to a report."""

from __future__ import annotations

import csv
import json
import sqlite3
import wave
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.workers.entrypoints.test_demo import run

pytestmark = [pytest.mark.real_time, pytest.mark.alone, pytest.mark.timeout(240)]


def first_words(database: Path) -> list[str]:
    """What the agent said first, call by call, as far as it was heard for long."""
    with closing(sqlite3.connect(database)) as connection:
        found = [
            json.loads(row[0]) for row in connection.execute("select record from call_records")
        ]
    turns = [record["turns"] for record in found if record["end_reason"] == "agent_hung_up"]
    return [next(turn["heard"] for turn in each if turn["speaker"] == "agent") for each in turns]


async def test_campaign_demo_calls_everybody_once_and_says_what_came_of_it(tmp_path: Path) -> None:
    """It rehearses, dials, watches, and leaves report, exports and a recording; nobody is left."""
    out = tmp_path / "demo"
    code, told = await run(out, "--campaign", timeout_s=200.0)
    assert code == 0, told
    plain = " ".join(told.split())
    for words in (
        "1 number read, 1 of them new on the list.",
        "people.csv:27: Time zone: is no time zone",
        "23 new contacts, 1 known before or twice in the file, 3 rows kept aside.",
        "callable now 21, later 0, never 2",
        "finished about",
        "Campaign saturday-orders is running.",
        "23 of 23 done (100 %); 16 reached",
        "report.html: open it in a browser",
        "looked for and found, not dialled again",
    ):
        assert words in plain, told
    contacts: list[dict[str, Any]] = json.loads((out / "contacts.json").read_text("utf-8"))
    reasons = {contact["line"]: contact["reason"] for contact in contacts}
    assert reasons[23] == "No permitted hour is left before the campaign ends."
    assert "Asked by letter not to be called" in reasons[24]
    assert contacts[0]["report"] == {"coming": True, "note": "at ten"}
    with (out / "contacts.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [contact["number"] for contact in contacts]
    with wave.open(str(out / "call.wav")) as recording:
        assert recording.getnchannels() == 2
        assert recording.getnframes() / recording.getframerate() > 8.0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "+1212555" not in page
    assert "https://" not in page
    assert "What was reported" in page
    greetings = first_words(out / "data" / "evercall.sqlite3")
    assert len(greetings) == 13
    for words in greetings:
        assert words.startswith("Corner Bakery's automatic assistant, on a recorded line. Hello ")
    assert any("Hello Nora Whitfield, your birthday cake is ready" in words for words in greetings)
    left = [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(out / "data")]
    assert left == []
