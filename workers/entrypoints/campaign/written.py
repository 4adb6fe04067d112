"""``evercall campaign export`` and ``report``: one campaign into one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import BinaryIO, cast

import typer
from sqlalchemy import Engine

from workers.dashboard.campaign_export import write_csv, write_json
from workers.dashboard.campaign_page.page import render_campaign
from workers.entrypoints.campaign.opened import Failed, campaign_named, plural
from workers.store.campaigns.exporting import exported, most_attempts
from workers.store.campaigns.overview import overview
from workers.store.database import reading


def run_export(engine: Engine, name: str, file: Path, *, as_json: bool) -> None:
    """Write what became of every contact; the file holds telephone numbers.

    Raises:
        Failed: there is no such campaign, or the file cannot be written.
    """
    with whole_file(file) as out, reading(engine) as connection:
        campaign = campaign_named(connection, name)
        rows = exported(connection, campaign.campaign_id)
        if as_json:
            count = write_json(rows, out)
        else:
            most = most_attempts(connection, campaign.campaign_id)
            count = write_csv(rows, campaign.definition, out, most_attempts=most)
    # Not behind the contacts, where they go to whatever reads our output.
    typer.echo(f"{file}: {plural(count, 'contact')}", err=is_no_file(file))


def run_report(engine: Engine, name: str, file: Path, *, now: datetime) -> None:
    """Write the page of a campaign; it holds no telephone number.

    Raises:
        Failed: there is no such campaign, or the file cannot be written.
    """
    with reading(engine) as connection:
        found = overview(connection, campaign_named(connection, name), now=now)
    page = render_campaign(found).encode()
    with whole_file(file) as out:
        out.write(page)
    if not is_no_file(file):
        typer.echo(f"{file.absolute()}: open it in a browser")


def is_no_file(file: Path) -> bool:
    """Whether it is a pipe, a terminal or a device: what it is written to is not kept there."""
    return file.exists() and not file.is_file() and not file.is_dir()


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file that is there whole in the end, or as it was before.

    Nobody but its owner can read it. A pipe, a terminal or ``/dev/stdout`` is written to: nothing
    must take the place of those.

    Raises:
        Failed: it cannot be written.
    """
    try:
        if is_no_file(file):
            # Not at once: PostgreSQL ends a transaction that waits for whoever reads slowly.
            with TemporaryFile("w+b") as kept, file.open("wb") as data:
                yield cast("BinaryIO", kept)
                kept.seek(0)
                copyfileobj(kept, data)
            return
        # Where a link leads, such as /dev/stdout to a file: else the link would be gone.
        place = file.resolve()
        with NamedTemporaryFile("wb", dir=place.parent, delete=False) as data:
            try:
                yield cast("BinaryIO", data)
                data.close()
                Path(data.name).replace(place)
            except BaseException:
                with suppress(OSError):
                    Path(data.name).unlink()
                raise
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None
