"""Texts and values lose what ends a session or poses as something else, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text import UNSENDABLE, sendable, sendable_value

ODD = (
    *("\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9f", "\ud83d", "\ude00", "\u2028", "\u2029"),
    *("\u202e", "\u202a", "\u2066", "\u2069", "\U000e0041", "\U000e007f"),
)


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *texts_in(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


@pytest.mark.parametrize("odd", ODD)
def test_character_that_must_not_be_sent_becomes_a_space(odd: str) -> None:
    """In the middle of a text, as a key, and as all there is."""
    assert sendable(f"a{odd}b") == "a b"
    assert sendable_value({f"a{odd}": [odd]}) == {"a ": [" "]}


@pytest.mark.parametrize(
    "text", ["a\tb\r\nc", "नमस्ते \u200dक", "שלום \u200f(3)", "👩‍🍳", "é", "日本語", "\u00a0"]
)
def test_text_of_any_script_stays(text: str) -> None:
    """Tabs, line breaks, joiners and the marks that Hebrew and Arabic need among them."""
    assert sendable(text) == text


def test_numbers_that_json_does_not_hold_become_texts() -> None:
    """An identifier of twenty digits must not lose its last ones; truth is no number."""
    value = {"id": 2**53 + 1, "small": 2**53, "minus": -(2**60), "yes": True, "none": None}
    assert sendable_value(value) == {
        "id": "9007199254740993",
        "small": 2**53,
        "minus": str(-(2**60)),
        "yes": True,
        "none": None,
    }


def test_value_nested_beyond_reason_is_cut_off() -> None:
    """It can be rendered, where a thousand levels could not."""
    value: Any = "x"
    for _ in range(1_000):
        value = {"a": [value]}
    assert b"nested too deeply" in orjson.dumps(sendable_value(value))


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_cleaned_value_can_be_sent_and_stored(value: Any) -> None:
    """Whatever it was, it is UTF-8 with no control character, and cleaning it again is idle."""
    cleaned = sendable_value(value)
    assert orjson.dumps(cleaned)
    for text in texts_in(cleaned):
        text.encode()
        assert not UNSENDABLE.search(text)
    assert sendable_value(cleaned) == cleaned
