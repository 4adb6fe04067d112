"""What must hold in ninety minutes: nine moves, two of them refills, nothing lost or forgotten."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.live.session import LiveSession
from tests.scenarios.long_call import (
    FACTS,
    MINUTES,
    TRIGGER_TOKENS,
    WINDOW_TOKENS,
    LongCall,
    SlowTextModel,
    hold_call,
)
from workers.twin.live_api.usage import Rates

# Of real time, on a machine that has other things to do; the calls are made in fixtures.
pytestmark = pytest.mark.timeout(400)

_SEED = 7
_CPU_S = 60.0
"""About four times what a call takes on the machine this was written on."""
_LEAST_CUTS = 15
_WRONG_AT_MOST = 0.1
# One utterance of the caller, as far as two ends may differ about it, and what is said in the turn.
_TOSS_UP_TOKENS = 400


def _tokens(session: LiveSession) -> int:
    """Ask a session how much its model holds."""
    return session.context.tokens


@pytest.fixture(scope="module", params=[25, 32], ids=lambda rate: f"{rate} tokens/s")
def call(request: pytest.FixtureRequest) -> LongCall:
    """The whole call, its summaries extracted; the tests below look at it from their sides."""
    rates = Rates(caller_per_s=request.param, model_per_s=request.param)
    return hold_call(seed=_SEED, rates=rates, estimate=_tokens)


@pytest.fixture(scope="module")
def model() -> SlowTextModel:
    return SlowTextModel(_SEED)


@pytest.fixture(scope="module")
def told(model: SlowTextModel) -> LongCall:
    """The whole call, its summaries made by a text model that is slow and sometimes wrong."""
    return hold_call(seed=_SEED, text_model=model)


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


def test_context_is_cut_often_and_never_passes_the_window(call: LongCall) -> None:
    """The server cuts, as it is asked to, long before the context is full."""
    assert len(call.cuts) >= _LEAST_CUTS
    assert call.most_tokens <= WINDOW_TOKENS


def test_every_move_gives_the_model_all_twelve_facts(call: LongCall) -> None:
    """What was told in the first ten minutes is in the instruction or the lines it holds."""
    assert len(call.given) == len(call.moves)
    assert [(round(given.at_s), given.missing()) for given in call.given if given.missing()] == []
    assert call.given[-1].told == len(FACTS)


def test_model_knows_every_fact_whenever_it_is_asked(call: LongCall) -> None:
    """It answers from what it holds then, between moves and cuts as well as after them."""
    assert {answer.asked for answer in call.answers[-len(FACTS) :]} == {
        answer.asked for answer in call.answers
    }
    assert [(round(one.at_s), one.asked) for one in call.answers if not one.known] == []


def test_token_estimate_is_within_a_tenth_of_the_truth(call: LongCall) -> None:
    """At every second, whatever the server counts for a second of audio, toss-ups apart.

    A server says nothing before a turn is over. Where a turn begins with hardly more or less than
    the trigger, nobody can know whether it was cut until its count comes.
    """
    assert len(call.samples) > 0.99 * call.seconds
    assert [sample for sample in call.samples if sample.estimate is None] == []
    wrong = [sample for sample in call.samples if sample.error > _WRONG_AT_MOST]
    sure = [
        astuple(sample)
        for sample in wrong
        if abs(max(sample.estimate or 0, sample.tokens) - TRIGGER_TOKENS) > _TOSS_UP_TOKENS
    ]
    assert sure == []
    assert len(wrong) <= 0.002 * len(call.samples)


def test_never_more_than_one_summary_is_in_flight(told: LongCall, model: SlowTextModel) -> None:
    """A model that takes its time is not asked again meanwhile."""
    assert model.asked > 20
    assert model.most_at_once == 1
    assert told.unheard() == []


def test_facts_outlive_a_text_model_that_fails_now_and_then(told: LongCall) -> None:
    """The last good summary is kept, so every move gives the model what had been told."""
    assert [(round(given.at_s), given.missing()) for given in told.given if given.missing()] == []
    assert [(round(one.at_s), one.asked) for one in told.answers if not one.known] == []


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
