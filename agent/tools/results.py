"""What tools return, as JSON objects that a Live session takes."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from agent.text import UNSENDABLE

# Large tool results have closed sessions with 1011 (AVA), long ones stop models from calling tools
# (roomkit); both reports name no number, this is about 4,000 tokens.
MAX_OUTPUT_CHARS = 16_000
MAX_ERROR_CHARS = 300

# What a double holds exactly: JSON numbers are doubles to the API, and the record's encoder takes
# 64 bits at most.
_MAX_INTEGER = 2**53


def error_response(message: str) -> dict[str, Any]:
    """Return a failure as the model is told of it."""
    return {"error": _clean(message)[:MAX_ERROR_CHARS]}


def output_response(result: object) -> dict[str, Any]:
    """Return what a tool returned as a JSON object that no session is closed for."""
    if result is None:
        return {"output": "done"}
    output = _clean(to_jsonable_python(result, inf_nan_mode="null"))
    text = json.dumps(output, ensure_ascii=False)
    if len(text) > MAX_OUTPUT_CHARS:
        return {"output": text[:MAX_OUTPUT_CHARS], "truncated": True}
    return {"output": output}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return UNSENDABLE.sub(" ", value)
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        return str(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(item) for key, item in value.items()}
    return value
