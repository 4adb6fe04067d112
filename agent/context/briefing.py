"""What a person who takes a call over is told before they are connected: one spoken paragraph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agent.context.extract import AGENT_ASKED, CALLER_ASKED, LATELY, PUT_OFF, extract
from agent.context.specifics import AGENT_SAID, RESULT_OF, Reader, words_of
from agent.context.summary import promise_worth, shorten
from agent.conversation.prompt import one_line, turn_line
from agent.conversation.record import FactRecord, SummaryRecord, TurnRecord

MAX_BRIEFING_CHARS: Final = 600
"""About 40 seconds of speech, while the caller waits."""
NOTHING_KNOWN: Final = "A caller is on the line. Nothing is known about them yet."

_MAX_REASON_CHARS = 100
_MAX_WANTS_CHARS = 160
_MAX_ITEM_CHARS = 130
# Of what is left after who is calling and what they want. Facts come first, and may not take all.
_FACTS_SHARE = 0.6
_PROMISES_SHARE = 0.6
# Whatever a speaking voice would read out, or take for markup (SSML, Markdown). The at sign and the
# point are read in addresses, the slash in dates, the hyphen in numbers.
_UNSPOKEN = re.compile(r"[*_#`~<>|{}\[\]\\^=“”„«»\"…]+")
_FULL_SUMMARY = 8_000


def briefing(
    summary: SummaryRecord | None,
    facts: Sequence[FactRecord],
    turns: Sequence[TurnRecord],
    *,
    reason: str = "",
) -> str:
    """Return one paragraph of at most ``MAX_BRIEFING_CHARS`` that can be spoken as it is.

    Args:
        summary: The running summary; None where there is none yet.
        facts: What the agent was told to remember; told before the facts of the summary.
        turns: The last turns, at least those the summary does not cover.
        reason: Why the call is handed over, in the agent's words.
    """
    read = Reader()
    lines = [line for turn in turns if (line := turn_line(turn))]
    told = extract(summary, lines, max_chars=_FULL_SUMMARY, read=read)
    paragraph = _Paragraph()
    if text := _spoken(reason, _MAX_REASON_CHARS):
        paragraph.add(f"Reason for this transfer: {text}.")
    if text := _spoken(told.caller, _MAX_ITEM_CHARS):
        paragraph.add(f"{text} is calling.")
    first, _, last = told.wants.partition(LATELY)
    for label, want in (("What they want", first), ("Lately", last)):
        if text := _spoken(want, _MAX_WANTS_CHARS):
            paragraph.add(f"{label}: {text}.", said=text)
    known = [f"{fact.key}: {fact.value}" for fact in facts]
    ranked = [fact for fact in told.facts if not fact.startswith(RESULT_OF)]
    # The sort is stable: of equals the older is told first.
    ranked.sort(key=lambda fact: -read(fact).worth)
    paragraph.add_list("Known", [*known, *(_in_words(fact) for fact in ranked)], _FACTS_SHARE)
    promises = sorted(told.promises, key=lambda promise: -promise_worth(promise, read))
    paragraph.add_list("The agent promised", promises, _PROMISES_SHARE)
    paragraph.add_list("Still open", [_in_words(point) for point in told.open_points[::-1]], 1.0)
    if paragraph.is_empty:
        words = next((turn.heard for turn in reversed(turns) if turn.speaker == "caller"), "")
        text = _spoken(words, _MAX_WANTS_CHARS)
        return f"A caller is on the line. They said last: {text}." if text else NOTHING_KNOWN
    return paragraph.text


class _Paragraph:
    """Sentences, as many as there is room for."""

    def __init__(self) -> None:
        self.text = ""
        self._said: set[tuple[str, ...]] = set()

    @property
    def is_empty(self) -> bool:
        return not self.text

    @property
    def _left(self) -> int:
        return MAX_BRIEFING_CHARS - len(self.text) - bool(self.text)

    def add(self, sentence: str, *, said: str = "") -> None:
        """Add a sentence if there is room; what it ``said`` is in no list after it."""
        sentence = _one_full_stop(sentence)
        if len(sentence) <= self._left:
            self.text = f"{self.text} {sentence}".strip()
            self._said.add(tuple(words_of(said)))

    def add_list(self, label: str, items: Sequence[str], share: float) -> None:
        """Add what fits of a list into this share of the room that is left."""
        room = int(self._left * share)
        chosen: list[str] = []
        size = len(label) + 3
        for item in items:
            text = _spoken(item, _MAX_ITEM_CHARS)
            said = tuple(words_of(text))
            # The next one may be shorter.
            if not said or said in self._said or size + len(text) + 2 > room:
                continue
            self._said.add(said)
            chosen.append(text)
            size += len(text) + 2
        if chosen:
            self.add(f"{label}: {'; '.join(chosen)}.")


def _in_words(entry: str) -> str:
    """Return an entry of the summary as one says it to somebody else."""
    for mark, words in (
        (AGENT_SAID, "the agent said, "),
        (PUT_OFF, "the caller asked, "),
        (CALLER_ASKED, "the caller asked, "),
        (AGENT_ASKED, "the agent asked, "),
    ):
        if entry.startswith(mark):
            return words + entry.removeprefix(mark)
    return entry


def _spoken(text: str, max_chars: int) -> str:
    """Return a text without what a voice would read out, and without its full stop."""
    text = _UNSPOKEN.sub(" ", one_line(text).replace("&", " and "))
    return shorten(" ".join(text.split()), max_chars).rstrip("….,;: ")


def _one_full_stop(sentence: str) -> str:
    return re.sub(r"([?!])\.$", r"\1", sentence)
