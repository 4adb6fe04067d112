"""What is too long is cut where it is longest, at a seam, and says how much is missing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tools.shortening import shorten, size_of


def test_what_fits_is_the_same_object() -> None:
    """To the last character."""
    value = {"a": ["b", 1, None]}
    assert shorten(value, size_of(value)) is value


def test_text_ends_at_a_word_and_counts_the_rest() -> None:
    """Kept and missing characters add up."""
    text = "Two loaves of rye bread. " * 100
    short = shorten(text, 400)
    kept, missing = re.fullmatch(r"(.*)… \(([\d,]+) more characters left out\)", short).groups()  # type: ignore[union-attr]
    assert text.startswith(kept)
    assert text[len(kept)] == " "
    assert len(kept) + int(missing.replace(",", "")) == len(text)
    assert 300 < size_of(short) <= 400


def test_text_without_words_is_cut_between_characters() -> None:
    """Characters beyond the first 65,536 are whole, and those that JSON escapes count as such."""
    assert size_of(shorten("🍞" * 1_000, 300)) <= 300
    assert "\ufffd" not in shorten("🍞" * 1_000, 300).encode().decode()
    assert size_of(shorten('"\n' * 1_000, 300)) <= 300


def test_list_keeps_whole_items() -> None:
    """As many as there is room for, from the first on."""
    items = [{"number": number, "what": "rye bread"} for number in range(1_000)]
    *kept, note = shorten(items, 2_000)
    assert kept == items[: len(kept)]
    assert len(kept) > 30
    assert note == f"… ({1_000 - len(kept)} more of 1,000 items left out)"


def test_list_whose_first_item_is_too_long_shows_its_beginning() -> None:
    """Nothing at all would help nobody."""
    first, note = shorten(["word " * 500, "more"], 500)
    assert first.startswith("word word")
    assert note == "… (1 more of 2 items left out)"


def test_mapping_keeps_its_small_fields() -> None:
    """Also those behind the large one, which is what gets shortened."""
    value = {"page": "word " * 5_000, "status": "ready", "log": ["x" * 50] * 500, "price": 9.2}
    short = shorten(value, 2_000)
    assert list(short) == list(value)
    assert (short["status"], short["price"]) == ("ready", 9.2)
    assert "characters left out" in short["page"]
    assert "items left out" in short["log"][-1]
    # Both large fields get their share.
    assert abs(size_of(short["page"]) - size_of(short["log"])) < 200


def test_mapping_of_many_fields_says_how_many_are_missing() -> None:
    """A table by key is cut like a list."""
    value = {f"order {number}": "ready" for number in range(1_000)}
    short = shorten(value, 1_000)
    kept = len(short) - 1
    assert kept > 20
    assert short["…"] == f"({1_000 - kept} more of 1,000 fields left out)"


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=80), inner, max_size=8)
    ),
    max_leaves=30,
)


@given(values, st.integers(120, 600))
@pytest.mark.timeout(60)
def test_result_is_json_that_fits_and_of_the_same_kind(value: Any, room_chars: int) -> None:
    """Whatever the value and the room."""
    short = shorten(value, room_chars)
    assert size_of(short) <= room_chars
    assert type(short) is type(value)
    assert json.loads(json.dumps(short)) == short
