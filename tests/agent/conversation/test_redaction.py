"""What must not be stored is in no text, value or key of a record; all else stays as it is."""

from __future__ import annotations

import copy
import itertools
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    DigitRecord,
    FactRecord,
    MoveCause,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
)
from agent.conversation.redaction import Redactor
from agent.conversation.removal import CARD, EMAIL, KEY, PHONE
from agent.spec import Redaction
from tests.fakes.sample_call import sample_record

CARD_NUMBER = "4111111111111111"
GROUPED = "4111 1111 1111 1111"
ADDRESS = "anna@example.com"
PHONE_NUMBER = "+15550100001"

cards_only = Redactor(Redaction())
everything = Redactor(Redaction(emails=True, phone_numbers=True))


def said(*turns: str) -> list[TurnRecord]:
    """Turns of the caller, or of the agent where a text begins with "A: "."""
    return [
        TurnRecord("agent" if text.startswith("A: ") else "caller", text, text, n, n + 0.5)
        for n, text in enumerate(turns)
    ]


def call(**fields: Any) -> CallRecord:
    return CallRecord("CA" + "1" * 32, "bakery", "gemini-3.8-live", **fields)


def keys(pressed: str, *, every_s: float = 0.3, sent: bool = False) -> list[DigitRecord]:
    return [DigitRecord(key, n * every_s, sent) for n, key in enumerate(pressed)]


def redacted_keys(digits: list[DigitRecord], redactor: Redactor = cards_only) -> str:
    return "".join(key.digit for key in redactor.redact_record(call(digits=digits)).digits)


def test_each_kind_is_named_in_its_place() -> None:
    """The reader sees what stood there; contacts go only where asked."""
    text = f"Card {GROUPED}, mail {ADDRESS}, phone {PHONE_NUMBER}."
    assert everything.redact_text(text) == f"Card {CARD}, mail {EMAIL}, phone {PHONE}."
    assert cards_only.redact_text(text) == text.replace(GROUPED, CARD)
    emails = Redactor(Redaction(emails=True))
    assert emails.redact_text(text) == text.replace(GROUPED, CARD).replace(ADDRESS, EMAIL)


def test_text_without_anything_is_the_same_object() -> None:
    """Nothing is copied, however many digits there are."""
    for text in ("", "Two loaves at 9.20.", "order 5550100001 of 2026-11-26T10:15:00Z", "CA" * 40):
        assert everything.redact_text(text) is text
    value = {"a": [1, 2.5, None, True, {"b": "c"}], "at": 1764152100000, "order": 5550100001}
    assert everything.redact_value(value) is value


def test_values_are_redacted_at_any_depth() -> None:
    """Texts, keys, and numbers that a model handed over as numbers."""
    value = {
        "card": int(CARD_NUMBER),
        "again": float(CARD_NUMBER),
        GROUPED: ["x", {"note": f"pays with {GROUPED}"}],
        "left": (1, CARD_NUMBER),
        "mobile": "5550100001",
        "order": "5550100007",
        "phone_number": 5550100001,
    }
    assert everything.redact_value(value) == {
        "card": CARD,
        "again": CARD,
        CARD: ["x", {"note": f"pays with {CARD}"}],
        "left": [1, CARD],
        "mobile": PHONE,
        "order": "5550100007",
        "phone_number": PHONE,
    }


def test_two_keys_do_not_become_one() -> None:
    """What stood under either is kept."""
    value = {CARD_NUMBER: 1, GROUPED: 2, CARD: 3}
    assert sorted(cards_only.redact_value(value).values()) == [1, 2, 3]


def test_value_that_is_nested_beyond_reason_is_cut_off() -> None:
    """The renderer of records stops at 254 levels, and then the whole record would be lost."""
    value: Any = CARD_NUMBER
    for _ in range(5_000):
        value = [value]
    redacted = cards_only.redact_record(
        call(tools=[ToolRecord("1", "t", {"x": value}, 0, 1, "ok", {"output": value})])
    )
    assert b"nested too deeply" in orjson.dumps(redacted)


def test_every_text_of_a_record_is_redacted() -> None:
    """Turns, tools, summary, facts and what is told to the operator."""
    text = f"{GROUPED} or {ADDRESS} or {PHONE_NUMBER}"
    record = call(
        detail=text,
        streams=[StreamRecord("MZ1", 0.0, detail=text)],
        turns=said(text, f"A: {text}"),
        tools=[ToolRecord("1", "pay", {"with": text}, 1.0, 2.0, "ok", {"output": [text]})],
        moves=[MoveRecord(MoveCause.LOST, MoveMoment.ABRUPT, None, 1.0, 1.0, 2.0, detail=text)],
        digits=keys(CARD_NUMBER) + keys(CARD_NUMBER, sent=True),
        context=ContextRecord(summaries=[SummaryMade(1, 1, "failed", 2, "m", detail=text)]),
        summary=SummaryRecord(text, text, (text,), (text,), (text,), text, 2),
        facts=[FactRecord(text, text, 1.0)],
    )
    before = copy.deepcopy(record)
    stored = orjson.dumps(everything.redact_record(record)).decode()
    for secret in ("1111 1111", "11111", "example", "5550100001"):
        assert secret not in stored.replace(record.call_sid, "")
    assert stored.count(CARD) == stored.count(EMAIL) == stored.count(PHONE) >= 15
    assert record == before


def test_what_is_no_text_stays_as_it_is() -> None:
    """Times, counts, identifiers and order are those of the record."""
    record = sample_record()
    assert everything.redact_record(record) == record
    assert everything.redact_record(record) is record
    record.turns[1].said = record.turns[1].heard = f"It is {GROUPED}."
    expected = asdict(record)
    expected["turns"][1] |= {"said": f"It is {CARD}.", "heard": f"It is {CARD}."}
    assert asdict(everything.redact_record(record)) == expected


@pytest.mark.parametrize("heard", range(0, 45, 3))
def test_heard_words_end_where_they_were_cut(heard: int) -> None:
    """Half a number is a number: it goes whole, and heard stays the beginning of said."""
    text = f"A: You said {GROUPED}, is that right?"
    turn = replace(said(text)[0], heard=text[:heard], interrupted=True)
    (turn,) = cards_only.redact_record(call(turns=[turn])).turns
    assert turn.said == f"A: You said {CARD}, is that right?"
    assert turn.said.startswith(turn.heard)
    assert "4111" not in turn.heard
    assert (CARD in turn.heard) == (heard > len("A: You said "))


def test_number_is_spread_over_turns() -> None:
    """The agent speaks in between, and repeats each part."""
    turns = said(
        "Yes. It's 4111 1111",
        "A: 4111 1111, go on.",
        "Okay, 1111",
        "A: 1111.",
        "and 1111. For order 12345.",
        "A: And 1111. Order 12345, thank you.",
    )
    texts = [turn.said for turn in cards_only.redact_record(call(turns=turns)).turns]
    assert not any("111" in text for text in texts)
    assert "order 12345" in texts[4]
    assert "Order 12345" in texts[5]


def test_turns_that_only_mention_numbers_are_left() -> None:
    """An order, a time, a price and a year in turns that follow one another."""
    turns = said(
        "Order 41112 please",
        "A: 41112, from 2026-11-26?",
        "Yes, at 10:15, for 9.20",
        "A: In 2019, 2020 or 2021?",
        "Two thousand and 19",
    )
    assert everything.redact_record(call(turns=turns)).turns == turns


def test_number_found_once_is_taken_out_in_parts_elsewhere() -> None:
    """Who said it, typed it or returned it does not matter; its last four digits may stay."""
    record = call(
        turns=said("A: So far I have 4111 1111 11", "A: The card ending in 1111"),
        tools=[ToolRecord("1", "pay", {"card": CARD_NUMBER, "from": 41111111}, 0, 1, "ok")],
        digits=keys("41111111#11"),
        facts=[FactRecord("mobile", "5550100001"), FactRecord("note", "5550100001 called")],
    )
    redacted = everything.redact_record(record)
    assert redacted.turns[0].said == f"A: So far I have {CARD}"
    assert redacted.turns[1] == record.turns[1]
    assert redacted.tools[0].args == {"card": CARD, "from": CARD}
    assert "".join(key.digit for key in redacted.digits) == f"{KEY * 8}#11"
    assert [fact.value for fact in redacted.facts] == [PHONE, f"{PHONE} called"]


@pytest.mark.parametrize(
    ("pressed", "stored"),
    [
        (CARD_NUMBER, KEY * 16),
        (f"{CARD_NUMBER}#", f"{KEY * 16}#"),
        ("4111*1111*1111*1111#", f"{KEY * 4}*{KEY * 4}*{KEY * 4}*{KEY * 4}#"),
        ("4111#1111#1111#1111#", f"{KEY * 4}#{KEY * 4}#{KEY * 4}#{KEY * 4}#"),
        (f"12345#{CARD_NUMBER}#1227#", f"12345#{KEY * 16}#1227#"),
        (f"{CARD_NUMBER}1227", f"{KEY * 16}1227"),
        ("4111111111111112#", "4111111111111112#"),
        ("12345#5550100001#", "12345#5550100001#"),
    ],
)
def test_keys_that_form_a_number_are_hidden(pressed: str, stored: str) -> None:
    """One by one, so that the page still shows how many; other keys stay."""
    assert redacted_keys(keys(pressed)) == stored
    assert redacted_keys(keys(pressed, sent=True)) == stored


def test_keys_are_hidden_across_pauses_and_the_other_sides_keys() -> None:
    """Somebody who looks for the next group for a long time has typed one number."""
    slow = keys(CARD_NUMBER[:8]) + [replace(key, at_s=20 + key.at_s) for key in keys("11111111")]
    assert redacted_keys(slow) == KEY * 16
    mixed = list(itertools.chain(*zip(keys(CARD_NUMBER), keys("5" * 16, sent=True), strict=True)))
    assert redacted_keys(mixed) == f"{KEY}5" * 16


def test_misheard_number_is_not_known() -> None:
    """Its check digit is wrong; this is where redaction ends, and the README says so."""
    assert cards_only.redact_text("4111 1111 1111 1112") == "4111 1111 1111 1112"


texts = st.text(
    st.sampled_from("0145 ,.-\n@#+()/a") | st.characters(), max_size=40
) | st.sampled_from(
    [
        GROUPED,
        CARD_NUMBER[:8],
        CARD_NUMBER[8:],
        "four one one one",
        ADDRESS,
        PHONE_NUMBER,
        "555-010-0001",
    ]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def records(draw: st.DrawFn) -> CallRecord:
    turns = [
        TurnRecord(
            draw(st.sampled_from(["caller", "agent"])), text, text[: draw(st.integers(0, 60))], 0, 1
        )
        for text in draw(st.lists(st.lists(texts, max_size=4).map(" ".join), max_size=5))
    ]
    args = draw(st.dictionaries(texts, values, max_size=3))
    pressed = draw(st.text("41#*", max_size=24))
    return call(
        turns=turns,
        tools=[ToolRecord("1", "t", args, 0, 1, "ok", {"output": draw(values)})],
        digits=keys(pressed) + (keys(CARD_NUMBER) if draw(st.booleans()) else []),
        facts=[FactRecord(draw(texts), draw(texts))],
    )


@given(records(), st.sampled_from([cards_only, everything]))
def test_redacting_twice_is_redacting_once(record: CallRecord, redactor: Redactor) -> None:
    """Whatever a record holds, nothing fails and nothing is left for a second time."""
    once = redactor.redact_record(record)
    # By its JSON, because not-a-number is not equal to itself.
    assert repr(redactor.redact_record(once)) == repr(once)
    assert len(once.digits) == len(record.digits)
    for turn in once.turns:
        assert GROUPED not in turn.said + turn.heard


@given(texts, st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=40))
def test_text_is_touched_only_where_it_holds_something(held: str, text: str) -> None:
    """A text with fewer than seven digits and no address comes back as it is."""
    plain = "".join(letter for letter in text if letter not in "@.")
    assert cards_only.redact_text(plain) is plain
    once = everything.redact_text(held)
    assert everything.redact_text(once) == once


def test_international_phone_number_is_no_card() -> None:
    """One in ten of 13 digits passes the check, and German mobiles begin as an old Visa did."""
    for number in ("+49 151 12345678", "+4915112345678", "+ 49 (151) 12345678"):
        assert Redactor(Redaction()).redact_text(f"Call me on {number}.") == f"Call me on {number}."
    removed = Redactor(Redaction()).redact_text("It is +4111 1111 1111 1111.")
    assert "1111" not in removed
