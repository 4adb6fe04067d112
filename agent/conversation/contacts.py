"""Where a text holds an e-mail address or a phone number.

Neither has a check digit, so a phone number is known by its shape (``+``, a trunk prefix and
groups, three-three-four) or by the word before it ("my mobile is"); ten digits by themselves may be
an order's number and are none. In doubt an address is one: it is only looked for where asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agent.conversation.digits import Gap, Piece, Span, joined, may_hold, read_pieces, without_lone

# Seven: a number without its area code. Fifteen: ITU-T E.164.
MIN_DIGITS: Final = 7
MAX_DIGITS: Final = 15

# RFC 5321, section 4.5.3.1: 64 characters before the "@".
_LOCAL: Final = re.compile(r"[\w.+%'-]{1,64}\Z")
_DOMAIN: Final = re.compile(r"(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{1,59}|[^\W\d_]{2,24})\b")
# As it is spelt: "anna dot smith at example dot com". The endings are those people have; a word
# such as "us" before the "at" makes it the address of a site.
_ENDING: Final = (
    r"(?:com|org|net|edu|gov|info|biz|io|co|me|ai|eu|uk|us|ca|au|in|de|at|ch|fr|es|it|nl)"
)
_SPELT_ENDING: Final = re.compile(rf"(?:\bdot\s{{1,3}}|\.){_ENDING}\b", re.IGNORECASE)
_SPELT: Final = re.compile(
    r"\b(?:\w{1,40}\s{1,3}(?:dot|point|underscore|dash|hyphen|plus)\s{1,3}){0,4}"
    r"(?!(?:us|me|it|look|is|site|website|online|page|find|visit|order|orders|shop|store)\s)"
    r"[\w.+-]{1,64}\s{1,3}at\s{1,3}(?:[\w-]{1,63}(?:\s{1,3}dot\s{1,3}|\.)){1,4}"
    rf"{_ENDING}(?:\s{{1,3}}dot\s{{1,3}}{_ENDING})?\b",
    re.IGNORECASE,
)

_PHONES: Final = (
    # ITU-T E.164: at most 15 digits; fewer than 8 behind a "+" are a sum or an extension.
    re.compile(r"(?<![\w+])\+\s?[(]?\d(?:[ .\-/()\u00a0]{0,3}\d){7,14}(?!\d)"),
    # The same with "00", which an order's number may begin with, too: so in groups, or long.
    re.compile(
        r"(?<![\w+.,-])(?<!\d:)00"
        r"(?:[1-9]\d{9,13}|[ .\-]?[1-9]\d{0,2}(?:[ .\-/()]{1,2}\d{1,12}){1,6})(?![\w:-]|[.,]\d)"
    ),
    # North America: three, three, four, as one writes them.
    re.compile(
        r"(?<![\w+.-])(?:1[ .\-])?(?:\([2-9]\d\d\)\s?|[2-9]\d\d(?P<mark>[ .\-]))\d{3}"
        r"(?(mark)(?P=mark)|[ .\-])\d{4}(?![\w-]|[.,]\d)"
    ),
    # A trunk prefix, then groups: "020 7946 0958", "(0171) 12 34 567", "06.12.34.56.78".
    re.compile(
        r"(?<![\w+.,-])(?<!\d:)(?:\(0\d{1,5}\)|0\d{1,5})[ .\-/]{1,3}\d{2,9}"
        r"(?:(?P<sep>[ .\-])\d{2,6}(?:(?P=sep)\d{2,4}){0,3})?(?![\w:-]|[.,]\d)"
    ),
)
_PHONE_DIGITS: Final = (range(8, 16), range(11, 18), range(10, 12), range(9, 13))
# Said before a number without a shape, in the same breath.
_CALLED: Final = re.compile(
    r"(?:\b(?:tele)?phones?|\bmobile|\bcell(?:phone)?|\btel|\bwhatsapp|\bfax|\bhandy|\btelefon\w*"
    r"|\bportable|\btéléphone|\bteléfono|\bmóvil|\bcellulare"
    r"|\b(?:call|reach|text|ring) (?:me|us|him|her|them)(?: back)?|\bcall ?back)"
    r"(?:(?!\b(?:calls?|order|code|ticket|reference|invoice|extension)\b)[^.!?\d]){0,30}\Z",
    re.IGNORECASE,
)
_CALLED_CHARS: Final = 60


def find_emails(text: str) -> Iterator[Span]:
    """Find e-mail addresses, written or spelt."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain:
            yield local.start(), domain.end()
        at = text.find("@", at + 1)
    if " at " in text.casefold() and _SPELT_ENDING.search(text):
        for found in _SPELT.finditer(text):
            yield found.span()


def find_phones(text: str, *, about: str = "") -> Iterator[Span]:
    """Find phone numbers by their shape, or by what is said before them; they may overlap.

    Args:
        text: Where to look.
        about: What stands before the text, such as its key.
    """
    numbers = long_numbers(text, MIN_DIGITS)
    if not numbers:
        return
    for shape, sizes in zip(_PHONES, _PHONE_DIGITS, strict=True):
        for match in shape.finditer(text):
            if sum(letter.isdecimal() for letter in match.group()) in sizes:
                yield match.span()
    for number in numbers:
        if len(number.digits) <= MAX_DIGITS:
            since = max(0, number.start - _CALLED_CHARS)
            before = f"{about.replace('_', ' ')}: {text[since : number.start]}"
            if _CALLED.search(before[-_CALLED_CHARS:].rstrip("+( ")):
                yield number.start, number.end


def long_numbers(text: str, least: int) -> list[Piece]:
    """Find the numbers of at least so many digits. Dates and amounts are none.

    Where several stand in a row they may be one that is read out, so all of them together are
    another one.
    """
    if not may_hold(text, least):
        return []
    pieces = read_pieces([text])
    if not any(len(row.digits) >= least for row in joined(pieces, Gap.LISTED)):
        return []
    # What stands for itself is rarely worth looking for, and slow to find.
    pieces = without_lone(pieces, [text])
    found = dict.fromkeys([*joined(pieces, Gap.LISTED), *joined(pieces)])
    return [number for number in found if len(number.digits) >= least]
