"""What the model held and was told to remember, in words."""

from __future__ import annotations

import itertools
from typing import Any, Literal, get_args

import pytest

from agent.conversation.record import (
    CallRecord,
    FactRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
)
from workers.dashboard.memory import (
    covered_words,
    fact_of,
    made_tone,
    made_words,
    summary_parts,
    update_words,
)

Outcome = Literal["ok", "failed", "timeout", "discarded"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
KINDS: tuple[Literal["context", "instruction"], ...] = ("context", "instruction")
WAYS: tuple[Literal["system_content", "context_update", "next_move"], ...] = (
    "system_content", "context_update", "next_move",
)  # fmt: skip


def test_every_outcome_of_a_summary_has_words_and_only_ok_is_good() -> None:
    """The last good summary is kept, so that a failure is odd and not bad."""
    made = [SummaryMade(1.0, 2.0, outcome, 1, "extract") for outcome in OUTCOMES]
    assert len({made_words(one) for one in made}) == 4
    assert [made_tone(one) for one in made] == ["good", "odd", "odd", "odd"]
    assert made_words(made[0]) == "summary brought up to date, 1 turn"


@pytest.mark.parametrize(("kind", "how"), list(itertools.product(KINDS, WAYS)))
def test_every_update_says_whether_it_reached_the_model(
    kind: Literal["context", "instruction"],
    how: Literal["system_content", "context_update", "next_move"],
) -> None:
    """What waits does not read like what was sent."""
    waits, sent = UpdateRecord(1.0, kind, how), UpdateRecord(1.0, kind, how, 3.0)
    assert "reached the model" not in update_words(waits)
    assert "reached the model" in update_words(sent)
    assert "2.0 s" in update_words(sent)


@pytest.mark.parametrize(
    ("name", "args", "outcome", "response", "pinned"),
    [
        ("remember", {"key": "name", "value": "Ann"}, "ok", {"output": "done"}, True),
        ("remember", {"key": "name", "value": "Ann"}, "error", {"error": "no"}, False),
        ("remember", {"key": "name", "value": "Ann"}, "ok", {"error": "no"}, False),
        ("remember", {"key": "name", "value": "Ann"}, "ok", None, False),
        ("remember", {"key": "name"}, "ok", {"output": "done"}, False),
        ("order", {"key": "name", "value": "Ann"}, "ok", {"output": "done"}, False),
    ],
)
def test_only_a_remember_that_worked_pins_a_fact(
    name: str,
    args: dict[str, Any],
    outcome: Literal["ok", "error"],
    response: dict[str, Any] | None,
    pinned: bool,
) -> None:
    """Whatever else a tool call is, it is told as a tool call."""
    tool = ToolRecord("1", name, args, 1.0, 1.1, outcome, response)
    assert fact_of(tool) == (FactRecord("name", "Ann", 1.0) if pinned else None)


def test_parts_of_a_summary_that_say_nothing_are_left_out() -> None:
    """Also empty points of a list; the order is fixed."""
    summary = SummaryRecord(wants="bread", facts=("", "order 7"), language="English")
    assert summary_parts(summary) == [
        ("Wants", ("bread",)),
        ("Facts", ("order 7",)),
        ("Language", ("English",)),
    ]
    assert summary_parts(SummaryRecord()) == []


def test_how_much_a_summary_covers_is_told() -> None:
    """All turns, or how many of them."""
    record = CallRecord("CA0", "a", "m", turns=[TurnRecord("caller", "a", "a", 0, 1)] * 3)
    assert covered_words(SummaryRecord(turns=2), record) == "after 2 of 3 turns"
    assert covered_words(SummaryRecord(turns=3), record) == "after all turns"
