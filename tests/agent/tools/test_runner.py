"""Tools run beside a call: one answer each, together, in time, and never an exception."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agent.conversation.record import ToolRecord
from agent.events import FunctionCall
from agent.tools.declarations import Tool, declare
from agent.tools.earlier import EarlierCalls
from agent.tools.results import MAX_OUTPUT_CHARS
from agent.tools.runner import MAX_RUNNING, ClosingRequested, ToolRunner

# Long enough to fail a broken runner, never waited out by a working one.
DEADLINE_S = 5.0


class Workshop:
    """Tools whose end the test decides."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.started = 0
        self.stopped = 0

    def tools(self) -> dict[str, Tool]:
        async def quick(value: int = 1) -> int:
            """Return at once."""
            return value * 2

        async def slow() -> str:
            """Return when the gate opens."""
            self.started += 1
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            return "late"

        async def stubborn() -> str:
            """Ignore one cancellation."""
            self.started += 1
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                await self.gate.wait()
            return "too late"

        async def hang_up() -> ClosingRequested:
            """End the call."""
            return ClosingRequested("end_call", answer="say goodbye")

        functions: list[Callable[..., Awaitable[Any]]] = [quick, slow, stubborn, hang_up]
        return {tool.name: tool for tool in map(declare, functions)}


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
async def runner(workshop: Workshop) -> AsyncIterator[ToolRunner]:
    runner = ToolRunner(workshop.tools(), timeout_s=DEADLINE_S, clock=lambda: 7.0, origin_s=4.0)
    yield runner
    workshop.gate.set()
    await runner.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def answers(runner: ToolRunner) -> dict[str, dict[str, Any]]:
    batch = await asyncio.wait_for(runner.next_answers(), DEADLINE_S)
    return {response.id: response.response for response in batch.responses}


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def call(name: str, call_id: str = "1", **args: Any) -> FunctionCall:
    return FunctionCall(call_id, name, args)


def one_tool(function: Callable[..., Awaitable[Any]], timeout_s: float = DEADLINE_S) -> ToolRunner:
    tool = declare(function)
    return ToolRunner({tool.name: tool}, timeout_s=timeout_s)


async def test_result_is_answered_as_output(runner: ToolRunner) -> None:
    """The value a tool returns reaches the model under ``output``, and the record."""
    runner.start([call("quick", value=4)])
    assert runner.pending == 1
    assert await answers(runner) == {"1": {"output": 8}}
    assert runner.pending == 0
    [record] = runner.records
    assert (record.name, record.args, record.outcome) == ("quick", {"value": 4}, "ok")
    assert (record.started_s, record.ended_s) == (3.0, 3.0)
    assert record.response == {"output": 8}


async def test_calls_of_one_message_are_answered_together(
    runner: ToolRunner, workshop: Workshop
) -> None:
    """The quick one waits for the slow one of its message; other messages do not."""
    runner.start([call("quick", "a"), call("slow", "b")])
    runner.start([call("quick", "c", value=3)])
    assert await answers(runner) == {"c": {"output": 6}}
    workshop.gate.set()
    assert await answers(runner) == {"a": {"output": 2}, "b": {"output": "late"}}


async def test_slow_tool_is_answered_at_the_time_out(workshop: Workshop) -> None:
    """The model is told, and the tool is stopped."""
    runner = ToolRunner(workshop.tools(), timeout_s=0.01)
    runner.start([call("slow")])
    assert await answers(runner) == {"1": {"error": "no result after 0.01 seconds"}}
    await settle()
    assert workshop.stopped == 1
    assert runner.records[0].outcome == "timeout"


async def test_tool_that_ignores_its_time_out_is_answered_once(workshop: Workshop) -> None:
    """A tool that swallows its cancellation neither delays the answer nor adds a second."""
    runner = ToolRunner(workshop.tools(), timeout_s=0.01)
    runner.start([call("stubborn")])
    assert "error" in (await answers(runner))["1"]
    await settle()
    workshop.gate.set()
    await settle()
    runner.start([call("quick", "2")])
    assert await answers(runner) == {"2": {"output": 2}}
    assert runner.records[0].outcome == "timeout"


async def test_cancelled_call_is_not_answered(runner: ToolRunner, workshop: Workshop) -> None:
    """A cancellation stops the tool; the rest of its message is answered."""
    runner.start([call("slow", "a"), call("quick", "b")])
    await settle()
    runner.cancel(["a", "unknown"])
    assert await answers(runner) == {"b": {"output": 2}}
    await settle()
    assert workshop.stopped == 1
    assert [record.outcome for record in runner.records] == ["cancelled", "ok"]


async def test_message_with_all_calls_cancelled_is_not_answered(
    runner: ToolRunner, workshop: Workshop
) -> None:
    """No message at all goes out for it, also when a call was cancelled before it ran."""
    runner.start([call("slow", "a"), call("slow", "b")])
    runner.cancel(["a", "b"])
    assert runner.pending == 0
    runner.start([call("quick", "c")])
    assert await answers(runner) == {"c": {"output": 2}}
    assert workshop.started == 0


async def test_call_cancelled_after_its_end_is_not_answered(runner: ToolRunner) -> None:
    """A finished call that waits for its message is not answered either, but did run."""
    runner.start([call("quick", "a"), call("slow", "b")])
    await settle()
    runner.cancel(["a"])
    runner.cancel(["b"])
    runner.start([call("quick", "c")])
    await settle()
    runner.cancel(["c"])
    runner.start([call("quick", "d")])
    assert await answers(runner) == {"d": {"output": 2}}
    assert [r.outcome for r in runner.records] == ["ok", "cancelled", "ok", "ok"]


async def test_id_seen_before_is_not_run_again(runner: ToolRunner) -> None:
    """A tool runs at most once, also when the server repeats itself within or across messages."""
    runner.start([call("quick", "a"), call("quick", "a")])
    assert await answers(runner) == {"a": {"output": 2}}
    runner.start([call("quick", "a"), call("quick", "b")])
    assert await answers(runner) == {"b": {"output": 2}}
    assert len(runner.records) == 2


async def test_calls_without_id_are_all_run(runner: ToolRunner) -> None:
    """Some Vertex and older models leave ids out."""
    runner.start([call("quick", ""), call("quick", "", value=2)])
    batch = await runner.next_answers()
    assert [response.response for response in batch.responses] == [{"output": 2}, {"output": 4}]


async def test_unknown_tool_is_answered_with_what_there_is(runner: ToolRunner) -> None:
    """A model that makes a name up learns the real ones."""
    runner.start([call("order")])
    message = (await answers(runner))["1"]["error"]
    assert message == "there is no tool order; there are: quick, slow, stubborn, hang_up"


async def test_wrong_arguments_are_answered_and_not_run(runner: ToolRunner) -> None:
    """The tool is not called; the error names the argument."""
    runner.start([call("quick", value="many")])
    assert "value:" in (await answers(runner))["1"]["error"]


class ExoticError(BaseException):
    """An exception nobody expects."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no order 9"), "ValueError: no order 9"),
        (KeyError(), "KeyError()"),
        (SystemExit(1), "SystemExit"),
        (asyncio.CancelledError(), "cancelled"),
        (ExoticError(), "ExoticError"),
        (RuntimeError("x" * 1000), "RuntimeError: xxx"),
    ],
)
async def test_whatever_a_tool_raises_is_answered(error: BaseException, words: str) -> None:
    """No exception of a tool reaches the call."""

    async def break_down() -> None:
        """Raise."""
        raise error

    runner = one_tool(break_down)
    runner.start([call("break_down")])
    message = (await answers(runner))["1"]["error"]
    assert words in message
    assert len(message) <= 300
    assert runner.records[0].outcome == "error"
    await runner.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"output": "done"}),
        (float("inf"), {"output": None}),
        ({"a": (1, {2})}, {"output": {"a": [1, [2]]}}),
        ("a\x00b\ud800", {"output": "a b "}),
        # A double would round it, and a record that holds it could not be stored.
        ({"iban": 2**70, "n": -7}, {"output": {"iban": "1180591620717411303424", "n": -7}}),
    ],
)
async def test_result_is_made_fit_to_send(value: object, expected: dict[str, Any]) -> None:
    """What JSON or the Live API cannot take is converted."""

    async def make() -> object:
        """Return."""
        return value

    runner = one_tool(make)
    runner.start([call("make")])
    assert await answers(runner) == {"1": expected}


async def test_result_that_cannot_be_sent_is_an_error() -> None:
    """An object without a JSON form is told to the model, not raised."""

    async def make() -> object:
        """Return."""
        return object()

    runner = one_tool(make)
    runner.start([call("make")])
    assert "error" in (await answers(runner))["1"]


async def test_long_result_is_shortened() -> None:
    """Large results close sessions; the model is told that there was more."""

    async def make() -> list[str]:
        """Return."""
        return ["word"] * 100_000

    runner = one_tool(make)
    runner.start([call("make")])
    response = (await answers(runner))["1"]
    assert response["truncated"] is True
    assert len(json.dumps(response["output"], ensure_ascii=False)) <= MAX_OUTPUT_CHARS
    assert "more of 100,000 items" in response["output"][-1]


async def test_closing_is_reported_with_the_answer(runner: ToolRunner) -> None:
    """end_call is answered like any tool; the session learns that the model wants to close."""
    runner.start([call("hang_up", "a"), call("quick", "b")])
    batch = await runner.next_answers()
    assert batch.closing is not None
    assert batch.closing.kind == "end_call"
    assert batch.responses[0].response == {"output": "say goodbye"}


async def test_cancelled_closing_is_not_reported(runner: ToolRunner) -> None:
    """The caller barged in on the goodbye before it was decided: the call goes on."""
    runner.start([call("hang_up", "a"), call("quick", "b")])
    await settle()
    runner.cancel(["a"])
    assert (await runner.next_answers()).closing is None


async def test_too_many_calls_are_refused(runner: ToolRunner) -> None:
    """A model gone wrong cannot start tasks without bound."""
    runner.start([call("slow", str(n)) for n in range(MAX_RUNNING + 3)])
    await settle()
    assert [record.outcome for record in runner.records].count("error") == 3
    assert len(asyncio.all_tasks()) <= MAX_RUNNING + 1


async def test_close_stops_everything(runner: ToolRunner, workshop: Workshop) -> None:
    """Nothing runs, is pending or can be started after the end of a call."""
    runner.start([call("slow", "a"), call("quick", "b")])
    await settle()
    await runner.close()
    assert workshop.stopped == 1
    assert runner.pending == 0
    runner.start([call("quick", "c")])
    assert len(runner.records) == 2


async def test_close_is_bounded(monkeypatch: pytest.MonkeyPatch, workshop: Workshop) -> None:
    """A tool that will not stop does not hold up the end of the call."""
    monkeypatch.setattr(sys.modules[ToolRunner.__module__], "CLOSE_TIMEOUT_S", 0.01)
    runner = ToolRunner(workshop.tools(), timeout_s=DEADLINE_S)
    runner.start([call("stubborn")])
    await settle()
    await asyncio.wait_for(runner.close(), DEADLINE_S)
    workshop.gate.set()
    await settle()


async def test_function_is_noted_before_it_runs() -> None:
    """If this process dies meanwhile, the next one knows that it was begun."""
    order: list[str] = []

    async def work() -> str:
        """Do it."""
        order.append("run")
        return "done"

    async def journal(record: ToolRecord) -> None:
        order.append(f"noted {record.name}")

    runner = ToolRunner({"work": declare(work)}, timeout_s=DEADLINE_S, journal=journal)
    runner.start([FunctionCall("f1", "work", {})])
    async with asyncio.timeout(DEADLINE_S):
        await runner.next_answers()
    assert order == ["noted work", "run"]
    await runner.close()


async def test_note_that_fails_keeps_no_function_from_running() -> None:
    """The caller waits for what it does, not for the note."""

    async def work() -> str:
        """Do it."""
        return "done"

    async def journal(_record: ToolRecord) -> None:
        raise RuntimeError("a bug")

    runner = ToolRunner({"work": declare(work)}, timeout_s=DEADLINE_S, journal=journal)
    runner.start([FunctionCall("f1", "work", {})])
    async with asyncio.timeout(DEADLINE_S):
        answers = await runner.next_answers()
    assert answers.responses[0].response == {"output": "done"}
    await runner.close()


async def test_call_of_an_earlier_worker_is_answered_and_not_run() -> None:
    """Once; the second time it is meant."""
    runs: list[int] = []

    async def book(loaves: int) -> str:
        """Book."""
        runs.append(loaves)
        return "booked"

    earlier = EarlierCalls([ToolRecord("f0", "book", {"loaves": 2}, 1, 1, "ok")], known_s=0.0)
    runner = ToolRunner({"book": declare(book)}, timeout_s=DEADLINE_S, earlier=earlier)
    for number in (1, 2):
        runner.start([FunctionCall(f"f{number}", "book", {"loaves": 2})])
        async with asyncio.timeout(DEADLINE_S):
            await runner.next_answers()
        assert runs == [2] * (number - 1)
    assert [record.outcome for record in runner.records] == ["error", "ok"]
    await runner.close()


async def test_functions_that_control_the_call_are_neither_noted_nor_held_back() -> None:
    """Who hung up on a line that was cut may hang up again."""
    noted: list[str] = []

    async def end_call() -> ClosingRequested:
        """Hang up."""
        return ClosingRequested("end_call")

    async def journal(record: ToolRecord) -> None:
        noted.append(record.name)

    runner = ToolRunner(
        {"end_call": declare(end_call)},
        timeout_s=DEADLINE_S,
        journal=journal,
        earlier=EarlierCalls([ToolRecord("f0", "end_call", {}, 1, 1, "ok")], known_s=0.0),
    )
    runner.start([FunctionCall("f1", "end_call", {})])
    async with asyncio.timeout(DEADLINE_S):
        answers = await runner.next_answers()
    assert answers.closing is not None
    assert noted == []
    await runner.close()


async def test_start_and_end_of_a_call_are_told() -> None:
    """So that both are noted, also while others of its batch still run."""
    changes: list[list[bool]] = []
    gate = asyncio.Event()

    async def quick() -> str:
        """Do it."""
        return "done"

    async def slow() -> str:
        """Do it."""
        await gate.wait()
        return "done"

    runner = ToolRunner({"quick": declare(quick), "slow": declare(slow)}, timeout_s=DEADLINE_S)
    runner.on_change = lambda: changes.append([r.response is not None for r in runner.records])
    runner.start([FunctionCall("f1", "quick", {}), FunctionCall("f2", "slow", {})])
    await settle()
    assert changes == [[False, False], [True, False]]
    gate.set()
    async with asyncio.timeout(DEADLINE_S):
        await runner.next_answers()
    assert changes[2:] == [[True, True]]
    await runner.close()
