"""What the callers of a load test do on the phone: a persona to the steps of its script."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from workers.loadtest.plan import LineTrouble, Persona
from workers.twin.caller import (
    HangUp,
    HoldFrames,
    Press,
    ReadSlowly,
    Say,
    Speak,
    Step,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)

FRAME_MS: Final = 20
QUESTION_MS: Final = (900, 2_500)
"""Longer than frames are ever withheld, so that its end is never late because of that."""
BARGE_IN_MS: Final = (900, 1_400)
HEARD_FIRST_MS: Final = (800, 1_800)
"""What they hear of an answer before they speak into it."""
HELD_MS: Final = (40, 120)
UNREAD_MS: Final = (200, 600)
# A greeting is slower than an answer: a first connection, and maybe a worker that is being started.
_GREETING_S: Final = 30.0
# After so long without a word they give up.
_PATIENCE_S: Final = 20.0
# An answer may be long, and have a reset in it.
_ANSWER_S: Final = 120.0
_PAUSE_S: Final = (0.3, 1.5)
_SILENT_S: Final = (3.0, 6.0)
# Shorter than any exchange of any persona: so many of them fill a stay.
_EXCHANGE_S: Final = 1.5
_TROUBLED: Final = 0.5
"""Chance of a trouble at each moment there is for one."""

# The recorded lines of the twin, for a model that understands. What they talk about matters little.
_QUESTIONS: Final = ("caller_hours", "caller_cake_pies", "caller_cake_fresh", "caller_cake_rye")
_LONG_QUESTIONS: Final = ("caller_hours",)
_BARGE_INS: Final = ("caller_barge", "caller_cake_call", "caller_cake_pies")


class Behaviour:
    """The choices of one caller.

    Args:
        chances: Where they come from; drawn from in the order of the steps.
        lines: What is wrong with the line; what is a step of the script is put in.
        coded: Whether they speak by numbers; else in recorded lines.
        stays_s: How long the script must at least last, if nobody hangs up before its end.
    """

    def __init__(
        self,
        chances: random.Random,
        lines: frozenset[LineTrouble],
        *,
        coded: bool,
        stays_s: float,
    ) -> None:
        self._chances = chances
        self._lines = lines
        self._coded = coded
        self._stays_s = stays_s

    def steps(self, persona: Persona) -> tuple[Step, ...]:
        """Return all that a persona does, from the ring until they hang up."""
        return (WaitStream(), *self._doings(persona), HangUp())

    def _doings(self, persona: Persona) -> Iterator[Step]:
        match persona:
            case Persona.SILENT:
                yield from self._silence()
                return
            case Persona.EARLY if self._chances.random() < 0.5:
                yield WaitAgentSpoke(self._ms(HEARD_FIRST_MS), _GREETING_S)
                return
        yield WaitAgentDone(timeout_s=_GREETING_S)
        match persona:
            case Persona.EARLY:
                yield self._words(_QUESTIONS, QUESTION_MS)
                yield WaitAgentSpoke(self._ms(HEARD_FIRST_MS), _PATIENCE_S)
            case Persona.INTERRUPT:
                yield from self._interruptions()
            case _:
                for _ in range(1 + int(self._stays_s / _EXCHANGE_S)):
                    yield from self._exchange(persona)

    def _exchange(self, persona: Persona) -> Iterator[Step]:
        if persona is Persona.KEYS:
            yield Press("".join(self._chances.choices("0123456789", k=self._chances.randint(1, 4))))
        else:
            lines = _LONG_QUESTIONS if persona is Persona.LISTEN else _QUESTIONS
            yield from self._held()
            yield self._words(lines, QUESTION_MS)
        yield WaitAgentStarts(_PATIENCE_S)
        yield from self._disturbed()
        yield WaitAgentDone(timeout_s=_ANSWER_S)
        yield WaitSeconds(round(self._chances.uniform(*_PAUSE_S), 2))

    def _interruptions(self) -> Iterator[Step]:
        yield self._words(_QUESTIONS, QUESTION_MS)
        for _ in range(1 + int(self._stays_s / _EXCHANGE_S)):
            yield WaitAgentStarts(_PATIENCE_S)
            yield from self._disturbed()
            yield WaitAgentSpoke(self._ms(HEARD_FIRST_MS), _PATIENCE_S)
            yield self._words(_BARGE_INS, BARGE_IN_MS)

    def _silence(self) -> Iterator[Step]:
        left_s = self._stays_s
        while left_s > 0:
            piece_s = round(min(left_s, self._chances.uniform(*_SILENT_S)), 2)
            yield WaitSeconds(max(0.02, piece_s))
            yield from self._disturbed()
            left_s -= max(0.02, piece_s)

    def _words(self, lines: tuple[str, ...], ms: tuple[int, int]) -> Step:
        if self._coded:
            return Speak(self._ms(ms))
        return Say(self._chances.choice(lines))

    def _disturbed(self) -> Iterator[Step]:
        """Let what is wrong with the line happen now, or not: while the agent speaks."""
        yield from self._held()
        if LineTrouble.SLOW_READER in self._lines and self._chances.random() < _TROUBLED:
            yield ReadSlowly(self._ms(UNREAD_MS))

    def _held(self) -> Iterator[Step]:
        if LineTrouble.JITTER in self._lines and self._chances.random() < _TROUBLED:
            yield HoldFrames(self._ms(HELD_MS))

    def _ms(self, bounds: tuple[int, int]) -> int:
        least, most = bounds
        return self._chances.randrange(least, most + 1, FRAME_MS)
