"""Plain data of dataclasses and back, for JSON: every field is there, and no other one may be.

Written by fields in their order; an enumeration is its value, a time ISO 8601, a tuple a list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


def plain(value: object) -> Any:
    """Turn a value of dataclasses into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value


def read_plain(kind: type[T], data: object) -> T:
    """Make a value of what ``plain`` wrote.

    Raises:
        ValueError: something is missing, of another kind or unknown; it names the place.
    """
    try:
        # A class can be hashed; mypy doubts it of one that is not known.
        found: T = _reader(cast(Hashable, kind)).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{_path(first['loc'])}: {first['msg']}") from error
    # Pydantic passes over fields of a dataclass that it does not know, and fills in what is not
    # there: an older or newer writer would be taken for this one.
    if difference := _difference(plain(found), data, ()):
        raise ValueError(difference)
    return found


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    # Making one takes far longer than reading with it.
    return TypeAdapter(kind)


def _difference(ours: object, theirs: object, at: tuple[str | int, ...]) -> str:
    pairs: list[tuple[str | int, object, object]] = []
    if isinstance(ours, dict) and isinstance(theirs, Mapping):
        for key in sorted(ours.keys() ^ theirs.keys(), key=str):
            what = "is missing" if key in ours else "is not known"
            return f"{_path((*at, str(key)))}: {what}"
        pairs = [(str(key), ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, list) and isinstance(theirs, list):
        pairs = [(index, *both) for index, both in enumerate(zip(ours, theirs, strict=True))]
    found = (_difference(one, other, (*at, key)) for key, one, other in pairs)
    return next(filter(None, found), "")


def _path(place: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in place) or "the whole"
