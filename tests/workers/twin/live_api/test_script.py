"""Scripts of the simulated model."""

from __future__ import annotations

from pathlib import Path

import pytest

import workers.twin
from workers.twin.live_api.replies import Replies
from workers.twin.live_api.script import (
    Call,
    CallTool,
    LiveScript,
    Recall,
    Say,
    Silence,
    TextRule,
    Turn,
    Wait,
    load_script,
)

_YAML = """
opening: [{say: agent_greeting}]
answer_delay_s: 0.5
turns:
  - heard: caller_hours
    answer: [{wait: 0.2}, {say: agent_hours}]
  - heard: What is my name?
    answer:
      - recall: {known: '(?i)ada (brook)', say: "It is Ada {1}.", otherwise: I do not know.}
  - heard: caller_bye
    answer: [silence]
texts:
  - match: 'pressed (\\d)'
    answer:
      - call:
          name: order_status
          args: {order_number: "{1}"}
          also: [{name: log}]
          on_error: [{say: Oops.}]
      - say: agent_ready
"""


def test_a_script_in_yaml_is_the_script_in_python(tmp_path: Path) -> None:
    """Every field and step can be written in YAML."""
    path = tmp_path / "script.yaml"
    path.write_text(_YAML)
    assert load_script(path) == LiveScript(
        opening=(Say("agent_greeting"),),
        turns=(
            Turn("caller_hours", (Wait(0.2), Say("agent_hours"))),
            Turn(
                "What is my name?",
                (Recall("(?i)ada (brook)", "It is Ada {1}.", "I do not know."),),
            ),
            Turn("caller_bye", (Silence(),)),
        ),
        texts=(
            TextRule(
                r"pressed (\d)",
                (
                    CallTool(
                        "order_status", {"order_number": "{1}"}, (Call("log"),), (Say("Oops."),)
                    ),
                    Say("agent_ready"),
                ),
            ),
        ),
        answer_delay_s=0.5,
    )


@pytest.mark.parametrize(
    "text",
    [
        "openning: []",
        "opening: [{sing: loud}]",
        "opening: [hello]",
        "opening: [{recall: name}]",
        "opening: [{recall: {known: a, say: b}}]",
        "opening: [{recall: {known: a, say: b, otherwise: c, or: d}}]",
        "opening: [{recall: {known: 7, say: b, otherwise: c}}]",
        "opening: [{recall: {known: '(', say: b, otherwise: c}}]",
    ],
)
def test_a_mistake_in_a_script_is_an_error(tmp_path: Path, text: str) -> None:
    """Unknown fields and steps are told with the file's name."""
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"script\.yaml"):
        load_script(path)


def test_the_demo_script_takes_a_key_press_however_it_is_told() -> None:
    """The digit is found in any sentence about a press of a key, and in no greeting."""
    script = load_script(Path(str(workers.twin.__path__[0])) / "data" / "demo-live.yaml")
    for text in ("The caller pressed 7.", 'Caller pressed the key "7" on the phone', "press: 7"):
        replies = Replies(script)
        reply = replies.to_text(text)
        assert reply.groups[1] == "7"
    assert Replies(script).to_text("Greet the caller with: Hello, 24 hours a day.").groups == ()
