"""The model's side of a recipe: what may stand there, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.yaml_source import read_yaml
from workers.entrypoints.drill.model_script import (
    STANDARD,
    ModelScriptReader,
    codes_of,
    greeting_of,
    lines_of,
    plain,
)
from workers.twin.live_api.script import Call, CallTool, LiveScript, Say, Silence, Turn, Wait


def read(folder: Path, text: str) -> tuple[LiveScript, list[str]]:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    source = read_yaml(file)
    reader = ModelScriptReader(source)
    script = reader.read(source.data["live"])
    return script, [f"{issue.line}: {issue.field}: {issue.message}" for issue in reader.issues]


def test_every_kind_of_step(tmp_path: Path) -> None:
    """Speech, calls with typed arguments, waits and silence."""
    script, issues = read(
        tmp_path,
        """\
live:
  speed: 1.5
  turns:
    - heard: Question one.
      answer:
        - call: {name: look_up, args: {key: a, seconds: 2}, also: [{name: other}]}
        - say: "coded:1000:200"
        - wait: 0.5
        - silence
""",
    )
    assert issues == []
    assert script.speed == 1.5
    assert script.turns == (
        Turn(
            "Question one.",
            (
                CallTool("look_up", {"key": "a", "seconds": 2}, (Call("other"),)),
                Say("coded:1000:200"),
                Wait(0.5),
                Silence(),
            ),
        ),
    )


def test_what_a_recipe_leaves_out_is_the_standard(tmp_path: Path) -> None:
    """Its own text rules come before the standard ones."""
    script, issues = read(
        tmp_path, 'live:\n  texts:\n    - {match: "value", answer: [say: "coded:7000:200"]}\n'
    )
    assert issues == []
    assert script.turns == STANDARD.turns
    assert [rule.match for rule in script.texts] == ["value", "cut off", "waiting for your answer"]


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    """All at once."""
    _, issues = read(
        tmp_path,
        """\
live:
  mode: tone
  speed: quick
  opening: hello
  otherwise:
    - sing: x
    - say: "coded:7:30"
    - call: {args: {}}
    - call: {name: x, arguments: {}}
    - wait: -1
  turns:
    - heard: Question one.
    - {heard: "", answer: []}
  texts:
    - match: "("
      answer: []
""",
    )
    assert [issue.split(": ")[:2] for issue in issues] == [
        ["2", "live.mode"],
        ["3", "live.speed"],
        ["4", "live.opening"],
        ["6", "live.otherwise[0]"],
        ["7", "live.otherwise[1].say"],
        ["8", "live.otherwise[2].call"],
        ["9", "live.otherwise[3].call.arguments"],
        ["10", "live.otherwise[4].wait"],
        ["12", "live.turns[0]"],
        ["13", "live.turns[1].heard"],
        ["15", "live.texts[0].match"],
    ]


def test_number_in_two_lines_is_a_mistake(tmp_path: Path) -> None:
    """Which of them was heard could not be told; standard lines count, too."""
    _, issues = read(
        tmp_path,
        'live:\n  turns:\n    - {heard: "One.", answer: [say: "coded:5010:200", say: x]}\n',
    )
    assert len(issues) == 1
    _, issues = read(tmp_path, 'live: {opening: [say: "coded:5010:200"]}\n')
    assert issues == ["1: live: number 5010 is in two lines, from 5000 too"]


def test_line_that_is_said_twice_is_none(tmp_path: Path) -> None:
    """Two rules may have the same answer."""
    say = 'say: "coded:7000:200"'
    text = f"live: {{opening: [{say}], otherwise: [{say}]}}\n"
    assert read(tmp_path, text)[1] == []


def test_live_must_be_a_mapping(tmp_path: Path) -> None:
    """Whatever else it is."""
    assert read(tmp_path, "live: []\n")[1] == ["1: live: must be a mapping of fields"]


def test_numbers_of_lines() -> None:
    """A frame for every 20 ms, on all branches of a script."""
    assert codes_of("coded:100:60") == range(100, 103)
    assert codes_of("Good day.") is None
    script = LiveScript(
        opening=(Say("Good day."), Say("coded:100:60")),
        turns=(Turn("x", (CallTool("y", on_error=(Say("coded:200:20"),)),)),),
        otherwise=(Silence(),),
    )
    assert lines_of(script) == (range(100, 103), range(200, 201))
    assert greeting_of(script) == range(100, 103)
    assert greeting_of(LiveScript()) is None


@pytest.mark.parametrize(
    ("written", "value"),
    [("1", 1), ("1.5", 1.5), ("true", True), ("a", "a"), ("[", "["), ("", ""), ("2026-11-26",) * 2],
)
def test_plain_values(written: str, value: object) -> None:
    """Numbers and booleans, and nothing else that YAML would make of a text."""
    assert plain({"x": [written, None]}) == {"x": [value, None]}
