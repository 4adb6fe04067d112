"""The commands that only look: ``campaign list``, ``show``, ``watch``, ``export``, ``report``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from workers.entrypoints.campaign.commands import NameArgument


class CampaignFormat(StrEnum):
    """What the contacts of a campaign are written as."""

    CSV = "csv"
    JSON = "json"


def register(campaign_app: typer.Typer) -> None:
    """Add the commands to those that there are."""
    campaign_app.command("list")(list_)
    campaign_app.command("show")(show)
    campaign_app.command("watch")(watch)
    campaign_app.command("export")(export)
    campaign_app.command("report")(report)


def list_() -> None:
    """List all campaigns: how far each is, its calls now, and what it waits for."""
    from workers.entrypoints.campaign.listed import run_list
    from workers.entrypoints.campaign.opened import run

    sys.exit(run(run_list))


def show(name: NameArgument) -> None:
    """Show all figures of a campaign: contacts and why, outcomes, answer rates, brake, events."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.shown import run_show

    sys.exit(run(partial(run_show, name=name, now=datetime.now(UTC))))


def watch(name: NameArgument) -> None:
    """Watch a campaign until it is over; Ctrl-C ends the watch, not the campaign."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.watched import run_watch

    sys.exit(run(partial(run_watch, name=name)))


def export(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write.")],
    format_: Annotated[
        CampaignFormat, typer.Option("--format", help="csv: a row for each contact; json: all.")
    ] = CampaignFormat.CSV,
) -> None:
    """Write what became of every contact, and each attempt; the file holds phone numbers."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.written import run_export

    as_json = format_ is CampaignFormat.JSON
    sys.exit(run(partial(run_export, name=name, file=file, as_json=as_json)))


def report(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The page, as report.html.")],
) -> None:
    """Write a campaign as one HTML page, with plots; it holds no phone number."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.written import run_report

    sys.exit(run(partial(run_report, name=name, file=file, now=datetime.now(UTC))))
