"""Functions as declarations, and what is said of functions that cannot be declared."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from agent.errors import AgentSpecError, ToolDeclarationError
from agent.spec import AgentSpec, Processors, load_agent
from agent.tools.declarations import ToolArgumentError, declare, importable_issues, load_tools
from tests.agent.tools import tool_samples

SAMPLES = "tests.agent.tools.tool_samples"


def wire(declaration: types.FunctionDeclaration) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(declaration.model_dump_json(by_alias=True, exclude_none=True))
    return data


def test_function_becomes_a_declaration() -> None:
    """Name, docstring, types, choices and what is required reach the model."""
    assert wire(declare(tool_samples.order_status).declaration) == {
        "name": "order_status",
        "description": "Look up an order.",
        "parameters": {
            "type": "OBJECT",
            "properties": {
                "order_number": {"type": "STRING"},
                "language": {"type": "STRING", "enum": ["de", "en"]},
            },
            "required": ["order_number"],
        },
    }


def test_nested_types_hold_nothing_the_live_api_refuses() -> None:
    """Data classes become objects; titles, defaults and odd formats are left out (1007)."""
    parameters = wire(declare(tool_samples.place_order).declaration)["parameters"]
    assert parameters["properties"] == {
        "items": {
            "type": "ARRAY",
            "items": {
                "type": "OBJECT",
                "properties": {"name": {"type": "STRING"}, "count": {"type": "INTEGER"}},
                "required": ["name"],
            },
        },
        "pick_up": {"type": "STRING", "description": "the day of collection (date)"},
        "note": {"type": "STRING", "nullable": True},
    }
    assert parameters["required"] == ["items", "pick_up"]


@pytest.mark.parametrize(
    ("name", "parameter", "words"),
    [
        ("not_async", None, "async def"),
        ("no_docstring", None, "docstring"),
        ("no_type", "text", "has no type"),
        ("any_type", "text", "concrete type"),
        ("free_mapping", "options", "dataclass"),
        ("bare_list", "items", "list[str]"),
        ("pair", "point", "cannot be told"),
        ("raw_bytes", "data", "bytes"),
        ("number_choice", "floor", "choices must be texts"),
        ("starred", "names", "by name"),
        ("unknown_name", None, "Missing"),
    ],
)
def test_bad_function_is_named_with_its_parameter(
    name: str, parameter: str | None, words: str
) -> None:
    """The error says which function and which parameter, and what to do."""
    with pytest.raises(ToolDeclarationError) as raised:
        declare(getattr(tool_samples, name))
    assert f"{SAMPLES}:{name}" in str(raised.value)
    assert raised.value.parameter == parameter
    assert parameter is None or repr(parameter) in str(raised.value)
    assert words in str(raised.value)


def test_arguments_are_converted_as_models_send_them() -> None:
    """Numbers for texts, texts for dates, whole floats for integers are taken."""
    assert declare(tool_samples.order_status).arguments({"order_number": 7}) == {
        "order_number": "7"
    }
    values = declare(tool_samples.place_order).arguments(
        {"items": [{"name": "rye", "count": 2.0}], "pick_up": "2026-12-01", "note": None}
    )
    assert values["items"] == [tool_samples.Item("rye", 2)]
    assert str(values["pick_up"]) == "2026-12-01"


def test_every_wrong_argument_is_named_for_the_model() -> None:
    """The model can mend its call only if it learns all that is wrong."""
    with pytest.raises(ToolArgumentError) as raised:
        declare(tool_samples.order_status).arguments({"language": "fr", "colour": "red"})
    assert "there is no parameter colour" in str(raised.value)
    assert "order_number is required" in str(raised.value)
    assert "language:" in str(raised.value)


def test_tools_of_a_spec_are_imported_by_name() -> None:
    """Built-in names are left to call_control."""
    spec = AgentSpec("a", "b", tools=("end_call", f"{SAMPLES}:order_status"))
    assert list(load_tools(spec)) == ["order_status"]
    assert importable_issues(spec) == []


def test_every_tool_that_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    """Missing module, module that breaks, missing name, not a function: all at once."""
    (tmp_path / "breaking_shop.py").write_text("1 / 0\n")
    path = tmp_path / "agent.yaml"
    path.write_text(
        "name: a\nsystem_instruction: b\ntools:\n"
        "  - no_such_module:f\n  - breaking_shop:g\n"
        f"  - {SAMPLES}:missing\n  - {SAMPLES}:SAMPLES\n  - {SAMPLES}:no_type\n"
        f"processors:\n  caller: ['{SAMPLES}:Denoise', '{SAMPLES}:pair']\n"
    )
    spec = load_agent(path)
    with pytest.raises(AgentSpecError) as raised:
        load_tools(spec)
    assert [issue.line for issue in raised.value.issues] == [4, 5, 6, 7, 8]
    found = importable_issues(spec)
    assert [issue.field for issue in found] == [f"tools[{n}]" for n in range(5)] + [
        "processors.caller[1]"
    ]
    assert "ZeroDivisionError" in found[1].message
    assert "is not a Pipecat processor class" in found[-1].message


def test_processor_that_would_break_every_call_is_named(tmp_path: Path) -> None:
    """A class that is no processor, or cannot be made without arguments, is found before a call."""
    path = tmp_path / "agent.yaml"
    path.write_text(
        "name: a\nsystem_instruction: b\nprocessors:\n  agent:\n"
        f"    - {SAMPLES}:Denoise\n    - {SAMPLES}:Tuned\n    - {SAMPLES}:NoProcessor\n"
    )
    found = importable_issues(load_agent(path))
    assert [issue.line for issue in found] == [6, 7]
    assert "'strength'" in found[0].message


def test_module_that_ends_the_process_is_an_issue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that parses its arguments when imported must not end the check in silence."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "script_shop.py").write_text("import sys\nsys.exit(2)\n")
    path = tmp_path / "agent.yaml"
    path.write_text("name: a\nsystem_instruction: b\ntools: ['script_shop:hours']\n")
    (issue,) = importable_issues(load_agent(path))
    assert "SystemExit" in issue.message


def test_modules_beside_the_agents_file_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator keeps tools in the folder of the YAML file, wherever evercall is started."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "corner_shop_tools.py").write_text(
        'async def hours() -> str:\n    """Tell the opening hours."""\n    return "7 to 2"\n'
    )
    path = tmp_path / "agent.yaml"
    path.write_text("name: a\nsystem_instruction: b\ntools: ['corner_shop_tools:hours']\n")
    assert list(load_tools(load_agent(path))) == ["hours"]


def test_module_of_another_agents_folder_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two agents of one process may each have a file of that name; the wrong one is never used."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    specs = []
    for shop in ("east", "west"):
        (tmp_path / shop).mkdir()
        (tmp_path / shop / "twice_named_tools.py").write_text(
            f'async def hours() -> str:\n    """Tell the hours."""\n    return "{shop}"\n'
        )
        path = tmp_path / shop / "agent.yaml"
        path.write_text("name: a\nsystem_instruction: b\ntools: ['twice_named_tools:hours']\n")
        specs.append(load_agent(path))
    assert list(load_tools(specs[0])) == ["hours"]
    (issue,) = importable_issues(specs[1])
    assert "give it a name of its own" in issue.message
    assert importable_issues(specs[0]) == []


def test_two_tools_of_one_name_are_refused() -> None:
    """The model could not tell them apart."""
    spec = AgentSpec("a", "b", tools=(f"{SAMPLES}:pair", f"{SAMPLES}:end_call"))
    assert len(importable_issues(spec)) == 2
    assert importable_issues(AgentSpec("a", "b", processors=Processors(agent=("x:Y",)))) != []
