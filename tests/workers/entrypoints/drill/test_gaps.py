"""The gap as the phone heard it: what counts as owed, from when, and until when."""

from __future__ import annotations

from pathlib import Path

from tests.workers.entrypoints.drill.samples import (
    FIRST_ANSWER,
    GREETING,
    SECOND_ANSWER,
    frames,
    heard,
    move,
    observed,
    recipe,
    with_record,
)
from workers.entrypoints.drill.gaps import heard_gaps_ms
from workers.entrypoints.drill.observed import Coded, Observed

# The caller speaks from 2 to 3 s and from 7 to 8 s; the connection is left at 6 s.


def gaps(folder: Path, seen: Observed) -> list[float]:
    return heard_gaps_ms(recipe(folder), seen)


def with_loud(first: int, count: int, *lines: list[Coded]) -> Observed:
    loud = frozenset({*range(100, 150), *range(first, first + count)})
    return observed(loud=loud, heard=heard(GREETING, *lines))


def test_nothing_is_owed_in_silence(tmp_path: Path) -> None:
    """The answer was heard to its end, and nobody asked for another."""
    assert gaps(tmp_path, observed()) == [0.0]


def test_answer_cut_off(tmp_path: Path) -> None:
    """Silence counts from the last frame, or from leaving where that is later."""
    seen = with_loud(350, 50, frames(1000, 60, 4900), frames(5000, 75, 6500))
    assert gaps(tmp_path, seen) == [6500 - 6100]
    stalled = with_loud(350, 50, frames(1000, 60, 4000), frames(5000, 75, 6500))
    assert gaps(tmp_path, stalled) == [500.0]


def test_what_was_here_already_plays_on(tmp_path: Path) -> None:
    """An answer that is heard to its end while the move is on leaves no gap."""
    assert gaps(tmp_path, with_loud(350, 50, frames(1000, 100, 5000))) == [0.0]


def test_rest_that_never_comes(tmp_path: Path) -> None:
    """The caller waits until they speak, or until the call ends."""
    assert gaps(tmp_path, with_loud(350, 50, frames(1000, 60, 4800))) == [1000.0]
    assert gaps(tmp_path, with_loud(0, 0, frames(1000, 60, 4800))) == [6000.0]


def test_answer_the_caller_had_interrupted_is_not_owed(tmp_path: Path) -> None:
    """What is owed then is the answer to the interruption, as soon as it could have come."""
    # Interrupts at 5 s, speaks until 6.4 s: after the move.
    seen = with_loud(250, 70, frames(1000, 55, 4000), frames(2000, 75, 7000))
    # 300 ms until the model takes it for ended, 50 ms to answer, 100 ms on the way.
    assert gaps(tmp_path, seen) == [7000 - 6400 - 450]


def test_question_that_was_not_yet_answered(tmp_path: Path) -> None:
    """It was asked before the move; the wait counts from leaving."""
    seen = with_loud(230, 30, FIRST_ANSWER[:40], frames(2000, 75, 6700))
    assert gaps(tmp_path, seen) == [700.0]


def test_answer_that_came_in_time(tmp_path: Path) -> None:
    """The caller asks while the move is on, and is answered as quickly as ever."""
    seen = with_loud(305, 50, FIRST_ANSWER, frames(2000, 75, 7500))
    assert gaps(tmp_path, seen) == [0.0]


def test_each_move_has_its_gap(tmp_path: Path) -> None:
    """In the order of the reports."""
    seen = with_record(moves=[move(left_s=4.4, done_s=4.7), move()])
    cut = heard(GREETING, FIRST_ANSWER[:50], frames(5000, 75, 5000), SECOND_ANSWER)
    seen = observed(record=seen.record, heard=cut)
    assert gaps(tmp_path, seen) == [500.0, 0.0]
