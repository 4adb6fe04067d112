"""E-mail addresses and phone numbers are known by their shape, or by what is said before them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.contacts import find_emails, find_phones


def emails(text: str) -> list[str]:
    return [text[start:end] for start, end in find_emails(text)]


def phones(text: str, *, about: str = "") -> list[str]:
    spans = sorted(find_phones(text, about=about), key=lambda span: (span[0], -span[1]))
    outer = [span for n, span in enumerate(spans) if not n or span[1] > spans[n - 1][1]]
    return [text[start:end] for start, end in outer]


@pytest.mark.parametrize(
    "address",
    [
        "anna@example.com",
        "anna.smith+bread@mail.example.co.uk",
        "jürgen@bäckerei.de",
        "o'neil_7%x@example.org",
        "anna@xn--bckerei-5wa.xn--p1ai",
        "anna dot smith at example dot com",
        "Anna at gmail.com",
        "anna underscore smith at mail dot example dot co dot uk",
    ],
)
def test_address_is_found(address: str) -> None:
    """Written or spelt out, with whatever may stand in one."""
    assert emails(f"Write to {address}, please.") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "meet me @ ten",
        "a@b",
        "look at example.com",
        "find us at bakery dot com",
        "at 10.30",
        "@anna",
    ],
)
def test_what_is_no_address_is_left(text: str) -> None:
    """A place on the web or a time has an "at", too."""
    assert emails(text) == []


@pytest.mark.parametrize(
    "number",
    [
        "+15550100001",
        "+1 (555) 010-0001",
        "+49 171 / 123 45 67",
        "0044 20 7946 0958",
        "00442079460958",
        "(555) 010-0001",
        "555-010-0001",
        "1-555-010-0001",
        "555.010.0001",
        "020 7946 0958",
        "(0171) 123 45 67",
        "06.12.34.56.78",
        "06 12 34 56 78",
    ],
)
def test_phone_number_is_found_by_its_shape(number: str) -> None:
    """International, or in the groups of a country."""
    assert phones(f"Is {number} right?") == [number]


@pytest.mark.parametrize(
    "text",
    [
        "My phone number is 5550100001.",
        "You can call me back at 5550100001",
        "mobile: 5550100001",
        "Reach us on 555 0100001",
        "my cell is five five five, oh one oh oh, double oh one",
    ],
)
def test_phone_number_without_a_shape_is_known_by_what_is_said_before_it(text: str) -> None:
    """Ten digits in a row, or spoken, after "call me" or "my mobile is"."""
    assert len(phones(text)) == 1


def test_phone_number_is_known_by_its_key() -> None:
    """In a tool's arguments, the name of the argument is what stands before it."""
    assert phones("5550100001", about="phone_number") == ["5550100001"]
    assert phones("5550100001", about="order_number") == []


@pytest.mark.parametrize(
    "text",
    [
        "order 5550100001",
        "0012345678",
        "My phone order is 5550100001",
        "2026-11-26T10:15:00.123+01:00",
        "2026-11-26 10:15:00 +0100",
        "20261126 101500",
        "09.00 10.00 11.00",
        "09:00 10:00, 020 1",
        "01.02.2026 09.30",
        "10.0.0.1, 192.168.100.200",
        "1,250.00 and 12.50",
        "CA" + "0123456789" * 3 + "01",
        "123-4567",
        "call me at 10:15",
    ],
)
def test_what_is_no_phone_number_is_left(text: str) -> None:
    """Orders, times, dates, prices and identifiers."""
    assert phones(text) == []


@given(st.text(st.sampled_from("0123 5.-+()/@acomd"), max_size=80))
def test_what_is_found_lies_in_the_text(text: str) -> None:
    """Whatever the text, neither search fails or leaves it."""
    for start, end in [*find_emails(text), *find_phones(text)]:
        assert 0 <= start < end <= len(text)


@pytest.mark.parametrize("text", ["a" * 20_000, "a@" * 10_000, "a " * 10_000, "a at " * 4_000])
@pytest.mark.timeout(10)
def test_long_texts_take_no_longer_than_they_are(text: str) -> None:
    """No text makes a search try every way of reading it."""
    assert emails(text + "0") == []
    assert phones(text.replace("a", "1") + "+") == []
