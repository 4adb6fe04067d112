"""Who calls: the persona, the line and the script of one call of a plan.

Everything is drawn from the plan's seed and the call's number, each choice by itself: a call is the
same whoever else calls, and whichever host of several makes it. Only how long they stay also
depends on when they call, for they leave with the test.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Final

from workers.loadtest.arrivals import until_s
from workers.loadtest.behaviour import Behaviour
from workers.loadtest.plan import LineTrouble, LiveSide, Persona, Plan
from workers.twin.caller import CallerScript
from workers.twin.twilio_api.line import CallFaults

MOST_CALLS: Final = 9_999_999
"""Numbers of calls have seven digits."""
# Seven digits for the call. 555 is an area code that nobody has (NANPA: directory assistance).
_NUMBER: Final = re.compile(r"\+1555(\d{7})\b")
# Less than a greeting would be a call of nothing.
_SHORTEST_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Role:
    """One call to be made.

    Attributes:
        persona: Who calls.
        lines: What is wrong with their line.
        script: What they do; it hangs up at its end.
        from_: The number they call from, which tells the call's own: see ``call_number``.
        faults: What goes wrong with the call beside what the script does.
    """

    persona: Persona
    lines: tuple[LineTrouble, ...]
    script: CallerScript
    from_: str
    faults: CallFaults = field(default_factory=CallFaults)


def cast(plan: Plan, number: int, at_s: float) -> Role:
    """Return who calls as the ``number``-th of the test, from 1, at ``at_s`` of it."""
    persona = persona_of(plan, number)
    lines = _lines(plan, number)
    coded = plan.live is LiveSide.TWIN
    stays_s = max(_SHORTEST_S, min(plan.call_s, until_s(plan.arrivals, at_s) - at_s))
    chances = _chances(plan, number, "script")
    steps = Behaviour(chances, frozenset(lines), coded=coded, stays_s=stays_s).steps(persona)
    script = CallerScript(
        steps, coded=coded, noisy=LineTrouble.NOISY in lines, leaves_after_s=stays_s
    )
    return Role(persona, lines, script, caller_number(number))


def persona_of(plan: Plan, number: int) -> Persona:
    """Return who calls as the ``number``-th, by the plan's weights."""
    # In their own order: that of a file must change nothing.
    weights = [plan.personas.get(persona, 0.0) for persona in Persona]
    return _chances(plan, number, "persona").choices(list(Persona), weights)[0]


def caller_number(number: int) -> str:
    """Return the telephone number that the ``number``-th call comes from.

    Raises:
        ValueError: there are not so many.
    """
    if not 0 < number <= MOST_CALLS:
        raise ValueError(f"calls are 1 to {MOST_CALLS}, not {number}")
    return f"+1555{number:07d}"


def call_number(text: str) -> int | None:
    """Find whose call a text is about: the first number in it that a caller of a test has."""
    found = _NUMBER.search(text)
    return int(found[1]) if found else None


def _lines(plan: Plan, number: int) -> tuple[LineTrouble, ...]:
    return tuple(
        trouble
        for trouble in LineTrouble
        if _chances(plan, number, trouble).random() < plan.lines.get(trouble, 0.0)
    )


def _chances(plan: Plan, number: int, choice: str) -> random.Random:
    # Seeded by a text: those of neighbouring numbers are alike in what is drawn first.
    return random.Random(f"{plan.seed}:{number}:{choice}")  # noqa: S311 - a test that replays
