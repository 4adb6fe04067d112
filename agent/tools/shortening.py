"""Makes a JSON value short enough for a model, and says in it how much is missing.

A text ends at a word, a list after an item, a mapping keeps its small fields whole whatever their
order. Whatever is left out leaves a note in its place, so that a model knows that there was more.
"""

from __future__ import annotations

import json
from typing import Any, Final

# Room for a note: "… (12,345 more of 23,456 items left out)".
_NOTE_CHARS: Final = 60
# Not worth a note of the same length.
_LEAST_CHARS: Final = 2 * _NOTE_CHARS
# How far back from its end a text is cut for the sake of a word.
_WORD_CHARS: Final = 40


def size_of(value: Any) -> int:
    """How many characters a value takes as JSON."""
    return len(json.dumps(value, ensure_ascii=False))


def shorten(value: Any, room_chars: int) -> Any:
    """Return a JSON value that takes no more than so many characters, at least 120."""
    if size_of(value) <= room_chars:
        return value
    if isinstance(value, str):
        return _text(value, room_chars)
    if isinstance(value, list):
        return _list(value, room_chars)
    if isinstance(value, dict):
        return _mapping(value, room_chars)
    # A number is never as long.
    return None


def _text(text: str, room_chars: int) -> str:
    end = min(len(text), room_chars - _NOTE_CHARS)
    # Quotes, and characters JSON has to write otherwise, take more than they are.
    while end > 0 and (excess := size_of(text[:end]) - (room_chars - _NOTE_CHARS)) > 0:
        end -= max(1, excess // 2)
    end = max(end, 0)
    space = text.rfind(" ", max(0, end - _WORD_CHARS), end)
    if space > 0:
        end = space
    return f"{text[:end]}… ({len(text) - end:,} more characters left out)"


def _list(items: list[Any], room_chars: int) -> list[Any]:
    kept: list[Any] = []
    left = room_chars - _NOTE_CHARS - 2
    for item in items:
        size = size_of(item) + 2
        if size > left:
            if not kept and left >= _LEAST_CHARS:
                # The first tells what the others are like.
                kept.append(shorten(item, left - 2))
            break
        kept.append(item)
        left -= size
    missing = len(items) - len(kept)
    if missing:
        kept.append(f"… ({missing:,} more of {len(items):,} items left out)")
    return kept


def _mapping(fields: dict[Any, Any], room_chars: int) -> dict[Any, Any]:
    """Keep small fields, shorten large ones to equal shares, then leave out the last."""
    sizes = {key: size_of({key: item}) for key, item in fields.items()}
    left = room_chars - _NOTE_CHARS - 2
    # From the smallest on: what one does not need is there for the others.
    share = 0
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes.values()), strict=True):
        share = left // count
        if size > share:
            break
        left -= size
    share = max(share, _LEAST_CHARS)
    kept: dict[Any, Any] = {}
    left = room_chars - _NOTE_CHARS - 2
    for key, item in fields.items():
        if sizes[key] > share:
            item = shorten(item, max(_LEAST_CHARS, share - size_of(str(key)) - 4))
        size = size_of({key: item})
        if size > left:
            continue
        kept[key] = item
        left -= size
    missing = len(fields) - len(kept)
    if missing:
        kept["…"] = f"({missing:,} more of {len(fields):,} fields left out)"
    return kept
