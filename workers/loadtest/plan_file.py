"""Load tests read from YAML: one file to one ``Plan``.

``workers.loadtest.plan`` says what the fields mean, ``workers.loadtest.plan_shape`` what may stand
in them, ``workers.loadtest.plan_checks`` what does not go together. Every problem is reported at
once, each with file, line and field.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from agent.spec import PLACEHOLDER
from agent.yaml_shape import YamlShape
from workers.loadtest.plan import (
    DEFAULT_PROMISES,
    TWIN_ONLY,
    LiveSide,
    Metric,
    Persona,
    Plan,
    Promise,
    Target,
)
from workers.loadtest.plan_checks import cross_checks
from workers.loadtest.plan_shape import PlanShape

_FILES: Final = YamlShape(PlanShape, cross_checks)
# They ask nothing, so nobody answers them.
_SPEECHLESS: Final = frozenset({Persona.SILENT, Persona.KEYS})


def load_plan(path: str | Path) -> Plan:
    """Read and check a plan's file.

    The path of the agent is relative to the file, and absolute in the result. Promises of the file
    stand in place of the usual ones.

    Raises:
        AgentSpecError: every problem there is, in file order.
    """
    path = Path(path)
    return _plan(_FILES.read(path), path.absolute().parent)


def usual_promises(live: LiveSide) -> tuple[Promise, ...]:
    """Return what is promised where nobody says otherwise, as far as it can be told."""
    told = [one for one in DEFAULT_PROMISES if live is LiveSide.TWIN or one.metric not in TWIN_ONLY]
    return tuple(told)


def _plan(read: PlanShape, folder: Path) -> Plan:
    said: dict[str, Any] = dict(read)
    target: Target = said.get("target", Target())
    if target.agent is not None:
        said["target"] = dataclasses.replace(target, agent=str(folder / target.agent))
    # Whoever plays the model of a worker that runs already, callers have to speak in words.
    usual = LiveSide.TWIN if target.voice_url is None else LiveSide.SERVICE
    live = said.setdefault("live", usual)
    plan = Plan(**said)
    if "promises" in said:
        return plan
    untold = _untold(plan)
    promises = tuple(one for one in usual_promises(live) if one.metric not in untold)
    return dataclasses.replace(plan, promises=promises)


def _untold(plan: Plan) -> set[Metric]:
    """Return metrics of which nothing will be measured, by who calls and whom they call."""
    untold: set[Metric] = set()
    if not any(weight for persona, weight in plan.personas.items() if persona not in _SPEECHLESS):
        untold.add(Metric.ADDED_DELAY_MS)
    if plan.target.agent is not None and not _names_caller(Path(plan.target.agent)):
        untold |= {Metric.ADDED_DELAY_MS, Metric.CALLER_FRAMES_LOST}
    return untold


def _names_caller(agent: Path) -> bool:
    """Whether the simulated model is told who calls, and so whose frames it gets."""
    try:
        return "caller" in PLACEHOLDER.findall(agent.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return True  # The worker will say what is wrong with it.
