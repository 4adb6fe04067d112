"""Faults as plain data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from workers.twin.live_api.faults import (
    Amnesia,
    Close,
    Fault,
    Garbage,
    GoAway,
    HalfOpen,
    LatePongs,
    LingeringSocket,
    MuteAfterBargeIn,
    NearZeroAudio,
    PhantomInterrupt,
    PoisonedHandle,
    RefuseSetup,
    ResidualAudio,
    SilentAnswer,
    SlowAnswers,
    fault_from,
)


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        ({"fault": "close", "code": 1008, "answer": 1}, Close(code=1008, answer=1)),
        ({"fault": "close", "after_s": 5}, Close(after_s=5.0)),
        (
            {"fault": "close", "speech": 2, "speech_ms": 500, "delay_s": 0.1},
            Close(speech=2, speech_ms=500.0, delay_s=0.1),
        ),
        (
            {"fault": "garbage", "kinds": ["error"], "sessions": [2], "turn": 1},
            Garbage(kinds=("error",), sessions=frozenset({2}), turn=1),
        ),
        ({"fault": "go_away", "after_s": 550}, GoAway(after_s=550, time_left_s=50, closes=True)),
        (
            {"fault": "go_away", "turn": 1, "time_left_s": None, "silent": True},
            GoAway(turn=1, time_left_s=None, silent=True),
        ),
        (
            {"fault": "refuse_setup", "code": 1007, "reason": "no", "when": "resume"},
            RefuseSetup(code=1007, reason="no", when="resume"),
        ),
        ({"fault": "late_pongs", "seconds": None}, LatePongs(seconds=None)),
        ({"fault": "lingering_socket", "seconds": 3}, LingeringSocket(seconds=3.0)),
        ({"fault": "half_open", "tool_call": 1}, HalfOpen(tool_call=1)),
        ({"fault": "poisoned_handle"}, PoisonedHandle()),
        ({"fault": "amnesia", "sessions": [2, 3]}, Amnesia(sessions=frozenset({2, 3}))),
        ({"fault": "phantom_interrupt", "speech_end": 1}, PhantomInterrupt(speech_end=1)),
        (
            {"fault": "residual_audio", "interruption": 1, "delay_s": 1, "ms": 40},
            ResidualAudio(interruption=1, delay_s=1.0, ms=40.0),
        ),
        ({"fault": "silent_answer", "answer": 2}, SilentAnswer(answer=2)),
        ({"fault": "near_zero_audio", "answer": 2}, NearZeroAudio(answer=2)),
        ({"fault": "mute_after_barge_in", "until_text": False}, MuteAfterBargeIn(until_text=False)),
        ({"fault": "slow_answers", "add_s": 1}, SlowAnswers(add_s=1.0)),
    ],
)
def test_a_recipe_becomes_its_fault(recipe: dict[str, Any], fault: Fault) -> None:
    """Plain data names the fault and its fields."""
    assert fault_from(recipe) == fault


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "fault: missing"),
        ({"fault": "flood"}, "fault 'flood' is unknown"),
        ({"fault": "goaway"}, "fault 'goaway' is unknown; did you mean 'go_away'?"),
        ({"fault": ["close"]}, "fault ['close'] is unknown"),
        (
            {"fault": "close", "after": 1},
            "fault close: field 'after' is unknown; did you mean 'after_s'?",
        ),
        ({"fault": "close", "after_s": "1"}, "fault close: after_s must be a number, not '1'"),
        ({"fault": "close", "after_s": True}, "fault close: after_s must be a number, not True"),
        ({"fault": "close", "answer": 1.5}, "fault close: answer must be a whole number, not 1.5"),
        ({"fault": "close", "answer": True}, "fault close: answer must be a whole number"),
        ({"fault": "close", "reason": None, "turn": 1}, "fault close: reason must be text"),
        ({"fault": "close", "answer": 0}, "fault close: answer counts from 1, not 0"),
        ({"fault": "close", "turn": 1, "delay_s": -1}, "fault close: delay_s must be 0 or more"),
        (
            {"fault": "close", "turn": 1, "delay_s": float("nan")},
            "fault close: delay_s must be 0 or more, not nan",
        ),
        ({"fault": "close", "turn": 1, "code": 99}, "fault close: code must be a close code"),
        ({"fault": "close", "turn": 1, "code": 1005}, "fault close: code must be a close code"),
        (
            {"fault": "close"},
            "fault close: needs exactly one trigger (after_s, answer, speech, speech_end, "
            "tool_call, interruption, turn), not none",
        ),
        (
            {"fault": "go_away", "after_s": 1, "turn": 1, "speech": 1},
            "fault go_away: needs exactly one trigger (after_s, answer, speech, speech_end, "
            "tool_call, interruption, turn), not after_s, speech and turn",
        ),
        (
            {"fault": "close", "turn": 1, "audio_ms": 500},
            "fault close: audio_ms goes with answer, not with turn",
        ),
        (
            {"fault": "close", "answer": 1, "speech_ms": 500},
            "fault close: speech_ms goes with speech, not with answer",
        ),
        ({"fault": "close", "turn": 1, "sessions": []}, "fault close: sessions counts from 1"),
        ({"fault": "close", "turn": 1, "sessions": [0]}, "sessions counts from 1, not [0]"),
        ({"fault": "close", "turn": 1, "sessions": 2}, "fault close: sessions must be a list"),
        ({"fault": "close", "turn": 1, "sessions": ["2"]}, "sessions must be a whole number"),
        ({"fault": "garbage", "turn": 1, "kinds": ["eror"]}, "did you mean 'error'?"),
        ({"fault": "refuse_setup", "when": "later"}, "when 'later' is unknown; known: any, resume"),
        ({"fault": "refuse_upgrade", "status": 101}, "status must be an HTTP status"),
        ({"fault": "delay_setup"}, "fault delay_setup: seconds is missing"),
        ({"fault": "silent_answer"}, "fault silent_answer: answer is missing"),
        ({"fault": "slow_answers", "from_answer": 0}, "from_answer counts from 1, not 0"),
        ({"fault": "go_away", "turn": 1, "silent": 1}, "silent must be true or false, not 1"),
        (
            {"fault": "go_away", "turn": 1, "time_left_s": -1},
            "fault go_away: time_left_s must be 0 or more, not -1",
        ),
        ({"fault": "amnesia", 1: 2}, "fault amnesia: field 1 is unknown"),
    ],
)
def test_a_mistake_in_a_recipe_names_the_fault_and_the_field(
    recipe: dict[Any, Any], message: str
) -> None:
    """And says what would do."""
    with pytest.raises(ValueError, match=re.escape(message)):
        fault_from(recipe)
