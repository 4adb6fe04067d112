"""Chooses what the model says next: reads a script from its beginning to its end."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from workers.twin import speech
from workers.twin.live_api.recollection import fill
from workers.twin.live_api.script import Call, LiveScript, Say, Step, Steps
from workers.twin.live_api.understanding import Codes, Understanding

_QUOTED = re.compile(r"[\"“„«](.{2,}?)[\"”“»]", re.DOTALL)
_GREETING: Steps = (Say("Hello, how can I help you?"),)
_BEYOND = "And another thing."
# Fewer words may have been said by anyone about anything.
_TELLING_WORDS = 3
_NEVER_TOLD = "\0"


@dataclass(slots=True, eq=False)
class Reply:
    """One turn of the model before and while it is carried out."""

    steps: deque[Step]
    heard: str = ""
    """What the caller is taken to have said; empty where text asked for this reply."""
    turn: int | None = None
    """The turn of the script that the caller's words were taken for."""
    groups: tuple[str, ...] = ()
    """What the text rule matched; ``{0}`` is all of it."""
    by_text: bool = False
    asked: int | None = None
    """The number of the remembered line that asked for this reply; None for the caller's words."""
    heard_tokens: float = 0.0
    """The size of what the caller said, until it is remembered."""
    delay_s: float | None = None
    opened: bool = False
    audio_ends_at: float | None = None
    """When the server thinks that the audio produced so far has been played."""
    audio_ms: float = 0.0
    words: list[tuple[float, str]] = field(default_factory=list)
    """Words not yet remembered, and where in the reply's audio each begins."""

    def fill(self, text: str) -> str:
        """Put what the text rule matched in place of ``{0}``, ``{1}`` and so on."""
        return fill(text, self.groups)

    def arguments(self, call: Call) -> dict[str, Any]:
        """Return the arguments of ``call``, filled."""
        return {
            key: self.fill(value) if isinstance(value, str) else value
            for key, value in call.args.items()
        }

    def heard_ms(self, now: float) -> float:
        """Return how much of the audio has been played by the server's clock."""
        left_s = 0.0 if self.audio_ends_at is None else max(0.0, self.audio_ends_at - now)
        return self.audio_ms - left_s * 1000


class Replies:
    """The script, and how far it has been played."""

    def __init__(
        self,
        script: LiveScript,
        understanding: Understanding | None = None,
        *,
        position: int = 0,
        greeted: bool = False,
        greets_again: bool = False,
    ) -> None:
        """Go on at ``position``; with ``greets_again`` whatever is asked gets the opening first."""
        self._script = script
        self._understanding = understanding or Understanding()
        self._position = position
        self._greeted = greeted
        self._greets_again = greets_again

    def told(self, text: str, *, greeted: bool = False) -> None:
        """Go on after the turns that ``text`` says have been, for a model knows what it was told.

        It may tell the last turns alone and the rest as a summary: words that the script has only
        once tell how far it was played.
        """
        told = " ".join(text.split())
        turns = [turn.heard for turn in self._script.turns]
        often = Counter(turns)
        for number, heard in enumerate(turns[self._position :], start=self._position):
            if number == self._position:
                past = speech.line(heard).text in told
            else:
                past = often[heard] == 1 and _telling(heard) in told
            if past:
                self._position = number + 1
        self._greeted = self._greeted or greeted or self._position > 0

    def to_speech(self, codes: Codes | None = None) -> Reply:
        """Answer a turn of the caller, recognised by its codes or else taken for the next one."""
        turns = self._script.turns
        # Without turns there is nothing to be told apart; where many callers share a server, the
        # same codes are said by several of them.
        turn = self._understanding.turn(codes, self._position) if turns else None
        known = turns[turn] if turn is not None and turn < len(turns) else None
        heard = _BEYOND if known is None else speech.line(known.heard).text
        if self._greets_again:
            # Only what the model knew is lost: the turn is still to come, unless codes say it was.
            return Reply(self._opening(""), heard=heard)
        self._greeted = True
        if turn is not None:
            self._position = max(self._position, turn + 1)
        steps = self._script.otherwise if known is None else known.answer
        return Reply(deque(steps), heard=heard, turn=turn)

    def to_more_speech(self, reply: Reply, codes: Codes | None) -> Reply:
        """Answer a turn that goes on before ``reply`` to it was given: there was only a pause.

        Replayed faster than real time, two turns come that close too. Where the codes tell that
        this is another turn, it alone is answered, as a model answers the last question it hears.
        """
        if self._understanding.goes_on(codes, reply.turn):
            return reply
        return self.to_speech(codes)

    def to_text(self, text: str) -> Reply:
        """Answer text: by the first rule that matches, else by the opening, once."""
        if self._greets_again:
            return Reply(self._opening(text), by_text=True)
        for rule in self._script.texts:
            found = re.search(rule.match, text)
            if found is not None:
                self._greeted = True
                groups = (found.group(0), *(group or "" for group in found.groups()))
                return Reply(deque(rule.answer), groups=groups, by_text=True)
        if self._greeted:
            return Reply(deque(self._script.otherwise), by_text=True)
        return Reply(self._opening(text), by_text=True)

    def _opening(self, text: str) -> deque[Step]:
        self._greeted = True
        self._greets_again = False
        if self._script.opening is not None:
            return deque(self._script.opening)
        quoted = _QUOTED.search(text)
        return deque((Say(quoted.group(1)),) if quoted else _GREETING)


def _telling(heard: str) -> str:
    """Return the words of a line by which it is known; without its audio, which takes its time."""
    text = speech.line(heard).text if heard in speech.names() else heard
    return text if len(text.split()) >= _TELLING_WORDS else _NEVER_TOLD
