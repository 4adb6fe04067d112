"""The twin's summary holds what the quoted lines say, in the shape that was asked for."""

from __future__ import annotations

import json
from typing import Any

from workers.twin.text_model.summarise import earlier, summarise

LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "caller": {"type": "string"},
        "wants": {"type": "string"},
        "facts": LIST,
        "promises": LIST,
        "open_points": LIST,
        "language": {"type": "string"},
    },
}
CALL = """Summarise this call.
Caller: Hello, my name is Ada Lovelace. I would like to change an order.
You: Of course. What is its number?
  > Caller: It is 4711. My cat is ill. Lovely weather.
You: I will call you back on Monday. Is there more?
"Caller: When do you open?"
"""


def test_every_field_is_filled_from_the_lines() -> None:
    """Lines may be indented or quoted; small talk is left out."""
    assert summarise(CALL, SHAPE) == {
        "caller": "Ada Lovelace",
        "wants": "I would like to change an order.",
        "facts": ["Hello, my name is Ada Lovelace.", "It is 4711.", "My cat is ill."],
        "promises": ["I will call you back on Monday."],
        "open_points": ["When do you open?"],
        "language": "en",
    }


def test_earlier_summary_is_folded_in() -> None:
    """What was known stays, whether it is said again or not."""
    before = summarise(CALL, SHAPE)
    prompt = f"So far: {json.dumps(before)}\nCaller: My dog is Rex.\nCaller: It is 4711.\n"
    after = summarise(prompt, SHAPE)
    assert after["facts"] == [*before["facts"], "My dog is Rex."]
    assert (after["caller"], after["promises"]) == (before["caller"], before["promises"])


def test_newest_earlier_summary_counts() -> None:
    """JSON of another kind, such as a tool's result, is not taken for a summary."""
    prompt = (
        '{"caller": "Ann"} {"caller": "Ada"}\nYou called f({"a": 1}). Its result: {"caller": 1, '
        '"x": 2}'
    )
    assert earlier(prompt, SHAPE) == {"caller": "Ada"}


def test_shape_decides_the_types() -> None:
    """Other names and types of fields get a value that fits."""
    pairs = {
        "type": "array",
        "maxItems": 1,
        "items": {"type": "object", "properties": {"key": {}, "value": {}}},
    }
    shape = {
        "properties": {
            "who": {"type": "STRING"},
            "key_facts": pairs,
            "turns": {"type": "integer"},
            "settled": {"type": "boolean"},
            "about": {"type": "object", "properties": {"purpose": {"type": "string"}}},
        }
    }
    assert summarise(CALL, shape) == {
        "who": "Ada Lovelace",
        "key_facts": [{"key": "said", "value": "Hello, my name is Ada Lovelace."}],
        "turns": 0,
        "settled": False,
        "about": {"purpose": "I would like to change an order."},
    }


def test_numbers_with_a_point_stay_whole() -> None:
    """A sentence does not end inside an amount or an address."""
    found = summarise("Caller: I paid 12.50 to a.b@mail.example. Thanks.", SHAPE)
    assert found["facts"] == ["I paid 12.50 to a.b@mail.example."]


def test_notes_in_lines_are_folded_in() -> None:
    """A prompt may quote the notes so far line by line, each as a JSON string."""
    prompt = """You keep notes. Between the marks stand the notes so far:
DATA
"Notes so far: Who is calling: “Ada”"
"Notes so far: Facts, older first:"
"Notes so far: - “Order: 4711”"
"Notes so far: - “Floor: 3”"
"Notes so far: You have promised:"
"Notes so far: - “A call on Monday”"
"Notes so far: Spoken language: “de”"
"Caller: They said \\"yes\\" to 12 euros. And my floor is 4."
"You called find_order({\\"id\\": 1}). Its result: {\\"total\\": \\"12.50\\"}"
DATA"""
    found = summarise(prompt, SHAPE)
    assert found == {
        "caller": "Ada",
        "wants": "",
        "facts": [
            "Order: 4711",
            "Floor: 3",
            'They said "yes" to 12 euros.',
            "And my floor is 4.",
            'find_order: {"total": "12.50"}',
        ],
        "promises": ["A call on Monday"],
        "open_points": [],
        "language": "en",
    }


def test_bound_of_the_prompt_is_kept() -> None:
    """What holds no number goes first, and the first and newest stay longest."""
    told = "\n".join(f"Caller: My thing is {'x' * 20}{n:c}." for n in range(97, 117))
    prompt = f"Write at most 600 characters.\nCaller: It is 4711.\n{told}\nCaller: It is 4712."
    found = summarise(prompt, SHAPE)
    assert len(json.dumps(found)) <= 600
    assert found["facts"][:2] == ["It is 4711.", f"My thing is {'x' * 20}a."]
    assert found["facts"][-2:] == [f"My thing is {'x' * 20}t.", "It is 4712."]
    assert 8 < len(found["facts"]) < 22
