"""What a campaign has done wrong, by the ledger of the twin that it dialled on.

Hours are read here anew, from the zones' own data; nothing of ``workers.campaign`` judges itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from workers.twin.twilio_api.ledger import LedgerEntry

ON_ITS_WAY_S = 30.0
"""A number that is suppressed when its request is on its way may still ring: so long a decision may
take to become a call (``workers.dialling.beginning.ASKED_WITHIN``)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What was promised.

    Attributes:
        zones: Of each number, all in which it must be permitted.
        open_min: Minutes of the local day, from the first of each pair until before the second.
        most: Dials to one number.
        suppressed: Numbers with the instant from which on they were, by the twin's clock.
        caller: Our number.
    """

    zones: Mapping[str, tuple[str, ...]]
    open_min: Sequence[tuple[int, int]]
    most: int
    suppressed: Mapping[str, float]
    caller: str


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt as the database has it in the end."""

    attempt_id: int
    number: str
    state: str
    call_sid: str | None
    asked_at_s: float | None
    is_settled: bool


def wrong_dials(ledger: Iterable[LedgerEntry], rules: Rules) -> Iterator[str]:
    """Say of each dial that should not have been why; no number is in it."""
    by_attempt: Counter[str] = Counter()
    by_number: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in ledger:
        attempt = entry.query.get("attempt", "")
        by_attempt[attempt] += 1
        by_number[entry.to].append(entry)
        if not attempt.isdecimal():
            yield f"{entry.sid}: of no attempt"
        if entry.from_ != rules.caller:
            yield f"{entry.sid}: from another number"
        if entry.to not in rules.zones:
            yield f"{entry.sid}: to a number of no contact"
            continue
        for zone in rules.zones[entry.to]:
            if not _is_open(zone, entry.asked_at, rules.open_min):
                at = datetime.fromtimestamp(entry.asked_at, ZoneInfo(zone))
                yield f"{entry.sid}: at {at:%H:%M:%S} in {zone}"
        since = rules.suppressed.get(entry.to)
        if since is not None and entry.asked_at >= since + ON_ITS_WAY_S:
            yield f"{entry.sid}: {entry.asked_at - since:.1f} s after it was suppressed"
    for attempt, count in by_attempt.items():
        if count > 1:
            yield f"attempt {attempt}: dialled {count} times"
    for entries in by_number.values():
        if len(entries) > rules.most:
            yield f"{entries[0].sid}: its number was dialled {len(entries)} times"
        in_order = sorted(entries, key=lambda entry: entry.asked_at)
        for earlier, later in pairwise(in_order):
            if earlier.ended_at is None or later.asked_at < earlier.ended_at:
                yield f"{later.sid}: while {earlier.sid} went on"


def wrong_books(
    ledger: Iterable[LedgerEntry], attempts: Iterable[Settled], rules: Rules
) -> Iterator[str]:
    """Say where the database and the ledger tell different stories."""
    dialled = {entry.query.get("attempt", ""): entry for entry in ledger}
    for attempt in attempts:
        entry = dialled.pop(str(attempt.attempt_id), None)
        name = f"attempt {attempt.attempt_id} ({attempt.state})"
        if not attempt.is_settled:
            yield f"{name}: is not settled"
        if attempt.state == "ended" and entry is None:
            yield f"{name}: there was no call"
        if attempt.state != "ended" and entry is not None:
            yield f"{name}: there was a call"
        if entry is not None and (entry.sid, entry.to) != (attempt.call_sid, attempt.number):
            yield f"{name}: is taken for another call"
        since = rules.suppressed.get(attempt.number)
        if attempt.asked_at_s is not None and since is not None and attempt.asked_at_s > since:
            yield f"{name}: was begun after its number was suppressed"
    for attempt_id in dialled:
        yield f"attempt {attempt_id}: was dialled and is in no row"


def _is_open(zone: str, at_s: float, open_min: Collection[tuple[int, int]]) -> bool:
    local = datetime.fromtimestamp(at_s, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    return any(begin <= minute < end for begin, end in open_min)
