"""What a check found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    """Calls work, but not well or not for long."""
    FAIL = "fail"
    """Calls do not work, or some do not."""
    SKIPPED = "skipped"
    """Not looked at, because a setting is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report, and how to mend it where there is something to mend."""

    outcome: Outcome
    text: str
    mend: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Outcome.OK, text)


def warn(text: str, mend: str) -> Finding:
    """It works, but."""
    return Finding(Outcome.WARN, text, mend)


def fail(text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(Outcome.FAIL, text, mend)
