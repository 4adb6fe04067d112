"""What must not be in a text, or in any other value, that goes to a model.

Whatever callers, tools, operators and models themselves write is data: it is cleaned where it
leaves for a Live connection, and where it comes from one.
"""

from __future__ import annotations

import re
from typing import Any, Final

UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of surrogate pairs, which end a session (observed: roomkit)."""

# Beside those, what poses as something else: Unicode's own line breaks (a caller's words as a new
# line), marks that turn the direction of what follows (U+202A to 202E, 2066 to 2069), and tags,
# which nobody sees and a model reads (U+E0000 to E007F).
_ODD: Final = re.compile(
    UNSENDABLE.pattern[:-1] + "\u2028-\u2029\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
# What a double holds exactly: JSON numbers are doubles to the API, and the record's encoder takes
# 64 bits at most.
_MAX_INTEGER: Final = 2**53
# No tool's schema is nested as deeply; the record's encoder stops at 254, Python at about 500.
_MAX_DEPTH: Final = 100


def sendable(text: str) -> str:
    """Return ``text`` with a space for each character that must not be in it."""
    return _ODD.sub(" ", text)


def sendable_value(value: Any, *, depth: int = 0) -> Any:
    """Return a JSON-like value that is safe to send and to store, keys included.

    Integers that JSON numbers do not hold become texts; what is nested beyond reason is cut off.
    """
    if isinstance(value, str):
        return sendable(value)
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        return str(value)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth >= _MAX_DEPTH:
        return "[nested too deeply]"
    if isinstance(value, dict):
        return {
            sendable(key) if isinstance(key, str) else key: sendable_value(item, depth=depth + 1)
            for key, item in value.items()
        }
    return [sendable_value(item, depth=depth + 1) for item in value]
