"""One line of a verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What was expected beside what was observed."""

    name: str
    expected: str
    observed: str
    ok: bool


def none_of(name: str, problems: list[str], *, expected: str = "none") -> Check:
    """Judge that there are no problems; the first few are shown."""
    shown = "; ".join(problems[:3]) + (f" and {len(problems) - 3} more" if problems[3:] else "")
    return Check(name, expected, shown or "none", not problems)


def at_most(name: str, most: float, observed: float, *, unit: str = "ms") -> Check:
    """Judge an upper bound."""
    return Check(name, f"at most {most:g} {unit}", f"{observed:.0f} {unit}", observed <= most)


def equal(name: str, expected: object, observed: object) -> Check:
    """Judge that two are the same."""
    return Check(name, _text(expected), _text(observed), expected == observed)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
