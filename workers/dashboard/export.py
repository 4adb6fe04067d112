"""A call's record for other programs and other people: as JSON, as plain text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from agent.conversation.record import CallRecord
from workers.dashboard.call_page.figures import figures
from workers.dashboard.story import one_line
from workers.dashboard.transcript_text import transcript_text

SCHEMA = 1
"""Counts changes that break readers: a field renamed, removed or with another meaning. A reader
passes over fields that it does not know; new ones do not count."""

# Halves of surrogate pairs, which UTF-8 cannot carry.
_SURROGATES = re.compile("[\ud800-\udfff]")


def record_json(record: CallRecord) -> bytes:
    """``record`` as indented JSON in UTF-8: ``schema``, then its fields as they are declared.

    What is free in form (arguments and results of tools, counters) is sorted by key, so that the
    same record gives the same bytes whatever it was stored in. Whatever JSON cannot say is replaced
    (infinity by null, other objects by their text).
    """
    content = {"schema": SCHEMA, **_fields(record)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2)
    return f"{text}\n".encode()


def record_text(record: CallRecord) -> str:
    """``record`` for reading: its numbers, then what happened, then what is remembered of it."""
    numbers = figures(record, None)
    width = max(len(figure.label) for figure in numbers)
    lines = [f"Record of a call (schema {SCHEMA})", ""]
    for figure in numbers:
        note = f"  ({figure.note})" if figure.note else ""
        lines.append(f"{one_line(figure.label):<{width}}  {figure.value}{note}")
    return "\n".join([*lines, "", transcript_text(record)])


def _fields(record: object) -> dict[str, Any]:
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}  # type: ignore[arg-type]  # a dataclass, as its caller has seen


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        found = {_plain(str(key)): _plain(inner) for key, inner in value.items()}
        return {key: found[key] for key in sorted(found)}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _plain(str(value))
