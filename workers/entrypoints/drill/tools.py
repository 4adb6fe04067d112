"""The slow tool of the drill's agent, and a book of how often it really ran."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

# Older runs of a process are forgotten; a drill looks at its own right after its call.
_MOST_RUNS = 1_000


@dataclass(slots=True)
class ToolRun:
    """One execution, told by the tool itself: the worker's record is what is being judged."""

    key: str
    finished: bool = False


_runs: deque[ToolRun] = deque(maxlen=_MOST_RUNS)


async def look_up(key: str, seconds: float) -> dict[str, str]:
    """Look something up, which takes a while.

    Args:
        key: What to look up.
        seconds: How long that takes.
    """
    run = ToolRun(key)
    _runs.append(run)
    await asyncio.sleep(seconds)
    run.finished = True
    return {"found": result_of(key)}


def result_of(key: str) -> str:
    """Return what ``look_up`` finds under a key, by which its way to the model is followed."""
    return f"value-of-{key.rpartition(':')[2]}"


def runs_of(prefix: str) -> list[ToolRun]:
    """Return the executions whose keys begin with ``prefix``, oldest first."""
    return [run for run in _runs if run.key.startswith(prefix)]
