"""How many tokens the model holds, how long until that is too much, and whether it has forgotten.

How it works. The server says what it held (``usageMetadata`` with a prompt count) once a turn, as
the turn ends: the prompt is what the turn was prompted with, and its answer becomes context after
it. What was said since is estimated, at rates per second of speech that are learned from the counts
themselves. Each exchange (the caller's turn and the answer to it) has its place in a ledger, for
the server cuts whole exchanges, oldest first, as a turn begins: that is foreseen, and the count at
the turn's end confirms it or takes it back. Nothing here is exact; each count puts right what was
estimated before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent import events
from agent.context.cuts import Cuts
from agent.context.growth import Growth
from agent.context.ledger import Ledger
from agent.context.memory import forgotten
from agent.context.rate import Rate
from agent.context.window import Window

CUT_NEAR_SHARE = 0.85
"""Of the trigger: time to write down what a cut would take. At the default trigger of 104,857
tokens the rest is some ten minutes of talk."""
FULL_SHARE = 0.9
"""Of the window. Past the window a session is closed (1007), and compression does not keep every
model below it (``cuts.py``)."""
START_TOKENS_PER_S = 28.0
"""Of either side's audio. Two figures are about: 25 (Live, sokuji) and 32 (Gemini in general);
between them the first guess is at most an eighth out."""
_CHARS_PER_TOKEN = 4
# What is out by less after a cut is an error of what is never cut, rather than of where it was cut.
_SMALL = 0.05


class Fill(StrEnum):
    """How full the context is."""

    EASY = "easy"
    CUT_NEAR = "cut_near"
    """The server will soon cut the oldest turns."""
    FULL = "full"
    """It nearly fills the window: the session has to be left."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a count of the server showed."""

    cut: tuple[int, int] | None = None
    """The server has cut the oldest turns: tokens before and after."""
    forgot: str | None = None
    """The session has lost its memory: a sentence for the operator."""


class ContextBudget:
    """Counts one call's context over all its connections.

    Args:
        window: Where the server cuts, and what it can hold.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._cuts = Cuts(window)
        self._growth = Growth()
        self._caller = Rate(START_TOKENS_PER_S)
        self._model = Rate(START_TOKENS_PER_S)
        self._most = 0.0
        # What is never cut: the system instruction and, unseen by us, the declared tools.
        self._fixed = 0.0
        self._instruction = 0.0
        # How much of it no count has confirmed.
        self._doubt = 0.0
        self._ledger = Ledger()
        # What a fresh session was told.
        self._seeded = 0.0
        # That, or what another worker's handle restored.
        self._uncounted = 0.0
        # What the newest handle stands for, and how much of it was counted; None: there is none.
        self._kept: tuple[float, ...] | None = None
        self._kept_counted = 0.0
        # Not in the ledger yet: heard of the caller, said by the model, told in words.
        self._heard_ms = 0.0
        self._spoken_ms = 0.0
        self._told = 0.0
        # Counted by the server for pieces of the answer (3.1).
        self._pieces = 0
        self._in_turn = False
        self._told_in_turn = 0.0
        # In the ledger and not counted yet: speech and words of the caller, answers.
        self._asked_ms = 0.0
        self._asked_text = 0.0
        self._answered_ms = 0.0
        self._counted = False
        # After a resume, until the first count: how much conversation it should hold.
        self._restored: float | None = None
        # What came and went otherwise than by talk; growth is what is left without it.
        self._jumped = 0.0

    @property
    def window(self) -> Window:
        """Where the server cuts, and what it can hold; another model has another."""
        return self._window

    @window.setter
    def window(self, window: Window) -> None:
        if window != self._window:
            self._window = window
            self._cuts = Cuts(window)

    @property
    def tokens(self) -> int:
        """What the model holds now, the speech and the answer under way included."""
        return round(max(0.0, self._now()))

    @property
    def most_tokens(self) -> int:
        """The most it has held."""
        return round(max(self._most, self._now()))

    @property
    def added_tokens(self) -> float:
        """What talk has added since the call began, whatever was cut or told since."""
        return self._now() - self._jumped

    @property
    def talk_tokens(self) -> float:
        """What of the context is neither instruction nor what a fresh session was told.

        By the size of these texts, not by counts: declared tools are taken for talk.
        """
        return max(0.0, self._now() - self._instruction - self._seeded)

    @property
    def caller_tokens_per_s(self) -> float:
        """Tokens for a second of the caller's speech."""
        return self._caller.per_s

    @property
    def model_tokens_per_s(self) -> float:
        """Tokens for a second of the model's audio."""
        return self._model.per_s

    # -- what happens --------------------------------------------------------------------------

    def connected(
        self,
        *,
        instruction: str,
        resumed: bool,
        seed: Sequence[str] = (),
        restored: Sequence[float] = (),
    ) -> None:
        """A connection serves.

        Args:
            instruction: Its system instruction, all of it.
            resumed: It restored the conversation as of the last ``handle_came``; else it holds the
                instruction and ``seed``.
            seed: What a fresh session is told outside its instruction, one text an exchange.
            restored: What a session holds that another worker's handle has restored: seconds of
                speech, one number an exchange. It counts as fresh: nothing of it was counted here.
        """
        before = self._now()
        if not resumed:
            self._ledger = Ledger(
                [*(_size(text) for text in seed), *(s * self._caller.per_s for s in restored)]
            )
            self._uncounted = self._ledger.total
            self._seeded = 0.0 if restored else self._ledger.total
            self._kept = None
            self._counted = False
        else:
            if self._kept is None:
                self.handle_came()
            self._ledger = Ledger(self._kept or ())
        self._restored = self._kept_counted if resumed and self._counted else None
        size = _size(instruction)
        self._instruct(size)
        if not resumed:
            self._doubt = size
        self._cuts.connected()
        self._in_turn = False
        self._heard_ms = self._spoken_ms = self._told = 0.0
        self._begin_count()
        self._jumped += self._now() - before

    def instruction_changed(self, instruction: str) -> None:
        """The system instruction was replaced on a living connection (``contextUpdate``)."""
        before = self._fixed
        self._instruct(_size(instruction))
        self._jumped += self._fixed - before

    def handle_came(self) -> None:
        """A resume restores the conversation as it is now, without what the caller is saying."""
        ledger = Ledger(self._ledger.sizes)
        ledger.grow(self._told + self._spoken_ms * self._model.per_ms)
        self._kept = ledger.sizes
        asked = self._asked_ms * self._caller.per_ms + self._asked_text
        answered = self._answered_ms * self._model.per_ms
        self._kept_counted = max(0.0, self._ledger.total - asked - answered)

    def caller_audio(self, speech_ms: float) -> None:
        """The caller spoke for so long; what a new connection is sent again counts again."""
        self._heard_ms += speech_ms

    def model_audio(self, audio_ms: float) -> None:
        """The model produced so much audio, heard or not."""
        self._spoken_ms += audio_ms

    def text(self, text: str) -> None:
        """The model was told something in words: results of functions, keys, notes."""
        size = _size(text)
        if self._in_turn:
            # The turn's count takes in what was told in the course of it.
            self._ledger.grow(size)
            self._told_in_turn += size
            self._asked_text += size
        else:
            self._told += size

    def turn_begins(self) -> None:
        """The model begins to answer the caller, or a text; here the server may cut.

        Going on after a function's result is no turn: it belongs to the one that called the
        function.
        """
        if self._in_turn and self._spoken_ms > 0:
            # An answer that ended without a count. After one it is the beginning of this answer.
            self._ledger.grow(self._spoken_ms * self._model.per_ms)
            self._answered_ms += self._spoken_ms
            self._spoken_ms = 0.0
        self._pieces = 0
        self._ask(self._heard_ms)
        self._most = max(self._most, self._now())
        before = self._held()
        self._cuts.turn_begins(self._ledger, self._fixed, self._now())
        self._jumped += self._held() - before

    def reported(self, usage: events.UsageReported) -> Reported:
        """Take in a count; those without a prompt are for pieces of audio (observed on 3.1)."""
        prompt = usage.prompt_tokens
        if prompt <= 0:
            self._pieces += max(0, usage.response_tokens)
            return Reported()
        if not self._in_turn:
            # A turn that nobody told us of, or its second count: was the caller's speech in it?
            speech = self._heard_ms * self._caller.per_ms
            in_it = prompt > self._held() + self._told + speech / 2
            self._ask(self._heard_ms if in_it else 0.0)
        before = self._held()
        cut = None
        forgot = self._forgotten(prompt)
        if forgot is None:
            cut = self._cuts.counted(self._ledger, self._fixed, prompt, self._told_in_turn)
        self._jumped += self._held() - before
        if forgot is None and cut is None:
            self._learn(prompt - self._held())
        self._settle(prompt - self._held(), cut=cut is not None)
        self._answered(usage.response_tokens)
        self._counted = True
        self._in_turn = False
        self._begin_count()
        self._most = max(self._most, self._now())
        return Reported(cut, forgot)

    # -- what is to be done about it -----------------------------------------------------------

    def fill(self) -> Fill:
        """Say how full the context is."""
        tokens = self._now()
        if tokens >= FULL_SHARE * self._window.window_tokens:
            return Fill.FULL
        trigger = self._window.trigger_tokens
        if trigger is not None and tokens >= CUT_NEAR_SHARE * trigger:
            return Fill.CUT_NEAR
        return Fill.EASY

    def left_s(self, now_s: float) -> float | None:
        """Say how long until the next cut, or else until the window is full; None while unknown.

        Goes by the growth of the last minutes, so it has to be asked now and then.

        Args:
            now_s: Seconds of the call.
        """
        tokens = self._now()
        limit = min(self._cuts.at_tokens, self._window.window_tokens)
        return self._growth.seconds_to(limit - tokens, self.added_tokens, now_s)

    # -- how -----------------------------------------------------------------------------------

    def _held(self) -> float:
        """What the model held as its turn began, and was told in the course of it."""
        return self._fixed + self._ledger.total

    def _now(self) -> float:
        said = self._heard_ms * self._caller.per_ms + self._spoken_ms * self._model.per_ms
        return self._held() + self._told + said

    def _instruct(self, size: float) -> None:
        # Tools are declared anew on each connection, and are the same.
        self._fixed = max(0.0, self._fixed + size - self._instruction)
        self._doubt += abs(size - self._instruction)
        self._instruction = size

    def _begin_count(self) -> None:
        self._asked_ms = self._asked_text = self._answered_ms = 0.0
        self._pieces = 0

    def _ask(self, heard_ms: float) -> None:
        """Take what was asked for the beginning of an exchange."""
        asked = heard_ms * self._caller.per_ms + self._told
        if asked > 0:
            self._ledger.add(asked)
        self._asked_ms += heard_ms
        self._asked_text += self._told
        self._heard_ms -= heard_ms
        self._told = self._told_in_turn = 0.0
        self._in_turn = True

    def _forgotten(self, prompt: int) -> str | None:
        restored, self._restored = self._restored, None
        if restored is None:
            return None
        trouble = forgotten(
            prompt,
            fixed=self._fixed,
            doubt=self._doubt,
            restored=restored,
            asked=self._ledger.newest,
            after_cut=self._cuts.left(self._ledger, self._fixed),
        )
        if trouble is not None:
            self._cuts.connected()
            self._ledger.keep_newest()
        return trouble

    def _learn(self, difference: float) -> None:
        """Learn the caller's rate from what was out, where nothing else can have been."""
        if not self._counted or self._doubt > 0:
            return
        speech = self._asked_ms * self._caller.per_ms
        # Words may be a quarter out, and an answer that was not counted may not all be kept.
        other = self._asked_text * 4 + self._answered_ms * self._model.per_ms * 10
        if other <= speech:
            self._caller.learn(speech + difference, self._asked_ms)

    def _settle(self, difference: float, *, cut: bool) -> None:
        """Let the prompt be what the server says: what was estimated takes the difference."""
        if cut:
            # The errors of what is gone went with it.
            share = 0.5 if abs(difference) < _SMALL * self._held() else 0.0
        else:
            other = self._ledger.newest if self._counted else self._uncounted
            share = self._doubt / (self._doubt + other) if self._doubt + other > 0 else 1.0
        fixed = max(-self._fixed, difference * share)
        put = self._ledger.grow if self._counted else self._ledger.scale
        fixed += put(difference - fixed)
        self._jumped += max(-self._fixed, fixed)
        self._fixed = max(0.0, self._fixed + fixed)
        self._doubt = 0.0

    def _answered(self, response: int) -> None:
        """Let the answer become context."""
        # The last count is of the whole answer or of its last piece.
        counted = response if response * 2 >= self._pieces else self._pieces
        plausible = counted > 0 and self._model.learn(counted, self._spoken_ms)
        self._ledger.grow(counted if plausible else self._spoken_ms * self._model.per_ms)
        self._spoken_ms = 0.0


def _size(text: str) -> float:
    return len(text) / _CHARS_PER_TOKEN
