"""The JSON of a ``GenerateContentResponse`` (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import json
from typing import Any

from workers.twin.text_model.behaviour import Kind
from workers.twin.text_model.request import Question
from workers.twin.text_model.summarise import summarise

TOO_LONG_CHARS = 100_000
_CHARS_PER_TOKEN = 4
_NONSENSE = "Certainly! Here is what the caller and the agent talked about: quite a lot, it seems."


def answer(question: Question, kind: Kind, *, number: int) -> dict[str, Any]:
    """Return the response of a model that behaves as ``kind`` says."""
    prompt_tokens = tokens(question.prompt)
    if kind is Kind.BLOCKED:
        return {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": _usage(question, prompt_tokens, 0),
            "modelVersion": question.model,
            "responseId": f"twin-{number}",
        }
    text = _text(question, kind)
    finish = "MAX_TOKENS" if kind is Kind.TRUNCATED else "STOP"
    if kind is not Kind.TOO_LONG and tokens(text) > question.max_tokens:
        text, finish = text[: question.max_tokens * _CHARS_PER_TOKEN], "MAX_TOKENS"
    content: dict[str, Any] = {"role": "model"}
    if text:
        content["parts"] = [{"text": text}]
    candidate = {"content": content, "finishReason": finish, "index": 0}
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(question, prompt_tokens, tokens(text)),
        "modelVersion": question.model,
        "responseId": f"twin-{number}",
    }


def tokens(text: str) -> int:
    """Count tokens as this twin does: four characters each."""
    return -(-len(text) // _CHARS_PER_TOKEN)


def _text(question: Question, kind: Kind) -> str:
    match kind:
        case Kind.NONSENSE:
            return _NONSENSE
        case Kind.WRONG_SHAPE:
            return json.dumps({"verdict": 42, "notes": {"a": []}})
        case Kind.EMPTY:
            return ""
        case Kind.TOO_LONG:
            found = summarise(question.prompt, question.schema)
            return json.dumps(_stretched(found), ensure_ascii=False)
        case Kind.TRUNCATED:
            whole = json.dumps(summarise(question.prompt, question.schema), ensure_ascii=False)
            return whole[: len(whole) // 2]
        case _:
            return json.dumps(summarise(question.prompt, question.schema), ensure_ascii=False)


def _stretched(summary: dict[str, Any]) -> dict[str, Any]:
    """The same fields, the first text or list of texts made far too long."""
    filler = "And so on, and so forth. " * (TOO_LONG_CHARS // 25)
    for name, value in summary.items():
        if isinstance(value, str):
            return {**summary, name: value + filler}
        if isinstance(value, list):
            return {**summary, name: [*value, filler]}
    return {**summary, "notes": filler}


def _usage(question: Question, prompt: int, found: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "totalTokenCount": prompt + found,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    if found:
        usage["candidatesTokenCount"] = found
    if question.vertex:
        usage["trafficType"] = "ON_DEMAND"
    return usage
