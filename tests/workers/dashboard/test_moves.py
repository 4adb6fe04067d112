"""Reset reports in words."""

from __future__ import annotations

import itertools

import pytest

from agent.conversation.record import MoveCause, MoveKind, MoveMoment, MoveRecord
from workers.dashboard.moves import cause_words, move_words, tone_of, worst_tone
from workers.dashboard.story import Tone

RESUME = MoveKind.RESUME


def move(
    kind: MoveKind | None = RESUME, *, gap_ms: float = 0.0, lost_ms: float = 0.0
) -> MoveRecord:
    return MoveRecord(
        MoveCause.GO_AWAY, MoveMoment.SAFE_POINT, kind, 1, 2, 2.31, gap_ms=gap_ms, lost_ms=lost_ms
    )


@pytest.mark.parametrize(
    ("made", "tone"),
    [
        (move(), "good"),
        (move(gap_ms=1), "odd"),
        (move(gap_ms=0.4), "good"),
        (move(lost_ms=20), "bad"),
        (move(lost_ms=20, gap_ms=100), "bad"),
        (move(None), "bad"),
    ],
)
def test_tone_tells_what_the_caller_noticed(made: MoveRecord, tone: Tone) -> None:
    """A gap is odd, a loss or no connection bad; what is shown as 0 ms is nothing."""
    assert tone_of(made) == tone


def test_the_gravest_move_gives_the_tone_of_all() -> None:
    """Whatever their order; no moves are good."""
    moves = [move(), move(gap_ms=5), move(None)]
    for some in itertools.permutations(moves):
        assert worst_tone(some) == "bad"
    assert worst_tone(moves[:2]) == "odd"
    assert worst_tone([]) == "good"


@pytest.mark.parametrize(
    ("cause", "moment", "kind"), list(itertools.product(MoveCause, MoveMoment, [*MoveKind, None]))
)
def test_every_move_has_words(cause: MoveCause, moment: MoveMoment, kind: MoveKind | None) -> None:
    """No cause, moment or kind is unknown to the reader; tries are told where one did not do."""
    words = move_words(MoveRecord(cause, moment, kind, 1, 2, 4.4, tries=2))
    assert words.startswith(f"{cause.value} ")
    assert words.endswith(" in 2.4 s, 2 tries; gap 0 ms, 0 ms lost")


def test_every_cause_is_explained_in_its_own_words() -> None:
    """No two causes read the same, and none is told by its name alone."""
    words = [cause_words(cause) for cause in MoveCause]
    assert len(set(words)) == len(MoveCause)
    assert min(len(text.split()) for text in words) >= 4
