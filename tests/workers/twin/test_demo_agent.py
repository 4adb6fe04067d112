"""The example agent: complete, valid, and its tool does what the demo's lines say."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import workers.twin
from agent.spec import AgentSpec, load_agent
from agent.tools.declarations import importable_issues
from workers.twin.demo_tools import order_status
from workers.twin.speech import line

PATH = Path(workers.twin.__path__[0]) / "data" / "demo-agent.yaml"


def test_example_is_an_agent() -> None:
    """What ships passes its own check, tools included."""
    spec = load_agent(PATH)
    assert importable_issues(spec) == []
    assert spec.greeting.text == line("agent_greeting").text
    assert spec.apology == line("say_apology").text


def test_example_explains_the_fields_there_are() -> None:
    """Every field an operator usually needs is in the example."""
    rare = {
        "source", "apology_voice", "thinking", "temperature", "top_p", "max_output_tokens",
    }  # fmt: skip
    spec = load_agent(PATH)
    assert spec.source is not None
    assert {field.name for field in fields(AgentSpec)} - rare <= set(spec.source.data)


async def test_order_seven_is_ready() -> None:
    """The demo's order is found, however its number is written; others are an error."""
    for number in ("7", "07", " 7 "):
        assert (await order_status(number))["status"] == "ready"
    with pytest.raises(LookupError, match="no order 9"):
        await order_status("9")
