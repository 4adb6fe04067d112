"""Load tests read from YAML: one file to one ``Plan``.

``workers.loadtest.plan`` says what the fields mean, ``workers.loadtest.plan_shape`` what may stand
in them, ``workers.loadtest.plan_checks`` what does not go together. Every problem is reported at
once, each with file, line and field.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from agent.yaml_shape import YamlShape
from workers.loadtest.plan import DEFAULT_PROMISES, TWIN_ONLY, LiveSide, Plan, Promise, Target
from workers.loadtest.plan_checks import cross_checks
from workers.loadtest.plan_shape import PlanShape

_FILES: Final = YamlShape(PlanShape, cross_checks)


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
    said.setdefault("promises", usual_promises(live))
    return Plan(**said)
