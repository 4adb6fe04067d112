"""How a number behaves when it is dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from workers.twin.caller import CallerScript
from workers.twin.twilio_api import states

Sleep = Callable[[float], Awaitable[None]]
"""Lets so many seconds of the twin's time pass."""


@dataclass(frozen=True, slots=True)
class CalleeBehaviour:
    """Rings for ``after_s``, then this happens; a shorter ring time-out is ``no-answer``.

    ``answered_by`` is the verdict of answering machine detection where that was asked for, given
    ``verdict_after_s`` after the answer, even if the call is over by then.
    """

    outcome: Literal["answer", "busy", "no-answer", "failed"] = "answer"
    after_s: float = 0.2
    script: CallerScript = field(default_factory=CallerScript)
    answered_by: str = "human"
    verdict_after_s: float = 0.5
    refusal: int = 0
    """The code with which the order of a call is refused: 21211, 21214."""


async def ring(
    behaviour: CalleeBehaviour, *, timeout_s: float, enter: Callable[[str], None], sleep: Sleep
) -> str:
    """Dial; return ``in-progress`` (which is not yet entered) or how it failed."""
    enter(states.INITIATED)
    if behaviour.outcome in ("busy", "failed"):
        # Signalled instead of ringing (twilio.com/docs/voice/api/call-resource).
        await sleep(min(behaviour.after_s, timeout_s))
        return states.BUSY if behaviour.outcome == "busy" else states.FAILED
    enter(states.RINGING)
    await sleep(min(behaviour.after_s, timeout_s))
    if behaviour.outcome == "answer" and behaviour.after_s <= timeout_s:
        return states.IN_PROGRESS
    return states.NO_ANSWER
