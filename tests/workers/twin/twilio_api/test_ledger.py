"""The twin's record of the calls that were asked for."""

from __future__ import annotations

import dataclasses

import pytest

from workers.twin.twilio_api import ledger as module
from workers.twin.twilio_api.ledger import Ledger, LedgerEntry

URL = "https://x.example/voice/status?attempt=7&blank="


def entry(sid: str, at: float = 100.0) -> LedgerEntry:
    return LedgerEntry(sid, "+15550100009", "+15550100002", URL, at)


def test_entry_follows_its_call() -> None:
    """Each state has its instant, and what was read before does not change."""
    ledger = Ledger()
    ledger.open(entry("CA1"))
    before = ledger["CA1"]
    for at, state in ((101.0, "initiated"), (102.0, "ringing"), (105.0, "no-answer")):
        ledger.enter("CA1", state, at)
    ledger.enter("CA2", "ringing", 103.0)
    assert [*ledger] == [
        dataclasses.replace(
            before, left_queue_at=101.0, rang_at=102.0, ended_at=105.0, status="no-answer"
        )
    ]
    assert before.status == "queued"
    assert before.query == {"attempt": "7", "blank": ""}


def test_seconds_are_counted() -> None:
    """Requests and starts apart, by whole seconds of the wall clock."""
    ledger = Ledger()
    for sid, at in (("CA1", 10.1), ("CA2", 10.9), ("CA3", 11.0)):
        ledger.open(entry(sid, at))
    ledger.enter("CA1", "initiated", 12.5)
    assert ledger.asked_per_second() == {10: 2, 11: 1}
    assert ledger.started_per_second() == {12: 1}


def test_beyond_its_bound_the_oldest_goes_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can take an incomplete ledger for a complete one."""
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    ledger = Ledger()
    for sid in ("CA1", "CA2", "CA3"):
        ledger.open(entry(sid))
    assert [one.sid for one in ledger] == ["CA2", "CA3"]
    assert (len(ledger), ledger.dropped) == (2, 1)
