"""What is wrong with the model of one connection, as the model's side of the twin needs to know it.

The defaults are a model without faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Faults that last; those that happen once are told to the conversation when they do."""

    hands_out_handles: bool = True
    mute: bool = False
    """Hears and transcribes, never answers (a poisoned handle)."""
    greets_again: bool = False
    """The first answer is the script's opening, whatever was asked (amnesia)."""
    turn_complete_after_interrupted: bool = True
    interrupted_last: bool = False
    """``turnComplete`` comes before ``interrupted`` (livekit)."""
    silent_answers: frozenset[int] = frozenset()
    near_zero_answers: frozenset[int] = frozenset()
    mute_after_barge_in: Literal["no", "until_text", "for_ever"] = "no"
    slow_from: int | None = None
    """The answer of the session from which on each is later than the one before."""
    slow_add_s: float = 0.0


SOUND = Quirks()
