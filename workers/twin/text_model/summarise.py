"""Summarises a phone call by simple rules, in whatever JSON shape the request asks for.

It reads the prompt as a model would: lines of the form ``Caller: …`` and ``You: …``, quoted or
indented as they may be, and a summary made earlier, found as a JSON object with the same fields.
What goes into a field is decided by the field's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"^[^\w\n]*(Caller|You)\s*:\s*(.+)$", re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?]+(?:[.!?]+(?=\s|$)|[.!?](?=\S)[^.!?]*)*[.!?]*")
_NAME = re.compile(
    r"\b(?i:my name is|my name's|this is|I am called|I'm called)\s+"
    r"((?:[A-Z][\w'’-]*)(?:\s+[A-Z][\w'’-]*)*)"
)
# Something that can be looked up: a number, a name inside a sentence, or what is the caller's own.
_FACT = re.compile(r"\d|\b[Mm]y \w+|(?<=[a-z,] )[A-Z]\w+|@")
_WANT = re.compile(
    r"\b(?:I want|I need|I would like|I'd like|I am calling|I'm calling|I wish|can you|could you)\b"
)
_PROMISE = re.compile(r"\b(?:I will|I'll|we will|we'll|I promise|I am going to)\b", re.IGNORECASE)


@dataclass(slots=True)
class Gist:
    """What a conversation was about."""

    caller: str = ""
    wants: str = ""
    facts: list[str] = field(default_factory=list)
    promises: list[str] = field(default_factory=list)
    open_points: list[str] = field(default_factory=list)
    language: str = ""


def summarise(prompt: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary of the lines in ``prompt`` as an object of the JSON Schema ``shape``."""
    before = earlier(prompt, shape)
    gist = gist_of(prompt)
    return {
        name: _fold(before.get(name), _value(gist, name, kind), kind)
        for name, kind in _properties(shape).items()
    }


def gist_of(prompt: str) -> Gist:
    """Collect what was said."""
    gist = Gist()
    asked = ""
    for speaker, text in _LINE.findall(prompt):
        for sentence in _sentences(text):
            if speaker == "You":
                asked = ""
                if _PROMISE.search(sentence):
                    _add(gist.promises, sentence)
                continue
            if name := _NAME.search(sentence):
                gist.caller = name[1]
            if not gist.wants and _WANT.search(sentence):
                gist.wants = sentence
            if sentence.endswith("?"):
                asked = sentence
            elif _FACT.search(sentence):
                _add(gist.facts, sentence)
            gist.language = "en"
    if asked:
        gist.open_points.append(asked)
    return gist


def earlier(prompt: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Find the newest JSON object in ``prompt`` that has fields of ``shape`` and no others."""
    known = set(_properties(shape))
    found: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", prompt):
        try:
            value, _ = decoder.raw_decode(prompt, match.start())
        except ValueError:
            continue
        if isinstance(value, dict) and value and value.keys() <= known:
            found = value
    return found


def _properties(shape: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    properties = shape.get("properties", {})
    assert isinstance(properties, dict)
    return properties


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE.findall(text):
        if stripped := sentence.strip(" \"'”“—-"):
            yield stripped


def _value(gist: Gist, name: str, kind: Mapping[str, Any]) -> Any:
    found = _by_name(gist, name.lower())
    match str(kind.get("type", "string")).lower():
        case "array":
            return [_item(text, kind.get("items", {})) for text in _many(found)]
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "object":
            return {key: _value(gist, key, one) for key, one in _properties(kind).items()}
        case _:
            return " ".join(_many(found))


def _by_name(gist: Gist, name: str) -> str | list[str]:
    for words, value in (
        (("want", "request", "purpose", "reason"), gist.wants),
        (("promise", "commit"), gist.promises),
        (("open", "pending", "unsettled"), gist.open_points),
        (("lang",), gist.language),
        (("fact", "detail"), gist.facts),
        (("caller", "who", "name"), gist.caller),
    ):
        if any(word in name for word in words):
            return value
    return ""


def _many(found: str | list[str]) -> list[str]:
    return [found] if isinstance(found, str) and found else list(found)


def _item(text: str, kind: Mapping[str, Any]) -> Any:
    if str(kind.get("type", "string")).lower() != "object":
        return text
    *labels, last = _properties(kind)
    return {**dict.fromkeys(labels, "said"), last: text}


def _fold(before: Any, now: Any, kind: Mapping[str, Any]) -> Any:
    """Keep what was known; a list grows, a text is replaced by a newer one."""
    if isinstance(now, list):
        kept = list(before) if isinstance(before, list) else []
        for item in now:
            _add(kept, item)
        return kept[: int(kind.get("maxItems", len(kept)))]
    return now or before or now


def _add(items: list[Any], item: Any) -> None:
    if item not in items:
        items.append(item)
