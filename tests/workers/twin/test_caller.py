"""Callers' scripts in YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.twin import caller
from workers.twin.caller import CallerScript, load_script, parse_script


def test_script_is_read_from_yaml(tmp_path: Path) -> None:
    """A step is its name, its name with one value, or its name with fields."""
    path = tmp_path / "script.yaml"
    path.write_text(
        """
- wait_agent_starts
- wait_agent_done: {quiet_ms: 800}
- say: caller_hours
- wait_agent_spoke: 1500
- press: "7"
- tone: {hz: 440, ms: 200}
- hang_up
"""
    )
    assert load_script(path) == CallerScript.of(
        caller.WaitAgentStarts(),
        caller.WaitAgentDone(quiet_ms=800),
        caller.Say("caller_hours"),
        caller.WaitAgentSpoke(1500),
        caller.Press("7"),
        caller.Tone(440, 200),
        caller.HangUp(),
    )


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("hang_up", "list of steps"),
        (["shout"], "step 1: 'shout' is none of"),
        (["hang_up", {"tone": {"hz": 1}}], r"step 2 \(tone\): takes hz, ms"),
        ([{"hang_up": 5}], r"step 1 \(hang_up\): takes nothing"),
        ([{"say": "a", "press": "1"}], "step 1"),
    ],
)
def test_problem_names_its_step(steps: object, problem: str) -> None:
    """The message says where and what."""
    with pytest.raises(ValueError, match=problem):
        parse_script(steps)
