"""``evercall campaign check``: what a campaign's file and its contacts come to, without dialling.

Every mistake in the file is named with its line; of the contacts, how many there are, what is kept
aside and why, and how many may be called now, later or never by their time zones alone. What only
a running campaign knows (suppression list, earlier attempts) is not looked at.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import typer

from agent.errors import AgentSpecError
from workers.campaign.compliance import Call, Check, Decision, Later, Never, Stage, decide
from workers.campaign.contacts import ContactFileError, Folding, Row, RowError, read_rows
from workers.campaign.model import Campaign, CampaignState, Contact
from workers.entrypoints.campaign.usable import load_usable

SHOWN_ERRORS = 10


@dataclass(slots=True)
class Tally:
    """What the contacts of one file come to."""

    contacts: int = 0
    duplicates: int = 0
    now: int = 0
    later: int = 0
    first_later: datetime | None = None
    """The earliest moment at which one of those may be called, UTC."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why not now, in sentences."""
    kept_aside: Counter[str] = field(default_factory=Counter)
    """By column and message."""
    errors: list[RowError] = field(default_factory=list)
    """The first ``SHOWN_ERRORS``."""


def run_campaign_check(file: Path, *, now: datetime) -> int:
    """Print what was found and return the exit code: 0 when the campaign can be used, else 1."""
    try:
        campaign = load_usable(file)
        tally = count(campaign, now)
    except AgentSpecError as error:
        for issue in error.issues:
            typer.echo(str(issue), err=True)
        found = len(error.issues)
        typer.echo(f"{found} problem{'s' if found > 1 else ''}", err=True)
        return 1
    except (ContactFileError, OSError) as error:
        typer.echo(str(error), err=True)
        return 1
    typer.echo(f"{file}: campaign {campaign.name}: good")
    for line in told(campaign, tally):
        typer.echo(line)
    return 0


def count(campaign: Campaign, now: datetime) -> Tally:
    """Read all contacts of a campaign.

    Raises:
        ContactFileError: no row of the file can be read.
        OSError: the file cannot be opened.
    """
    tally, folding = Tally(), Folding()
    # Nothing but the zones tells one row from another here, and there are few of those.
    decided: dict[tuple[str, ...], Decision] = {}
    source = campaign.source
    with Path(source.file).open("rb") as file:
        for row in folding.fold(
            read_rows(file, source, consent_required=campaign.consent_required)
        ):
            if isinstance(row, RowError):
                tally.kept_aside[f"{row.field}: {row.message}" if row.field else row.message] += 1
                if len(tally.errors) < SHOWN_ERRORS:
                    tally.errors.append(row)
                continue
            decision = decided.get(row.zones)
            if decision is None:
                decision = decided[row.zones] = decide(_check(campaign, row), now)
            _add(tally, decision)
    tally.contacts, tally.duplicates = folding.rows, folding.duplicates
    return tally


def told(campaign: Campaign, tally: Tally) -> Iterator[str]:
    """The lines for the operator; no phone number is in them."""
    file = _from_here(campaign.source.file)
    aside = tally.kept_aside.total()
    yield (
        f"{file}: {tally.contacts:,} contacts, {tally.duplicates:,} duplicates "
        f"folded, {aside:,} rows kept aside"
    )
    for error in tally.errors:
        place = f"{error.field}: " if error.field else ""
        yield f"  {file}:{error.line}: {place}{error.message}"
    if aside > len(tally.errors):
        yield "  kept aside, all of them:"
        for message, rows in tally.kept_aside.most_common():
            yield f"  {rows:8,}  {message}"
    never = tally.contacts - tally.now - tally.later
    when = "" if tally.first_later is None else f" (from {tally.first_later:%Y-%m-%d %H:%M} UTC)"
    yield f"callable now {tally.now:,}, later {tally.later:,}{when}, never {never:,}"
    for sentence, contacts in tally.reasons.most_common():
        yield f"  {contacts:8,}  {sentence}"
    if tally.now + tally.later:
        calling = timedelta(
            seconds=math.ceil((tally.now + tally.later) / campaign.pace.calls_per_second)
        )
        yield (
            f"one attempt each at {campaign.pace.calls_per_second:g} calls per second: {calling} "
            "of permitted hours at least"
        )


def _from_here(file: str) -> str:
    """A path as one would write it in this folder."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


def _check(campaign: Campaign, row: Row) -> Check:
    return Check(
        stage=Stage.SCHEDULING,
        stopped=False,
        campaign_state=CampaignState.RUNNING,
        campaign=campaign,
        contact=Contact(0, 0, row.number, row.zones),
        suppressed=None,
        consent=True,  # a row without it was kept aside
        recent=(),
    )


def _add(tally: Tally, decision: Decision) -> None:
    match decision:
        case Call():
            tally.now += 1
        case Later(at, reason):
            tally.later += 1
            tally.reasons[reason.sentence] += 1
            if at is not None and (tally.first_later is None or at < tally.first_later):
                tally.first_later = at
        case Never(reason):
            tally.reasons[reason.sentence] += 1
