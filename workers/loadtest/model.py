"""The other side of a load test: what the simulated model says, and what goes wrong with it.

All it says is numbered (``coded:1000:4000``: from 1000 on, for 4000 ms), so that each 20 ms can be
told at the phone. No number stands in two lines; a line is said again and again, at each answer.
Whatever is asked gets the same answer, long or short by who asks, which the connection's setup
tells: the instruction of the load test's agent names the caller's number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from workers.loadtest.casting import call_number, persona_of
from workers.loadtest.plan import Persona, Plan
from workers.twin.live_api.faults import NO_CLOSE_FRAME, Close, Fault, GoAway
from workers.twin.live_api.script import LiveScript, Say, ScriptSource, TextRule

AGENT: Final = Path(__file__).parent / "data" / "loadtest-agent.yaml"
"""The agent of a worker of the test's own, where the plan names none."""

GREETING: Final = range(100, 200)
ANSWER: Final = range(1000, 1200)
LONG_ANSWER: Final = range(2000, 2600)
"""For whoever listens, or interrupts."""
GOES_ON: Final = range(5000, 5075)
"""In place of the rest of an answer that was cut off."""
WAITED_FOR: Final = range(6000, 6040)
"""When the worker tells it that the caller waits."""
LINES: Final = (GREETING, ANSWER, LONG_ANSWER, GOES_ON, WAITED_FOR)
"""The numbers of all that the model says."""

_FRAME_MS: Final = 20
_LONG: Final = frozenset({Persona.LISTEN, Persona.INTERRUPT})


def model_script(plan: Plan) -> ScriptSource:
    """Return what the model says, by the setup of the connection it is asked on."""

    def script(_connection: int, setup: dict[str, Any]) -> LiveScript:
        number = call_of(setup)
        # A worker with an agent of its own may not say who calls.
        persona = Persona.TALK if number is None else persona_of(plan, number)
        return _LONG_WINDED if persona in _LONG else _BRIEF

    return script


def call_of(setup: Mapping[str, Any]) -> int | None:
    """Return the number of the call that a connection is for, by its setup; None: not told."""
    return call_number(json.dumps(setup.get("systemInstruction", {})))


def model_faults(plan: Plan) -> tuple[Fault, ...]:
    """Return what goes wrong with every connection, so long after its setup."""
    faults: list[Fault] = []
    if plan.faults.resets_every_s:
        faults.append(GoAway(after_s=plan.faults.resets_every_s))
    if plan.faults.breaks_every_s:
        faults.append(Close(after_s=plan.faults.breaks_every_s, code=NO_CLOSE_FRAME, reason=""))
    return tuple(faults)


def _say(numbers: range) -> tuple[Say]:
    return (Say(f"coded:{numbers.start}:{len(numbers) * _FRAME_MS}"),)


def _script(answer: range) -> LiveScript:
    return LiveScript(
        opening=_say(GREETING),
        # The first rule asks the worker's own words for going on, the second for its nudge.
        texts=(
            TextRule("cut off", _say(GOES_ON)),
            TextRule("waiting for your answer", _say(WAITED_FOR)),
        ),
        otherwise=_say(answer),
    )


_BRIEF: Final = _script(ANSWER)
_LONG_WINDED: Final = _script(LONG_ANSWER)
