"""``report_outcome``: how the agent says what came of a campaign's call, field by field."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from google.genai import types
from pydantic import AfterValidator, AllowInfNan, ConfigDict, Field, StrictBool, TypeAdapter

from agent.tools.declarations import Parameter, Tool, ToolArgumentError
from workers.campaign.model import OutcomeField

NAME: Final = "report_outcome"
# A field of a spreadsheet, not a transcript.
MAX_CHARS: Final = 2_000

Keep = Callable[[Mapping[str, object]], Awaitable[bool]]
"""Keeps a report; False: not yet, it is tried again."""

_DESCRIPTION: Final = (
    "Note what came of this call for the people who work with it. Use it once before you say "
    "goodbye, with everything you have learnt; called again, it replaces what was noted before. "
    "Leave out what you do not know."
)
_NOTED: Final = "noted"
_LATER: Final = "could not be written yet; it is being tried again by itself, do not call it again"

_TYPES: Final[Mapping[str, types.Type]] = {
    "text": types.Type.STRING,
    "integer": types.Type.INTEGER,
    "number": types.Type.NUMBER,
    "boolean": types.Type.BOOLEAN,
    "choice": types.Type.STRING,
    "date": types.Type.STRING,
}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def outcome_tool(fields: Mapping[str, OutcomeField], keep: Keep) -> Tool:
    """Make the tool of a campaign's fields.

    What the model sends is checked field by field; it is told of each that is wrong, and nothing
    is kept then.

    Args:
        fields: By the names that the model uses.
        keep: Given the values as JSON knows them; a date is text such as ``2026-12-25``.
    """

    async def report_outcome(**values: object) -> str:
        if not values:
            raise ToolArgumentError(f"give at least one of: {', '.join(fields)}")
        return _NOTED if await keep(values) else _LATER

    return Tool(
        NAME,
        report_outcome,
        types.FunctionDeclaration(
            name=NAME,
            description=_DESCRIPTION,
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={name: _schema(each) for name, each in fields.items()},
                required=[name for name, each in fields.items() if each.required] or None,
            ),
        ),
        {name: Parameter(_adapter(each), each.required) for name, each in fields.items()},
    )


def _schema(field: OutcomeField) -> types.Schema:
    description = field.description
    if field.type == "date":
        description = f"{description} (a date such as 2026-12-25)".strip()
    return types.Schema(
        type=_TYPES[field.type],
        description=description or None,
        enum=list(field.choices) if field.type == "choice" else None,
    )


def _adapter(field: OutcomeField) -> TypeAdapter[Any]:
    kinds: Mapping[str, Any] = {
        "text": Annotated[str, Field(min_length=1, max_length=MAX_CHARS)],
        # More is kept by no JSON of ours.
        "integer": Annotated[int, Field(ge=-(2**63), lt=2**63)],
        "number": Annotated[float, AllowInfNan(False)],
        "boolean": StrictBool,
        "date": Annotated[str, AfterValidator(_day)],
    }
    # Made at run time, which no type checker can follow.
    kind: Any = Literal[field.choices] if field.type == "choice" else kinds[field.type]
    # As with tools: models send the number 7 where a text "7" is asked for.
    return TypeAdapter(
        kind, config=ConfigDict(coerce_numbers_to_str=True, str_strip_whitespace=True)
    )


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError("must be a date such as 2026-12-25")
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is not a day of the calendar") from error
    return text
