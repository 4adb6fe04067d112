"""The running summary without a model: sentences with facts, kept word for word.

How it works. Each sentence of the caller is read for what must not be forgotten (``specifics``) and
kept if it holds any; a short answer is kept together with the question it answers, since "4711." is
no fact without "What is your order number?". Of the agent the promises are kept, and what it
stated; of functions the results. Questions are open until the other side has answered. What was
said twice is kept once, and a corrected value replaces the old one where both say what they are the
value of. ``clip`` then keeps the bound by worth, so that an hour of small talk cannot push out what
the call is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from agent.context import phrases
from agent.context.names import name_answered, name_in
from agent.context.sentences import Said, read_line
from agent.context.specifics import (
    AGENT_SAID,
    RESULT_OF,
    Kind,
    Reader,
    Specifics,
    specifics,
    told_by,
    words_of,
)
from agent.context.summary import MAX_ENTRY_CHARS, clip, promise_worth, shorten
from agent.conversation.record import SummaryRecord

CALLER_ASKED: Final = "The caller asked: "
PUT_OFF: Final = "The caller asked and was put off: "
AGENT_ASKED: Final = "You asked: "
LATELY: Final = " — lately: "
"""Between what the caller wanted first and what they wanted last."""

_MAX_QUESTION_CHARS = 110
_MAX_WANT_CHARS = 180
_MAX_OPEN = 8
_LINES_AT_ONCE = 32
# Fewer everyday words tell no language from another.
_ENOUGH_WORDS = 6
# The call is in the instruction already.
_UNTOLD = "remember("


def extract(
    previous: SummaryRecord | None,
    lines: Sequence[str],
    *,
    max_chars: int,
    read: Reader | None = None,
) -> SummaryRecord:
    """Fold more of a call into its summary; ``turns`` stays the previous one's.

    Args:
        previous: The summary so far, of whatever making.
        lines: What was said since, oldest first, as ``agent.conversation.prompt.turn_line`` and
            ``tool_line`` write it; other lines are passed over.
        max_chars: Bound on the rendered summary.
        read: The call's own, which makes half of the work of a fold needless.
    """
    read = read or Reader()
    summary = previous or SummaryRecord()
    # Each fact is compared with those before it, so that all of a long call at once would take
    # seconds; clipped in between, its time grows with its length alone.
    for begin in range(0, max(len(lines), 1), _LINES_AT_ONCE):
        fold = _Fold(summary, read)
        for line in lines[begin : begin + _LINES_AT_ONCE]:
            said = read_line(line)
            if said is not None:
                fold.add(said)
        summary = clip(fold.summary(), max_chars, read=read)
    return summary


class _Facts:
    """Facts in the order in which they were told, none of them twice."""

    def __init__(self, kept: Sequence[str], read: Reader) -> None:
        self._read = read
        self._facts = {fact: read(fact) for fact in kept}

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(self._facts)

    @property
    def tokens(self) -> frozenset[str]:
        """All numbers and names that are kept."""
        return frozenset().union(*(read.tokens for read in self._facts.values()))

    def add(self, fact: str) -> None:
        """Keep a fact unless it is known; of the same thing the newer value counts."""
        read = self._read(fact)
        if not read.worth or self.knows(fact, read):
            return
        for known, other in list(self._facts.items()):
            # "My appointment is with Dr Weber" corrects no "my appointment is on Friday".
            if read.key and read.key == other.key and other.kinds - {Kind.ANSWER} <= read.kinds:
                del self._facts[known]
        self._facts[fact] = read

    def knows(self, fact: str, read: Specifics) -> bool:
        """Whether another fact says the same: its numbers and names, and mostly its words."""
        if fact in self._facts:
            return True
        if not read.tokens:
            return False
        return any(
            other.worth >= read.worth
            and told_by(read.tokens, other.tokens)
            and (read.brief or 2 * len(read.content & other.content) >= len(read.content))
            for other in self._facts.values()
        )


class _Fold:
    """Takes one line after the other."""

    def __init__(self, previous: SummaryRecord, read: Reader) -> None:
        self.read = read
        self._previous = previous
        self._caller = previous.caller
        self._wants = previous.wants
        self._facts = _Facts(previous.facts, read)
        self._promises = list(previous.promises)
        self._settled = [entry for entry in previous.open_points if not _is_fresh(entry)]
        """Open points that only their own words can close."""
        self._caller_asked = _fresh(previous.open_points, CALLER_ASKED)
        self._agent_asked = _fresh(previous.open_points, AGENT_ASKED)
        self._put_off = False
        self._words: Counter[str] = Counter()

    def add(self, said: Said) -> None:
        if said.who == "caller":
            self._caller_said(said.sentences)
        elif said.who == "agent":
            self._agent_said(said.sentences)
        elif not said.call.startswith(_UNTOLD):
            head = f"{RESULT_OF}{shorten(said.call, MAX_ENTRY_CHARS // 2)}: "
            self._facts.add(head + shorten(said.sentences[0], MAX_ENTRY_CHARS - len(head)))

    def summary(self) -> SummaryRecord:
        asked = [CALLER_ASKED + question for question in self._caller_asked]
        asked += [AGENT_ASKED + question for question in self._agent_asked]
        return replace(
            self._previous,
            caller=self._caller,
            wants=self._wants,
            facts=self._facts.kept,
            promises=tuple(self._promises),
            open_points=tuple([*self._settled, *asked][-_MAX_OPEN:]),
            language=self._language() or self._previous.language,
        )

    # The caller.

    def _caller_said(self, sentences: Sequence[str]) -> None:
        if self._caller_asked and self._put_off:
            self._settled += [PUT_OFF + question for question in self._caller_asked]
            self._caller_asked = []
        self._put_off = False
        question = self._agent_asked[-1] if self._agent_asked else ""
        for place, sentence in enumerate(sentences):
            self._words.update(words_of(sentence))
            asks = _asks(sentence)
            if place == 0 and question and not asks:
                self._answered(question, sentence)
            elif not asks:
                self._fact(sentence)
            elif len(words_of(sentence)) > 2:
                self._caller_asked.append(shorten(sentence, _MAX_QUESTION_CHARS))
                # "Can you deliver to 12 Baker Street?"
                if self.read(sentence).worth > 1:
                    self._fact(sentence)
            self._want(sentence)
        if not all(_asks(sentence) for sentence in sentences):
            self._agent_asked = []

    def _answered(self, question: str, answer: str) -> None:
        """Keep an answer, with its question where it says nothing without it."""
        read = self.read(answer)
        if read.brief and (name := name_answered(question, answer)):
            self._named(name)
        elif read.brief and phrases.NO.match(answer):
            return
        elif read.brief and not read.worth and phrases.YES.match(answer):
            # "Is it 12 Baker Street?" "Yes." Other questions are not worth their yes.
            if self.read(question).worth > 1:
                self._facts.add(f"{question} {answer}")
        elif Kind.NAME in read.kinds or read.key or not (read.brief or read.worth):
            self._fact(answer)
        elif not (read.tokens and self._facts.knows(answer, read)):
            self._name(answer)
            joined = f"{shorten(question, _MAX_QUESTION_CHARS)} {answer}"
            self._facts.add(shorten(joined, MAX_ENTRY_CHARS))

    def _fact(self, sentence: str) -> None:
        name = self._name(sentence)
        read = self.read(sentence)
        # Where a name is all it holds, it stands as the caller's.
        if not (name and read.kinds <= {Kind.NAME, Kind.CAPITAL, Kind.ANSWER}):
            self._facts.add(sentence)

    def _name(self, sentence: str) -> str:
        """Take down who is calling, if the sentence says so."""
        found = name_in(sentence)
        if found is None or (self._caller and not found.said):
            return ""
        self._named(found.name)
        return found.name

    def _named(self, name: str) -> None:
        known = set(words_of(self._caller))
        # "My name is Maria" does not make Maria Lopez lose her surname.
        if not known or not set(words_of(name)) <= known:
            self._caller = name

    def _want(self, sentence: str) -> None:
        if phrases.WANTS.search(sentence) is None:
            return
        want = shorten(sentence, _MAX_WANT_CHARS)
        first = self._wants.partition(LATELY)[0]
        if not first:
            self._wants = want
        elif want not in self._wants:
            self._wants = f"{shorten(first, _MAX_WANT_CHARS)}{LATELY}{want}"

    # The agent.

    def _agent_said(self, sentences: Sequence[str]) -> None:
        self._agent_asked = []
        puts_off = any(phrases.PUTS_OFF.search(sentence) for sentence in sentences)
        if puts_off and self._caller_asked:
            self._put_off = True
        elif not puts_off:
            self._caller_asked = []
            self._put_off = False
            told = self.read(" ".join(sentences)).content
            self._settled = [entry for entry in self._settled if not _answers(told, entry)]
        for sentence in sentences:
            if _asks(sentence):
                if len(words_of(sentence)) > 2:
                    self._agent_asked.append(shorten(sentence, MAX_ENTRY_CHARS // 2))
            elif phrases.PROMISE.search(sentence) is not None:
                self._promise(sentence)
            elif self.read(sentence).worth > 1:
                self._stated(sentence)

    def _promise(self, sentence: str) -> None:
        if promise_worth(sentence) < 2 and phrases.FILLER.search(sentence) is not None:
            return
        said = words_of(sentence)
        if all(said != words_of(promise) for promise in self._promises):
            self._promises.append(sentence)

    def _stated(self, sentence: str) -> None:
        """Keep what the agent says of its own; what it reads back is the caller's already."""
        read = self.read(sentence)
        known = self._facts.tokens | frozenset(words_of(self._caller))
        if not (read.tokens and told_by(read.tokens, known)):
            self._facts.add(AGENT_SAID + sentence)

    def _language(self) -> str:
        hits = {
            language: sum(self._words[word] for word in words)
            for language, words in phrases.EVERYDAY.items()
        }
        (best, most), (_, second) = Counter(hits).most_common(2)
        return best if most >= _ENOUGH_WORDS and most >= 2 * second else ""


def _asks(sentence: str) -> bool:
    return sentence.rstrip(" \"'”»)").endswith(("?", "？", "؟"))


def _is_fresh(entry: str) -> bool:
    return entry.startswith((CALLER_ASKED, AGENT_ASKED))


def _fresh(entries: Sequence[str], mark: str) -> list[str]:
    return [entry.removeprefix(mark) for entry in entries if entry.startswith(mark)]


def _answers(told: frozenset[str], entry: str) -> bool:
    """Whether a question put off is answered by now: most of its longer words come up again."""
    if not entry.startswith(PUT_OFF):
        return False
    words = specifics(entry.removeprefix(PUT_OFF)).content
    return bool(words) and 2 * len(words & told) > len(words)
