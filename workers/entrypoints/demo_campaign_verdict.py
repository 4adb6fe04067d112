"""What did not go as planned in the demo's campaign, by its export and by the twin's ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from workers.entrypoints.demo_campaign_plan import FATES, Fate
from workers.twin.twilio_api.ledger import LedgerEntry

CONTACTS = len(FATES)
CALLS = sum(sum(not call.refusal for call in fate.calls) for fate in FATES.values())
"""That the twin makes: it refuses the order of one."""
MESSAGE_MS = 800
"""A voicemail with less than that of speech has no message."""


def what_went_wrong(
    contacts: Sequence[Mapping[str, Any]], ledger: Iterable[LedgerEntry]
) -> list[str]:
    """Return a sentence for each difference; no number is in it.

    Args:
        contacts: as ``campaign export --format json`` writes them.
        ledger: the twin's own.
    """
    wrong = [] if len(contacts) == CONTACTS else [f"{len(contacts)} contacts, not {CONTACTS}"]
    for contact in contacts:
        fate = FATES.get(contact["number"])
        if fate is None:
            wrong.append(f"line {contact['line']} should not have been imported")
        else:
            wrong += [f"line {contact['line']}: {text}" for text in _differs(contact, fate)]
    return wrong + list(_of_ledger(tuple(ledger)))


def _differs(contact: Mapping[str, Any], fate: Fate) -> Iterator[str]:
    outcome = fate.outcome.value if fate.outcome else None
    expected = (fate.state.value, outcome, len(fate.calls))
    found = (contact["state"], contact["outcome"] or None, len(contact["attempts"]))
    if found != expected:
        yield f"{_words(*found)}, not {_words(*expected)}"
    coming = (contact["report"] or {}).get("coming")
    if coming != fate.coming:
        yield f"reported as coming: {coming}, not {fate.coming}"


def _words(state: str, outcome: str | None, attempts: int) -> str:
    return f"{state} ({outcome or 'no outcome'}, {attempts} attempts)"


def _of_ledger(ledger: Sequence[LedgerEntry]) -> Iterator[str]:
    if len(ledger) != CALLS:
        yield f"the twin made {len(ledger)} calls, not {CALLS}"
    dials = Counter(one.query.get("attempt") for one in ledger)
    if any(many > 1 for many in dials.values()):
        yield "an attempt was dialled more than once"
    dialled = Counter(one.to for one in ledger)
    for number, fate in FATES.items():
        if dialled[number] and not fate.calls:
            yield "somebody was called who must not be"
    silent = [
        one
        for one in ledger
        if FATES[one.to].outcome == "message_left" and one.recorded_ms < MESSAGE_MS
    ]
    if silent:
        yield f"{len(silent)} voicemails hold no message"
