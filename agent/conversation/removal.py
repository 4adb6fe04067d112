"""What redaction found in one call, and what it puts in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from agent.conversation.contacts import long_numbers

CARD: Final = "[card number removed]"
EMAIL: Final = "[e-mail address removed]"
PHONE: Final = "[phone number removed]"
KEY: Final = "•"
"""In the place of a key that was part of a number."""
ECHO_DIGITS: Final = 7
"""As many digits of a number that was found elsewhere go, too. What may be shown of a card is
shorter: its first six and last four (PCI DSS 4.0, requirement 3.4.1)."""

# A country code has three digits at most, and what only some write is left out.
_CODE_DIGITS: Final = 4

Named = tuple[int, int, str]
"""From where to where, and what stands there instead."""


@dataclass(slots=True)
class Known:
    """The numbers found so far, whose parts are looked for elsewhere."""

    cards: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)

    def note_phone(self, text: str) -> None:
        """Note a phone number, without what only some write: "+", "00", a trunk's 0."""
        digits = "".join(letter for letter in text if letter.isdecimal()).lstrip("0")
        if len(digits) >= ECHO_DIGITS:
            self.phones.add(digits)

    def echoes(self, text: str) -> Iterator[Named]:
        """Find parts of what was found elsewhere."""
        if self.cards or self.phones:
            for number in long_numbers(text, ECHO_DIGITS):
                if label := self.label(number.digits):
                    yield number.start, number.end, label

    def label(self, digits: str) -> str | None:
        """What these digits are a part of."""
        if len(digits) < ECHO_DIGITS:
            return None
        if any(digits in card for card in self.cards):
            return CARD
        if any(_same_phone(phone, digits) for phone in self.phones):
            return PHONE
        return None


def merged(spans: Iterable[Named]) -> list[Named]:
    """Put spans in order; what overlaps becomes one."""
    row: list[Named] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        if row and start < row[-1][1]:
            row[-1] = (row[-1][0], max(end, row[-1][1]), row[-1][2])
        else:
            row.append((start, end, label))
    return row


def replaced(text: str, spans: Iterable[Named]) -> str:
    """Put the labels of ``merged`` spans in their places."""
    parts: list[str] = []
    since = 0
    for start, end, label in spans:
        parts += (text[since:start], label)
        since = end
    return "".join(parts) + text[since:]


def _same_phone(one: str, other: str) -> bool:
    """Whether two numbers differ in nothing but what leads from another country or town."""
    short, long = sorted((one, other), key=len)
    return long.endswith(short) and len(long) - len(short) <= _CODE_DIGITS
