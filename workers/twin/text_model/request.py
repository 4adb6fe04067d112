"""What a ``generateContent`` request asks for, checked as the real server checks it.

Sources: ai.google.dev/api/generate-content; how models take ``thinkingConfig`` as tested by users
(theJayTea/WritingTools#282, vercel/ai#8027, googleapis/python-genai#2936, Kilo-Org/kilocode#12063).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from workers.twin.live_api import schema
from workers.twin.live_api.messages import RefusedError
from workers.twin.text_model.errors import ApiError, unknown_model

PATH = re.compile(
    r"/(?:v1|v1alpha|v1beta|v1beta1)/"
    r"(?:models/|(?P<publisher>(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/))"
    r"(?P<model>[\w.-]+):generateContent"
)

Thinks = Literal["budget", "always", "minimal", "low", "never"]
"""A budget from 0; a budget from 128; levels from MINIMAL; levels from LOW; not to be set."""

MODELS: Mapping[str, Thinks] = {
    "gemini-2.5-flash": "budget",
    "gemini-2.5-flash-lite": "budget",
    "gemini-2.5-pro": "always",
    "gemini-3-flash-preview": "minimal",
    "gemini-3.1-flash-lite": "minimal",
    "gemini-3.5-flash-lite": "minimal",
    "gemini-3.6-flash": "minimal",
    "gemini-3.7-flash": "low",
    "gemini-3.8-flash": "low",
    "gemini-3.1-pro-preview": "low",
    "gemma-4-31b-it": "never",
}

_PART = schema.Message(
    {"text": schema.STRING, "thought": schema.BOOL, "thoughtSignature": schema.STRING}
)
_CONTENT = schema.Message({"role": schema.STRING, "parts": schema.Repeated(_PART)})
_THINKING = schema.Message(
    {
        "includeThoughts": schema.BOOL,
        "thinkingBudget": schema.INTEGER,
        "thinkingLevel": schema.enum("MINIMAL", "LOW", "MEDIUM", "HIGH"),
    }
)
_GENERATION = schema.Message(
    {
        "temperature": schema.NUMBER,
        "topP": schema.NUMBER,
        "topK": schema.NUMBER,
        "seed": schema.INTEGER,
        "candidateCount": schema.INTEGER,
        "maxOutputTokens": schema.INTEGER,
        "stopSequences": schema.Repeated(schema.STRING),
        "responseMimeType": schema.STRING,
        "responseSchema": schema.ANY,
        "responseJsonSchema": schema.ANY,
        "thinkingConfig": _THINKING,
    }
)
_REQUEST = schema.Message(
    {
        "contents": schema.Repeated(_CONTENT),
        "systemInstruction": _CONTENT,
        "generationConfig": _GENERATION,
        "safetySettings": schema.Repeated(schema.ANY),
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the model."""

    model: str
    vertex: bool
    prompt: str
    """The texts of the system instruction and all contents, joined by line breaks."""
    config: dict[str, Any]
    """``generationConfig``, with camelCase names."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema that was asked for; empty where none was."""
        found = self.config.get("responseJsonSchema") or self.config.get("responseSchema") or {}
        assert isinstance(found, dict)
        return found

    @property
    def max_tokens(self) -> int:
        """The bound on the answer."""
        return int(self.config.get("maxOutputTokens", 65_536))


def read_question(path: str, body: bytes) -> Question:
    """Read a request to a path that ``PATH`` fits.

    Raises:
        ApiError: the model is not there, or does not take the request.
    """
    match = PATH.fullmatch(path)
    assert match is not None
    model, publisher = match["model"], match["publisher"]
    try:
        request: dict[str, Any] = schema.check(orjson.loads(body), _REQUEST, "")
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "Invalid JSON payload received.") from error
    except RefusedError as error:
        raise ApiError(400, error.reason) from error
    if model not in MODELS:
        place = f"{publisher}{model}" if publisher else None
        raise unknown_model(model, vertex_path=place)
    contents = request.get("contents", [])
    if not contents:
        raise ApiError(400, "* GenerateContentRequest.contents: contents is not specified\n")
    texts = [_text(request.get("systemInstruction", {})), *map(_text, contents)]
    prompt = "\n".join(text for text in texts if text)
    if _CONTROL.search(prompt):
        raise ApiError(400)
    config: dict[str, Any] = request.get("generationConfig", {})
    _check_config(config)
    _check_thinking(config.get("thinkingConfig", {}), MODELS[model])
    return Question(model, publisher is not None, prompt, config)


def _text(content: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in content.get("parts", []))


def _check_config(config: dict[str, Any]) -> None:
    if not 0 <= config.get("temperature", 0) <= 2:
        raise ApiError(400, "* GenerateContentRequest.generation_config.temperature: must be 0..2")
    if int(config.get("maxOutputTokens", 1)) < 1:
        raise ApiError(400, "max_output_tokens must be positive.")
    shaped = "responseSchema" in config or "responseJsonSchema" in config
    if shaped and config.get("responseMimeType") != "application/json":
        raise ApiError(400, "Response schema is only supported with application/json.")
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise ApiError(400, "Only one of response_schema and response_json_schema may be set.")


def _check_thinking(config: dict[str, Any], thinks: Thinks) -> None:
    budget = None if (given := config.get("thinkingBudget")) is None else int(given)
    level = config.get("thinkingLevel")
    if level is not None and thinks not in ("minimal", "low"):
        raise ApiError(400, "Thinking level is not supported for this model.")
    if level == "MINIMAL" and thinks == "low":
        raise ApiError(
            400,
            "Thinking level MINIMAL is not supported for this model. Please retry with other "
            "thinking level.",
        )
    if budget is not None and thinks == "never":
        raise ApiError(400, "Thinking budget is not supported for this model.")
    if budget == 0 and thinks != "budget":
        raise ApiError(400, "Budget 0 is invalid. This model only works in thinking mode.")
