"""Builds a frozen dataclass from plain data, with errors for people who write YAML by hand."""

from __future__ import annotations

import difflib
import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def build(kind: type[_T], values: Mapping[str, Any], where: str) -> _T:
    """Build ``kind`` from ``values``, each checked against the type of its field.

    Lists become tuples and frozen sets, whole numbers become floats where the field wants them.

    Raises:
        ValueError: A field that is unknown, missing or of another type; the message opens with
            ``where``.
    """
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # any dataclass
    built = {
        one_of(name, known, f"{where}: field"): _value(hints[name], value, f"{where}: {name}")
        if name in known
        else None
        for name, value in values.items()
    }
    for name, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and name not in built:
            raise ValueError(f"{where}: {name} is missing")
    return kind(**built)


def one_of(name: Any, known: Collection[str], what: str) -> str:
    """Return ``name`` if it is known.

    Raises:
        ValueError: It is not; the message suggests the nearest known name.
    """
    if isinstance(name, str) and name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    raise ValueError(f"{what} {name!r} is unknown; {hint}")


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (one for one in arguments if one is not type(None))
        return _value(hint, value, where)
    if origin is Literal:
        return one_of(value, arguments, where)
    if origin in (tuple, frozenset):
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(f"{where} must be a list, not {value!r}")
        return origin(_value(arguments[0], one, where) for one in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{where} must be {_NAMES.get(hint, hint.__name__)}, not {value!r}")
    return value


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
