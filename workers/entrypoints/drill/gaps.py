"""How long the caller waited because of each move, measured at the phone.

The worker's reset report says when it left a connection; everything else here is what the phone
heard and said. At that moment the caller was owed something if an answer stopped before its line
was at an end, or if they had spoken and not been answered. From there on silence counts until the
model is heard again, or until the caller speaks.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.record import MoveRecord
from workers.entrypoints.drill.model_script import lines_of
from workers.entrypoints.drill.observed import Observed, Run, runs, utterances
from workers.entrypoints.drill.recipe import Recipe

# What is being played at the moment of leaving may have begun a little after it by our clock.
_CLOCKS_MS = 60.0
# Frames to and from the phone, and the twin's own steps, on a busy machine.
_WAY_MS = 100.0


def heard_gaps_ms(recipe: Recipe, observed: Observed) -> list[float]:
    """Return the silence that each move cost the caller, in the order of the reports."""
    model = runs(observed.heard)
    caller = utterances(observed)
    return [_gap_ms(recipe, observed, move, model, caller) for move in observed.moves]


def _gap_ms(
    recipe: Recipe, observed: Observed, move: MoveRecord, model: Sequence[Run], caller: list[Run]
) -> float:
    left_ms = observed.at_phone_ms(move.left_s)
    done_ms = observed.at_phone_ms(move.done_s)
    cut_off_ms = _cut_off_ms(recipe, left_ms, model, caller)
    if cut_off_ms is not None:
        asked_ms = owed_ms = cut_off_ms
    elif (said := _unanswered(left_ms, done_ms, model, caller)) is not None:
        # No sooner than the answer would have come without a move.
        usual_ms = recipe.silence_ms + recipe.live.answer_delay_s * 1000 + _WAY_MS
        asked_ms, owed_ms = max(left_ms, said.end_ms), max(left_ms, said.end_ms + usual_ms)
    else:
        return 0.0
    ends = [run.start_ms for run in (*model, *caller) if run.start_ms >= asked_ms]
    return max(0.0, min(ends, default=observed.ended_ms) - owed_ms)


def _cut_off_ms(
    recipe: Recipe, left_ms: float, model: Sequence[Run], caller: list[Run]
) -> float | None:
    """Return from when on the rest of an answer was owed; None where none had been cut off."""
    begun = [run for run in model if run.start_ms <= left_ms + _CLOCKS_MS]
    if not begun or _is_end_of_line(recipe, begun[-1].last):
        return None
    stopped_ms = begun[-1].end_ms
    if any(begun[-1].start_ms < said.start_ms <= stopped_ms + _CLOCKS_MS for said in caller):
        return None  # The caller has interrupted it.
    if any(stopped_ms <= said.start_ms <= left_ms for said in caller):
        return None  # The caller has gone on since.
    return max(left_ms, stopped_ms)


def _unanswered(
    left_ms: float, done_ms: float, model: Sequence[Run], caller: list[Run]
) -> Run | None:
    """Return what the caller had said, or was saying, that no answer had come to."""
    said = [run for run in caller if run.start_ms <= done_ms]
    if not said or any(said[-1].end_ms <= run.start_ms <= left_ms for run in model):
        return None
    return said[-1]


def _is_end_of_line(recipe: Recipe, code: int) -> bool:
    return any(line.stop - 1 == code for line in lines_of(recipe.live))
