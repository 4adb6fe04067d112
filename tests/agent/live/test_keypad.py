"""Keys are gathered until the caller stops pressing."""

from __future__ import annotations

import pytest

from agent.live.keypad import MAX_KEYS, PAUSE_S, Keypad


def test_keys_are_told_together_after_a_pause() -> None:
    """A number is one message, not one per digit."""
    keypad = Keypad()
    for at, key in enumerate("123"):
        keypad.press(key, at * 0.5)
        assert keypad.take(at * 0.5 + 0.4) is None
    assert keypad.deadline == 1.0 + PAUSE_S
    assert keypad.take(1.0 + PAUSE_S) == "123"
    assert keypad.take(9.0) is None
    assert keypad.deadline is None


def test_hash_ends_a_number_at_once() -> None:
    """The hash key is how callers say that they are done."""
    keypad = Keypad()
    keypad.press("7", 0.0)
    keypad.press("#", 0.1)
    assert keypad.take(0.1) == "7#"


def test_keys_are_bounded() -> None:
    """Somebody leaning on a key does not grow a message for ever."""
    keypad = Keypad()
    for _ in range(MAX_KEYS):
        keypad.press("1", 0.0)
    assert keypad.take(0.0) == "1" * MAX_KEYS


def test_what_is_on_no_keypad_is_refused() -> None:
    """Only ITU-T Q.23 has keys."""
    with pytest.raises(ValueError, match="not a key"):
        Keypad().press("x", 0.0)
