"""What must hold in a call of ninety minutes: nine moves, two refills, and nothing lost."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from tests.scenarios.long_call import MINUTES, LongCall, hold_call

_SEED = 7
_CPU_S = 60.0
"""About three times what a call takes on the machine this was written on."""


@pytest.fixture(scope="module")
def call() -> LongCall:
    """The whole call; the tests below look at it from their sides."""
    return hold_call(seed=_SEED)


def test_ninety_minutes_take_seconds(call: LongCall) -> None:
    """The call goes on to its end, in virtual time, and is cheap enough for every run."""
    assert call.end is not None
    assert call.end.reason is EndReason.CALLER_HUNG_UP
    assert call.seconds == pytest.approx(MINUTES * 60, abs=30)
    assert call.cpu_s < _CPU_S


def test_nine_moves_of_which_two_are_refills(call: LongCall) -> None:
    """Each connection is left when the server says so; a refused and a lost handle are refilled."""
    forced = [move for move in call.moves if move.cause in (MoveCause.GO_AWAY, MoveCause.LOST)]
    assert len(forced) == 9
    kinds = [move.kind for move in forced]
    assert kinds.count(MoveKind.RESUME) == 7
    assert kinds.count(MoveKind.REFILL) + kinds.count(MoveKind.STANDBY) == 2
    assert [move.moment for move in forced].count(MoveMoment.ABRUPT) == 1


def test_no_word_of_the_caller_is_lost(call: LongCall) -> None:
    """Every utterance was heard whole by a model, and nothing is counted as lost."""
    assert call.unheard() == []
    assert call.counters["caller_audio_lost_ms"] == 0
    assert [move.lost_ms for move in call.moves] == [0.0] * len(call.moves)


def test_moves_at_safe_points_are_not_heard(call: LongCall) -> None:
    """Nobody waits for anything meanwhile, so there is no gap and no filler."""
    quiet = [move for move in call.moves if move.moment is MoveMoment.SAFE_POINT]
    assert [move.gap_ms for move in quiet] == [0.0] * len(quiet)
    assert call.fillers == 0


def test_same_seed_makes_the_same_call() -> None:
    """What fails once can be looked at again; another seed is another call."""
    calls = [hold_call(minutes=10, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (
        (
            [astuple(move) for move in one.moves],
            [astuple(sample) for sample in one.samples],
            one.spoken,
        )
        for one in calls
    )
    assert first == again
    assert first != other
