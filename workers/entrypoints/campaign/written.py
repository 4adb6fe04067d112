"""``evercall campaign export`` and ``report``: one campaign into one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
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
    with reading(engine) as connection, whole_file(file) as out:
        campaign = campaign_named(connection, name)
        rows = exported(connection, campaign.campaign_id)
        if as_json:
            count = write_json(rows, out)
        else:
            most = most_attempts(connection, campaign.campaign_id)
            count = write_csv(rows, campaign.definition, out, most_attempts=most)
    typer.echo(f"{file}: {plural(count, 'contact')}")


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
    typer.echo(f"{file.absolute()}: open it in a browser")


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file that is there whole in the end, or as it was before.

    Nobody but its owner can read it.

    Raises:
        Failed: it cannot be written.
    """
    try:
        with NamedTemporaryFile("wb", dir=file.absolute().parent, delete=False) as data:
            try:
                yield cast("BinaryIO", data)
                data.close()
                Path(data.name).replace(file)
            except BaseException:
                with suppress(OSError):
                    Path(data.name).unlink()
                raise
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None
