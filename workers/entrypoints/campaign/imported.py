"""``evercall campaign import`` and ``errors``: from a customer's file to waiting contacts."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection, Engine

from agent.errors import AgentSpecError
from agent.yaml_source import read_yaml
from workers.campaign.contacts import ContactFileError, RowError, preview, told_apart_by
from workers.campaign.model import Campaign, CampaignState
from workers.dialling.importing import Imported, import_contacts
from workers.dialling.transactions import write
from workers.entrypoints.campaign.opened import (
    INTERRUPTED,
    Failed,
    campaign_named,
    console,
    plural,
    read_campaign,
)
from workers.entrypoints.campaign.usable import load_usable
from workers.store.campaigns.campaigns import create, load, look_again, redefine
from workers.store.campaigns.contacts import counts, errors_page
from workers.store.campaigns.rows import CampaignRow
from workers.store.database import reading

ERROR_COLUMNS = ("line", "column", "message", "row")


def run_import(engine: Engine, file: Path, *, now: datetime) -> None:
    """Make a campaign, or bring it up to date, and take in its contacts; print what came of it.

    Raises:
        Failed: the file is wrong or cannot be read, the campaign was cancelled, or its contacts
            would all come in once more.
    """
    definition = _read(file)
    source = definition.source.file
    try:
        with Path(source).open("rb") as data:
            # Before anything is made of it: its columns may be wrong.
            preview(data, definition.source, 0, consent_required=definition.consent_required)
            data.seek(0)
            campaign, what = write(engine, partial(_define, definition, file, now))
            typer.echo(f"Campaign {campaign.name}: {what}.")
            if campaign.definition != definition:
                typer.echo(
                    f"It is {campaign.state} and goes on by its old file; "
                    "to change that, pause it and import again.",
                    err=True,
                )
            # Its own columns: what is imported beside a campaign that runs must suit it.
            size = Path(source).stat().st_size
            with _bar(size, data.tell) as on_progress:
                done = import_contacts(engine, campaign, data, now=now, on_progress=on_progress)
    except ContactFileError as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"{error.filename or source}: {error.strerror or error}") from None
    except KeyboardInterrupt:
        raise Failed(
            "Interrupted: what was read so far may be kept; import the file again for the rest.",
            code=INTERRUPTED,
        ) from None
    if campaign.definition == definition:
        while write(engine, partial(look_again, campaign_id=campaign.campaign_id, now=now)):
            pass
    _tell(campaign, source, done)


def run_errors(engine: Engine, name: str) -> None:
    """Write the rows that the last import kept aside as CSV; they hold phone numbers."""
    campaign = read_campaign(engine, name)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(ERROR_COLUMNS)
    for error in _errors(engine, campaign.campaign_id):
        writer.writerow((error.line, error.field, error.message, error.raw))


def _errors(engine: Engine, campaign_id: int) -> Iterator[RowError]:
    after = 0
    while True:
        # Not one transaction: whoever reads it may be slow, and the server ends idle ones.
        with reading(engine) as connection:
            found, after = errors_page(connection, campaign_id, after_id=after)
        if not found:
            return
        yield from found


def _read(file: Path) -> Campaign:
    try:
        return load_usable(file)
    except AgentSpecError as error:
        lines = [str(issue) for issue in error.issues]
        raise Failed("\n".join([*lines, plural(len(lines), "problem")])) from None


def _define(
    definition: Campaign, file: Path, now: datetime, connection: Connection
) -> tuple[CampaignRow, str]:
    """The campaign to import into, and what has been done about its definition."""
    found = load(connection, definition.name)
    if found is None:
        create(connection, definition, now=now)
        return campaign_named(connection, definition.name), "made, in draft"
    if found.state is CampaignState.CANCELLED:
        raise Failed(
            f"Campaign {found.name} was cancelled; give the file another name to begin anew."
        )
    if found.definition == definition:
        return found, f"as it was, {found.state}"
    if found.state.dials:
        return found, f"not changed, {found.state}"
    _refuse_twins(connection, found, definition, file)
    changed = redefine(connection, found.campaign_id, definition, now=now)
    return changed, f"brought up to date, {found.state}"


def _refuse_twins(
    connection: Connection, found: CampaignRow, definition: Campaign, file: Path
) -> None:
    """A variable more, say, and every row would be a contact that is not there yet."""
    before, now = (told_apart_by(each.source.columns) for each in (found.definition, definition))
    if before == now or not any(counts(connection, found.campaign_id).values()):
        return
    what = (
        f"the contacts of {found.name} are told apart by {before}, and would be by {now}: all of "
        "them would come in, and be called, once more. Leave that as it was; or cancel the "
        "campaign and give the file another name"
    )
    raise Failed(str(read_yaml(file).issue(("contacts", "columns"), what)))


@contextmanager
def _bar(size: int, at: Callable[[], int]) -> Iterator[Callable[[Imported], None]]:
    """By bytes, which are known; nothing where nobody looks."""
    seen = console()
    if not seen.is_terminal:
        yield lambda _done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=seen, transient=True) as progress:
        task = progress.add_task("", total=size)

        def on_progress(done: Imported) -> None:
            progress.update(task, completed=at(), description=plural(done.rows, "row"))

        yield on_progress


def _tell(campaign: CampaignRow, source: str, done: Imported) -> None:
    for error in done.first_errors:
        place = f"{error.field}: " if error.field else ""
        typer.echo(f"{source}:{error.line}: {place}{error.message}", err=True)
    more = done.errors - len(done.first_errors)
    if more:
        typer.echo(
            f"and {plural(more, 'row')} more: evercall campaign errors {campaign.name}", err=True
        )
    typer.echo(
        f"{plural(done.new, 'new contact')}, {done.known:,} known before or twice in the file, "
        f"{plural(done.errors, 'row')} kept aside."
    )
    if done.suppressed:
        typer.echo(f"{done.suppressed:,} of the new are on the suppression list: never called.")
    waiting = done.new - done.suppressed
    if waiting and campaign.state in (CampaignState.DRAFT, CampaignState.FINISHED):
        typer.echo(
            f"Nobody is dialled yet: evercall campaign rehearse {campaign.name}, then "
            f"campaign canary or campaign start."
        )
