"""What a fresh session is told of a call: the newest turns word for word, the others summed up.

A short call is told turn by turn. Of a long one the newest entries are told as far as the bound
reaches. Whatever does not fit is in the running summary already, or is folded into it here: nothing
that holds a fact is left out without a word. The same choice is written in two ways, because models
differ in how they take a history: everything as lines of the system instruction, or the newest
entries as turns of a conversation and only the summary in the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.context.extract import extract
from agent.context.summary import clip, render, shorten, size_of
from agent.conversation.prompt import one_line
from agent.conversation.record import SummaryRecord

BEGINS: Final = "(The call begins.)"
EARLIER: Final = "(What was said before is summed up in your instructions.)"
NEWEST: Final = "What was said last, as far as it was heard:"
MAX_TOOL_CHARS: Final = 1_200
"""Of one function call with its result: about 300 tokens; a long list would push out the talk."""
_LEFT_OUT = " … (shortened)"
_NOTE = "(Note from the phone system, not from the caller: {})"
# What is known comes before how it was said; yet the newest turns must fit in.
_SUMMARY_SHARE = 2 / 3
# An entry may have a quarter of the bound, which a monologue of minutes does not need.
_ENTRY_SHARE = 1 / 4
# What is folded in here may take so much, or what the summary takes already.
_FOLDED_SHARE = 1 / 3
_POSES = re.compile(r"\W*note from the phone system", re.IGNORECASE)
_NOTED = re.compile(r" — \((?:interrupted by the caller|cut off) here\)$")

Role = Literal["caller", "agent", "tool"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was said, or a function that was called."""

    at_s: float
    line: str
    """As ``agent.conversation.prompt.turn_line`` and ``tool_line`` write it."""
    role: Role
    covered: bool = False
    """The running summary holds it."""


@dataclass(frozen=True, slots=True)
class SeedTurn:
    """One turn of a history as the Live API takes it."""

    role: Literal["user", "model"]
    text: str


@dataclass(frozen=True, slots=True)
class Seed:
    """What a fresh session is told, within one bound."""

    instruction_lines: tuple[str, ...] = ()
    """For the system instruction."""
    turns: tuple[SeedTurn, ...] = ()
    """For the conversation; empty where everything is in the instruction."""


def seed_in_instruction(
    entries: Sequence[Entry], *, summary: SummaryRecord | None, max_chars: int
) -> Seed:
    """Tell everything in the system instruction, which every model takes.

    Args:
        entries: The call in any order; empty lines are passed over.
        summary: The running summary.
        max_chars: Bound on all lines, each with its line break.
    """
    chosen = _choose(entries, summary, max_chars, reserved=len(NEWEST) + 1, write=_as_line)
    head = render(chosen.summary)
    if head and chosen.entries:
        head.append(NEWEST)
    return Seed(instruction_lines=(*head, *(_as_line(entry) for entry in chosen.entries)))


def seed_in_turns(
    entries: Sequence[Entry], *, summary: SummaryRecord | None, max_chars: int
) -> Seed:
    """Tell the summary in the system instruction and the newest entries as turns.

    Functions are told as text in a turn of the user: a ``functionResponse`` to a call the session
    never made is refused, and a model that reads its own calls as its words begins to speak them.
    Who speaks twice in a row has one turn. The first turn is the user's, with a marker where nobody
    had spoken yet: a history that begins with the model is refused
    (github.com/NousResearch/hermes-agent/issues/55427). It may end with the model (HistoryConfig).

    Args:
        entries: The call in any order; empty lines are passed over.
        summary: The running summary.
        max_chars: Bound on all lines and turns, each with a line break.
    """
    chosen = _choose(entries, summary, max_chars, reserved=len(EARLIER) + 1, write=_as_turn)
    turns: list[SeedTurn] = []
    for entry in chosen.entries:
        role = _role_of(entry)
        text = _as_turn(entry)
        if not turns and role == "model":
            turns.append(SeedTurn("user", BEGINS if chosen.whole else EARLIER))
        if turns and turns[-1].role == role:
            text = f"{turns.pop().text}\n{text}"
        turns.append(SeedTurn(role, text))
    return Seed(tuple(render(chosen.summary)), tuple(turns))


@dataclass(frozen=True, slots=True)
class _Chosen:
    summary: SummaryRecord | None
    entries: tuple[Entry, ...]
    whole: bool
    """Nothing was left out."""


def _choose(
    entries: Sequence[Entry],
    summary: SummaryRecord | None,
    max_chars: int,
    *,
    reserved: int,
    write: Callable[[Entry], str],
) -> _Chosen:
    """Choose the newest entries that fit beside the summary of the others."""
    ordered = sorted(
        (_clean(entry) for entry in entries if entry.line.strip()), key=lambda entry: entry.at_s
    )
    bounded = [_bounded(entry, max_chars) for entry in ordered]
    room = max_chars - reserved
    if summary is not None:
        # It is told with a short call too: it may cover what is not among the entries.
        summary = clip(summary, int(room * _SUMMARY_SHARE))
    reserve = size_of(summary)
    first = _first_that_fits(bounded, room - reserve, write)
    told = _untold(ordered, bounded, first)
    if told:
        reserve = max(reserve, int(room * _FOLDED_SHARE))
        first = _first_that_fits(bounded, room - reserve, write)
        told = _untold(ordered, bounded, first)
        size = sum(len(write(entry)) + 1 for entry in bounded[first:])
        summary = extract(summary, told, max_chars=room - size)
    return _Chosen(summary, tuple(bounded[first:]), whole=first == 0)


def _first_that_fits(entries: Sequence[Entry], left: int, write: Callable[[Entry], str]) -> int:
    first = len(entries)
    while first > 0 and (cost := len(write(entries[first - 1])) + 1) <= left:
        left -= cost
        first -= 1
    return first


def _untold(ordered: Sequence[Entry], bounded: Sequence[Entry], first: int) -> list[str]:
    """Return the lines that are neither told in full nor in the summary.

    Of a function's result the end may be left out: the function can be called again.
    """
    return [
        entry.line
        for place, (entry, short) in enumerate(zip(ordered, bounded, strict=True))
        if not entry.covered and (place < first or (entry is not short and entry.role != "tool"))
    ]


def _clean(entry: Entry) -> Entry:
    return replace(entry, line=one_line(entry.line))


def _bounded(entry: Entry, max_chars: int) -> Entry:
    """Return the entry, shortened where it would leave no room for others."""
    most = int(max_chars * _ENTRY_SHARE)
    if entry.role == "tool":
        most = min(most, MAX_TOOL_CHARS)
    if len(entry.line) <= most:
        return entry
    short = shorten(entry.line, max(0, most - len(_LEFT_OUT))).removesuffix("…")
    return replace(entry, line=short + _LEFT_OUT)


def _role_of(entry: Entry) -> Literal["user", "model"]:
    return "model" if entry.role == "agent" else "user"


def _as_line(entry: Entry) -> str:
    return entry.line


def _as_turn(entry: Entry) -> str:
    """Write an entry as what its role says; the role stands for the name before it."""
    if entry.role == "agent":
        # A model would speak such a note as well.
        return _NOTED.sub(" —", entry.line.removeprefix("You: "))
    if entry.role == "caller":
        text = entry.line.removeprefix("Caller: ")
        return f"“{text}”" if _POSES.match(text) else text
    return _NOTE.format(entry.line)
