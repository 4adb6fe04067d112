"""Who is calling, as far as a sentence says it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.context import phrases

_MAX_WORDS = 5
_TITLES = frozenset({"mr", "mrs", "ms", "dr"})


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a sentence."""

    name: str
    said: bool
    """The caller said that it is theirs; else it may be something else ("I am Irish")."""


def name_in(sentence: str) -> Name | None:
    """Return the name by which a caller introduces themselves; None where they do not."""
    if (match := phrases.NAME_SAID.search(sentence)) is not None and (
        name := _name_at(sentence, match.end(), bare=True)
    ):
        return Name(name, said=True)
    if (match := phrases.NAME_SPEAKING.search(sentence)) is not None:
        return Name(match[1].strip(), said=True)
    if (match := phrases.NAME_HINTED.search(sentence)) is not None and (
        name := _name_at(sentence, match.end())
    ):
        return Name(name, said=False)
    return None


def name_answered(question: str, answer: str) -> str:
    """Return the name that answers a question for it; empty where it is none."""
    return _name_at(answer, 0) if phrases.NAME_ASKED.search(question) is not None else ""


def _name_at(sentence: str, start: int, *, bare: bool = False) -> str:
    """Return the name that begins at a place, of up to five words.

    Args:
        sentence: Of the caller.
        start: Where the name begins.
        bare: It must be a name, so two words are taken without capitals too, as some transcripts
            write it.
    """
    name: list[str] = []
    for word in sentence[start:].split():
        plain = word.strip(',.;:!?"“”')
        low = plain.casefold()
        if not plain[:1].isalpha() or low in phrases.NOT_NAMES:
            break
        if not plain[0].isupper():
            part = low in phrases.NAME_PARTS and bool(name)
            bold = bare and len(name) < 2 and low not in phrases.NAME_STOPS
            if not part and not bold:
                break
        name.append(plain)
        if len(name) == _MAX_WORDS or (word[-1] in ",.;:!?" and low not in _TITLES):
            break
    while name and name[-1].casefold() in phrases.NAME_PARTS:
        name.pop()
    return " ".join(name)
