"""What a sentence says that must not be forgotten: numbers, names, dates, addresses, needs.

It is found without a model and in any language as far as digits, currencies and capitals go; what
needs words knows four languages (``phrases``). ``worth`` grades it, because on a long call small
talk is full of numbers and names as well: "my order number is 4711" is worth more than "it cost 30
euros on Monday", and that more than "we have two dogs".
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum
from typing import Final

from agent.context import phrases

AGENT_SAID: Final = "You said: "
"""Begins a fact that the caller did not tell; worth a grade less, a function may tell it again."""
RESULT_OF: Final = "Result of "
"""Begins what a function returned."""


class Kind(Enum):
    """What was found, and how much it is worth."""

    EMAIL = ("email", 4)
    NUMBER = ("number", 4)
    """A phone, order or customer number: long, or named as one."""
    SPELLED = ("spelled", 4)
    ADDRESS = ("address", 4)
    NAME = ("name", 4)
    """The caller says who they are."""
    KEYED = ("keyed", 3)
    """``my appointment is …``: a matter of the call and what it is."""
    RESULT = ("result", 3)
    DAY = ("day", 3)
    """A date with its month."""
    NEED = ("need", 3)
    MONEY = ("money", 2)
    DATE = ("date", 2)
    """A day of the week, a month."""
    TIME = ("time", 2)
    COUNT = ("count", 2)
    HOME = ("home", 2)
    DIGITS = ("digits", 1)
    CAPITAL = ("capital", 1)
    SOON = ("soon", 1)
    ANSWER = ("answer", 1)
    """The answer to a question of the agent's, whatever it is."""

    @property
    def worth(self) -> int:
        """From 1 (in passing) to 4 (who it is and how to find them)."""
        worth: int = self.value[1]
        return worth


@dataclass(frozen=True, slots=True)
class Specifics:
    """What one sentence holds."""

    worth: int
    """0: nothing; 4: nobody wants to be asked for it twice."""
    kinds: frozenset[Kind]
    tokens: frozenset[str]
    """Its numbers and names themselves, written so that they are known again."""
    key: str
    """What it is about (``order number``) where it says so; a newer value of it counts."""
    content: frozenset[str] = frozenset()
    """The longer words, which say what a sentence is about."""
    brief: bool = True
    """It has so few words that it says little without its question."""


_NOTHING = Specifics(0, frozenset(), frozenset(), "")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_SPOKEN_EMAIL = re.compile(
    r"\b\S+ (?:at|arroba|arobase) \S+(?: \S+)? (?:dot|punkt|punto|point) [a-z]{2,}\b", re.IGNORECASE
)
_MONEY = re.compile(r"[$€£¥₹]\s?\d[\d.,'’]*|\d[\d.,'’]*\s?[$€£¥₹]")
_CLOCK = re.compile(
    r"\b\d{1,2}(?:[:h]\d{2}\b|[:.]\d{2} ?(?=Uhr\b)|\s?(?:[ap]\.?m\b|h\b|heures?\b))", re.IGNORECASE
)
_DATE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{1,2}/\d{1,2}\b"
    r"|\b\d{1,2}\.\d{1,2}\."
)
# Groups of one number are apart by a space, a hyphen and the like; a comma begins the next number.
_NUMBER = re.compile(r"\+?\d(?:[ \-/.()]{0,2}\d)*")
_CODE = re.compile(r"\b(?:[A-Z]+-?\d|\d+-?[A-Z])[A-Z\d-]*\b")
_MEASURE = re.compile(r"\d+-?(?:KG|KM|CM|MM|AM|PM|GB|TB|MB|K|D|G|M|L|V|W)")
_SPELLED = re.compile(r"(?<![\w'’])[^\W\d_](?:[ .,-]{1,2}[^\W\d_](?![\w'’])){2,}")
_NOT_DIGIT = re.compile(r"\D+")
_DIGIT = re.compile(r"\d")
_SIGN = re.compile(r"[$€£¥₹]")
_EDGES = ".,;:!?…()[]{}\"'“”«»¿¡—-"
_ENDS = '.!?…:(“"¿¡'
_LONG_WORD = 4
_FEW_WORDS = 6
_MAX_READ = 512


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, in order."""
    return [word.casefold() for word in _WORD.findall(text)]


def told_by(tokens: Set[str], known: Set[str]) -> bool:
    """Whether all of these numbers and names are among the known ones.

    A part of a long number counts: people repeat the last digits.
    """
    return all(
        token in known or (len(token) >= _LONG_WORD and any(token in other for other in known))
        for token in tokens
    )


def specifics(text: str) -> Specifics:
    """Read one sentence, or one entry of a summary."""
    agents = text.startswith(AGENT_SAID)
    if agents:
        text = text.removeprefix(AGENT_SAID)
    words = words_of(text)
    if not words:
        return _NOTHING
    found = _Found(text, words)
    found.look()
    worth = max((kind.worth for kind in found.kinds), default=0)
    if agents and worth:
        worth = max(1, worth - 1)
    return Specifics(
        worth,
        frozenset(found.kinds),
        frozenset(found.tokens),
        found.key,
        frozenset(word for word in words if len(word) >= _LONG_WORD),
        len(words) <= _FEW_WORDS,
    )


class Reader:
    """Reads each text once, for as long as a call lasts: a summary is read again at every fold."""

    def __init__(self) -> None:
        self._read: dict[str, Specifics] = {}

    def __call__(self, text: str) -> Specifics:
        """Return what ``specifics`` returns."""
        read = self._read.get(text)
        if read is None:
            # Bound: more than any summary holds, with what was said since.
            while len(self._read) >= _MAX_READ:
                del self._read[next(iter(self._read))]
            read = self._read[text] = specifics(text)
        return read


class _Found:
    """Collects kinds and tokens of one sentence."""

    def __init__(self, text: str, words: list[str]) -> None:
        self._text = text
        self._words = words
        self._set = frozenset(words)
        self.kinds: set[Kind] = set()
        self.tokens: set[str] = set()
        self.key = ""

    def look(self) -> None:
        # Most words of a call are none of these; looking them up is cheaper than searching.
        if self._text.startswith(RESULT_OF):
            self.kinds.add(Kind.RESULT)
            # What was called and with what: a newer result of the same call counts.
            self.key = self._text.partition("): ")[0].casefold()
        rest = self._emails(self._text)
        if _DIGIT.search(rest) is not None:
            self._digits(rest)
        if not self._set.isdisjoint(phrases.DIGIT_WORDS):
            self._read_out()
        if said := self._set & phrases.NUMBER_WORDS:
            self._number_words(said)
        self._calendar()
        self._names()
        if not self.key:
            self._keys()
        if needs := self._set & phrases.NEEDS:
            self._add(Kind.NEED, *needs)
        elif not self._set.isdisjoint(phrases.LIVES) and phrases.HOME.search(self._text):
            self.kinds.add(Kind.HOME)
        if "? " in self._text:
            self.kinds.add(Kind.ANSWER)

    def _add(self, kind: Kind, *tokens: str) -> None:
        self.kinds.add(kind)
        self.tokens.update(tokens)

    def _take(self, pattern: re.Pattern[str], kind: Kind, text: str) -> str:
        """Note what matches as digits; return the text without it."""

        def note(match: re.Match[str]) -> str:
            self._add(kind, _NOT_DIGIT.sub("", match.group()))
            return " | "

        return pattern.sub(note, text)

    def _emails(self, text: str) -> str:
        if "@" in text:
            for match in _EMAIL.finditer(text):
                self._add(Kind.EMAIL, match.group().casefold())
            return _EMAIL.sub(" | ", text)
        if self._set.isdisjoint(phrases.DOTS):
            return text
        if (spoken := _SPOKEN_EMAIL.search(text)) is not None:
            self._add(Kind.EMAIL, spoken.group().casefold())
        return text

    def _digits(self, text: str) -> None:
        if any(word.endswith(phrases.STREETS) for word in self._words):
            match = phrases.ADDRESS.search(text)
            if match is not None:
                self._add(Kind.ADDRESS, match.group().casefold().strip())
        if _SIGN.search(text) is not None:
            text = self._take(_MONEY, Kind.MONEY, text)
        text = self._take(_DATE, Kind.DAY, text)
        if not self._set.isdisjoint(phrases.MONTHS):
            text = self._take(phrases.DAY_OF_MONTH, Kind.DAY, text)
        text = self._take(_CLOCK, Kind.TIME, text)
        for match in _CODE.finditer(text):
            code = match.group()
            if len(code) > _LONG_WORD - 1 and not _MEASURE.fullmatch(code):
                self._add(Kind.NUMBER, code.replace("-", "").casefold())
        for match in _NUMBER.finditer(text):
            digits = _NOT_DIGIT.sub("", match.group())
            self.tokens.add(digits)
            self.kinds.add(self._kind_of(digits))

    def _kind_of(self, digits: str) -> Kind:
        if self._set & phrases.MONEY:
            return Kind.MONEY
        if self._set & phrases.MONTHS:
            return Kind.DATE
        if len(digits) > 1 and _matter(self._words):
            return Kind.NUMBER
        counted = not self._set.isdisjoint(phrases.COUNTED)
        # Years and round numbers are told of anything; whoever reads one out names what it is of.
        idle = len(digits) == 4 and digits[:2] in {"19", "20"}
        if len(digits) >= 4 and not idle and not digits.endswith("00") and not counted:
            return Kind.NUMBER
        if self._set & phrases.CLOCK:
            return Kind.TIME
        return Kind.COUNT if counted else Kind.DIGITS

    def _number_words(self, said: Set[str]) -> None:
        kind = Kind.DIGITS
        for words, other in (
            (phrases.MONEY, Kind.MONEY),
            (phrases.MONTHS, Kind.DATE),
            (phrases.CLOCK, Kind.TIME),
            (phrases.COUNTED, Kind.COUNT),
        ):
            if not self._set.isdisjoint(words):
                kind = other
                break
        self._add(kind, *said)

    def _read_out(self) -> None:
        """Three digits in words, one after the other, are read out of something."""
        run, times = "", 1
        for word in [*self._words, ""]:
            digit = phrases.DIGIT_WORDS.get(word)
            if digit is not None:
                run += digit * times
                times = 1
            elif word in {"double", "triple"}:
                times = 2 if word == "double" else 3
            else:
                if len(run) >= 3:
                    self._add(Kind.NUMBER, run)
                run, times = "", 1

    def _calendar(self) -> None:
        if days := self._set & phrases.DAYS:
            self._add(Kind.DATE, *days)
        if soon := self._set & phrases.SOON:
            self._add(Kind.SOON, *soon)
        if {Kind.DATE, Kind.DAY} & self.kinds:
            self.tokens.update(self._set & phrases.MONTHS)
        if Kind.TIME not in self.kinds and self._set & phrases.CLOCK:
            self.kinds.add(Kind.TIME)

    def _names(self) -> None:
        if len([word for word in self._words if len(word) == 1]) >= 3:
            for match in _SPELLED.finditer(self._text):
                letters = [char for char in match.group() if char.isalpha()]
                if all(char.isupper() for char in letters):
                    self._add(Kind.SPELLED, "".join(letters).casefold())
        if not self._set.isdisjoint(phrases.NAMES) and phrases.NAME_SAID.search(self._text):
            self.kinds.add(Kind.NAME)
        names = self._capitals()
        if len(self._set & phrases.GERMAN) >= 2:
            # Every noun has a capital there; two in a row are mostly a name.
            names = {
                place: name for place, name in names.items() if {place - 1, place + 1} & {*names}
            }
        if names:
            self._add(Kind.CAPITAL, *names.values())

    def _capitals(self) -> dict[int, str]:
        """Return the words with a capital by their places, unless they begin a sentence."""
        found: dict[int, str] = {}
        before = "."
        for place, word in enumerate(self._text.split()):
            if before not in _ENDS and (word[0].isupper() or word[0] in _EDGES):
                name = word.strip(_EDGES)
                if name[:1].isupper() and name.casefold() not in phrases.NOT_NAMES:
                    found[place] = name.casefold()
            before = word[-1]
        return found

    def _keys(self) -> None:
        if (written := phrases.WRITTEN_KEY.match(self._text)) is not None:
            self._key(written[1], own=True)
            return
        if not self._set.isdisjoint(phrases.IS):
            for said in phrases.KEYED.finditer(self._text):
                if self._key(said[2], own=said[1].casefold() in phrases.OWN):
                    return
        if "? " in self._text:
            for asked in phrases.ASKED_KEY.finditer(self._text):
                if self._key(asked[2], own=True):
                    return

    def _key(self, key: str, *, own: bool) -> bool:
        parts = [word for word in words_of(key) if word not in phrases.KEY_FILLERS]
        matters = _matter(parts)
        if not parts or not (own or matters):
            return False
        self.key = " ".join(parts)
        self.kinds.add(Kind.KEYED if matters else Kind.ANSWER)
        return True


def _matter(words: list[str]) -> bool:
    """Whether these words name a matter of the caller's; German makes one word of two."""
    return any(word in phrases.MATTERS or word.endswith("nummer") for word in words)
