"""When the faults of one connection strike."""

from __future__ import annotations

import pytest

from workers.twin.live_api.engine import Event, Send
from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.faults import (
    Amnesia,
    Close,
    DelaySetup,
    Fault,
    GoAway,
    HangBeforeSetup,
    InterruptedAfterTurnComplete,
    LatePongs,
    LingeringSocket,
    MuteAfterBargeIn,
    NearZeroAudio,
    NeverAnswer,
    NoHandles,
    NoTurnCompleteAfterInterrupt,
    PoisonedHandle,
    RefuseSetup,
    RefuseUpgrade,
    SilentAnswer,
    SlowAnswers,
)
from workers.twin.live_api.quirks import SOUND, Quirks


def test_a_fault_hits_the_connections_it_names() -> None:
    """Connections are counted from 1; none named means all."""
    faults = (
        RefuseUpgrade(sessions=frozenset({1}), status=429),
        HangBeforeSetup(sessions=frozenset({2})),
        LatePongs(seconds=8),
        DelaySetup(seconds=2),
        LingeringSocket(seconds=3, sessions=frozenset({1})),
    )
    first, second = FaultPlan(faults, 1), FaultPlan(faults, 2)
    assert (first.refusal, first.hangs, first.lingers_s) == (429, False, 3)
    assert (second.refusal, second.hangs, second.lingers_s) == (None, True, 0)
    assert (second.pong_delay_s, second.setup_delay_s) == (8, 2)
    assert FaultPlan((), 1).pong_delay_s == 0


def test_a_timed_fault_happens_once_at_its_time() -> None:
    """Time counts from ``setupComplete``, and not before it."""
    fault = Close(after_s=5)
    plan = FaultPlan((fault,), 1)
    assert (plan.deadline, plan.due(1e9)) == (None, [])
    plan.arm(100.0)
    assert plan.deadline == 105.0
    assert plan.due(104.9) == []
    assert plan.due(105.0) == [fault]
    assert plan.due(200.0) == []
    assert plan.deadline is None


def test_faults_that_are_due_together_come_in_the_order_of_their_times() -> None:
    """Whatever order the recipe has."""
    faults = [GoAway(after_s=3), Close(after_s=2)]
    plan = FaultPlan(faults, 1)
    plan.arm(0.0)
    assert plan.due(10.0) == [faults[1], faults[0]]


def test_the_time_scale_shortens_what_counts_from_the_setup_alone() -> None:
    """``after_s`` is the server's clock, ``delay_s`` is real time."""
    faults = [Close(after_s=600, delay_s=1), Close(turn=1, delay_s=1)]
    plan = FaultPlan(faults, 1, time_scale=100)
    plan.arm(0.0)
    assert plan.deadline == 7.0
    assert plan.happened("turn", 2.0) == []
    assert plan.deadline == 3.0


def test_a_fault_in_an_answer_waits_for_its_audio() -> None:
    """A fault strikes before the first frame that has that much of the answer before it."""
    fault = Close(answer=2, audio_ms=500)
    plan = FaultPlan((fault,), 1)
    assert plan.before(Send(b"{}", 1, 900), 0.0) == []
    assert plan.before(Send(b"{}", 2, 460), 0.0) == []
    assert plan.before(Send(b"{}", 2, 520), 0.0) == [fault]
    assert plan.before(Send(b"{}", 2, 600), 0.0) == []


def test_a_fault_in_mid_sentence_waits_for_the_words() -> None:
    """So much of the n-th utterance, not of another, and once."""
    fault = Close(speech=2, speech_ms=500)
    plan = FaultPlan((fault,), 1)
    assert plan.spoken(1, 900, 0.0) == []
    assert plan.spoken(2, 0, 0.0) == []
    assert plan.spoken(2, 480, 0.0) == []
    assert plan.spoken(2, 500, 0.0) == [fault]
    assert plan.spoken(2, 520, 0.0) == []


@pytest.mark.parametrize("event", ["speech_end", "tool_call", "interruption", "turn"])
def test_a_fault_after_an_event_counts_that_event_alone(event: Event) -> None:
    """The n-th of its kind."""
    fault = Close(**{event: 2})  # type: ignore[arg-type]  # which field is the parameter
    plan = FaultPlan((fault,), 1)
    others: list[Event] = ["speech_end", "tool_call", "interruption", "turn"]
    others.remove(event)
    for other in others * 3:
        assert plan.happened(other, 0.0) == []
    assert plan.happened(None, 0.0) == []
    assert plan.happened(event, 0.0) == []
    assert plan.happened(event, 0.0) == [fault]
    assert plan.happened(event, 0.0) == []


@pytest.mark.parametrize(
    "fault",
    [
        Close(after_s=1, delay_s=2),
        Close(answer=1, delay_s=3),
        Close(speech=1, delay_s=3),
        Close(tool_call=1, delay_s=3),
    ],
)
def test_a_delay_follows_any_trigger(fault: Close) -> None:
    """The fault becomes one of time, and happens once."""
    plan = FaultPlan((fault,), 1)
    plan.arm(0.0)
    for _ in range(2):
        struck = [
            *plan.before(Send(b"{}", 1, 0), 0.0),
            *plan.spoken(1, 100, 0.0),
            *plan.happened("tool_call", 0.0),
        ]
        assert struck == []
    assert plan.deadline == 3.0
    assert plan.due(2.99) == []
    assert plan.due(3.0) == [fault]
    assert plan.due(9.0) == []


def test_never_answer_keeps_frames_back_from_its_answer_on() -> None:
    """From answer 1 on everything is kept back, what belongs to no answer included."""
    assert FaultPlan((NeverAnswer(),), 1).mutes(Send(b"", 0))
    later = FaultPlan((NeverAnswer(answer=2),), 1)
    assert not later.mutes(Send(b"", 1))
    assert later.mutes(Send(b"", 2))


def test_a_setup_is_refused_by_whether_it_resumes() -> None:
    """Either kind, or both."""
    for when, fresh, resume in [
        ("any", True, True),
        ("resume", False, True),
        ("fresh", True, False),
    ]:
        plan = FaultPlan((RefuseSetup(when=when),), 1)  # type: ignore[arg-type]  # one of three
        assert (plan.setup_refusal(resumes=False) is not None) == fresh
        assert (plan.setup_refusal(resumes=True) is not None) == resume


@pytest.mark.parametrize(
    ("fault", "quirks"),
    [
        (NoHandles(), Quirks(hands_out_handles=False)),
        (NoTurnCompleteAfterInterrupt(), Quirks(turn_complete_after_interrupted=False)),
        (InterruptedAfterTurnComplete(), Quirks(interrupted_last=True)),
        (SilentAnswer(answer=2), Quirks(silent_answers=frozenset({2}))),
        (NearZeroAudio(answer=2), Quirks(near_zero_answers=frozenset({2}))),
        (MuteAfterBargeIn(), Quirks(mute_after_barge_in="until_text")),
        (MuteAfterBargeIn(until_text=False), Quirks(mute_after_barge_in="for_ever")),
        (SlowAnswers(), Quirks(slow_from=1, slow_add_s=0.3)),
        (Close(turn=1), SOUND),
    ],
)
def test_a_lasting_fault_becomes_a_quirk(fault: Fault, quirks: Quirks) -> None:
    """On fresh and on resumed connections."""
    for resumed in (True, False):
        assert FaultPlan((fault,), 1).quirks(resumed=resumed) == quirks


def test_faults_of_handles_spare_fresh_connections() -> None:
    """Poison and amnesia come with the handle."""
    plan = FaultPlan((PoisonedHandle(), Amnesia()), 1)
    assert plan.quirks(resumed=False) == SOUND
    assert plan.quirks(resumed=True) == Quirks(mute=True, greets_again=True)
