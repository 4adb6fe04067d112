"""Summarises a phone call by simple rules, in whatever JSON shape the request asks for.

It reads the prompt as a model would: lines of the form ``Caller: …`` and ``You: …``, quoted or
indented as they may be, and what was noted earlier: a JSON object with the same fields, or lines
that say ``label: “value”`` and lists below a label. What goes into a field is decided by the
field's name, what comes out of a list by its label.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"[^\w\n]*(Caller|You)\s*:\s*(.+)")
_CALL = re.compile(r"[^\w\n]*You called (\w+)\(.*\)\. Its result: (.+)")
_NOTE = re.compile(r"(?:Notes so far:\s*)?(?:([^“”]*?)\s*:\s*“([^“”]*)”|-\s*“([^“”]*)”|([^“”]*):)")
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
_BOUND = re.compile(r"at most ([\d,]+) characters")
# The first that fits a name or label; the last one fits them all.
_FIELDS = {
    "want|request|purpose|reason": "wants",
    "promise|commit": "promises",
    "open|pending|unsettled": "open_points",
    "lang": "language",
    "fact|detail": "facts",
    "call|who|name": "caller",
    "": "",
}


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
    lines = [_unquoted(line) for line in prompt.splitlines()]
    before, noted, gist = earlier(prompt, shape), notes_of(lines), gist_of(lines)
    found: dict[str, Any] = {}
    for name, kind in _properties(shape).items():
        known = _fold(before.get(name), _value(noted, name, kind), kind)
        found[name] = _fold(known, _value(gist, name, kind), kind)
    if match := _BOUND.search(prompt):
        _shorten(found, int(match[1].replace(",", "")))
    return found


def gist_of(lines: Iterable[str]) -> Gist:
    """Collect what was said."""
    gist = Gist()
    asked = ""
    for line in lines:
        if call := _CALL.fullmatch(line):
            _add(gist.facts, f"{call[1]}: {call[2]}")
        if (said := _LINE.fullmatch(line)) is None:
            continue
        for sentence in _sentences(said[2]):
            if said[1] == "You":
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


def notes_of(lines: Iterable[str]) -> Gist:
    """Collect what was noted earlier in lines such as ``Who is calling: “Ada”``."""
    gist = Gist()
    label = ""
    for line in lines:
        match = _NOTE.fullmatch(line)
        if match is None:
            label = ""
            continue
        label = match[4] if match[4] is not None else label if match[3] else match[1]
        value = match[3] or match[2]
        place = _FIELDS[next((n for n in _FIELDS if re.search(n, label, re.IGNORECASE)), "")]
        if value and place:
            held = getattr(gist, place)
            if isinstance(held, list):
                _add(held, value)
            else:
                setattr(gist, place, value)
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


def _unquoted(line: str) -> str:
    """Return what a line says that is written as one JSON string."""
    line = line.strip()
    if line.startswith('"') and line.endswith('"'):
        try:
            return str(json.loads(line))
        except ValueError:
            pass
    return line


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
    place = _FIELDS[next((n for n in _FIELDS if re.search(n, name)), "")]
    found: str | list[str] = getattr(gist, place) if place else ""
    return found


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


def _shorten(found: dict[str, Any], max_chars: int) -> None:
    """Leave out from the middle of the longest list, what holds no number first."""
    lists = [value for value in found.values() if isinstance(value, list)]
    while len(json.dumps(found, ensure_ascii=False)) > max_chars and any(lists):
        longest = max(lists, key=len)
        plain = [item for item in longest if not re.search(r"\d", str(item))] or longest
        longest.remove(plain[len(plain) // 2])
