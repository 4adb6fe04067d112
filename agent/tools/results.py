"""What tools return, as JSON objects that a Live session takes."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from agent.text import sendable, sendable_value
from agent.tools.shortening import shorten, size_of

# Large tool results have closed sessions with 1011 (AVA), long ones stop models from calling tools
# (roomkit); both reports name no number, this is about 4,000 tokens.
MAX_OUTPUT_CHARS = 16_000
MAX_ERROR_CHARS = 300


def error_response(message: str) -> dict[str, Any]:
    """Return a failure as the model is told of it."""
    message = sendable(message)
    if len(message) > MAX_ERROR_CHARS:
        message = f"{message[: MAX_ERROR_CHARS - 1]}…"
    return {"error": message}


def output_response(result: object) -> dict[str, Any]:
    """Return what a tool returned as a JSON object that no session is closed for.

    One that is too long is shortened where it is longest, and the model is told how much is missing
    and where.
    """
    if result is None:
        return {"output": "done"}
    output = sendable_value(to_jsonable_python(result, inf_nan_mode="null"))
    size = size_of(output)
    if size <= MAX_OUTPUT_CHARS:
        return {"output": output}
    output = shorten(_parsed(output), MAX_OUTPUT_CHARS)
    return {
        "output": output,
        "truncated": True,
        "note": f"The result was too long: of {size:,} characters about {size_of(output):,} are "
        "here. What is missing is counted where it was. If you need it, ask for a part of it.",
    }


def _parsed(output: Any) -> Any:
    """Return the value of a text that is JSON itself, so that it is not cut in the middle."""
    if isinstance(output, str) and output[:1] in ("{", "["):
        try:
            return sendable_value(json.loads(output))
        except (ValueError, RecursionError):
            return output
    return output
