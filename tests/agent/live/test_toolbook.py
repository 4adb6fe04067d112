"""Function calls across connections: each runs once, each result is told once."""

from __future__ import annotations

from agent.commands import ToolResponse
from agent.events import FunctionCall
from agent.live.toolbook import Delivery, ToolBook


def call(call_id: str, name: str = "order_status", **args: object) -> FunctionCall:
    return FunctionCall(call_id, name, args)


def answer(call_id: str, name: str = "order_status") -> ToolResponse:
    return ToolResponse(call_id, name, {"output": f"of {call_id}"})


NOTHING = Delivery((), ())


def orphaned(*calls: FunctionCall) -> ToolBook:
    book = ToolBook()
    book.requested(calls)
    book.connection_left()
    return book


def test_call_runs_once_and_is_answered_once() -> None:
    """Whatever the server repeats."""
    book = ToolBook()
    assert book.requested([call("a"), call("a"), call("b")]) == (call("a"), call("b"))
    assert book.requested([call("a")]) == ()
    assert book.pending == {"a", "b"}
    assert book.answered([answer("a")]) == Delivery((answer("a"),), ())
    assert book.answered([answer("a")]) == NOTHING
    assert book.requested([call("a")]) == ()
    assert book.pending == {"b"}
    assert book.running


def test_result_of_an_orphan_is_told_in_words() -> None:
    """The connection that lives does not know its id."""
    book = orphaned(call("a"))
    assert book.running
    assert book.orphans == {"a"}
    assert book.pending == frozenset()
    assert book.answered([answer("a")]) == Delivery((), (answer("a"),))
    assert book.answered([answer("a")]) == NOTHING
    assert not book.running


def test_same_call_by_another_connection_adopts_the_running_one() -> None:
    """It does not run twice, and its result goes out under the new id."""
    book = orphaned(call("a", order="7"))
    assert book.requested([call("x", order="7")]) == ()
    assert book.pending == {"x"}
    assert book.answered([answer("a")]) == Delivery(
        (ToolResponse("x", "order_status", {"output": "of a"}),), ()
    )
    assert book.pending == frozenset()


def test_order_of_arguments_makes_no_difference() -> None:
    """Nor does a value that JSON cannot write."""
    when = object()
    book = orphaned(FunctionCall("a", "f", {"x": 1, "y": when}))
    assert book.requested([FunctionCall("b", "f", {"y": when, "x": 1})]) == ()


def test_other_arguments_or_another_function_are_another_call() -> None:
    """Only the very same call is the same."""
    book = orphaned(call("a", order="7"))
    others = [call("b", order="8"), call("c", "cancel_order", order="7")]
    assert book.requested(others) == tuple(others)


def test_one_orphan_is_adopted_by_one_call() -> None:
    """A model that asks twice at once wants two results."""
    book = orphaned(call("a"))
    assert book.requested([call("x"), call("y")]) == (call("y"),)
    assert book.pending == {"x", "y"}
    assert book.requested([call("x"), call("a")]) == ()
    assert book.pending == {"x", "y"}


def test_call_repeated_under_its_own_id_is_the_running_one() -> None:
    """A resumed server may ask again for what it has asked for before it was left."""
    book = orphaned(call("a", order="7"), call("b", order="7"))
    assert book.requested([call("b", order="7")]) == ()
    assert book.pending == {"b"}
    assert book.answered([answer("b")]) == Delivery((answer("b"),), ())


def test_adopted_call_becomes_an_orphan_again() -> None:
    """Every connection may be lost."""
    book = orphaned(call("a"))
    book.requested([call("x")])
    book.connection_left()
    assert book.pending == frozenset()
    assert book.requested([call("y")]) == ()
    assert book.answered([answer("a")]).responses[0].id == "y"


def test_cancelled_call_is_stopped_and_not_answered() -> None:
    """What the model takes back it does not want to hear of; unknown ids are nobody's."""
    book = ToolBook()
    book.requested([call("a"), call("b")])
    assert book.cancelled(["a", "unknown", "a"]) == ("a",)
    assert book.answered([answer("a"), answer("b")]) == Delivery((answer("b"),), ())


def test_cancelled_adopted_call_stops_the_one_that_runs() -> None:
    """The runner knows it by its first id."""
    book = orphaned(call("a"))
    book.requested([call("x")])
    assert book.cancelled(["x"]) == ("a",)
    assert not book.running
    assert book.answered([answer("a")]) == NOTHING


def test_orphan_is_not_cancelled_by_a_connection_that_does_not_know_it() -> None:
    """Its result is told all the same."""
    book = orphaned(call("a"))
    assert book.cancelled(["a"]) == ()
    assert book.answered([answer("a")]) == Delivery((), (answer("a"),))


def test_results_of_one_message_are_sorted_by_how_they_get_there() -> None:
    """Some known to the connection, some not."""
    book = orphaned(call("a"))
    book.requested([call("b", "f")])
    assert book.answered([answer("a"), answer("b", "f"), answer("never")]) == Delivery(
        (answer("b", "f"),), (answer("a"),)
    )
