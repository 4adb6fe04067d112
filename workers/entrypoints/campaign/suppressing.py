"""``evercall suppress add``, ``import``, ``export`` and ``remove``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import typer
from sqlalchemy import Connection, Engine

from workers.campaign import suppression_file
from workers.campaign.contacts import ContactFileError, RowError
from workers.campaign.numbers import is_region, parse_number
from workers.dialling.transactions import write
from workers.entrypoints.campaign.opened import Failed, plural
from workers.entrypoints.campaign.written import is_no_file, whole_file
from workers.store.campaigns.suppressions import (
    Suppression,
    import_batches,
    page,
    reason_for,
    suppress,
    suppress_all,
    unsuppress,
)
from workers.store.database import reading

SHOWN_ERRORS = 20


def run_add(engine: Engine, number: str, *, region: str | None, reason: str, now: datetime) -> None:
    """Put a number on the list; its waiting contacts are set aside."""
    found = _number(number, region)
    why = reason.strip()

    def add(connection: Connection) -> tuple[bool, str]:
        new = suppress(connection, found, reason=why, source="operator", now=now)
        return new, reason_for(connection, found) or ""

    new, kept = write(engine, add)
    if new:
        typer.echo("The number is on the suppression list: no campaign calls it.")
    else:
        typer.echo(f"The number was on the list already{f': {kept}' if kept else '.'}")


def run_remove(
    engine: Engine, number: str, *, region: str | None, confirm: Callable[[str], bool]
) -> None:
    """Take a number off the list, if ``confirm`` agrees to a question."""
    found = _number(number, region)
    with reading(engine) as connection:
        reason = reason_for(connection, found)
    if reason is None:
        raise Failed("The number is not on the suppression list.")
    why = f" It is there because: {reason}" if reason else ""
    if not confirm(f"Whoever has this number may be called again.{why} Take it off?"):
        raise Failed("Nothing was changed.")
    write(engine, lambda connection: unsuppress(connection, found))
    typer.echo(
        "The number is off the list. Contacts that were set aside for it stay set aside; "
        "new ones may be called."
    )


def run_import(engine: Engine, file: Path, *, region: str | None, now: datetime) -> None:
    """Put every number of a file on the list, and say of which rows that was not possible.

    Raises:
        Failed: the file cannot be read, or rows were left out; the others are on the list.
    """
    errors: list[RowError] = []
    doubts = left_out = 0

    def good(rows: Iterator[suppression_file.Suppression | RowError]) -> Iterator[Suppression]:
        nonlocal doubts, left_out
        for row in rows:
            if not isinstance(row, RowError):
                yield Suppression(
                    row.number, row.reason, row.source[:32] or "import", row.at or now
                )
                continue
            doubts += 1
            left_out += row.message.endswith(suppression_file.LEFT_OUT)
            if len(errors) < SHOWN_ERRORS:
                errors.append(row)

    listed = new = 0
    try:
        with file.open("rb") as data:
            rows = suppression_file.read_suppressions(data, name=str(file), region=_region(region))
            for batch in import_batches(good(rows)):
                new += write(engine, partial(suppress_all, batch=batch, now=now))
                listed += len(batch)
    except ContactFileError as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"{error.filename or file}: {error.strerror or error}") from None
    for each in errors:
        place = f"{each.field}: " if each.field else ""
        typer.echo(f"{file}:{each.line}: {place}{each.message}", err=True)
    if doubts > len(errors):
        typer.echo(f"and {plural(doubts - len(errors), 'row')} more", err=True)
    typer.echo(f"{plural(listed, 'number')} read, {new:,} of them new on the list.")
    if left_out:
        raise Failed(f"{plural(left_out, 'row')} left out: mend and import the file again.")


def run_export(engine: Engine, file: Path) -> None:
    """Write the list as CSV, which ``import`` reads; the file is whole, or as it was before."""
    written = 0

    def rows() -> Iterator[suppression_file.Suppression]:
        nonlocal written
        after = ""
        with reading(engine) as connection:
            while found := page(connection, after=after):
                for each in found:
                    yield suppression_file.Suppression(
                        each.number, each.reason, each.source, each.created_at
                    )
                written += len(found)
                after = found[-1].number

    with whole_file(file) as data:
        suppression_file.write_suppressions(rows(), data)
    typer.echo(f"{file}: {plural(written, 'number')}", err=is_no_file(file))


def _number(text: str, region: str | None) -> str:
    try:
        return parse_number(text, _region(region))
    except ValueError as error:
        raise Failed(f"NUMBER {error}", code=2) from None


def _region(region: str | None) -> str | None:
    region = region.strip().upper() if region else None
    if region and not is_region(region):
        raise Failed(f"--region: there is no region {region!r}", code=2)
    return region or None
