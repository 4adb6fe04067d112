"""When the server cuts the oldest exchanges: foreseen as a turn begins, known from its count.

A server that does as it is told cuts as a turn begins with more than the trigger, whole exchanges,
until at most the target is left. 3.1 does not: it outgrew its trigger 2.8 times before it cut
(discuss.ai.google.dev/t/147228). So a size that was seen not to be cut is not expected to be.
"""

from __future__ import annotations

import math

from agent.context.ledger import Ledger
from agent.context.window import Window

# A cut is looked for where the context was so near the trigger, or has fallen to so little.
_NEAR = 0.9
_FALL = 0.6
# What would leave more than this is not to be told from what is wrong with an estimate.
_NOTHING_CUT = 0.98
# So far over the trigger without a cut is no error of what is not counted for the turn's beginning;
# nor are two turns in a row.
_OVER = 1.05
# What a server that holds more than its trigger is given on top of what it was seen to hold, in
# shares of the trigger; twice as much each time that this proves too little.
_LENIENCE = 0.02


class Cuts:
    """The cuts of one call's servers.

    Args:
        window: Where they were asked to cut.
    """

    def __init__(self, window: Window) -> None:
        self.at_tokens = float(window.trigger_tokens or math.inf)
        """The next turn that begins with more is expected to be cut."""
        self._trigger = window.trigger_tokens
        self._target = window.target_tokens
        self._lenience = 0.0
        self._survived = 0.0
        # Turns over the trigger since the last cut that were not cut.
        self._over = 0
        # Removed from the ledger, and not yet known to be gone.
        self._foreseen: list[float] = []

    def turn_begins(self, ledger: Ledger, fixed: float, tokens: float) -> None:
        """Remove from the ledger what the server is expected to cut."""
        if tokens > self.at_tokens:
            self._foreseen += self._cut(ledger, fixed)

    def connected(self) -> None:
        """Another connection: nothing is foreseen for it."""
        self._foreseen = []

    def left(self, ledger: Ledger, fixed: float) -> float | None:
        """Return what a cut at this turn leaves; None where there can have been none."""
        held = fixed + ledger.total
        if self._foreseen:
            return held
        if held < _NEAR * self.at_tokens:
            return None
        ledger = Ledger(ledger.sizes)
        self._cut(ledger, fixed)
        return fixed + ledger.total

    def counted(
        self, ledger: Ledger, fixed: float, prompt: int, told_in_turn: float
    ) -> tuple[int, int] | None:
        """Bring the ledger in line with a count, and return the cut that it shows.

        Args:
            ledger: As of the turn's begin, with what was told in the course of it.
            fixed: Tokens that are never cut.
            prompt: The count.
            told_in_turn: What of it is not from the turn's begin.

        Returns:
            Tokens before and after; None where nothing was cut.
        """
        left = self.left(ledger, fixed)
        ledger.restore(self._foreseen)
        self._foreseen = []
        held = fixed + ledger.total
        most = _FALL * held
        if left is not None and left < _NOTHING_CUT * held:
            most = (left + held) / 2
        if prompt >= most:
            self._survives(prompt - told_in_turn)
            return None
        ledger.cut_near(prompt - fixed)
        if self._trigger is not None:
            disobeys = self._survived > _OVER * self._trigger
            self.at_tokens = self._survived if disobeys else float(self._trigger)
        self._lenience = 0.0
        self._over = 0
        return round(held), prompt

    def _cut(self, ledger: Ledger, fixed: float) -> list[float]:
        return [] if self._target is None else ledger.cut(self._target - fixed)

    def _survives(self, tokens: float) -> None:
        self._survived = tokens
        if self._trigger is None or tokens <= self.at_tokens:
            return
        self._over += 1
        if self._over > 1 or tokens > _OVER * self.at_tokens:
            self._lenience = max(2 * self._lenience, _LENIENCE * self._trigger)
            self.at_tokens = tokens + self._lenience
