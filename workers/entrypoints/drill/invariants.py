"""What must hold in every call, whatever goes wrong: section 2 of the design, told by both ends.

Nothing here trusts the worker's own reports where one of the twins can be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from agent.conversation.record import EndReason
from workers.entrypoints.drill.check import Check, at_most, equal, none_of
from workers.entrypoints.drill.model_script import greeting_of, lines_of
from workers.entrypoints.drill.observed import FRAME_MS, Connected, Observed, utterances
from workers.entrypoints.drill.recipe import Recipe

# The stream runs for about this long before its first frame is sent; its start is seen from the
# other end of a socket.
_START_FRAMES = 2
# What may be on its way, or waiting for its turn, when the caller hangs up.
_END_FRAMES = 25
# The twin notices a close a little later than the client that asked for it.
_OVERLAP_S = 0.05


def invariants(recipe: Recipe, observed: Observed) -> list[Check]:
    """Judge what holds in every recipe."""
    return [
        *_caller_audio(recipe, observed),
        _model_audio(recipe, observed),
        *_greetings(recipe, observed),
        *_tools(observed),
        _one_voice(recipe, observed),
        equal("end", recipe.expect.end_reason.value, _end(observed)),
        none_of("left open", list(observed.left_open)),
    ]


def open_at_once(observed: Observed) -> int:
    """Return how many Live connections were up at the same time at most."""
    moments: list[tuple[float, int]] = []
    for one in observed.connections:
        closed_s = observed.ended_ms / 1000 if one.closed_s is None else one.closed_s
        moments += [(one.opened_s, 1), (max(one.opened_s, closed_s - _OVERLAP_S), -1)]
    most = count = 0
    for _, change in sorted(moments):
        count += change
        most = max(most, count)
    return most


def _caller_audio(recipe: Recipe, observed: Observed) -> Iterator[Check]:
    heard = [one for one in observed.connections if one.caller_codes]
    jumps = [
        f"connection {one.number}: {after} after {before}"
        for one in heard
        for before, after in pairwise(one.caller_codes)
        # What is allowed to be lost may be missing, but nothing comes late or again.
        if after != before + 1 and not (recipe.expect.lost_ms and after > before)
    ]
    yield none_of("caller audio out of order", jumps)
    yield at_most(
        "caller audio lost", recipe.expect.lost_ms, FRAME_MS * len(_missing(observed, heard))
    )
    yield at_most("caller audio lost, as reported", recipe.expect.lost_ms, _reported(observed))
    if not recipe.expect.lost_ms:
        yield none_of("caller's sentences that no session heard whole", _torn(observed, heard))


def _missing(observed: Observed, heard: list[Connected]) -> set[int]:
    """Return the caller's frames that reached no connection."""
    last = max((max(one.caller_codes) for one in heard), default=-1)
    if observed.record.end_reason is EndReason.CALLER_HUNG_UP and observed.spoken:
        last = max(last, observed.spoken[-1].code - _END_FRAMES)
    if not heard and not observed.spoken:
        return set()
    received = {code for one in heard for code in one.caller_codes}
    return set(range(observed.first_streamed + _START_FRAMES, last + 1)) - received


def _reported(observed: Observed) -> float:
    moves = sum(move.lost_ms for move in observed.moves)
    return max(moves, observed.record.counters.get("caller_audio_lost_ms", 0))


def _torn(observed: Observed, heard: list[Connected]) -> list[str]:
    """Find utterances of which no single connection got every frame: it could not know them."""
    last = max((max(one.caller_codes) for one in heard), default=-1)
    received = [frozenset(one.caller_codes) for one in heard]
    return [
        f"{said.first} to {said.last}"
        for said in utterances(observed)
        if said.first >= observed.first_streamed + _START_FRAMES
        and said.last <= last
        and not any(codes.issuperset(range(said.first, said.last + 1)) for codes in received)
    ]


def _model_audio(recipe: Recipe, observed: Observed) -> Check:
    known = {code for line in lines_of(recipe.live) for code in line}
    times = Counter(frame.code for frame in observed.heard if frame.code in known)
    again = sorted(code for code, count in times.items() if count > 1)
    return none_of("model audio heard twice", [str(code) for code in again])


def _greetings(recipe: Recipe, observed: Observed) -> Iterator[Check]:
    line = greeting_of(recipe.live)
    heard = [frame for frame in observed.heard if line is not None and frame.code in line]
    begun = sum(1 for frame in heard if line is not None and frame.code == line.start)
    yield Check("greetings heard", "at most 1", str(begun), begun <= 1)
    text = recipe.agent.greeting.text
    if text is None:
        return
    answered_s = heard[0].at_ms / 1000 if heard else float("inf")
    asked = Counter(
        {one.number: sum(text in told for told in one.texts) for one in observed.connections}
    )
    problems = [f"connection {number} was asked {n} times" for number, n in asked.items() if n > 1]
    problems += [
        f"connection {one.number} was asked after it had been heard"
        for one in observed.connections
        if asked[one.number] and one.opened_s > answered_s
    ]
    yield none_of("greeting asked for again", problems)


def _tools(observed: Observed) -> Iterator[Check]:
    runs = Counter(run.key for run in observed.executions)
    yield none_of(
        "tools run more than once", [f"{key}: {count}" for key, count in runs.items() if count > 1]
    )
    problems = []
    for run in observed.executions:
        told = {one.number: _times_told(run.result, one) for one in observed.connections}
        if run.finished and not any(told.values()):
            problems.append(f"{run.result} reached no model")
        if not run.finished and any(told.values()):
            problems.append(f"{run.result} was told though it never came")
        problems += [
            f"connection {number} was told {run.result} {count} times"
            for number, count in told.items()
            if count > 1
        ]
    problems += [
        f"connection {one.number} got an answer to a call it never made"
        for one in observed.connections
        if one.stray_answers
    ]
    yield none_of("tool results lost or told again", problems)


def _times_told(result: str, one: Connected) -> int:
    return one.told.count(result) + sum(result in answer for answer in one.tool_answers)


def _one_voice(recipe: Recipe, observed: Observed) -> Check:
    most = open_at_once(observed)
    allowed = recipe.expect.open_at_once
    return Check("connections at once", f"at most {allowed}", str(most), most <= allowed)


def _end(observed: Observed) -> str:
    reason = observed.record.end_reason
    return reason.value if reason is not None else "not recorded"
