"""What a recipe expects: each expectation holds in a good call, and fails when it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.conversation.record import MoveCause, MoveMoment, ToolRecord
from tests.workers.entrypoints.drill.samples import (
    FIRST_ANSWER,
    GREETING,
    SECOND_ANSWER,
    check_named,
    failed,
    frames,
    heard,
    move,
    observed,
    recipe,
    with_connection,
    with_record,
)
from workers.entrypoints.drill.observed import Execution, Observed
from workers.entrypoints.drill.recipe import ExpectedMove

LOST = ExpectedMove(MoveCause.LOST, MoveMoment.ABRUPT, "resume")


def test_nothing_is_judged_that_is_not_expected(tmp_path: Path) -> None:
    """Without expectations only what holds always is judged."""
    seen = with_record(moves=[move(gap_ms=5000), move()])
    assert failed(recipe(tmp_path), seen) == []


@pytest.mark.parametrize(
    "expected",
    [
        (LOST,),
        (ExpectedMove(),),
        (ExpectedMove(cause=MoveCause.LOST),),
        (ExpectedMove(model="gemini-3.8-live"),),
    ],
)
def test_moves_as_expected(tmp_path: Path, expected: tuple[ExpectedMove, ...]) -> None:
    """What a recipe leaves out of a move is not judged."""
    assert failed(recipe(tmp_path, moves=expected), observed()) == []


@pytest.mark.parametrize(
    "expected",
    [
        (),
        (LOST, LOST),
        (replace(LOST, cause=MoveCause.AGE),),
        (replace(LOST, moment=MoveMoment.FORCED),),
        (replace(LOST, kind="refill"),),
        (replace(LOST, kind="none"),),
        (replace(LOST, model="gemini-3.1-flash-live-preview"),),
    ],
    ids=["none", "two", "cause", "moment", "kind", "no connection", "model"],
)
def test_other_moves_than_expected(tmp_path: Path, expected: tuple[ExpectedMove, ...]) -> None:
    """Too many, too few, or one that differs in anything that is judged."""
    assert failed(recipe(tmp_path, moves=expected), observed()) == ["moves"]


def test_move_without_a_connection(tmp_path: Path) -> None:
    """``none`` is a move that found no connection, and nothing else."""
    seen = with_record(moves=[move(kind=None)])
    assert failed(recipe(tmp_path, moves=(replace(LOST, kind="none"),)), seen) == []
    assert failed(recipe(tmp_path, moves=(LOST,)), seen) == ["moves"]


def test_reported_gap_is_bounded_for_every_move(tmp_path: Path) -> None:
    """The longest of them counts."""
    seen = with_record(moves=[move(gap_ms=451), move(gap_ms=10)])
    assert failed(recipe(tmp_path, gap_ms=450), seen) == ["gap, as reported"]
    assert failed(recipe(tmp_path, gap_ms=451), seen) == []
    assert failed(recipe(tmp_path, gap_ms=0), with_record(moves=[])) == []


def test_heard_gap_is_measured_whatever_is_reported(tmp_path: Path) -> None:
    """An answer that stops at 6 s and goes on at 7 s is a second of silence."""
    late = frames(1050, 50, 7000)
    seen = observed(heard=heard(GREETING, frames(1000, 50, 5000), late, SECOND_ANSWER))
    assert failed(recipe(tmp_path, gap_ms=0, gap_heard_ms=999), seen) == ["gap, as heard"]
    assert failed(recipe(tmp_path, gap_heard_ms=1000), seen) == []


def test_dials_are_counted_with_those_refused(tmp_path: Path) -> None:
    """An upgrade that was refused is a dial."""
    assert failed(recipe(tmp_path, connections=2), observed()) == []
    seen = observed(refused_dials=1)
    assert failed(recipe(tmp_path, connections=2), seen) == ["connections dialled"]
    assert failed(recipe(tmp_path, connections=3), seen) == []


def test_dials_stay_apart(tmp_path: Path) -> None:
    """From the end of a connection to the next."""
    name = "wait before the next dial"
    assert failed(recipe(tmp_path, dials_apart_s=1), observed()) == [name]
    assert failed(recipe(tmp_path, dials_apart_s=1), with_connection(2, opened_s=7.1)) == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((GREETING, FIRST_ANSWER[:-1], SECOND_ANSWER), "100 2000 (99 of 100 frames of 1000)"),
        ((GREETING, SECOND_ANSWER), "100 2000 (0 of 100 frames of 1000)"),
        ((GREETING, SECOND_ANSWER, FIRST_ANSWER), "100 2000 1000"),
    ],
    ids=["cut", "missing", "order"],
)
def test_answers_are_heard_whole_and_in_order(
    tmp_path: Path, lines: tuple[Any, ...], told: str
) -> None:
    """Every frame of them; the verdict says how many there were."""
    spoken = [
        replace(frame, at_ms=1000 + 20 * n) for n, frame in enumerate(f for ln in lines for f in ln)
    ]
    some = recipe(tmp_path, answers=(100, 1000, 2000))
    check = check_named("answers heard whole, in order", some, observed(heard=tuple(spoken)))
    assert (check.ok, check.observed) == (False, told)


def test_answers_that_were_heard(tmp_path: Path) -> None:
    """Others may have been heard in between."""
    assert failed(recipe(tmp_path, answers=(100, 1000, 2000)), observed()) == []
    assert failed(recipe(tmp_path, answers=(100, 2000)), observed()) == []


def test_tools_are_counted_by_their_own_word(tmp_path: Path) -> None:
    """The slow tool by itself, built-in ones by the record."""
    seen = with_connection(1, tool_answers=("value-of-a",))
    seen = replace(seen, executions=(Execution("run:a", "value-of-a", finished=True),))
    tools = [
        ToolRecord(f"id{n}", name, {}, 0, 1, "ok") for n, name in enumerate(["look_up", "end_call"])
    ]
    seen = replace(seen, record=replace(seen.record, tools=tools))
    assert failed(recipe(tmp_path, tools={"look_up": 1, "end_call": 1}), seen) == []
    assert failed(recipe(tmp_path, tools={"look_up": 1, "end_call": 1, "opt_out": 0}), seen) == []
    assert failed(recipe(tmp_path, tools={"look_up": 1}), seen) == ["tools"]
    assert failed(recipe(tmp_path, tools={"look_up": 2, "end_call": 1}), seen) == ["tools"]
    assert failed(recipe(tmp_path, tools={}), observed()) == []


@pytest.mark.parametrize(
    ("expect", "seen", "name"),
    [
        ({"person": True}, observed(bridged=True), "put through to a person"),
        ({"person": False}, observed(), "put through to a person"),
        ({"apology": True}, observed(said=("So sorry.",)), "apology heard"),
        ({"apology": False}, observed(said=("Goodbye.",)), "apology heard"),
    ],
)
def test_what_the_caller_gets_at_the_end(
    tmp_path: Path, expect: dict[str, bool], seen: Observed, name: str
) -> None:
    """A person, an apology, or neither."""
    ((field, value),) = expect.items()
    assert failed(recipe(tmp_path, **{field: value}), seen) == []
    assert failed(recipe(tmp_path, **{field: not value}), seen) == [name]


def test_fillers_are_counted(tmp_path: Path) -> None:
    """Two notes that belong together are one."""
    seen = observed(noises_ms=((7000, 7200), (7500, 7700), (9000, 9200)))
    assert failed(recipe(tmp_path, fillers=2), seen) == []
    assert failed(recipe(tmp_path, fillers=1), seen) == ["fillers heard"]
    assert failed(recipe(tmp_path, fillers=0), observed()) == []
    assert failed(recipe(tmp_path, fillers=0), observed(noises_ms=((1000, 1300),))) == []
    assert failed(recipe(tmp_path, fillers=1), observed()) == ["fillers heard"]


def test_words_told_to_the_last_session(tmp_path: Path) -> None:
    """In its instruction or its texts; not in those of one before."""
    assert failed(recipe(tmp_path, told=("You: c1000",)), observed()) == []
    assert failed(recipe(tmp_path, told=("go on",)), with_connection(2, texts=("go on",))) == []
    name = "told to the last session"
    assert failed(recipe(tmp_path, told=("go on",)), with_connection(1, texts=("go on",))) == [name]
    assert failed(recipe(tmp_path, told=("Question one",)), observed()) == [name]
    assert failed(recipe(tmp_path, told=("c1000",)), observed(connections=()))


def test_words_known_to_the_last_session(tmp_path: Path) -> None:
    """Told, or restored with the handle."""
    assert failed(recipe(tmp_path, knows=("c1000", "Question one")), observed()) == []
    name = "known to the last session"
    assert failed(recipe(tmp_path, knows=("Question two",)), observed()) == [name]


def test_words_that_must_not_be_told(tmp_path: Path) -> None:
    """To no session at all."""
    assert failed(recipe(tmp_path, never_told=("value-of",)), observed()) == []
    seen = with_connection(1, texts=("value-of-a",))
    assert failed(recipe(tmp_path, never_told=("value-of",)), seen) == [
        "told though it must not be"
    ]
