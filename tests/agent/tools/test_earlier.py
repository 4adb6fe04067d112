"""What an earlier worker has begun is not done again by mistake."""

from __future__ import annotations

from typing import Any

import pytest

from agent.conversation.record import ToolRecord
from agent.tools.earlier import MAY_HAVE_RUN, EarlierCalls, unfinished


def tool(response: dict[str, Any] | None, **fields: Any) -> ToolRecord:
    made = ToolRecord("f1", "book", {"day": "Friday", "loaves": 2}, 10.0, 12.0, "ok", response)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


ARGS = {"loaves": 2, "day": "Friday"}


def test_call_without_a_result_is_not_repeated_the_first_time() -> None:
    """Who asks again after having been told so asks knowingly."""
    earlier = EarlierCalls([tool(None)], known_s=5.0)
    assert earlier.answer("book", ARGS) == {"error": MAY_HAVE_RUN}
    assert earlier.answer("book", ARGS) is None


def test_result_that_the_model_does_not_know_is_given_once_more() -> None:
    """The handle is from before it."""
    earlier = EarlierCalls([tool({"output": "done"})], known_s=11.0)
    assert earlier.answer("book", ARGS) == {"output": "done"}
    assert earlier.answer("book", ARGS) is None


def test_result_that_the_model_knows_is_no_reason() -> None:
    """A second order of the same is a second order."""
    assert EarlierCalls([tool({"output": "done"})], known_s=12.0).answer("book", ARGS) is None


@pytest.mark.parametrize(
    ("name", "args"), [("book", {"day": "Friday", "loaves": 3}), ("cancel", ARGS)]
)
def test_another_call_is_run(name: str, args: dict[str, Any]) -> None:
    """Other arguments are another wish."""
    assert EarlierCalls([tool(None)], known_s=0.0).answer(name, args) is None


def test_cancelled_call_may_be_made() -> None:
    """It was taken back."""
    gone = tool(None, outcome="cancelled")
    assert EarlierCalls([gone], known_s=0.0).answer("book", ARGS) is None
    assert unfinished([gone]) == [gone]


def test_call_without_a_result_is_of_unknown_outcome() -> None:
    """Its worker is gone; the record given is not changed."""
    lost, done = tool(None), tool({"error": "closed"}, outcome="error")
    assert [one.outcome for one in unfinished([lost, done])] == ["unknown", "error"]
    assert lost.outcome == "ok"


def test_call_that_was_made_twice_is_answered_twice() -> None:
    """Each with its own result, in order."""
    calls = [tool({"output": "first"}), tool({"output": "second"}, call_id="f2")]
    earlier = EarlierCalls(calls, known_s=5.0)
    answers = [earlier.answer("book", ARGS) for _ in range(3)]
    assert answers == [{"output": "first"}, {"output": "second"}, None]
