"""What the agent was told to remember: facts that live in the system instruction, never cut."""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.prompt import one_line
from agent.conversation.record import FactRecord

MAX_FACTS = 40
"""As many as an instruction can hold without burying the agent's own words (about 2,000 tokens)."""
MAX_KEY_CHARS = 60
MAX_VALUE_CHARS = 200
_QUOTES = str.maketrans({"“": "'", "”": "'"})


class Facts:
    """Pinned facts of one call, by key; the newest value of a key counts.

    Args:
        kept: Those from earlier streams of the call.
    """

    def __init__(self, kept: Sequence[FactRecord] = ()) -> None:
        self._facts = {fact.key.casefold(): fact for fact in kept[:MAX_FACTS]}
        self.version = 0
        """Counts changes."""

    @property
    def records(self) -> list[FactRecord]:
        """All facts, in the order in which their keys came up."""
        return list(self._facts.values())

    def remember(self, key: str, value: str, *, at_s: float) -> None:
        """Pin a fact.

        Raises:
            ValueError: key or value is empty, or there are too many facts; the text says which.
        """
        key, value = one_line(key), one_line(value)
        if not key or not value:
            raise ValueError(f"{'value' if key else 'key'} is empty")
        if len(key) > MAX_KEY_CHARS or len(value) > MAX_VALUE_CHARS:
            raise ValueError(
                f"key may have {MAX_KEY_CHARS} characters, value {MAX_VALUE_CHARS}: "
                f"they have {len(key)} and {len(value)}"
            )
        known = self._facts.get(key.casefold())
        if known is None and len(self._facts) >= MAX_FACTS:
            raise ValueError(f"{MAX_FACTS} facts are kept already; use one of their keys again")
        if known is None or known.value != value:
            self._facts[key.casefold()] = FactRecord(key, value, at_s)
            self.version += 1

    def lines(self) -> list[str]:
        """Return the facts as ``key: “value”``, one line each.

        A value may be what a caller said: between “ and ”, which it cannot contain, what reads like
        an order stays a value.
        """
        return [
            f"{fact.key.translate(_QUOTES)}: “{fact.value.translate(_QUOTES)}”"
            for fact in self._facts.values()
        ]
