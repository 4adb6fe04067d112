"""A card's number is found however it is written or said, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.conversation.card_numbers import find_cards, is_card_number

# Numbers the networks give out for tests; none belongs to anybody.
VISA = "4111111111111111"
NUMBERS = (
    VISA,
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "3530111333300000",
    "6011111111111117",
    "6200000000000005",
    "6799990100000000019",
)


def found(*texts: str, loose: bool = False) -> list[str]:
    """What of each text is a card number's."""
    spans, _ = find_cards(texts, loose=loose)
    return [text[start:end] for n, text in enumerate(texts) for start, end in spans.get(n, [])]


def check_digit(start: str) -> str:
    """The digit that makes a number valid, the slow way."""
    doubled = [
        sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(start[::-1])
    ]
    return str(-sum(doubled) % 10)


@st.composite
def valid_numbers(draw: st.DrawFn) -> str:
    """13 to 19 digits with a right check digit, that some card could have."""
    size = draw(st.integers(12, 18))
    start = draw(st.text("0123456789", min_size=size, max_size=size))
    number = start + check_digit(start)
    assume(number[0] not in "01" and not number.startswith("20"))
    return number


@st.composite
def grouped(draw: st.DrawFn) -> str:
    """Such a number as it may be written: in three or more groups, or in none."""
    number = draw(valid_numbers())
    mark = draw(st.sampled_from(["", " ", "-", " - ", "–", ".", "/", "\u00a0", " · ", "\u200b"]))
    at = draw(st.sets(st.integers(1, len(number) - 1), min_size=2, max_size=8)) if mark else set()
    return "".join(mark * (place in at) + digit for place, digit in enumerate(number))


@given(
    grouped(),
    st.sampled_from(["", "My card is ", "card:", "№ "]),
    st.sampled_from(["", ".", " ok"]),
)
def test_valid_number_is_found_in_any_grouping(number: str, before: str, after: str) -> None:
    """With spaces, dashes, dots or slashes anywhere, all of it is found."""
    assert found(before + number + after) == [number]


@given(st.sampled_from(NUMBERS), st.data())
def test_number_of_a_network_is_found_however_it_is_read_out(
    number: str, data: st.DataObject
) -> None:
    """Commas, line breaks, pauses and fillers are no groups; mixed, and anywhere."""
    marks = st.sampled_from(
        ["", "", "", " ", "-", ", ", "; ", "\r\n", " and ", ", uh, ", "\t", "   "]
    )
    text = number[0] + "".join(data.draw(marks) + digit for digit in number[1:])
    assert found(f"It is {text}!") == [text]


def test_numbers_of_a_list_are_not_one_number() -> None:
    """Orders, parcels and counts that follow one another, unless a network has such a number."""
    chance = "9000000000001" + check_digit("9000000000001")
    assert found(f"{chance[:10]} {chance[10:]}") != []
    assert found(f"{chance[:10]}, {chance[10:]}") == []
    assert found(f"{chance[:10]}\n{chance[10:]}") == []
    assert found("order 411111111111111, one please") == []


@pytest.mark.parametrize("number", NUMBERS)
def test_number_of_a_network_is_found_among_other_digits(number: str) -> None:
    """An order's number before it and an expiry date behind it do not hide it."""
    assert found(f"12345 {number} 12/27") == [number]
    assert found(f"7, {' '.join(number)}, and 123") == [" ".join(number)]


def test_valid_digits_among_others_that_no_network_has_are_left() -> None:
    """One stretch of digits in ten has a right check digit by chance."""
    assert is_card_number("9000000000000001" + check_digit("9000000000000001"))
    chance = "9000000000001" + check_digit("9000000000001")
    assert found(f"{chance[:7]} {chance[7:]}") != []
    assert found(f"{chance[:7]} {chance[7:]} 55") == []


@pytest.mark.parametrize(
    "text",
    [
        "four one one one, one one one one, one one one one, one one one one",
        "Four-one-one-one-one-one-one-one-one-one-one-one-one-one-one-one",
        "four one double one, double one double one, 1111 and triple one one",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111 1111, 1111 1111",
        "4111, uh, 1111 then 1111 and 1111",
        "41111111 dash 11111111",
        "4111\u200b1111\u200b1111\u200b1111",
        "４１１１ １１１１ １１１１ １１１１",  # as keyboards of East Asia write digits
        "٤١١١ ١١١١ ١١١١ ١١١١",
    ],
)
def test_spoken_number_is_found(text: str) -> None:
    """Digit words, doubles, fillers and the digits of other scripts are digits."""
    assert found(f"Well, {text}.") == [text]


@pytest.mark.parametrize("number", [VISA, "5555555555554444", "378282246310005"])
def test_number_with_more_typed_right_behind_it_is_found(number: str) -> None:
    """Whoever types card, expiry and code in one go has typed the card."""
    assert found(f"{number}1227123"[:19]) == [f"{number}1227123"[:19]]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "order 5550100001",
        "It was 2026-11-26 10:15:00.123456 2026-11-27 10:15:00.1",
        "20261126101503",
        "1700000000001, 1700000000000",
        "0000000000000000",
        "9.20, 10.50, 12.30, 14.02",
        "1,250 2,300 3,400 4,504",
        "52.5200066, 13.4049545",
        "1764152100.123456",
        "26.11.2026 27.11.2026",
        "CA41111111111111114111111111111111",
        "41111111-1111-4111-8111-111111111111",
        "deadbeef4111111111111111deadbeef",
        "10:15 11:30 12:45 13:00 14:15",
        "one two three four five six seven",
        "411111111111111",
    ],
)
def test_other_numbers_are_left(text: str) -> None:
    """Orders, times, dates, prices, places and identifiers, whatever their digits add up to."""
    assert found(text) == []


@pytest.mark.parametrize("number", [VISA, "5555555555554444"])
@pytest.mark.parametrize("cut", range(1, 16))
def test_number_goes_on_in_the_next_text(number: str, cut: int) -> None:
    """Wherever the caller paused: both parts are found."""
    assert found(f"It's {number[:cut]},", f"and {number[cut:]}.") == [number[:cut], number[cut:]]


def test_number_is_read_out_in_parts() -> None:
    """Four digits at a time with words in between, over four texts or in one."""
    parts = ["The first are 4111", "Right, then 1111", "then we have 1111", "and last 1111"]
    assert found(*parts, loose=True) == ["4111", "1111", "1111", "1111"]
    assert found(", ".join(parts), loose=True) == ["4111", "1111", "1111", "1111"]
    assert found(*parts) == []
    asked = ["4111, right?", "1111 … and?", "“1111”, thanks!", "Last is 1111 then."]
    assert found(*asked, loose=True) == ["4111", "1111", "1111", "1111"]


def test_numbers_that_only_happen_to_follow_one_another_are_no_parts() -> None:
    """Words between them join nothing that is not grouped as cards are, and no great distance."""
    assert found("I am 41 and live at 111 with 11111 and 111111 others", loose=True) == []
    far = "which is what it says at the very top of the letter"
    assert found(f"4111 1111, {far}, 1111 1111", loose=True) == []


@given(st.text(st.sampled_from("4100 19,.-\noe,"), max_size=60))
def test_what_is_found_lies_in_the_text_and_in_order(text: str) -> None:
    """Whatever the text, stretches do not overlap, and each holds digits."""
    spans, _ = find_cards([text, text], loose=True)
    for row in spans.values():
        flat = [place for span in row for place in span]
        assert flat == sorted(flat)
        assert all(0 <= start < end <= len(text) for start, end in row)
