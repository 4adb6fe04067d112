"""What is found in a sentence, and what it is worth."""

from __future__ import annotations

import pytest

from agent.context.specifics import AGENT_SAID, Kind, Reader, specifics, told_by


@pytest.mark.parametrize(
    ("sentence", "kind", "token"),
    [
        ("My e-mail is maria.lopez@example.com", Kind.EMAIL, "maria.lopez@example.com"),
        ("It is maria at example dot com", Kind.EMAIL, "maria at example dot com"),
        ("maria arroba example punto es", Kind.EMAIL, "maria arroba example punto es"),
        ("Call me on +49 170 555-01-23", Kind.NUMBER, "491705550123"),
        ("It's 4711-88.", Kind.NUMBER, "471188"),
        ("The order is 47", Kind.NUMBER, "47"),
        ("four seven one one", Kind.NUMBER, "4711"),
        ("double seven three neun", Kind.NUMBER, "7739"),
        ("The voucher is AB-12", Kind.NUMBER, "ab12"),
        ("L-O-P-E-Z", Kind.SPELLED, "lopez"),
        ("that is L. O. P. E. Z.", Kind.SPELLED, "lopez"),
        ("at 12 Baker Street", Kind.ADDRESS, "12 baker street"),
        ("in der Hauptstraße 5", Kind.ADDRESS, "hauptstrasse 5"),
        ("en la calle Mayor 14", Kind.ADDRESS, "calle mayor 14"),
        ("au 5 rue de la Paix", Kind.ADDRESS, "5 rue"),
        ("it was 249.90 €", Kind.MONEY, "24990"),
        ("around $30", Kind.MONEY, "30"),
        ("twenty dollars", Kind.MONEY, "twenty"),
        ("on the 12th of December", Kind.DAY, "12"),
        ("am 12. März", Kind.DAY, "märz"),
        ("on 04/12/2026", Kind.DAY, "04122026"),
        ("on Tuesday", Kind.DATE, "tuesday"),
        ("le mercredi", Kind.DATE, "mercredi"),
        ("at 10:30", Kind.TIME, "1030"),
        ("um 15 Uhr", Kind.TIME, "15"),
        ("before 10 am", Kind.TIME, "10"),
        ("for eighty guests", Kind.COUNT, "eighty"),
        ("für dreißig Gäste", Kind.COUNT, "dreissig"),
        ("she is allergic to nuts", Kind.NEED, "allergic"),
        ("we have 3 cats", Kind.DIGITS, "3"),
        ("we met Anna there", Kind.CAPITAL, "anna"),
        ("wir haben Anna Müller getroffen und ich war da", Kind.CAPITAL, "müller"),
    ],
)
def test_kind_is_found_with_its_token(sentence: str, kind: Kind, token: str) -> None:
    """What must not be forgotten is recognised however it is written."""
    read = specifics(sentence)
    assert kind in read.kinds
    assert token in read.tokens
    assert read.worth >= kind.worth


@pytest.mark.parametrize(
    "sentence",
    [
        "That is so true.",
        "Well, what shall I say?",
        "Das Haus und der Hund schlafen nicht.",
        "",
        "…",
    ],
)
def test_small_talk_without_specifics_is_worth_nothing(sentence: str) -> None:
    """Neither a capital at the beginning nor a German noun is a name."""
    assert specifics(sentence).worth == 0


def test_worth_grades_identifiers_over_sums_over_remarks() -> None:
    """Who it is and how to find them outweighs what things cost, and that a bare number."""
    worths = [
        specifics(sentence).worth
        for sentence in (
            "My order number is 4711",
            "The wedding is on the 12th of December",
            "It cost 30 euros on Monday",
            "We have 2 dogs",
        )
    ]
    assert worths == [4, 3, 2, 1]


@pytest.mark.parametrize(
    "sentence",
    ["There were 80,000 people", "about 3000 of them", "back in 1998", "a 20KG bag"],
)
def test_number_of_nothing_in_particular_identifies_nobody(sentence: str) -> None:
    """Years, round numbers, heads counted and measures are what small talk is full of."""
    assert Kind.NUMBER not in specifics(sentence).kinds


@pytest.mark.parametrize(
    ("sentence", "key"),
    [
        ("My order number is 4711", "order number"),
        ("Sorry, my new order number is 4712", "order number"),
        ("well the problem is that my order number is 4711", "order number"),
        ("What is your order number? 4711", "order number"),
        ("Order number: 4711", "order number"),
        ("Meine Kundennummer lautet 88231", "kundennummer"),
        ("Mi número de pedido es 5519", "número de pedido"),
        ("Mon numéro de commande est 7734", "numéro de commande"),
        ("The weather is 3 degrees", ""),
    ],
)
def test_key_says_what_a_value_is_of(sentence: str, key: str) -> None:
    """By it a corrected value finds the old one; words for "new" do not count."""
    assert specifics(sentence).key == key


def test_what_the_agent_said_is_worth_a_grade_less() -> None:
    """What the caller told cannot be asked of a function again."""
    assert specifics("My order number is 4711").worth == 4
    assert specifics(f"{AGENT_SAID}My order number is 4711").worth == 3
    assert specifics(f"{AGENT_SAID}We have 2 dogs").worth == 1


def test_last_digits_of_a_known_number_are_known() -> None:
    """People repeat the end of a number; two digits may be of anything."""
    assert told_by({"5519"}, {"881235519"})
    assert not told_by({"19"}, {"881235519"})
    assert not told_by({"5519", "7"}, {"881235519"})


def test_reader_reads_as_specifics_and_forgets_the_oldest() -> None:
    """It only saves work, and holds no more of a call than it needs."""
    read = Reader()
    first = read("My order number is 4711")
    assert first == specifics("My order number is 4711")
    assert read("My order number is 4711") is first
    for number in range(1_000):
        read(f"It is {number}")
    assert read("My order number is 4711") is not first
