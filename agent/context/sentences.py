"""Lines of a transcript cut into sentences short enough to be kept one by one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from agent.conversation.prompt import one_line

MAX_SENTENCE_CHARS: Final = 200
_NOTED = re.compile(r" — \((?:interrupted by the caller|cut off) here\)$")
_CALLED = re.compile(r"You called [^\s(]+\(")
_RESULT = "). Its result: "
_ARGUMENTS = json.JSONDecoder()
_BETWEEN = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_CLAUSES = re.compile(
    r"(?<=[,;:])\s+|\s+(?=(?:and|but|so|und|aber|pero|y|et|mais)\s)", re.IGNORECASE
)
# After these, and after a day of the month ("12. März"), a full stop ends no sentence.
_GOES_ON = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|st|no|nr|prof|sr|sra|mme|str|tel|bzw|z\.b|e\.g|\d{1,2})\.$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a transcript."""

    who: Literal["caller", "agent", "function"]
    sentences: tuple[str, ...] = ()
    """A function's is one: its result."""
    call: str = ""
    """The function and what it was called with."""


def read_line(line: str) -> Said | None:
    """Read a line as ``turn_line`` and ``tool_line`` write it; None where nothing was said."""
    line = one_line(line)
    if line.startswith("Caller: "):
        return Said("caller", tuple(sentences_of(_NOTED.sub("", line.removeprefix("Caller: ")))))
    if line.startswith("You: "):
        return Said("agent", tuple(sentences_of(_NOTED.sub("", line.removeprefix("You: ")))))
    return _read_call(line)


def _read_call(line: str) -> Said | None:
    if (called := _CALLED.match(line)) is None:
        return None
    try:
        # An argument may hold what a caller said, and read like a result: they are one JSON value.
        _, end = _ARGUMENTS.raw_decode(line, called.end())
    except (ValueError, RecursionError):
        return None
    if not line.startswith(_RESULT, end):
        return None
    call = line[len("You called ") : end + 1]
    return Said("function", (line[end + len(_RESULT) :],), call)


def sentences_of(text: str) -> list[str]:
    """Cut a text into sentences, and one that does not end into pieces at its clauses."""
    sentences: list[str] = []
    for part in _BETWEEN.split(text):
        if not part:
            continue
        if sentences and (_GOES_ON.search(sentences[-1]) or part[0].islower()):
            sentences[-1] += f" {part}"
        else:
            sentences.append(part)
    return [piece for sentence in sentences for piece in _pieces(sentence)]


def _pieces(sentence: str) -> list[str]:
    """Some callers, and some transcripts, know no full stop."""
    if len(sentence) <= MAX_SENTENCE_CHARS:
        return [sentence]
    pieces: list[str] = []
    for clause in _CLAUSES.split(sentence):
        for words in _wrapped(clause):
            if pieces and len(pieces[-1]) + 1 + len(words) <= MAX_SENTENCE_CHARS:
                pieces[-1] += f" {words}"
            else:
                pieces.append(words)
    return pieces


def _wrapped(clause: str) -> list[str]:
    lines: list[str] = []
    for word in clause.split():
        # Of a word longer than any the rest is told apart, rather than not at all.
        for begin in range(0, len(word), MAX_SENTENCE_CHARS):
            part = word[begin : begin + MAX_SENTENCE_CHARS]
            if lines and len(lines[-1]) + 1 + len(part) <= MAX_SENTENCE_CHARS:
                lines[-1] += f" {part}"
            else:
                lines.append(part)
    return lines
