"""The judge of campaigns finds what it is there to find, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.scenarios.campaigns.judge import Rules, Settled, wrong_books, wrong_dials
from workers.twin.twilio_api.ledger import LedgerEntry

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
NUMBER, CALLER = "+447700000001", "+15550100001"
RULES = Rules(
    zones={NUMBER: ("Europe/London", "Asia/Kolkata")},
    # Noon in London is half past five in the afternoon in Kolkata.
    open_min=[(12 * 60, 13 * 60), (17 * 60 + 30, 18 * 60)],
    most=2,
    suppressed={},
    caller=CALLER,
)


def dial(at_s: float = NOON, attempt: int = 1, **changes: object) -> LedgerEntry:
    entry = LedgerEntry(
        sid=f"CA{attempt}",
        to=NUMBER,
        from_=CALLER,
        status_callback=f"http://a/voice/status?attempt={attempt}",
        asked_at=at_s,
        ended_at=at_s + 20,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def test_what_was_promised_is_not_complained_of() -> None:
    """Two dials of two attempts, one after the other."""
    dials = [dial(), dial(NOON + 60, 2)]
    assert list(wrong_dials(dials, RULES)) == []
    rows = [Settled(n, NUMBER, "ended", f"CA{n}", NOON, is_settled=True) for n in (1, 2)]
    assert list(wrong_books(dials, rows, RULES)) == []


@pytest.mark.parametrize(
    ("dials", "complaint"),
    [
        ([dial(), dial(NOON + 60)], "dialled 2 times"),
        ([dial(NOON + 60 * n, n) for n in range(3)], "its number was dialled 3 times"),
        ([dial(), dial(NOON + 10, 2)], "while CA1 went on"),
        ([dial(NOON - 1)], "11:59:59 in Europe/London"),
        ([dial(NOON + 30 * 60)], "18:00:00 in Asia/Kolkata"),
        ([dial(to="+447700000002")], "to a number of no contact"),
        ([dial(from_="+15550100002")], "from another number"),
        ([dial(status_callback="http://a/voice/status")], "of no attempt"),
    ],
)
def test_dials_that_should_not_have_been_are_found(
    dials: list[LedgerEntry], complaint: str
) -> None:
    """Each is named with what is wrong about it."""
    assert any(complaint in found for found in wrong_dials(dials, RULES))


def test_dial_of_a_suppressed_number_is_found() -> None:
    """What was on its way is not held against anybody, unless it was begun too late."""
    rules = replace(RULES, suppressed={NUMBER: NOON - 40})
    assert any("after it was suppressed" in found for found in wrong_dials([dial()], rules))
    on_its_way = replace(RULES, suppressed={NUMBER: NOON - 5})
    assert list(wrong_dials([dial()], on_its_way)) == []
    late = Settled(1, NUMBER, "ended", "CA1", NOON - 4, is_settled=True)
    assert list(wrong_books([dial()], [late], on_its_way)) == [
        "attempt 1 (ended): was begun after its number was suppressed"
    ]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (Settled(1, NUMBER, "ended", "CA1", NOON, is_settled=False), "is not settled"),
        (Settled(1, NUMBER, "never_placed", None, NOON, is_settled=True), "there was a call"),
        (Settled(1, NUMBER, "ended", "CA7", NOON, is_settled=True), "taken for another call"),
        (Settled(2, NUMBER, "ended", "CA2", NOON, is_settled=True), "there was no call"),
    ],
)
def test_books_that_differ_from_the_ledger_are_found(row: Settled, complaint: str) -> None:
    """A call that nobody knows of, and one that there never was."""
    assert any(complaint in found for found in wrong_books([dial()], [row], RULES))


def test_dial_in_no_row_is_found() -> None:
    """The database has lost it."""
    assert list(wrong_books([dial()], [], RULES)) == ["attempt 1: was dialled and is in no row"]
