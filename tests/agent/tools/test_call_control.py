"""Built-in tools: what they ask of the call, and what the model is told."""

from __future__ import annotations

from types import MappingProxyType

from agent.commands import ToolResponse
from agent.events import FunctionCall
from agent.spec import BUILT_IN_TOOLS, AgentSpec
from agent.tools.call_control import built_in_tools
from agent.tools.runner import ClosingRequested, ToolRunner
from tests.fakes.call_control import FakeCallControl

SPEC = AgentSpec(
    "bakery",
    "Be brief.",
    tools=BUILT_IN_TOOLS,
    transfer=MappingProxyType({"front desk": "+15550100009"}),
)


async def run(
    control: FakeCallControl, name: str, **args: object
) -> tuple[ToolResponse, ClosingRequested | None]:
    runner = ToolRunner(built_in_tools(SPEC, control), timeout_s=5.0)
    runner.start([FunctionCall("1", name, dict(args))])
    answers = await runner.next_answers()
    await runner.close()
    return answers.responses[0], answers.closing


def test_only_named_tools_are_offered() -> None:
    """A spec that does not name a built-in tool does not offer it."""
    assert [*built_in_tools(SPEC, FakeCallControl()), "remember"] == list(BUILT_IN_TOOLS)
    spec = AgentSpec("a", "b", tools=("end_call",))
    assert list(built_in_tools(spec, FakeCallControl())) == ["end_call"]


def test_model_sees_names_and_no_numbers() -> None:
    """Destinations are choices by name; the number stays here."""
    declaration = built_in_tools(SPEC, FakeCallControl())["transfer_call"].declaration
    text = declaration.model_dump_json()
    assert "front desk" in text
    assert "+1555" not in text


async def test_end_call_asks_for_a_goodbye_and_reports_the_closing() -> None:
    """The tool itself hangs nothing up."""
    response, closing = await run(FakeCallControl(), "end_call")
    assert closing is not None
    assert (closing.kind, closing.transfer_to) == ("end_call", None)
    assert "goodbye" in response.response["output"]


async def test_transfer_goes_to_the_number_of_the_spec() -> None:
    """A name becomes its number."""
    _, closing = await run(FakeCallControl(), "transfer_call", destination="front desk")
    assert closing is not None
    assert (closing.kind, closing.transfer_to) == ("transfer_call", "+15550100009")


async def test_transfer_to_anything_else_is_refused() -> None:
    """A model cannot dial a number, or a name, that the spec does not hold."""
    for destination in ("+15550100009", "boss"):
        response, closing = await run(FakeCallControl(), "transfer_call", destination=destination)
        assert closing is None
        assert "front desk" in response.response["error"]


async def test_digits_are_sent() -> None:
    """Keys reach the line; models send digits as numbers too."""
    control = FakeCallControl()
    response, _ = await run(control, "send_digits", digits=42)
    assert (control.digits, response.response) == ("42", {"output": "sent"})
    await run(control, "send_digits", digits=",1#")
    assert control.digits == "42,1#"


async def test_other_characters_are_no_digits() -> None:
    """Only keys of a telephone are sent."""
    control = FakeCallControl()
    for digits in ("12a", "", "1" * 33, "١", ",,"):
        response, _ = await run(control, "send_digits", digits=digits)
        assert "error" in response.response
    assert control.digits == ""


async def test_line_that_refuses_digits_is_told_to_the_model() -> None:
    """A dead line is an error the model can talk about."""
    response, _ = await run(FakeCallControl(fail=True), "send_digits", digits="1")
    assert "the line is closed" in response.response["error"]


async def test_opt_out_is_noted() -> None:
    """The wish reaches the call."""
    control = FakeCallControl()
    response, _ = await run(control, "opt_out")
    assert control.opted_out
    assert response.response == {"output": "noted; this number will not be called again"}


async def test_opt_out_that_is_not_written_is_not_promised() -> None:
    """The model hears that it is late, and says no more than that."""
    response, _ = await run(FakeCallControl(writes=False), "opt_out")
    assert "do not promise" in response.response["output"]
