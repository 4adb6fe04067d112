"""What an agent reports is checked field by field, by the campaign's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.genai import types

from agent.tools.declarations import Tool, ToolArgumentError
from workers.call.outcome_tool import MAX_CHARS, NAME, outcome_tool
from workers.campaign.model import OutcomeField

FIELDS = {
    "coming": OutcomeField("boolean", "Whether they keep the appointment.", required=True),
    "people": OutcomeField("integer"),
    "price": OutcomeField("number"),
    "answer": OutcomeField("choice", choices=("yes", "no", "later")),
    "on": OutcomeField("date", "The day they want."),
    "note": OutcomeField("text"),
}


class Kept:
    def __init__(self, *, writes: bool = True) -> None:
        self.reports: list[dict[str, object]] = []
        self._writes = writes

    async def __call__(self, fields: Mapping[str, object]) -> bool:
        self.reports.append(dict(fields))
        return self._writes


async def used(tool: Tool, **args: Any) -> object:
    return await tool.function(**tool.arguments(args))


def test_every_field_is_declared_as_its_type() -> None:
    """The schema holds only what the Live API takes."""
    declaration = outcome_tool(FIELDS, Kept()).declaration
    assert declaration.name == NAME
    schema = declaration.parameters
    assert schema is not None
    assert schema.properties is not None
    assert {name: each.type for name, each in schema.properties.items()} == {
        "coming": types.Type.BOOLEAN,
        "people": types.Type.INTEGER,
        "price": types.Type.NUMBER,
        "answer": types.Type.STRING,
        "on": types.Type.STRING,
        "note": types.Type.STRING,
    }
    assert schema.required == ["coming"]
    assert schema.properties["answer"].enum == ["yes", "no", "later"]
    assert schema.properties["on"].description == "The day they want. (a date such as 2026-12-25)"


async def test_good_report_is_kept_as_json_knows_it() -> None:
    """A number sent for a text is one; a date stays text."""
    kept = Kept()
    tool = outcome_tool(FIELDS, kept)
    answer = await used(
        tool, coming=True, people=2, price=9.5, answer="later", on="2026-12-24", note=7
    )
    assert answer == "noted"
    assert kept.reports == [
        {
            "coming": True,
            "people": 2,
            "price": 9.5,
            "answer": "later",
            "on": "2026-12-24",
            "note": "7",
        }
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coming", "perhaps"),
        ("coming", 1),
        ("people", 2.5),
        ("people", 2**63),
        ("people", -(10**30)),
        ("price", "cheap"),
        ("price", float("nan")),
        ("answer", "maybe"),
        ("on", "tomorrow"),
        ("on", "2026-02-30"),
        ("note", ""),
        ("note", "x" * (MAX_CHARS + 1)),
        ("nothing", 1),
    ],
)
async def test_wrong_value_is_named_and_nothing_is_kept(field: str, value: object) -> None:
    """The model learns which field is wrong."""
    kept = Kept()
    tool = outcome_tool(FIELDS, kept)
    with pytest.raises(ToolArgumentError, match=field):
        await used(tool, **{"coming": True, field: value})
    assert kept.reports == []


async def test_required_field_is_asked_for() -> None:
    """What is optional may be left out, alone it is no report."""
    with pytest.raises(ToolArgumentError, match="coming is required"):
        await used(outcome_tool(FIELDS, Kept()), people=2)
    with pytest.raises(ToolArgumentError, match="give at least one of: people"):
        await used(outcome_tool({"people": OutcomeField("integer")}, Kept()))


async def test_report_that_is_late_is_not_asked_for_again() -> None:
    """It is tried again by itself."""
    answer = await used(outcome_tool(FIELDS, Kept(writes=False)), coming=False)
    assert "do not call it again" in str(answer)
