"""The commands' names, arguments and options; what they do is imported when they run."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def _text(given: str) -> str:
    """As every database takes it: what is no UTF-8 must not keep an emergency stop from acting.

    Python hands such bytes of a command line on as halves of surrogate pairs (PEP 383).
    """
    return given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="As the campaign's file has it.", callback=_text),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why, for whoever reads it later.", callback=_text)
]
NumberArgument = Annotated[str, typer.Argument(metavar="NUMBER", help="As +15550100002.")]
RegionOption = Annotated[
    str | None,
    typer.Option("--region", help="Country of numbers without a country code, as US."),
]

suppress_app = typer.Typer(
    help="The suppression list: whom no campaign calls.", no_args_is_help=True
)


def register(app: typer.Typer, campaign_app: typer.Typer) -> None:
    """Add the commands to those that there are."""
    app.add_typer(suppress_app, name="suppress")
    app.command("stop-all")(stop_all)
    app.command("allow-all")(allow_all)
    campaign_app.command("import")(import_)
    campaign_app.command("errors")(errors)
    campaign_app.command("rehearse")(rehearse)
    campaign_app.command("canary")(canary)
    campaign_app.command("start")(start)
    campaign_app.command("pause")(pause)
    campaign_app.command("resume")(resume)
    campaign_app.command("cancel")(cancel)


def import_(file: Annotated[Path, typer.Argument(help="The campaign's YAML file.")]) -> None:
    """Make a campaign or bring it up to date, and take in contacts that are new; dials nobody."""
    from workers.entrypoints.campaign.imported import run_import
    from workers.entrypoints.campaign.opened import run

    sys.exit(run(partial(run_import, file=file, now=_now()), make=True))


def errors(name: NameArgument) -> None:
    """Write the rows that the last import kept aside, as CSV; they hold phone numbers."""
    from workers.entrypoints.campaign.imported import run_errors
    from workers.entrypoints.campaign.opened import run

    sys.exit(run(partial(run_errors, name=name)))


def rehearse(
    name: NameArgument,
    talk_s: Annotated[
        float, typer.Option("--talk-s", min=0, max=14_400, help="Mean seconds of an answered call.")
    ] = 60.0,
    answered: Annotated[
        float, typer.Option("--answered", min=0, max=1, help="Share of calls that are answered.")
    ] = 0.5,
    reached: Annotated[
        float,
        typer.Option("--reached", min=0, max=1, help="Share of calls after which there is none."),
    ] = 0.4,
    price_per_minute: Annotated[
        float | None, typer.Option("--price-per-minute", min=0, help="Of an answered call.")
    ] = None,
    currency: Annotated[str, typer.Option("--currency", help="Of the price.")] = "USD",
) -> None:
    """Say who could be called now, later or never, when it ends and what it costs; no calls."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.rehearsed import Assumed, run_rehearse

    assumed = Assumed(talk_s, answered, reached, price_per_minute, currency)
    sys.exit(run(partial(run_rehearse, name=name, assumed=assumed, now=_now())))


def canary(
    name: NameArgument,
    contacts: Annotated[
        int,
        # Far more than anybody calls to try, and less than a database's integer holds.
        typer.Option(
            "--contacts", min=1, max=1_000_000, help="How many are called before it pauses."
        ),
    ] = 20,
    reason: ReasonOption = "",
) -> None:
    """Call the first few contacts, then pause by itself."""
    _move(name, "canary", reason, contacts)


def start(name: NameArgument, reason: ReasonOption = "") -> None:
    """Start calling, by the campaign's ramp."""
    _move(name, "start", reason)


def pause(name: NameArgument, reason: ReasonOption = "") -> None:
    """Dial nobody more from now on; calls in progress finish."""
    _move(name, "pause", reason)


def resume(name: NameArgument, reason: ReasonOption = "") -> None:
    """Go on after a pause, by the ramp; nobody is called again for that."""
    _move(name, "resume", reason)


def cancel(name: NameArgument, reason: ReasonOption = "") -> None:
    """End a campaign for good: whoever waits is not called; calls in progress finish."""
    _move(name, "cancel", reason)


def stop_all(reason: ReasonOption = "") -> None:
    """Dial nobody more, for any campaign, until allow-all; calls in progress finish."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.stopping import run_stop_all

    sys.exit(run(partial(run_stop_all, reason=reason, now=_now())))


def allow_all() -> None:
    """Take stop-all back: campaigns that were running go on."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.stopping import run_allow_all

    sys.exit(run(run_allow_all))


@suppress_app.command("add")
def suppress_add(
    number: NumberArgument, region: RegionOption = None, reason: ReasonOption = ""
) -> None:
    """Put a number on the list; contacts that wait with it are set aside at once."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.suppressing import run_add

    command = partial(run_add, number=number, region=region, reason=reason, now=_now())
    sys.exit(run(command, make=True))


@suppress_app.command("import")
def suppress_import(
    file: Annotated[Path, typer.Argument(help="CSV with a column number, or numbers alone.")],
    region: RegionOption = None,
) -> None:
    """Put every number of a file on the list; name the rows where that was not possible."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.suppressing import run_import

    sys.exit(run(partial(run_import, file=file, region=region, now=_now()), make=True))


@suppress_app.command("export")
def suppress_export(file: Annotated[Path, typer.Argument(help="CSV to write.")]) -> None:
    """Write the list as CSV, as suppress import reads it."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.suppressing import run_export

    sys.exit(run(partial(run_export, file=file)))


@suppress_app.command("remove")
def suppress_remove(
    number: NumberArgument,
    region: RegionOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a number off the list, after a question."""
    from workers.entrypoints.campaign.opened import run
    from workers.entrypoints.campaign.suppressing import run_remove

    def confirm(question: str) -> bool:
        return yes or typer.confirm(question, default=False, err=True)

    sys.exit(run(partial(run_remove, number=number, region=region, confirm=confirm)))


def _move(name: str, verb: str, reason: str, contacts: int | None = None) -> None:
    from workers.entrypoints.campaign.moved import run_move
    from workers.entrypoints.campaign.opened import run

    command = partial(run_move, name=name, verb=verb, reason=reason, canary=contacts, now=_now())
    sys.exit(run(command))


def _now() -> datetime:
    return datetime.now(UTC)
