"""A recipe and a call in which everything went well, for the judge to be shown what spoils it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.conversation.record import (
    CallRecord,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
)
from workers.entrypoints.drill.check import Check
from workers.entrypoints.drill.observed import FRAME_MS, Coded, Connected, Observed
from workers.entrypoints.drill.recipe import Expect, Recipe
from workers.entrypoints.drill.recipe_file import load_recipe
from workers.entrypoints.drill.verdict import judge

RECIPE = """\
title: A drop
what_must_hold: Nothing is lost.
caller: [wait_agent_done, {speak: 1000}, wait_agent_done, {speak: 1000}, wait_agent_done, hang_up]
expect: {}
"""
# The phone's frames are numbered from its answer, which is at 0 here: frame 100 is sent at 2 s.
LAST = 600
LOUD = frozenset({*range(100, 150), *range(350, 400)})
STREAM_S = 0.1


def recipe(folder: Path, **expect: Any) -> Recipe:
    """The standard agent and script, and these expectations."""
    file = folder / "recipe.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return replace(load_recipe(file), expect=Expect(**expect))


def frames(first: int, count: int, at_ms: float) -> list[Coded]:
    return [Coded(at_ms + FRAME_MS * number, first + number) for number in range(count)]


def heard(*lines: Iterable[Coded]) -> tuple[Coded, ...]:
    return tuple(frame for line in lines for frame in line)


def move(**fields: Any) -> MoveRecord:
    """Left at 5.9 s by the record's clock, which is 6 s at the phone."""
    values: dict[str, Any] = {
        "cause": MoveCause.LOST,
        "moment": MoveMoment.ABRUPT,
        "kind": MoveKind.RESUME,
        "wanted_s": 5.9,
        "left_s": 5.9,
        "done_s": 6.2,
        "model": "gemini-3.8-live",
    }
    return MoveRecord(**values | fields)


GREETING = frames(100, 40, 600)
FIRST_ANSWER = frames(1000, 100, 3400)
SECOND_ANSWER = frames(2000, 75, 8400)


def observed(**fields: Any) -> Observed:
    """Greeted, asked and answered, moved at 6 s in silence, asked and answered again."""
    values: dict[str, Any] = {
        "record": CallRecord(
            "CA1", "drill", "gemini-3.8-live", end_reason=EndReason.CALLER_HUNG_UP, moves=[move()]
        ),
        "connections": (
            Connected(
                1,
                0.1,
                6.0,
                caller_codes=tuple(range(5, 301)),
                instruction="You answer the phone.",
                texts=("Say exactly: Good day.",),
            ),
            Connected(
                2,
                6.0,
                12.0,
                resumed=True,
                caller_codes=tuple(range(300, LAST - 2)),
                instruction="You answer the phone.\nYou: c1000 c1010",
                memory=("user: Question one.",),
            ),
        ),
        "stream_s": STREAM_S,
        "first_streamed": 5,
        "spoken": tuple(frames(0, LAST, 0)),
        "loud": LOUD,
        "heard": heard(GREETING, FIRST_ANSWER, SECOND_ANSWER),
        "ended_ms": 12_000.0,
    }
    return Observed(**values | fields)


def with_record(**fields: Any) -> Observed:
    found = observed()
    return replace(found, record=replace(found.record, **fields))


def with_connection(number: int, **fields: Any) -> Observed:
    found = observed()
    connections = list(found.connections)
    connections[number - 1] = replace(connections[number - 1], **fields)
    return replace(found, connections=tuple(connections))


def failed(some: Recipe, seen: Observed) -> list[str]:
    """The names of the checks that failed."""
    return [check.name for check in judge(some, seen) if not check.ok]


def check_named(name: str, some: Recipe, seen: Observed) -> Check:
    (found,) = (check for check in judge(some, seen) if check.name == name)
    return found
