"""A model server of a few lines and ninety minutes of talk with it, told to a budget as it goes.

The server is what the reference says of the real one, and knows nothing of how the budget counts:
it holds whole exchanges, cuts them as a turn begins, counts once a turn, restores what it was when
a handle was issued. Neither the caller's speech nor a function's result has the size that is seen
on our side. Time is a number; every 100 ms the budget is held against what the server holds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent import events
from agent.context.budget import ContextBudget
from agent.context.window import Window

STEP_MS = 100.0
_CHARS_PER_TOKEN = 4


@dataclass(slots=True)
class ModelServer:
    """What one session really holds."""

    window: Window
    caller_per_s: float
    model_per_s: float
    fixed: float = 0.0
    exchanges: list[float] = field(default_factory=list)
    hearing: float = 0.0
    """What it was asked and has not begun to answer."""
    answer: float = 0.0
    cuts: int = 0
    margin: float = float("inf")
    """How near to another outcome the newest turn's cut was: to the trigger, or to the target."""

    @property
    def held(self) -> float:
        return self.fixed + sum(self.exchanges)

    @property
    def tokens(self) -> float:
        return self.held + self.hearing + self.answer

    def begin_turn(self) -> None:
        self.exchanges.append(self.hearing)
        self.hearing = 0.0
        self.margin = float("inf")
        trigger, target = self.window.trigger_tokens, self.window.target_tokens
        if trigger is None or target is None:
            return
        self.margin = abs(self.held - trigger)
        if self.held <= trigger:
            return
        self.cuts += 1
        while len(self.exchanges) > 1 and self.held > target:
            self.margin = min(self.margin, self.held - target)
            del self.exchanges[0]
        self.margin = min(self.margin, abs(target - self.held))

    def end_turn(self, heard: float = 1.0) -> events.UsageReported:
        """Count; ``heard`` is the share of the answer that stays in the context."""
        prompt, answer = round(self.held), round(self.answer)
        self.exchanges[-1] += self.answer * heard
        self.answer = 0.0
        return events.UsageReported(prompt, answer, prompt + answer)


@dataclass(frozen=True, slots=True)
class Miss:
    """A moment at which the budget was more than a tenth out."""

    at_s: float
    tokens: int
    truth: float
    turn: int
    margin: float
    """How near to another outcome the newest cut was in which the two disagree."""

    @property
    def error(self) -> float:
        return abs(self.tokens - self.truth) / self.truth


@dataclass(frozen=True, slots=True)
class Talk:
    """How the two talk; chances are per exchange."""

    minutes: float = 90.0
    utterance_s: tuple[float, float] = (0.6, 12.0)
    answer_s: tuple[float, float] = (1.0, 20.0)
    view_ms: float = 40.0
    """Deviation of our view of an utterance from the server's."""
    hears_more_ms: float = 0.0
    """How much more of each utterance the server counts: it waits for a silence."""
    interrupted: float = 0.15
    uncounted: float = 0.3
    """Of those interrupted: there is no ``turnComplete``, so no count."""
    keeps: float = 1.0
    """Share of an interrupted answer that the server keeps."""
    tool: float = 0.12
    text: float = 0.03
    """The caller presses keys instead."""
    words_differ: float = 0.15
    """How differently the server counts words."""
    noise: float = 0.05
    """Our side takes a noise for speech."""
    handle: float = 0.9
    move_every_s: float = 540.0
    refill_every: int = 5
    tools_tokens: float = 0.0
    """Declarations, which only the server counts."""


class LongCall:
    """Runs a talk; ``misses`` and ``worst`` are what came of it."""

    def __init__(
        self, seed: int, window: Window, rates: tuple[float, float], talk: Talk | None = None
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.talk = talk or Talk()
        self.window = window
        self.rates = rates
        self.budget = ContextBudget(window)
        self.server = ModelServer(window, *rates)
        self.kept: list[float] = []
        self.now_s = 0.0
        self.moments = 0
        self.turns = 0
        self.cuts = 0
        self.moves = 0
        self.worst = 0.0
        """The largest error below a tenth."""
        self.misses: list[Miss] = []
        self.cuts_seen: list[tuple[int, int]] = []
        self.forgot: list[str] = []
        self._instruction_chars = 0
        self._moved_s = 0.0
        self._margin = float("inf")

    def run(self) -> None:
        for _ in self._talk():
            self.now_s += STEP_MS / 1000
            self.moments += 1
            truth = self.server.tokens
            error = abs(self.budget.tokens - truth) / truth
            if error <= 0.1:
                self.worst = max(self.worst, error)
                continue
            self.misses.append(
                Miss(self.now_s, self.budget.tokens, truth, self.turns, self._margin)
            )

    def missed_turns(self) -> dict[int, Miss]:
        """The first miss of each turn that has any."""
        return {miss.turn: miss for miss in reversed(self.misses)}

    def _chance(self, chance: float) -> bool:
        return self.random.random() < chance

    def _talk(self) -> Iterator[None]:
        self._connect(resumed=False)
        self.server.hearing += self._tell(60)
        yield from self._turn()
        while self.now_s < self.talk.minutes * 60:
            if self.now_s - self._moved_s > self.talk.move_every_s:
                self._move()
            if self._chance(self.talk.text):
                self.server.hearing += self._tell(200)
            else:
                yield from self._utterance()
                while self._chance(0.15):
                    yield from self._wait(1.0)
                    yield from self._utterance()
            yield from self._wait(self.random.uniform(0.3, 1.2))
            yield from self._turn()
            yield from self._wait(self.random.uniform(0.2, 2.0))
            if self._chance(self.talk.noise):
                self.budget.caller_audio(200)

    def _wait(self, seconds: float) -> Iterator[None]:
        for _ in range(round(seconds * 1000 / STEP_MS)):
            yield

    def _tell(self, chars: int) -> float:
        """Tell the model something in words, which it may count differently."""
        self.budget.text("x" * chars)
        differ = self.talk.words_differ
        return chars / _CHARS_PER_TOKEN * self.random.uniform(1 - differ, 1 + differ)

    def _utterance(self) -> Iterator[None]:
        seconds = self.random.uniform(*self.talk.utterance_s)
        seen = max(0.1, seconds + self.random.gauss(0.0, self.talk.view_ms / 1000)) / seconds
        left_ms = seconds * 1000
        while left_ms > 0:
            step = min(STEP_MS, left_ms)
            left_ms -= step
            self.server.hearing += step * self.rates[0] / 1000
            self.budget.caller_audio(step * seen)
            yield
        self.server.hearing += self.talk.hears_more_ms * self.rates[0] / 1000

    def _turn(self) -> Iterator[None]:
        server, budget, talk = self.server, self.budget, self.talk
        self.turns += 1
        cuts = server.cuts
        server.begin_turn()
        self.cuts += server.cuts - cuts
        budget.turn_begins()
        if abs(budget.tokens - server.tokens) > 0.1 * server.tokens:
            # A turn that no count corrects leaves its error to the next one.
            self._margin = min(self._margin, server.margin)
        if self.turns > 2 and self._chance(talk.tool):
            yield from self._speak(1.0)
            yield from self._wait(0.5)
            server.exchanges[-1] += self._tell(self.random.randint(20, 1_200))
            if self._chance(0.5):
                self._handle()
        seconds = self.random.uniform(*talk.answer_s)
        if not self._chance(talk.interrupted):
            began_s = self.now_s
            yield from self._speak(seconds)
            yield from self._wait(seconds - (self.now_s - began_s))
            self._count(server.end_turn())
        else:
            yield from self._speak(seconds * self.random.random())
            usage = server.end_turn(talk.keeps)
            if not self._chance(talk.uncounted):
                self._count(usage)
        if self._chance(talk.handle):
            self._handle()

    def _speak(self, seconds: float) -> Iterator[None]:
        """Produce audio at three times its length."""
        left_ms = seconds * 1000
        while left_ms > 0:
            piece_ms = min(3 * STEP_MS, left_ms)
            left_ms -= piece_ms
            self.server.answer += piece_ms * self.rates[1] / 1000
            self.budget.model_audio(piece_ms)
            yield

    def _count(self, usage: events.UsageReported) -> None:
        self._margin = float("inf")
        reported = self.budget.reported(usage)
        if reported.cut is not None:
            self.cuts_seen.append(reported.cut)
        if reported.forgot is not None:
            self.forgot.append(reported.forgot)

    def _handle(self) -> None:
        self.kept = list(self.server.exchanges)
        self.budget.handle_came()

    def _move(self) -> None:
        self.moves += 1
        self._moved_s = self.now_s
        # A session that gave no handle cannot be resumed.
        self._connect(resumed=bool(self.kept) and self.moves % self.talk.refill_every != 0)

    def _connect(self, *, resumed: bool) -> None:
        # It grows as the summary does, and may shrink again.
        self._instruction_chars = min(1_200 + 300 * self.moves, 4_000)
        if self._chance(0.2):
            self._instruction_chars -= 400
        seed = [] if resumed or not self.moves else ["x" * 240] * 8
        exchanges = self.kept if resumed else [len(text) / _CHARS_PER_TOKEN for text in seed]
        fixed = self._instruction_chars / _CHARS_PER_TOKEN + self.talk.tools_tokens
        self.server = ModelServer(self.window, *self.rates, fixed, list(exchanges))
        if not resumed:
            self.kept = []
        instruction = "x" * self._instruction_chars
        self.budget.connected(instruction=instruction, resumed=resumed, seed=seed)
