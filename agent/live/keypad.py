"""Keys the caller presses, gathered into one message to the model.

Each text sent to the model counts as a turn of the caller and may be answered at once, so a number
of ten digits must not become ten texts.
"""

from __future__ import annotations

PAUSE_S = 1.2
"""After the last key; slower than people type a number, quicker than they wait for an answer."""
MAX_KEYS = 64
_KEYS = frozenset("0123456789*#ABCD")


class Keypad:
    """Gathers keys until a pause, a hash or the bound."""

    def __init__(self) -> None:
        self._keys = ""
        self.deadline: float | None = None
        """When ``take`` returns the keys at the latest."""

    def press(self, key: str, now: float) -> None:
        """Note one key.

        Raises:
            ValueError: ``key`` is on no keypad (ITU-T Q.23).
        """
        if key not in _KEYS:
            raise ValueError(f"{key!r} is not a key")
        self._keys += key
        done = key == "#" or len(self._keys) >= MAX_KEYS
        self.deadline = now if done else now + PAUSE_S

    def take(self, now: float) -> str | None:
        """Return the gathered keys once the caller has stopped pressing, else None."""
        if self.deadline is None or now < self.deadline:
            return None
        keys, self._keys, self.deadline = self._keys, "", None
        return keys
