"""The session's state table as a page: ``python -m agent.live.diagram`` prints it.

It is kept as infra/readme/session.md; a test holds that against the table.
"""

from __future__ import annotations

import re
import sys

from agent.live import lifecycle
from agent.live.lifecycle import TABLE
from agent.live.state import State

_TITLE = "# The life of a session\n"
_ORIGIN = (
    "Generated from the table in `agent/live/lifecycle.py` by `make docs`. Events that leave a "
    "state as it is are in the table below only.\n"
)


def page() -> str:
    """Return the page: what the states mean, a diagram, and every row of the table."""
    return "\n".join([_TITLE, _ORIGIN, _about(), "```mermaid", *_diagram(), "```", "", *_rows()])


def _about() -> str:
    paragraphs = (lifecycle.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraphs[1:3]).replace("``", "`") + "\n"


def _diagram() -> list[str]:
    lines = ["stateDiagram-v2", "    [*] --> connecting"]
    for state in State:
        ways: dict[State, list[str]] = {}
        for event, (targets, _) in TABLE[state].items():
            for target in targets:
                if target is not state:
                    ways.setdefault(target, []).append(_words(event.__name__))
        for target, names in ways.items():
            lines.append(f"    {state.value} --> {target.value}: {', '.join(sorted(names))}")
    return [*lines, "    ended --> [*]"]


def _rows() -> list[str]:
    lines = ["| state | event | next | what is done |", "|---|---|---|---|"]
    for state in State:
        for event, (targets, action) in TABLE[state].items():
            done = "" if action is None else _words(getattr(action, "__name__", "").strip("_"))
            then = " or ".join(target.value for target in targets)
            lines.append(f"| {state.value} | {_words(event.__name__)} | {then} | {done} |")
    return [*lines, ""]


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


if __name__ == "__main__":
    sys.stdout.write(page())
