"""The judge of a drill: a recipe and what was observed in, one line for each check out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise

from agent.conversation.record import MoveRecord
from workers.entrypoints.drill.check import Check, at_most, equal, none_of
from workers.entrypoints.drill.gaps import heard_gaps_ms
from workers.entrypoints.drill.invariants import invariants
from workers.entrypoints.drill.model_script import lines_of
from workers.entrypoints.drill.observed import Connected, Observed
from workers.entrypoints.drill.recipe import Expect, ExpectedMove, Recipe

SLOW_TOOL = "look_up"
# Two notes of one filler are nearer to each other than this.
_FILLER_PAUSE_MS = 700.0


def judge(recipe: Recipe, observed: Observed) -> list[Check]:
    """Judge what this recipe expects, then what holds in all of them."""
    return [*_expected(recipe, observed), *invariants(recipe, observed)]


def _expected(recipe: Recipe, observed: Observed) -> Iterator[Check]:
    expect = recipe.expect
    if expect.moves is not None:
        yield _moves(expect.moves, observed)
    if expect.gap_ms is not None:
        gaps = [move.gap_ms for move in observed.moves]
        yield at_most("gap, as reported", expect.gap_ms, max(gaps, default=0.0))
    if expect.gap_heard_ms is not None:
        gaps = heard_gaps_ms(recipe, observed)
        yield at_most("gap, as heard", expect.gap_heard_ms, max(gaps, default=0.0))
    if expect.connections is not None:
        yield equal("connections dialled", expect.connections, observed.dials)
    if expect.dials_apart_s is not None:
        yield _apart(expect.dials_apart_s, observed)
    if expect.answers:
        yield _answers(recipe, observed)
    if expect.tools is not None:
        yield equal("tools", _counted(expect.tools), _counted(_ran(observed)))
    if expect.person is not None:
        yield equal("put through to a person", expect.person, observed.bridged)
    if expect.apology is not None:
        yield equal("apology heard", expect.apology, recipe.agent.apology in observed.said)
    if expect.fillers is not None:
        yield _fillers(expect.fillers, observed)
    yield from _words(expect, observed)


def _moves(expected: tuple[ExpectedMove, ...], observed: Observed) -> Check:
    fits = len(expected) == len(observed.moves) and all(
        _fits(one, move) for one, move in zip(expected, observed.moves, strict=True)
    )
    wanted = [
        " ".join(str(part) for part in (one.cause, one.moment, one.kind, one.model) if part)
        for one in expected
    ]
    # A model is shown only where it is judged.
    with_model = any(one.model for one in expected)
    seen = [
        " ".join(
            str(part)
            for part in (
                move.cause,
                move.moment,
                move.kind or "none",
                move.model if with_model else "",
            )
            if part
        )
        for move in observed.moves
    ]
    return Check("moves", ", ".join(wanted) or "none", ", ".join(seen) or "none", fits)


def _fits(expected: ExpectedMove, move: MoveRecord) -> bool:
    kind = "none" if move.kind is None else move.kind.value
    return (
        expected.cause in (None, move.cause)
        and expected.moment in (None, move.moment)
        and expected.kind in (None, kind)
        and expected.model in (None, move.model)
    )


def _apart(least_s: float, observed: Observed) -> Check:
    waits = [
        after.opened_s - before.closed_s
        for before, after in pairwise(observed.connections)
        if before.closed_s is not None
    ]
    shortest = min(waits, default=float("inf"))
    name = "wait before the next dial"
    return Check(name, f"at least {least_s:g} s", f"{shortest:.1f} s", shortest >= least_s)


def _answers(recipe: Recipe, observed: Observed) -> Check:
    begun: dict[int, float] = {}
    for frame in observed.heard:
        begun.setdefault(frame.code, frame.at_ms)
    whole: list[int] = []
    problems: list[str] = []
    for line in lines_of(recipe.live):
        count = sum(code in begun for code in line)
        if count == len(line):
            whole.append(line.start)
        elif line.start in recipe.expect.answers:
            problems.append(f"{count} of {len(line)} frames of {line.start}")
    expected = list(recipe.expect.answers)
    in_order = [first for first in sorted(whole, key=lambda code: begun[code]) if first in expected]
    told = " ".join(map(str, in_order)) or "none"
    if problems:
        told += f" ({'; '.join(problems)})"
    wanted = " ".join(map(str, expected))
    return Check("answers heard whole, in order", wanted, told, in_order == expected)


def _ran(observed: Observed) -> Counter[str]:
    """Count the slow tool by its own word, those that are built in by the record."""
    ran = Counter(tool.name for tool in observed.record.tools if tool.name != SLOW_TOOL)
    if observed.executions:
        ran[SLOW_TOOL] = len(observed.executions)
    return ran


def _counted(tools: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(tools.items()) if count) or "none"


def _fillers(expected: int, observed: Observed) -> Check:
    # Before the first move there is nothing to fill, only what a busy machine makes of an answer.
    since_ms = min((observed.at_phone_ms(move.left_s) for move in observed.moves), default=0.0)
    noises = [noise for noise in observed.noises_ms if noise[0] >= since_ms]
    begun = [start for start, _ in noises[:1]]
    begun += [
        after[0] for before, after in pairwise(noises) if after[0] - before[1] > _FILLER_PAUSE_MS
    ]
    told = ", ".join([str(len(begun)), *(f"at {start / 1000:.1f} s" for start in begun)])
    return Check("fillers heard", str(expected), told, len(begun) == expected)


def _words(expect: Expect, observed: Observed) -> Iterator[Check]:
    last = observed.connections[-1] if observed.connections else Connected(0, 0.0)
    known = "\n".join((last.told, *last.memory))
    for name, patterns, text in (
        ("told to the last session", expect.told, last.told),
        ("known to the last session", expect.knows, known),
    ):
        if patterns:
            missing = [f"not {one}" for one in patterns if re.search(one, text) is None]
            yield Check(name, ", ".join(patterns), ", ".join(missing) or "all of it", not missing)
    if expect.never_told:
        told = "\n".join(one.told for one in observed.connections)
        found = [one for one in expect.never_told if re.search(one, told) is not None]
        yield none_of("told though it must not be", found)
