"""What agents have reported about a campaign's contacts, counted field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from workers.campaign.model import OutcomeField
from workers.store.campaign_schema import contacts
from workers.store.campaigns.rows import report_of

_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reported:
    """One field of the campaign's file."""

    name: str
    given: int
    """Contacts of whom it was reported."""
    values: Mapping[str, int]
    """How often which, of fields that have few: booleans (``yes`` and ``no``) and choices, in the
    file's order; empty of others, which say something else of everybody."""


def reported(
    connection: Connection, campaign_id: int, fields: Mapping[str, OutcomeField]
) -> list[Reported]:
    """Count every field, in the file's order.

    Reports are JSON that no database counts the same way, so they are read: a second or two for a
    million of them, never held.
    """
    if not fields:
        return []
    given: Counter[str] = Counter()
    counted = {name: _known(field) for name, field in fields.items()}
    values: dict[str, Counter[str]] = {name: Counter() for name in fields}
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(
        select(contacts.c.report).where(
            contacts.c.campaign_id == campaign_id, contacts.c.report.is_not(None)
        )
    )
    for (text,) in rows:
        report = report_of(text) or {}
        for name, known in counted.items():
            value = report.get(name)
            if value is not None:
                given[name] += 1
                if (word := _words(value)) in known:
                    values[name][word] += 1
    return [
        Reported(
            name, given[name], {word: count for word in known if (count := values[name][word])}
        )
        for name, known in counted.items()
    ]


def _known(field: OutcomeField) -> tuple[str, ...]:
    if field.type == "boolean":
        return (_words(True), _words(False))
    return field.choices if field.type == "choice" else ()


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else ""
