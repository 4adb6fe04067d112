"""Recipes as files: the packaged ones are good, and mistakes are named all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.conversation.record import EndReason, MoveCause
from agent.errors import AgentSpecError
from workers.entrypoints.drill.model_script import STANDARD
from workers.entrypoints.drill.recipe import ExpectedMove, Recipe, Variant
from workers.entrypoints.drill.recipe_file import find_recipe, load_recipe, packaged
from workers.twin.caller import HangUp, Speak, WaitAgentDone
from workers.twin.live_api.faults import Close

LEAST = """\
title: A drop
what_must_hold: >
  Nothing is
  lost.
caller: [wait_agent_done, {speak: 1000}, hang_up]
expect: {}
"""


def load(folder: Path, text: str) -> Recipe:
    file = folder / "a-drop.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file)


def issues_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(AgentSpecError) as caught:
        load(folder, text)
    return [f"{issue.line}: {issue.field}: {issue.message}" for issue in caught.value.issues]


@pytest.mark.parametrize("file", packaged(), ids=lambda file: file.stem)
def test_packaged_recipe_is_good(file: Path) -> None:
    """It loads, and says what it expects."""
    recipe = load_recipe(file)
    assert recipe.faults
    assert recipe.what_must_hold.endswith(".")
    assert not recipe.title.endswith(".")
    assert recipe.expect.answers
    # Nothing of what the caller says is lost, unless no connection is to be had any more.
    in_vain = any(move.kind == "none" for move in recipe.expect.moves or ())
    assert (recipe.expect.lost_ms > 0) == in_vain


def test_every_number_of_the_list_has_a_recipe() -> None:
    """1 to 22; 23 is models of 1, 3, 6 and 10."""
    numbers = {int(file.stem[:2]) for file in packaged()}
    assert numbers >= set(range(1, 23))
    for name in ("01", "03a", "06", "10"):
        variants = load_recipe(find_recipe(name)).variants()
        assert [recipe.profile.name for recipe in variants] == ["3.8", "2.5", "3.1", "vertex-2.5"]


def test_what_a_recipe_leaves_out(tmp_path: Path) -> None:
    """The drill's own agent and script, and the times that gaps are judged by."""
    recipe = load(tmp_path, LEAST)
    assert recipe.name == "a-drop"
    assert recipe.what_must_hold == "Nothing is lost."
    assert recipe.live == STANDARD
    assert (recipe.setup_s, recipe.resume_s) == (0.5, 0.3)
    assert recipe.variants() == [recipe]
    assert recipe.agent.model == recipe.variant.model == "gemini-3.8-live"
    assert recipe.agent.tools == ("end_call", "workers.entrypoints.drill.tools:look_up")
    assert recipe.caller.coded
    assert recipe.caller.steps == (WaitAgentDone(), Speak(1000), HangUp())
    assert recipe.expect.end_reason is EndReason.CALLER_HUNG_UP


def test_what_a_recipe_says(tmp_path: Path) -> None:
    """Every field, in the type that whoever uses it wants."""
    recipe = load(
        tmp_path,
        LEAST.replace("expect: {}", "")
        + """\
seed: 7
model: gemini-3.1-flash-live-preview
also_models:
  - gemini-3.8-live
  - {model: gemini-live-2.5-flash-native-audio, vertex: true}
time_scale: 10
setup_s: 0.7
repeat: 3
callee: {answers: false}
agent:
  limits: {idle_s: 9}
  transfer: {colleague: "+15550100009"}
  moves: {person: colleague, standby: true}
faults:
  - {fault: close, sessions: [1], turn: 2, delay_s: 0.3, code: 1006}
expect:
  moves:
    - {cause: lost, kind: none}
  answers: [100]
  told: ["You: c1000"]
""",
    )
    assert recipe.faults == (Close(sessions=frozenset({1}), turn=2, delay_s=0.3, code=1006),)
    assert recipe.agent.limits.idle_s == 9
    assert recipe.agent.limits.answer_timeout_s == 4
    assert recipe.agent.moves.standby
    assert recipe.callee.answers is False
    assert recipe.expect.moves == (ExpectedMove(cause=MoveCause.LOST, kind="none"),)
    assert recipe.expect.answers == (100,)
    assert (recipe.seed, recipe.time_scale, recipe.setup_s, recipe.repeat) == (7, 10, 0.7, 3)
    models = [(some.agent.model, some.variant.vertex) for some in recipe.variants()]
    assert models == [
        ("gemini-3.1-flash-live-preview", False),
        ("gemini-3.8-live", False),
        ("gemini-live-2.5-flash-native-audio", True),
    ]
    # 3.1 waits as long as it likes, the others as long as they are asked to.
    assert [some.silence_ms for some in recipe.variants()] == [1500, 300, 300]


def test_every_mistake_at_once(tmp_path: Path) -> None:
    """In the order of the file, those of agent, script, caller and faults among them."""
    issues = issues_of(
        tmp_path,
        """\
title: |
  Two
  lines
model: gemini-9
agent:
  limits: {idle_s: never}
  greting: {}
  model: gemini-3.8-live
live:
  spede: 1
caller:
  - speak: 1000
  - say: caller_bye
  - wait_agent_spoke: {secs: 1}
faults:
  - {fault: close, turn: 1, code: 1}
  - {fault: clsoe}
  - close
  - {fault: close}
expect:
  moves:
    - {cause: lots}
    - {kind: refil}
  gap: 1
  told: ["("]
tile: x
""",
    )
    assert [issue.split(": ")[:2] for issue in issues] == [
        ["1", "title"],
        ["1", "what_must_hold"],
        ["4", "model"],
        ["6", "agent.limits.idle_s"],
        ["7", "agent.greting"],
        ["8", "agent.model"],
        ["10", "live.spede"],
        ["13", "caller[1]"],
        ["14", "caller[2]"],
        ["16", "faults[0]"],
        ["17", "faults[1]"],
        ["18", "faults[2]"],
        ["19", "faults[3]"],
        ["22", "expect.moves[0].cause"],
        ["23", "expect.moves[1].kind"],
        ["24", "expect.gap"],
        ["25", "expect.told[0]"],
        ["26", "tile"],
    ]


@pytest.mark.parametrize(
    ("more", "issue"),
    [
        ("model: gemini-9", "7: model: the twin knows no gemini-9 on the Developer API"),
        (
            "also_models: [{model: gemini-3.1-flash-live-preview, vertex: true}]",
            "7: also_models[0]: the twin knows no gemini-3.1-flash-live-preview on Vertex",
        ),
        ("agent: {moves: {person: boss}}", "7: agent.moves.person: must be a name under transfer"),
        (
            "agent: {tools: [nowhere:nothing]}",
            "7: agent.tools[0]: nowhere:nothing: module nowhere cannot be imported: "
            "ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("seed: 1\nseed: 2", "8: seed: is given twice"),
        ("faults: {fault: close}", "7: faults: must be a list"),
        ("agent: []", "7: agent: must be a mapping"),
    ],
)
def test_mistake_and_what_is_said_of_it(tmp_path: Path, more: str, issue: str) -> None:
    """One line, one meaning."""
    assert issues_of(tmp_path, LEAST + more + "\n") == [issue]


def test_variant_keeps_the_rest(tmp_path: Path) -> None:
    """Another model, the same recipe."""
    recipe = load(tmp_path, LEAST)
    other = recipe.with_model(Variant("gemini-3.1-flash-live-preview"))
    assert other.agent.model == "gemini-3.1-flash-live-preview"
    assert other.agent.limits == recipe.agent.limits
    assert other.caller == recipe.caller


def test_recipe_is_found_by_name_or_by_file(tmp_path: Path) -> None:
    """The beginning of a name is enough where there is only one like it."""
    file = next(file for file in packaged() if file.stem.startswith("07"))
    assert find_recipe(file.stem) == file
    assert find_recipe("07") == file
    mine = tmp_path / "mine.yaml"
    assert find_recipe(str(mine)) == mine


@pytest.mark.parametrize(("name", "said"), [("0", "could be 01-"), ("none", "neither a file nor")])
def test_recipe_that_cannot_be_found(name: str, said: str) -> None:
    """It says why."""
    with pytest.raises(AgentSpecError, match=said):
        find_recipe(name)


def test_moves_of_a_recipe_are_known_kinds() -> None:
    """The vocabulary of reset reports and no other."""
    moves = [one for file in packaged() for one in load_recipe(file).expect.moves or ()]
    assert {one.kind for one in moves} >= {"resume", "refill", "standby", "none"}
    # Long calls, notes and takeovers have scenarios of their own.
    planned = {MoveCause.CONTEXT, MoveCause.UPDATE, MoveCause.TAKEOVER}
    assert {one.cause for one in moves} == set(MoveCause) - planned
