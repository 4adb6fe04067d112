"""What the caller is owed where a session is gone on with."""

from __future__ import annotations

from typing import Any

import pytest

from agent.checkpoint import SessionCheckpoint
from agent.conversation.owed import Owed, owed
from agent.conversation.record import ToolRecord, TurnRecord

NOW_S = 60.0


def caller(text: str = "When do you open?", at_s: float = 30.0) -> TurnRecord:
    return TurnRecord("caller", text, text, at_s, at_s + 2)


def agent(at_s: float = 34.0, *, heard_ms: float = 4_000, **fields: Any) -> TurnRecord:
    said = "We open at seven."
    made = TurnRecord("agent", said, said if heard_ms else "", at_s, at_s + heard_ms / 1000)
    made.said_ms, made.heard_ms = 4_000, heard_ms
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def tool(**fields: Any) -> ToolRecord:
    made = ToolRecord("f1", "order", {}, 38.5, 38.5, "unknown")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def found(*history: TurnRecord, tools: tuple[ToolRecord, ...] = (), **flags: bool) -> Owed:
    checkpoint = SessionCheckpoint(at_s=40.0, model="m", **flags)  # type: ignore[arg-type]  # flags
    return owed(history, tools, checkpoint, now_s=NOW_S)


def test_nothing_is_owed_at_a_quiet_moment() -> None:
    """The agent has been heard to its end, and the caller says nothing yet."""
    assert found(caller(), agent()) is Owed.NOTHING


def test_greeting_is_owed_where_nothing_was_heard() -> None:
    """Whoever hears a phone answered wants to hear who it is."""
    assert found(agent(heard_ms=0)) is Owed.GREETING
    assert found() is Owed.GREETING


@pytest.mark.parametrize(
    ("turn", "flags"),
    [
        (agent(), {"generating": True}),
        (agent(heard_ms=2_000), {}),
        (agent(57.0), {}),
        (agent(heard_ms=2_000), {"answer_due": True}),
    ],
    ids=["was generated", "was played", "would still be played", "was hurried"],
)
def test_rest_is_owed_of_a_turn_that_was_cut(turn: TurnRecord, flags: dict[str, Any]) -> None:
    """Because the model had not finished it, or the phone had not played it."""
    assert found(caller(), turn, **flags) is Owed.REST


def test_turn_heard_to_within_a_frame_or_two_is_whole() -> None:
    """Playout counts in frames, and resamplers hold a little back."""
    assert found(caller(), agent(heard_ms=3_950)) is Owed.NOTHING


def test_rest_of_an_interrupted_turn_is_not_wanted() -> None:
    """The caller has cut it, not the line."""
    cut = agent(heard_ms=2_000, interrupted=True)
    assert found(caller(), cut) is Owed.NOTHING
    assert found(caller(), cut, caller("Stop.", 40.0), answer_due=True) is Owed.ANSWER


@pytest.mark.parametrize("flags", [{"answer_due": True}, {"generating": True}])
def test_answer_is_owed_to_what_the_caller_said(flags: dict[str, Any]) -> None:
    """Also where the model had begun one that nobody heard."""
    assert found(agent(20.0), caller(), **flags) is Owed.ANSWER
    assert found(agent(20.0), caller(), agent(heard_ms=0), **flags) is Owed.ANSWER


def test_answer_of_which_nothing_was_heard_is_owed() -> None:
    """It was generated whole, and its stream ended before it was played."""
    assert found(agent(20.0), caller(), agent(heard_ms=0)) is Owed.ANSWER


def test_question_is_owed_where_the_words_are_lost() -> None:
    """The caller had spoken; no transcript says what."""
    assert found(caller(), agent(), answer_due=True) is Owed.QUESTION


@pytest.mark.parametrize("lost", [tool(), tool(outcome="ok", response={"output": 1}, ended_s=39.0)])
def test_result_of_a_function_is_owed_as_an_answer(lost: ToolRecord) -> None:
    """The agent said that it would look; the caller has nothing to repeat."""
    assert found(caller(), agent(), tools=(lost,), answer_due=True) is Owed.ANSWER


def test_function_from_long_before_explains_nothing() -> None:
    """The caller has been answered since."""
    old = tool(started_s=10.0, ended_s=11.0)
    assert found(caller(), agent(), tools=(old,), answer_due=True) is Owed.QUESTION


def test_question_is_owed_where_the_caller_was_speaking() -> None:
    """Whatever the transcript had of it by then."""
    assert found(caller(), agent(), caller_speaking=True) is Owed.QUESTION
    assert found(agent(20.0), caller(), caller_speaking=True, answer_due=True) is Owed.QUESTION
