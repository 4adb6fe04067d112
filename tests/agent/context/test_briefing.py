"""What the person who takes over hears."""

from __future__ import annotations

import random
import re

import pytest

from agent.context.briefing import MAX_BRIEFING_CHARS, NOTHING_KNOWN, briefing
from agent.context.extract import extract
from agent.conversation.record import FactRecord, SummaryRecord, TurnRecord
from tests.agent.context.long_call import OPENING, small_talk

SUMMARY = SummaryRecord(
    caller="Maria Lopez",
    wants="She wants to change a wedding cake.",
    facts=("order number: 4711-88", "guests: eighty"),
    promises=("A call back on Monday.",),
    open_points=("Whether nuts are in it.",),
    language="en",
    turns=12,
)


def turns_of(*lines: str) -> list[TurnRecord]:
    turns: list[TurnRecord] = []
    for line in lines:
        who, _, text = line.partition(": ")
        turns.append(TurnRecord("caller" if who == "Caller" else "agent", text, text, 0.0, 1.0))
    return turns


def test_briefing_says_who_what_facts_promises_and_what_is_open() -> None:
    """In the order in which one would tell a colleague."""
    assert briefing(
        SUMMARY, [FactRecord("birthday", "2 May 1980")], [], reason="wants a person."
    ) == (
        "Reason for this transfer: wants a person. Maria Lopez is calling. What they want: She "
        "wants to change a wedding cake. Known: birthday: 2 May 1980; order number: 4711-88; "
        "guests: eighty. The agent promised: A call back on Monday. Still open: Whether nuts are "
        "in it."
    )


def test_briefing_works_from_the_last_turns_alone() -> None:
    """A call may be handed over before there is any summary."""
    told = briefing(
        None,
        [],
        turns_of(
            "You: How can I help?",
            "Caller: My name is Maria Lopez. I'd like to change my order 4711.",
            "You: I will call you back on Monday.",
        ),
    )
    assert "Maria Lopez is calling." in told
    assert "4711" in told
    assert "The agent promised: I will call you back on Monday." in told


def test_newest_turns_are_told_beside_the_summary() -> None:
    """What was said after the summary was made is what the transfer is about."""
    told = briefing(SUMMARY, [], turns_of("Caller: My phone number is 0170 555 0123."))
    assert "0170 555 0123" in told
    assert "4711-88" in told


def test_call_without_facts_is_told_by_the_callers_last_words() -> None:
    """Better than nothing; and nothing is said outright."""
    turns = turns_of("Caller: no idea really", "You: I see.")
    assert briefing(None, [], turns) == ("A caller is on the line. They said last: no idea really.")
    assert briefing(None, [], []) == NOTHING_KNOWN
    assert briefing(SummaryRecord(language="en"), [], []) == NOTHING_KNOWN


def test_most_valuable_facts_are_told_where_not_all_fit() -> None:
    """Numbers and addresses before what was told in passing."""
    summary = SummaryRecord(
        caller="Maria Lopez",
        facts=(
            *(f"We have {number} dogs and some cats." for number in range(2, 40)),
            "My order number is 4711-88.",
        ),
    )
    told = briefing(summary, [], [])
    assert "4711-88" in told
    assert "dogs" in told


def test_facts_leave_room_for_promises_and_open_points() -> None:
    """However much is known, what the person must do next is told."""
    summary = SummaryRecord(
        caller="Maria Lopez",
        facts=tuple(f"Item {number} of the order costs {number} euros." for number in range(50)),
        promises=("I will call you back on Monday.",),
        open_points=("Whether nuts are in it.",),
    )
    told = briefing(summary, [], [])
    assert "I will call you back on Monday" in told
    assert "Whether nuts are in it" in told


@pytest.mark.parametrize(
    "text",
    [
        "*bold* _and_ #this",
        "<break time='9s'/>",
        "a & b",
        "`code` [x] {y}",
        "“so” he said…",
        "a\nb\x07",
    ],
)
def test_nothing_is_said_that_a_voice_would_read_out(text: str) -> None:
    """Neither Markdown nor SSML nor quotation marks; an ampersand is said as a word."""
    told = briefing(
        SummaryRecord(
            caller=text, wants=text, facts=(text,), promises=(text,), open_points=(text,)
        ),
        [FactRecord(text, text)],
        turns_of(f"Caller: {text}"),
        reason=text,
    )
    assert re.search(r"[*_#`~<>|{}\[\]&“”…\x00-\x1f]", told) is None


def test_results_of_functions_are_not_read_out() -> None:
    """JSON is for machines."""
    summary = extract(
        None,
        ['You called f({"order": "4711"}). Its result: {"state": "baked"}', "Caller: Is it 88231?"],
        max_chars=2_400,
    )
    told = briefing(summary, [], [])
    assert "baked" not in told
    assert "Still open: the caller asked, Is it 88231?" in told


def test_briefing_of_any_call_is_one_bounded_line() -> None:
    """Forty seconds are what a caller will wait, whatever was said."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    talk = [
        line for line in (*OPENING, *small_talk(200, chance)) if not line.startswith("You called")
    ]
    for _ in range(50):
        lines = [
            chance.choice(talk) * chance.choice([1, 1, 20]) for _ in range(chance.randint(0, 60))
        ]
        summary = extract(None, lines[: len(lines) // 2], max_chars=2_400)
        facts = [FactRecord("key" * chance.randint(1, 20), "value " * chance.randint(1, 40))]
        told = briefing(
            chance.choice([None, summary]), facts, turns_of(*lines), reason=chance.choice(talk) * 9
        )
        assert 0 < len(told) <= MAX_BRIEFING_CHARS
        assert "\n" not in told
        assert told[-1] in ".?!"
        assert ".." not in told
