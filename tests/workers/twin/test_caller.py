"""Callers' scripts in YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
- lose_stream: 600
- drop_socket: {half_open: true}
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
        caller.LoseStream(600),
        caller.DropSocket(half_open=True),
        caller.HangUp(),
    )


def test_coded_script_is_a_mapping() -> None:
    """It says so, beside its steps; a length alone is enough for ``speak``."""
    written = yaml.safe_load("{coded: true, steps: [wait_agent_done, speak: 1500, hang_up]}")
    expected = CallerScript.of(
        caller.WaitAgentDone(), caller.Speak(1500), caller.HangUp(), coded=True
    )
    assert parse_script(written) == expected
    assert parse_script({"coded": True, "steps": [{"speak": {"ms": 20}}]}) == CallerScript.of(
        caller.Speak(20), coded=True
    )
    assert parse_script({"steps": ["hang_up"]}) == CallerScript.of(caller.HangUp())


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (["hang_up", {"speak": 20}], r"step 2 \(speak\): only a coded"),
        ({"steps": [{"speak": 20}]}, r"step 1 \(speak\): only a coded"),
        ({"coded": True, "steps": ["hang_up", {"say": "a"}]}, r"step 2 \(say\): a coded script"),
        ({"coded": True, "steps": [{"tone": {"hz": 1, "ms": 1}}]}, r"step 1 \(tone\): a coded"),
        ({"coded": True}, "list of steps"),
        ({"coded": "yes", "steps": []}, "coded is true or false, not 'yes'"),
        ({"code": True, "steps": []}, "coded and steps, not code"),
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
