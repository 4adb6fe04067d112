"""Digits in texts, as people write and say them, and how far apart they stand.

Transcripts hold one number in many ways: ``4111 1111``, ``4111, 1111.``, ``four one double one``,
and its second half in the next turn. So the digits of one or several texts are read as one row of
pieces, each with the gap before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

Span = tuple[int, int]
"""From where to where in a text."""

_WORDS: Final = {
    "zero": "0",
    "oh": "0",
    "o": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_TIMES: Final = {"double": 2, "triple": 3}
# English alone: each further language has words that mean something else in another.
_WORD: Final = rf"(?:{'|'.join(_WORDS)})\b"
# For lower-case texts. It opens with what a piece may begin with, which makes it thrice as fast.
_PIECE: Final = re.compile(
    rf"(?=[\dzotfsedn])(?:\d+|\b(?:{'|'.join(_TIMES)})[\s-]{{1,3}}(?:\d(?!\d)|{_WORD})|\b{_WORD})"
)
_WORDS_IN_A_ROW: Final = re.compile(
    rf"(?=[zotfsedn])\b(?:(?:{'|'.join(_TIMES)})[\s-]{{1,3}})?{_WORD}[\s,.-]{{1,3}}"
    rf"(?:\d|{_WORD}|{'|'.join(_TIMES)})"
)
# How the groups of one number are written: a space, a dash, a dot, a slash; or what nobody sees.
_SPACE: Final = "[ \\u00a0\\u2007\\u2009\\u202f]"
_TIGHT: Final = re.compile(
    rf"(?:{_SPACE}?(?:[-‐-―−/·]{_SPACE}?|\.)?|[\u00ad\u200b-\u200f\u2060\ufeff]{{1,4}})"
)
# What else stands between them where one is read out, and between the numbers of a list. A colon
# does not: it makes a time.
_MARKS: Final = r"[\s\x00-\x1f.,;?!…\"'“”/()|_·\-‐-―−\u00ad\u200b-\u200f\u2060\ufeff]{0,8}"
_FILLERS: Final = (
    "and|then|dash|hyphen|space|uh|uhm|um|er|erm|ah|so|yes|yeah|okay|ok|sorry|wait|it's|it is|is"
)
_LISTED: Final = re.compile(rf"{_MARKS}(?:\b(?:{_FILLERS})\b{_MARKS}){{0,3}}", re.IGNORECASE)
# What is said around the parts of a number, by whoever reads it out and whoever takes it down.
_LOOSE: Final = re.compile(
    rf"(?:{_MARKS}\b(?:{_FILLERS}|the|a|i|i've|we|we've|you|my|your|that|that's|this|these|it|are|was|"
    r"have|has|got|comes|goes|go|on|ahead|first|second|third|fourth|next|last|final|finally|other|"
    r"one|ones|rest|part|group|digits?|numbers?|four|card|begins|starts|ends|ending|with|by|"
    r"followed|after|now|again|right|good|great|fine|thanks|thank|please|mm|hm|mhm|mm-hm|all|"
    rf"correct|just|continue)\b:?){{1,9}}{_MARKS}",
    re.IGNORECASE,
)
_LOOSE_CHARS: Final = 40
# Marks and fillers at their longest; a longer text need not be compared with them.
_FAR_CHARS: Final = 100
# Words, or their digits, do not go on with a group longer than this: "order 58348, one please".
_GROUP_DIGITS: Final = 4

# Digits that are no part of a longer number, whatever stands beside them: identifiers, dates, and
# numbers with a decimal mark or thousands.
_ALONE: Final = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9a-f]{32}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])(?=[0-9]{0,63}[a-f])[0-9a-f]{24,64}(?![0-9A-Za-z])"
    r"|(?<![\d.-])(?:19|20)\d\d-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])(?!\d|-\d)"
    r"|(?<![\d./-])(?:0?[1-9]|[12]\d|3[01])([./-])(?:0?[1-9]|[12]\d|3[01])\1(?:19|20)\d\d"
    r"(?![./-]?\d)"
    r"|(?<![\d.,])\d{1,3}(?:[.,]\d{3}){0,2}[.,]\d{1,2}(?!\d|[.,]\d)"
    r"|(?<![\d.,])\d{1,3}(?:[.,]\d{3}){1,2}(?!\d|[.,]\d)"
    r"|(?<![\d.,])\d{1,3}\.\d{5,}(?!\d|\.\d)"
    r"|(?<![\d.,])1\d{9}\.\d{1,9}(?!\d|\.\d)"
)


class Gap(IntEnum):
    """What lies between two pieces."""

    TIGHT = 0
    """What groups one number."""
    LISTED = 1
    """Other marks, and fillers: one number read out, or several in a list."""
    TURN = 2
    """No more than that, but the second piece is in a later text."""
    LOOSE = 3
    """A few words of those with which a number is read out."""
    WIDE = 4
    """Too much to be within one number."""


class Piece(NamedTuple):
    """Digits without anything between them."""

    text: int
    """Which text of the row."""
    start: int
    end: int
    digits: str
    gap: Gap
    """Before it."""


def read_pieces(texts: Sequence[str], *, loose: bool = False) -> list[Piece]:
    """Read the digits of texts that follow one another.

    Args:
        texts: In their order.
        loose: Pieces with a few words between them may belong together, too.
    """
    pieces: list[Piece] = []
    # What lies between the last piece and the text at hand.
    before = ""
    worded = False
    for number, text in enumerate(texts):
        end = 0
        for found in _PIECE.finditer(_lower(text)):
            start, word = found.start(), found.group()
            was_worded, worded = worded, not word.isdecimal()
            digits = _value(word) if worded or not word.isascii() else word
            gap = Gap.WIDE
            if pieces:
                last = pieces[-1]
                gap = _gap(before + text[end:start], loose=loose)
                if gap < Gap.TURN and last.text != number:
                    gap = Gap.TURN
                if worded != was_worded and max(len(last.digits), len(digits)) > _GROUP_DIGITS:
                    gap = Gap.WIDE
            end, before = found.end(), ""
            pieces.append(Piece(number, start, end, digits, gap))
        before = f"{before}{text[end:]}\n"[: _FAR_CHARS + 1]
    return pieces


def _gap(between: str, *, loose: bool) -> Gap:
    if _TIGHT.fullmatch(between):
        return Gap.TIGHT
    if len(between) > _FAR_CHARS:
        return Gap.WIDE
    if _LISTED.fullmatch(between):
        return Gap.LISTED
    # Not across what was taken out before: that holds no word of these.
    if loose and len(between) <= _LOOSE_CHARS and _LOOSE.fullmatch(between):
        return Gap.LOOSE
    return Gap.WIDE


def may_hold(text: str, digits: int) -> bool:
    """Whether a text may hold a number of so many digits; quicker than reading them."""
    if len(text) < digits:
        return False
    if not text.isascii() or sum(map(text.count, "0123456789")) >= digits:
        return True
    return _WORDS_IN_A_ROW.search(text.lower()) is not None


def joined(pieces: Sequence[Piece], widest: Gap = Gap.TIGHT) -> list[Piece]:
    """Join what stands together, so that each piece is a number."""
    numbers: list[Piece] = []
    for piece in pieces:
        if numbers and piece.gap <= widest:
            last = numbers[-1]
            numbers[-1] = last._replace(end=piece.end, digits=last.digits + piece.digits)
        else:
            numbers.append(piece)
    return numbers


def without_lone(pieces: Sequence[Piece], texts: Sequence[str]) -> list[Piece]:
    """Leave out digits that stand for themselves: identifiers, dates, amounts."""
    lone = [[found.span() for found in _ALONE.finditer(text)] for text in texts]
    kept: list[Piece] = []
    cut = False
    for piece in pieces:
        if any(since < piece.end and piece.start < until for since, until in lone[piece.text]):
            cut = True
            continue
        if cut:
            piece = piece._replace(gap=Gap.WIDE)
        kept.append(piece)
        cut = False
    return kept


def _value(word: str) -> str:
    if word.isdecimal():
        return word if word.isascii() else "".join(str(int(digit)) for digit in word)
    *times, last = word.replace("-", " ").split()
    digit = _WORDS.get(last) or str(int(last))
    return digit * (_TIMES[times[0]] if times else 1)


def _lower(text: str) -> str:
    """Return ``text`` in lower case, letter by letter where that would make it longer."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
