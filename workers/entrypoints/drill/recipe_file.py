"""Reads a recipe from its YAML file, checked like an agent's file.

Its agent and its model's script are the drill's own, here and in ``model_script``; a recipe writes
what differs. The caller is always position-coded. Everything that is wrong in a file is reported at
once, with file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from agent.errors import AgentSpecError, SpecIssue
from agent.spec import AgentSpec
from agent.tools.declarations import importable_issues
from agent.yaml_source import FieldPath, YamlSource, field_name, read_yaml
from workers.entrypoints.drill.model_script import STANDARD, ModelScriptReader, plain
from workers.entrypoints.drill.recipe import CONFIG, Callee, Expect, Model, Recipe, Seconds, Variant
from workers.twin.caller import CallerScript, parse_script
from workers.twin.live_api.faults import Fault, fault_from

RECIPES = Path(__file__).parents[2] / "twin" / "data" / "recipes"

_Value = TypeVar("_Value")

_AGENT: Mapping[str, Any] = {
    "name": "drill",
    "system_instruction": "You answer the phone.",
    "language": "en-US",
    "greeting": {"text": "Good day."},
    "vad": {"silence_duration_ms": "300"},
    "tools": ["end_call", "workers.entrypoints.drill.tools:look_up"],
    # The answer must come within the time in which callers of a drill lose their patience.
    "limits": {"answer_timeout_s": "4", "connect_timeout_s": "3", "max_call_s": "120"},
    "apology": "So sorry.",
}


def _one_line(text: str) -> str:
    if len(text.splitlines()) != 1:
        raise ValueError("must be one line")
    return text


def _variant(written: object) -> object:
    return {"model": written} if isinstance(written, str) else written


def _unknown(variant: Variant) -> str:
    surface = "Vertex" if variant.vertex else "the Developer API"
    return f"the twin knows no {variant.model} on {surface}"


def _known(variant: Variant) -> Variant:
    if variant.profile is None:
        raise ValueError(_unknown(variant))
    return variant


@dataclass(frozen=True, slots=True)
class _Plain:
    """The fields of a recipe that pydantic can check alone."""

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG
    title: Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
    what_must_hold: Annotated[str, Field(min_length=1)]
    caller: list[Any]
    expect: Expect
    seed: int = 0
    model: Model = "gemini-3.8-live"
    vertex: bool = False
    also_models: tuple[
        Annotated[Variant, BeforeValidator(_variant), AfterValidator(_known)], ...
    ] = ()
    time_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    setup_s: Seconds = 0.5
    resume_s: Seconds = 0.3
    agent: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    faults: list[Any] = field(default_factory=list)
    callee: Callee = field(default_factory=Callee)
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1


def packaged() -> list[Path]:
    """Return the recipes that ship with evercall, by name."""
    return sorted(RECIPES.glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """Return the file behind a path or the name of a packaged recipe, or of its beginning.

    Raises:
        AgentSpecError: there is none, or there are several.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return path
    files = packaged()
    found = [file for file in files if file.stem == name]
    found = found or [file for file in files if file.stem.startswith(name)]
    if len(found) == 1:
        return found[0]
    message = (
        f"could be {', '.join(file.stem for file in found)}"
        if found
        else "is neither a file nor a packaged recipe; evercall drill --list names those"
    )
    raise AgentSpecError([SpecIssue(name, None, "", message)])


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        AgentSpecError: every problem there is, in file order.
    """
    source = read_yaml(path)
    issues = list(source.issues)
    data = source.data
    given = _check(source, (), _PLAIN, data, issues)
    variant = Variant(str(data.get("model", Variant().model)), plain(data.get("vertex")) is True)
    if variant.profile is None:
        issues.append(source.issue(("model",), _unknown(variant)))
    agent = _agent(source, variant.model, issues)
    reader = ModelScriptReader(source)
    live = reader.read(data["live"]) if "live" in data else STANDARD
    issues += reader.issues
    caller = _caller(source, issues)
    faults = _faults(source, issues)
    if issues or given is None or agent is None or caller is None:
        raise AgentSpecError(sorted(dict.fromkeys(issues), key=lambda issue: issue.line or 0))
    return Recipe(
        name=path.stem,
        title=given.title,
        what_must_hold=" ".join(given.what_must_hold.split()),
        agent=agent,
        live=live,
        caller=caller,
        expect=given.expect,
        faults=faults,
        variant=variant,
        also_models=given.also_models,
        seed=given.seed,
        time_scale=given.time_scale,
        setup_s=given.setup_s,
        resume_s=given.resume_s,
        callee=given.callee,
        repeat=given.repeat,
    )


_PLAIN: TypeAdapter[_Plain] = TypeAdapter(_Plain)
_SPEC: TypeAdapter[AgentSpec] = TypeAdapter(AgentSpec)


def _check(
    source: YamlSource,
    at: FieldPath,
    adapter: TypeAdapter[_Value],
    data: object,
    issues: list[SpecIssue],
) -> _Value | None:
    """Check plain data, and name the line of whatever is wrong in it."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            path = (*at, *(part for part in problem["loc"] if part != "[key]"))
            if problem["input"] is None and any(i.field == field_name(path) for i in source.issues):
                continue
            issues.append(source.issue(path, _message(problem["type"], problem["msg"])))
    return None


def _message(kind: str, text: str) -> str:
    if kind == "unexpected_keyword_argument":
        return "unknown field"
    if kind == "missing":
        return "is required"
    if kind.startswith("dataclass"):
        return "must be a mapping of fields"
    text = text.removeprefix("Value error, ").replace("Input should be", "must be")
    text = text.replace("valid dictionary", "mapping")
    return (
        text.replace("valid tuple", "list")
        .replace("valid string", "text")
        .replace("valid list", "list")
    )


def _agent(source: YamlSource, model: str, issues: list[SpecIssue]) -> AgentSpec | None:
    written = source.data.get("agent", {})
    if not isinstance(written, Mapping):
        return None
    merged: dict[str, Any] = {**_AGENT, "model": model}
    for name, value in written.items():
        base = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(base, Mapping)
        merged[name] = {**base, **value} if both and base is not None else value
    if "model" in written:
        issues.append(source.issue(("agent", "model"), "stands outside of agent"))
    agent = _check(source, ("agent",), _SPEC, merged, issues)
    if agent is None:
        return None
    if agent.moves.person is not None and agent.moves.person not in agent.transfer:
        issues.append(source.issue(("agent", "moves", "person"), "must be a name under transfer"))
    issues += (
        source.issue(("agent", *_path(issue.field)), issue.message)
        for issue in importable_issues(agent)
    )
    return agent


def _path(field_: str) -> FieldPath:
    """Read ``tools[1]`` back, as far as a line can be found by it."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", field_))


def _caller(source: YamlSource, issues: list[SpecIssue]) -> CallerScript | None:
    steps = source.data.get("caller")
    if not isinstance(steps, list):
        return None
    wrong = False
    for index, step in enumerate(steps):
        # One by one, so that each mistake has its line.
        try:
            parse_script({"coded": True, "steps": [plain(step)]})
        except (ValueError, TypeError) as error:
            wrong = True
            message = str(error).removeprefix("step 1: ").removeprefix("step 1 ")
            issues.append(source.issue(("caller", index), message))
    return None if wrong else parse_script({"coded": True, "steps": plain(steps)})


def _faults(source: YamlSource, issues: list[SpecIssue]) -> tuple[Fault, ...]:
    written = source.data.get("faults", [])
    faults: list[Fault] = []
    for index, item in enumerate(written if isinstance(written, list) else []):
        at: FieldPath = ("faults", index)
        if not isinstance(item, Mapping):
            issues.append(source.issue(at, "must be a mapping with the field fault"))
            continue
        try:
            faults.append(fault_from(plain(item)))
        except ValueError as error:
            issues.append(source.issue(at, str(error)))
    return tuple(faults)
