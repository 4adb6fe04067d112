"""What the simulated model says in a load test, and what goes wrong with it."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

import pytest

from agent.conversation.prompt import ask_for_greeting, open_call
from agent.spec import load_agent
from workers.loadtest.casting import caller_number
from workers.loadtest.model import (
    AGENT,
    ANSWER,
    GOES_ON,
    GREETING,
    LINES,
    LONG_ANSWER,
    WAITED_FOR,
    call_of,
    model_faults,
    model_script,
)
from workers.loadtest.plan import Faults, Persona, Plan
from workers.twin import speech
from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.faults import NO_CLOSE_FRAME, Close, GoAway
from workers.twin.live_api.replies import Replies
from workers.twin.live_api.script import LiveScript, Say
from workers.twin.live_api.understanding import Understanding

BRIEF = Plan(personas={Persona.TALK: 1.0})
LONG = Plan(personas={Persona.LISTEN: 1.0})


def setup_for(number: int) -> dict[str, Any]:
    """The setup that a worker with the load test's agent sends for a call."""
    variables = {"caller": caller_number(number), "called": "+15550100002"}
    opening = open_call(load_agent(AGENT), variables=variables)
    return {"systemInstruction": {"parts": [{"text": opening.system_instruction}]}}


def script_of(plan: Plan, setup: dict[str, Any]) -> LiveScript:
    source = model_script(plan)
    assert not isinstance(source, LiveScript)
    return source(1, setup)


def numbers_of(steps: object) -> list[range]:
    assert isinstance(steps, tuple)
    found = []
    for step in steps:
        assert isinstance(step, Say)
        _, first, ms = step.what.split(":")
        found.append(range(int(first), int(first) + int(ms) // 20))
        assert speech.line(step.what).duration_ms == int(ms)
    return found


def test_the_agent_is_one_that_a_worker_takes() -> None:
    """It greets, records nothing, ends no call by itself, and its silence is the drill's."""
    agent = load_agent(AGENT)
    assert agent.greeting.text
    assert not agent.recording.enabled
    assert agent.limits.idle_s == agent.limits.max_call_s == 14_400
    assert agent.vad.silence_duration_ms == 300


def test_a_connection_tells_whose_it_is() -> None:
    """By the caller's number in the instruction; a worker's own agent may not name it."""
    assert call_of(setup_for(17)) == 17
    assert call_of({"systemInstruction": {"parts": [{"text": "You answer the phone."}]}}) is None
    assert call_of({}) is None


def test_no_number_stands_in_two_lines() -> None:
    """So that each frame heard tells what was being said."""
    assert not any(set(one) & set(other) for one, other in combinations(LINES, 2))


def test_who_listens_or_interrupts_gets_long_answers() -> None:
    """Everybody else, and who is not known, gets brief ones."""
    script = script_of(LONG, setup_for(3))
    assert script.opening is not None
    assert numbers_of(script.opening) == [GREETING]
    assert numbers_of(script.otherwise) == [LONG_ANSWER]
    assert numbers_of(script_of(BRIEF, setup_for(3)).otherwise) == [ANSWER]
    assert numbers_of(script_of(LONG, {}).otherwise) == [ANSWER]


def test_the_worker_s_own_words_are_told_from_questions() -> None:
    """It asks for a greeting, for what was cut off, and for an answer that is owed."""
    script = script_of(BRIEF, setup_for(1))
    told = (
        (ask_for_greeting("Good day."), GREETING),
        ("(Your last words were cut off by the telephone line. Go on.)", GOES_ON),
        ("(The caller is waiting for your answer.)", WAITED_FOR),
        ("(The caller pressed 1.)", ANSWER),
    )
    replies = Replies(script)
    for text, numbers in told:
        assert numbers_of(tuple(replies.to_text(text).steps)) == [numbers]


def test_callers_who_say_the_same_numbers_are_not_confused() -> None:
    """Each question gets its answer, though another call has used up its codes."""
    script, understanding = script_of(BRIEF, setup_for(1)), Understanding()
    for _ in range(3):
        replies = Replies(script, understanding)
        for codes in ((100, 180), (500, 580), (150, 160)):
            reply = replies.to_speech(codes)
            assert numbers_of(tuple(reply.steps)) == [ANSWER]
            assert replies.to_more_speech(reply, (560, 600)) is reply


@pytest.mark.parametrize("connection", [1, 2, 500])
def test_faults_happen_on_every_connection(connection: int) -> None:
    """So long after its own setup, whichever it is."""
    plan = dataclasses.replace(BRIEF, faults=Faults(resets_every_s=30.0, breaks_every_s=45.0))
    faults = FaultPlan(model_faults(plan), connection)
    faults.arm(1000.0)
    (told,) = faults.due(1030.0)
    assert isinstance(told, GoAway)
    assert faults.due(1044.9) == []
    (broken,) = faults.due(1045.0)
    assert isinstance(broken, Close)
    assert broken.code == NO_CLOSE_FRAME


def test_without_faults_nothing_happens() -> None:
    """Zero is never."""
    assert model_faults(BRIEF) == ()
