"""Typed async Python functions as tools: their declaration, and their arguments checked.

A tool is written as plain Python. Its docstring tells the model when to use it; a parameter's type
(and ``Annotated[..., Field(description=...)]``) becomes its schema through the SDK.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from google.genai import types
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from agent.errors import AgentSpecError, SpecIssue, ToolDeclarationError
from agent.spec import BUILT_IN_TOOLS, AgentSpec

ToolFunction = Callable[..., Awaitable[Any]]

# ai.google.dev/api/caching#FunctionDeclaration: letters, digits, "_", "." and "-", at most 64.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class ToolArgumentError(Exception):
    """The model called a tool with arguments it does not take; the text is for the model."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool, with what checks a value for it."""

    adapter: TypeAdapter[Any]
    required: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call."""

    name: str
    function: ToolFunction
    declaration: types.FunctionDeclaration
    parameters: Mapping[str, Parameter]

    def arguments(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Check and convert what the model sent.

        Raises:
            ToolArgumentError: names every argument that is wrong.
        """
        problems = [f"there is no parameter {name}" for name in args if name not in self.parameters]
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if name not in args:
                if parameter.required:
                    problems.append(f"{name} is required")
                continue
            try:
                values[name] = parameter.adapter.validate_python(args[name])
            except ValidationError as error:
                what = "; ".join(item["msg"] for item in error.errors(include_url=False))
                problems.append(f"{name}: {what}")
        if problems:
            raise ToolArgumentError(". ".join(problems))
        return values


def declare(function: Callable[..., Any], *, reference: str | None = None) -> Tool:
    """Make a tool of an async function.

    Raises:
        ToolDeclarationError: names the function, and the parameter where one is at fault.
    """
    name = getattr(function, "__name__", "")
    reference = reference or f"{getattr(function, '__module__', '?')}:{name}"
    if not inspect.iscoroutinefunction(function):
        raise ToolDeclarationError(reference, "must be an async function (async def)")
    if not _NAME.fullmatch(name):
        raise ToolDeclarationError(reference, "its name must be ASCII, at most 64 characters")
    description = inspect.getdoc(function)
    if not description:
        raise ToolDeclarationError(
            reference, "needs a docstring: it tells the model what the tool does and when to use it"
        )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        # Evaluating an annotation runs the author's code, which may raise anything.
        raise ToolDeclarationError(reference, f"annotations cannot be read: {error}") from error
    parameters: dict[str, Parameter] = {}
    properties: dict[str, types.Schema] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDeclarationError(
                reference,
                "must be a parameter that can be given by name",
                parameter=parameter.name,
            )
        if parameter.name not in hints:
            raise ToolDeclarationError(reference, "has no type", parameter=parameter.name)
        try:
            adapter = _adapter(hints[parameter.name])
            properties[parameter.name] = _schema(adapter)
        except Exception as error:
            # pydantic and the SDK tell what they cannot do by many exception types.
            message = f"its type cannot be told to the model: {_first_line(error)}"
            raise ToolDeclarationError(reference, message, parameter=parameter.name) from error
        required = parameter.default is inspect.Parameter.empty
        parameters[parameter.name] = Parameter(adapter, required)
    declaration = types.FunctionDeclaration(name=name, description=description)
    if properties:
        # `parameters` rather than `parameters_json_schema`, which 2.5 models ignore (pydantic-ai).
        declaration.parameters = types.Schema(
            type=types.Type.OBJECT,
            properties=properties,
            required=[key for key, value in parameters.items() if value.required] or None,
        )
    return Tool(name, function, declaration, parameters)


def import_reference(reference: str, spec: AgentSpec | None = None) -> object:
    """Import ``module:name``; modules beside the agent's file are found too.

    Raises:
        ToolDeclarationError: the module cannot be imported, or has no such name.
    """
    if spec is not None and spec.folder is not None and str(spec.folder) not in sys.path:
        # At the end, so that a file beside an agent cannot take the place of a library.
        sys.path.append(str(spec.folder))
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        # Importing runs the author's code, which may raise anything; a script ends the process.
        message = f"module {module_name} cannot be imported: {type(error).__name__}: {error}"
        raise ToolDeclarationError(reference, message) from error
    if spec is not None and spec.folder is not None:
        _check_origin(module, spec.folder, reference)
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ToolDeclarationError(reference, f"module {module_name} has no {name}") from error


def _check_origin(module: ModuleType, folder: Path, reference: str) -> None:
    """Refuse another agent's module of the same name: one process can only have one of them."""
    parts = module.__name__.split(".")
    beside = [folder.joinpath(*parts, "__init__.py"), folder.joinpath(*parts).with_suffix(".py")]
    there = [path for path in beside if path.is_file()]
    origin = getattr(module, "__file__", None)
    if there and origin is not None and not any(path.samefile(origin) for path in there):
        raise ToolDeclarationError(
            reference,
            f"module {module.__name__} was imported from {origin}, not from beside the agent's "
            "file; give it a name of its own",
        )


def load_tools(spec: AgentSpec) -> dict[str, Tool]:
    """Import and declare the spec's own tools, by name; built-in ones are not among them.

    Raises:
        AgentSpecError: every tool that cannot be used, with file and line.
    """
    tools, issues = _load(spec)
    if issues:
        raise AgentSpecError(issues)
    return tools


def importable_issues(spec: AgentSpec) -> list[SpecIssue]:
    """Return what is wrong with the tools and processors a spec names, with file and line."""
    _, issues = _load(spec)
    for side in ("caller", "agent"):
        for index, reference in enumerate(getattr(spec.processors, side)):
            try:
                found = import_reference(reference, spec)
                _check_processor(found, reference)
            except ToolDeclarationError as error:
                issues.append(spec.issue(("processors", side, index), str(error)))
    return sorted(issues, key=lambda issue: issue.line or 0)


def _check_processor(found: object, reference: str) -> None:
    # Told by its methods: importing Pipecat takes longer than all the rest of a check.
    if not inspect.isclass(found) or not hasattr(found, "process_frame"):
        raise ToolDeclarationError(reference, "is not a Pipecat processor class")
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError) as error:
        message = f"cannot be made without arguments: {_first_line(error)}"
        raise ToolDeclarationError(reference, message) from error


def _load(spec: AgentSpec) -> tuple[dict[str, Tool], list[SpecIssue]]:
    tools: dict[str, Tool] = {}
    issues: list[SpecIssue] = []
    for index, reference in enumerate(spec.tools):
        if reference in BUILT_IN_TOOLS:
            continue
        try:
            found = import_reference(reference, spec)
            if not callable(found):
                raise ToolDeclarationError(reference, "is not a function")
            tool = declare(found, reference=reference)
            if tool.name in tools or tool.name in BUILT_IN_TOOLS:
                raise ToolDeclarationError(reference, f"another tool is named {tool.name}")
            tools[tool.name] = tool
        except ToolDeclarationError as error:
            issues.append(spec.issue(("tools", index), str(error)))
    return tools, issues


def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        # Models send the order number 7 where a text "7" is asked for.
        return TypeAdapter(hint, config=ConfigDict(coerce_numbers_to_str=True))
    except PydanticUserError:
        # Types with a configuration of their own (data classes, models) take no other.
        return TypeAdapter(hint)


def _schema(adapter: TypeAdapter[Any]) -> types.Schema:
    schema = types.Schema.from_json_schema(
        json_schema=types.JSONSchema(**adapter.json_schema()), api_option="GEMINI_API"
    )
    _restrict(schema)
    return schema


def _restrict(schema: types.Schema) -> None:
    """Refuse what the Live API closes a connection with 1007 for; drop what it has no use for."""
    schema.title = None
    schema.default = None
    if schema.format in {"binary", "base64url"}:
        raise TypeError("bytes cannot be spoken of")
    if schema.format not in {None, "date-time", "enum"}:
        note = f"({schema.format})"
        schema.description = f"{schema.description} {note}" if schema.description else note
        schema.format = None
    if schema.enum and schema.type is not types.Type.STRING:
        raise TypeError("choices must be texts")
    for part in schema.any_of or ():
        _restrict(part)
    if schema.type is types.Type.ARRAY:
        if schema.items is None:
            raise TypeError("a list needs the type of its items, such as list[str]")
        _restrict(schema.items)
    elif schema.type is types.Type.OBJECT:
        if not schema.properties:
            raise TypeError("a mapping needs named fields: use a dataclass or a TypedDict")
        for part in schema.properties.values():
            _restrict(part)
    elif schema.type is None and not schema.any_of:
        raise TypeError("it must be a concrete type")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
