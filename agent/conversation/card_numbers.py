"""Which digits are a payment card's number.

13 to 19 digits whose check digit is right (ISO/IEC 7812-1, annex B: the Luhn formula). One number
in ten passes that by chance, so it is enough only for digits that stand by themselves, grouped as
one number. Among other digits (an expiry date behind it), read out with commas, or put together
from several turns, they must also be as long as the numbers of the network that their first digits
name. In doubt a number goes: a parcel's number that is missing costs less than a card's that stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from agent.conversation.digits import Gap, Piece, Span, read_pieces, without_lone

MIN_DIGITS: Final = 13
MAX_DIGITS: Final = 19
MAX_PHONE_DIGITS: Final = 15
"""ITU-T E.164, without the plus."""

# en.wikipedia.org/wiki/Payment_card_number (issuer identification numbers), as of 2026-11: Visa,
# Mastercard and Mir, American Express, Diners Club, JCB, Discover and UnionPay and RuPay, Maestro,
# RuPay, Troy.
_NETWORK: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|220[0-4]\d{13,15}|3[47]\d{13}"
    r"|3(?:0[0-5]|09|6\d|[89]\d)\d{11,16}|35\d{14,17}|6\d{15,18}|5[0678]\d{11,17}"
    r"|8[12]\d{14,17}|9792\d{12}"
)
# Glued to other digits (an expiry date and a code typed behind it).
_GLUED_DIGITS: Final = 16
_GLUED: Final = re.compile(r"(?:4|5[1-5]|2[2-7]|6)\d{14,15}|3[47]\d{13}")
# Nobody's: no network's numbers begin with 0, and with 1 only those of 15 digits (UATP). Seconds
# and milliseconds since 1970 begin with 1, and times such as 20261126101500 are no cards either.
_NOBODYS: Final = re.compile(
    r"0|1(?!\d{14}$)|20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{6}(?:\d{3})?$"
)
_TWICE: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# How cards are printed and read out; with words in between, only this makes one number of parts.
_PARTS: Final = re.compile(r"\d+|(?:[48] ){1,3}[48]|4 6 5")


def is_card_number(digits: str) -> bool:
    """Whether digits by themselves are to be taken for a card number."""
    return MIN_DIGITS <= len(digits) <= MAX_DIGITS and _luhn(digits) and not _NOBODYS.match(digits)


def find_cards(
    texts: Sequence[str], *, loose: bool = False
) -> tuple[dict[int, list[Span]], set[str]]:
    """Find the card numbers in texts that follow one another.

    Args:
        texts: In their order; a number may go on in the next one.
        loose: A number may also be read out in parts, with a few words in between.

    Returns:
        Where they stand, by the place of the text; and the numbers.
    """
    return cards_among(read_pieces(texts, loose=loose), texts)


def cards_among(
    pieces: Sequence[Piece], texts: Sequence[str]
) -> tuple[dict[int, list[Span]], set[str]]:
    """Find the card numbers in texts whose digits have been read."""
    hits, found = cards_in(pieces)
    if hits:
        # Rarely needed and slow: only now look for what is something else.
        pieces = without_lone(pieces, texts)
        hits, found = cards_in(pieces, _international(pieces, texts))
    spans: dict[int, list[Span]] = {}
    for hit in sorted(hits):
        piece = pieces[hit]
        row = spans.setdefault(piece.text, [])
        if piece.gap <= Gap.LISTED and hit - 1 in hits:
            row[-1] = (row[-1][0], piece.end)
        else:
            row.append((piece.start, piece.end))
    return spans, found


def _international(pieces: Sequence[Piece], texts: Sequence[str]) -> frozenset[int]:
    """Return the places of pieces behind a plus: there a phone number begins."""
    return frozenset(
        place
        for place, piece in enumerate(pieces)
        if texts[piece.text][: piece.start].rstrip(" (").endswith("+")
    )


def cards_in(
    pieces: Sequence[Piece], phones: frozenset[int] = frozenset()
) -> tuple[set[int], set[str]]:
    """Find the card numbers in a row of pieces; return their pieces' places, and each number.

    Args:
        pieces: Digits, in order.
        phones: Places at which a phone number begins.
    """
    hits: set[int] = set()
    found: set[str] = set()
    sure: set[int] = set()
    likely: list[tuple[range, str]] = []
    if sum(len(piece.digits) for piece in pieces) < MIN_DIGITS:
        return hits, found
    for first in range(len(pieces)):
        for row, digits, parts in _candidates(pieces, first):
            if first in phones and len(digits) <= MAX_PHONE_DIGITS:
                continue
            if _alone(pieces, row):
                if not _NOBODYS.match(digits):
                    hits.update(row)
                    found.add(digits)
                    if _NETWORK.fullmatch(digits):
                        sure.update(row)
            elif _NETWORK.fullmatch(digits) and _PARTS.fullmatch(parts):
                likely.append((row, digits))
        if len(pieces[first].digits) > _GLUED_DIGITS and (inner := _glued(pieces[first].digits)):
            hits.add(first)
            found.add(inner)
    for row, digits in likely:
        # With digits of a number that stands by itself, others make one only by chance.
        if sure.isdisjoint(row):
            hits.update(row)
            found.add(digits)
    return hits, found


def _candidates(pieces: Sequence[Piece], first: int) -> Iterator[tuple[range, str, str]]:
    """Join pieces from the ``first`` on: all that have a right length and check digit.

    With each comes how many digits there are between words, such as ``4 4 8``.
    """
    digits = ""
    parts: list[int] = []
    for last in range(first, len(pieces)):
        piece = pieces[last]
        if last == first or piece.gap is Gap.LOOSE:
            parts.append(0)
        elif piece.gap is Gap.WIDE:
            return
        digits += piece.digits
        parts[-1] += len(piece.digits)
        if len(digits) > MAX_DIGITS:
            return
        if len(digits) >= MIN_DIGITS and _luhn(digits):
            yield range(first, last + 1), digits, " ".join(map(str, parts))


def _alone(pieces: Sequence[Piece], row: range) -> bool:
    """Whether these pieces are grouped as one number and no others with them, or are one piece."""
    if len(row) == 1:
        return True
    after = pieces[row.stop].gap if row.stop < len(pieces) else Gap.WIDE
    return (
        all(pieces[place].gap is Gap.TIGHT for place in row[1:])
        and pieces[row.start].gap is not Gap.TIGHT
        and after is not Gap.TIGHT
    )


def _glued(digits: str) -> str | None:
    """Find the card number that digits without a gap begin or end with."""
    for size in (16, 15):
        for part in (digits[:size], digits[-size:]):
            if len(part) < len(digits) and _GLUED.fullmatch(part) and _luhn(part):
                return part
    return None


def _luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    total = sum(map(int, digits[-1::-2])) + sum(_TWICE[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0
