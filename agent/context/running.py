"""When the running summary of a call is brought up to date, and what of an answer is taken.

How it works. After every few turns, or at once when the server is about to cut, what was said since
is folded into the summary. A text model does that where one is configured, one request at a time;
until it answers, and whenever it fails, the last good summary counts. After a failure it is left
alone for two turns. After three in a row, or where a cut is near, what was said is folded in
without it (``extract``), so that memory never waits for an ill model; it is asked again later, less
often the longer it stays ill. Without a text model every fold is made in that way, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.context.asking import SummaryEmpty, SummaryRejected, accept, ask, parse
from agent.context.extract import extract
from agent.context.specifics import Reader
from agent.context.summary import is_empty
from agent.conversation.record import SummaryMade, SummaryRecord
from agent.spec import SummarySettings

RETRY_TURNS: Final = 2
MAX_FAILURES: Final = 3
MAX_LEFT_ALONE: Final = 8
"""Folds made without a model that keeps failing, before it is asked again: about ten minutes."""
MAX_ASKED_CHARS: Final = 24_000
"""Of transcript in one request. After a long failure, or at a takeover, the older part is folded in
without the model, which would take minutes over all of it."""
MAX_MADE: Final = 200
BY_EXTRACT: Final = "extract"

Failure = Literal["failed", "timeout", "discarded"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the text model."""

    prompt: str
    previous: SummaryRecord | None
    """What the model was told is known; its answer must know it still."""
    lines: tuple[str, ...]
    """All that is to be folded in, more than the prompt holds where that was too much."""
    covered: int
    at_s: float
    urgent: bool
    """A cut is near: if the model fails, nobody waits for the next try."""


class RunningSummary:
    """Decides when the summary is brought up to date, and what of an answer is taken.

    Args:
        settings: How often, how long, how large.
        model: The text model's name; None: there is none.
        summary: The one from the call's checkpoint.
        on_made: Told of each attempt when it is over.
    """

    def __init__(
        self,
        settings: SummarySettings,
        *,
        model: str | None,
        summary: SummaryRecord | None = None,
        on_made: Callable[[SummaryMade], None] | None = None,
    ) -> None:
        self.summary = summary
        self.made: list[SummaryMade] = []
        """The newest ``MAX_MADE`` attempts."""
        self.tokens = 0
        """What the text model has cost."""
        self.version = 0
        """Changes when what ``render`` tells has changed."""
        self.asked: Asked | None = None
        """The request that is under way."""
        self._settings = settings
        self._model = model
        self._on_made = on_made
        self._read = Reader()
        self._turns = 0
        self._due_turns = settings.every_turns
        self._urgent = False
        self._failures = 0
        self._left_alone = 0

    @property
    def covered(self) -> int:
        """How many turns the summary covers."""
        return self.summary.turns if self.summary is not None else 0

    @property
    def due(self) -> bool:
        """Whether something ought to be folded in now; never while a request is under way."""
        return self.asked is None and (self._urgent or self._turns >= self._due_turns)

    def turn_over(self) -> None:
        """A turn of either side was completed."""
        self._turns += 1

    def cut_near(self) -> None:
        """The server will soon cut what is not in the summary."""
        self._urgent = True

    def begin(self, covered: int, lines: Sequence[str], *, at_s: float) -> Asked | None:
        """Fold lines in, or return what to ask the text model.

        Args:
            covered: How many turns the summary will cover.
            lines: What is to be folded in.
            at_s: Now.
        """
        assert self.asked is None
        urgent, self._urgent = self._urgent, False
        lines = tuple(line for line in lines if line.strip())
        if not lines:
            # Nothing of these turns was heard. The next turn asks again.
            return None
        backing_off = self._failures > 0 and self._turns < self._due_turns
        self._turns = 0
        self._due_turns = self._settings.every_turns
        if self._model is None or backing_off or self._left_alone > 0:
            # Told of a cut while an ill model is left alone, there is no time to try it.
            self._left_alone = max(0, self._left_alone - 1)
            self._extract(lines, covered, at_s)
            return None
        newest = _newest(lines)
        older = lines[: len(lines) - len(newest)]
        previous = self.summary
        if older:
            previous = self._extracted(older)
        prompt = ask(previous, newest, max_chars=self._settings.max_chars)
        self.asked = Asked(prompt, previous, lines, covered, at_s, urgent)
        return self.asked

    def answered(self, text: str, tokens: int, *, now_s: float) -> None:
        """The text model has answered the request that is under way."""
        asked = self.asked
        assert asked is not None
        try:
            answer = parse(text, max_chars=self._settings.max_chars)
            summary = accept(asked.previous, answer, max_chars=self._settings.max_chars)
        except SummaryRejected as error:
            if not (isinstance(error, SummaryEmpty) and self._nothing_to_say(asked)):
                self.failed("discarded", str(error), tokens=tokens, now_s=now_s)
                return
            summary = asked.previous or SummaryRecord()
        self.asked = None
        self._failures = 0
        self.tokens += tokens
        made = self._made(asked, "ok", now_s, tokens)
        self._keep(summary, asked.covered)
        self._tell(made)

    def failed(
        self,
        outcome: Failure,
        detail: str,
        *,
        now_s: float,
        tokens: int = 0,
        retryable: bool = True,
    ) -> None:
        """The request under way has brought nothing; the last good summary stays."""
        asked = self.asked
        assert asked is not None
        self.asked = None
        self.tokens += tokens
        self._tell(self._made(asked, outcome, now_s, tokens, detail))
        self._turns = 0
        self._failures += 1
        if not retryable:
            self._failures = max(self._failures, MAX_FAILURES)
        if self._failures >= MAX_FAILURES:
            ill_for = self._failures - MAX_FAILURES
            self._left_alone = min(2**ill_for, MAX_LEFT_ALONE) if retryable else MAX_LEFT_ALONE
        elif not (asked.urgent or self._urgent):
            self._due_turns = RETRY_TURNS
            return
        self._extract(asked.lines, asked.covered, now_s)

    def _nothing_to_say(self, asked: Asked) -> bool:
        """Whether a greeting and small talk are all there was."""
        return (asked.previous is None or is_empty(asked.previous)) and is_empty(
            self._extracted(asked.lines)
        )

    def abandoned(self) -> None:
        """Nobody waits for the request any more: the call is over."""
        self.asked = None

    def _extract(self, lines: Sequence[str], covered: int, at_s: float) -> None:
        summary = self._extracted(lines)
        made = SummaryMade(at_s, 0.0, "ok", covered - self.covered, BY_EXTRACT)
        self._keep(summary, covered)
        self._tell(made)

    def _extracted(self, lines: Sequence[str]) -> SummaryRecord:
        return extract(self.summary, lines, max_chars=self._settings.max_chars, read=self._read)

    def _keep(self, summary: SummaryRecord, covered: int) -> None:
        before = replace(self.summary or SummaryRecord(), turns=covered)
        self.summary = replace(summary, turns=covered)
        if self.summary != before:
            self.version += 1

    def _made(
        self,
        asked: Asked,
        outcome: Literal["ok"] | Failure,
        now_s: float,
        tokens: int,
        detail: str = "",
    ) -> SummaryMade:
        return SummaryMade(
            at_s=asked.at_s,
            took_s=now_s - asked.at_s,
            outcome=outcome,
            turns=asked.covered - self.covered,
            by=self._model or BY_EXTRACT,
            tokens=tokens,
            detail=detail,
        )

    def _tell(self, made: SummaryMade) -> None:
        self.made.append(made)
        del self.made[:-MAX_MADE]
        if self._on_made is not None:
            self._on_made(made)


def _newest(lines: Sequence[str]) -> Sequence[str]:
    """Return the newest lines that one request may hold, the last one in any case."""
    size, first = len(lines[-1]), len(lines) - 1
    while first > 0 and size + len(lines[first - 1]) <= MAX_ASKED_CHARS:
        first -= 1
        size += len(lines[first])
    return lines[first:]
