"""Faults by recipe."""

from __future__ import annotations

import pytest

from workers.twin.live_api.engine import Send
from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.faults import (
    Close,
    DelaySetup,
    Fault,
    Garbage,
    HangBeforeSetup,
    LatePongs,
    NeverAnswer,
    RefuseUpgrade,
    fault_from,
)


def test_a_fault_hits_the_sessions_it_names() -> None:
    """Sessions are counted from 1; none named means all."""
    faults = (
        RefuseUpgrade(sessions=frozenset({1}), status=429),
        HangBeforeSetup(sessions=frozenset({2})),
        LatePongs(seconds=8),
        DelaySetup(seconds=2),
    )
    first, second = FaultPlan(faults, 1), FaultPlan(faults, 2)
    assert (first.refusal, first.hangs) == (429, False)
    assert (second.refusal, second.hangs) == (None, True)
    assert (second.pong_delay_s, second.setup_delay_s) == (8, 2)
    assert FaultPlan((), 1).pong_delay_s == 0


def test_a_timed_fault_happens_once_at_its_time() -> None:
    """Time counts from ``setupComplete``."""
    fault = Close(after_s=5)
    plan = FaultPlan((fault,), 1)
    plan.arm(100.0)
    assert plan.deadline == 105.0
    assert plan.due(104.9) == []
    assert plan.due(105.0) == [fault]
    assert plan.due(200.0) == []
    assert plan.deadline is None


def test_a_fault_in_an_answer_waits_for_its_audio() -> None:
    """A fault strikes before the first frame that has that much of the answer before it."""
    fault = Close(answer=2, audio_ms=500)
    plan = FaultPlan((fault,), 1)
    assert plan.before(Send(b"{}", 1, 900), 0.0) == []
    assert plan.before(Send(b"{}", 2, 460), 0.0) == []
    assert plan.before(Send(b"{}", 2, 520), 0.0) == [fault]
    assert plan.before(Send(b"{}", 2, 600), 0.0) == []


def test_never_answer_keeps_frames_back_from_its_answer_on() -> None:
    """From answer 1 on everything is kept back, what belongs to no answer included."""
    assert FaultPlan((NeverAnswer(),), 1).mutes(Send(b"", 0))
    later = FaultPlan((NeverAnswer(answer=2),), 1)
    assert not later.mutes(Send(b"", 1))
    assert later.mutes(Send(b"", 2))


def test_a_recipe_becomes_its_fault() -> None:
    """Plain data names the fault and its fields."""
    assert fault_from({"fault": "close", "code": 1008, "answer": 1}) == Close(code=1008, answer=1)
    recipe: dict[str, object] = {"fault": "garbage", "kinds": ["error"], "sessions": [2], "turn": 1}
    expected: Fault = Garbage(kinds=("error",), sessions=frozenset({2}), turn=1)
    assert fault_from(recipe) == expected


@pytest.mark.parametrize("recipe", [{}, {"fault": "flood"}, {"fault": "close", "speed": 1}])
def test_a_mistake_in_a_recipe_is_an_error(recipe: dict[str, object]) -> None:
    """Unknown faults and fields are refused."""
    with pytest.raises(ValueError, match="fault"):
        fault_from(recipe)
