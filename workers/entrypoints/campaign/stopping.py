"""``evercall stop-all`` and ``allow-all``: one row, that everybody who dials reads right before."""

from __future__ import annotations

from datetime import datetime

import typer
from sqlalchemy import Connection, Engine

from workers.dialling.transactions import write
from workers.entrypoints.campaign.opened import plural
from workers.store.campaigns.campaigns import list_all
from workers.store.campaigns.switches import allow_all, calls_under_way, stop_all, stopped
from workers.store.database import reading

NO_REASON = "Stopped by an operator."


def run_stop_all(engine: Engine, *, reason: str, now: datetime) -> None:
    """Stop all dialling and print what still goes on."""

    def stop(connection: Connection) -> None:
        # Whoever asks again without a reason does not take back why it was stopped.
        why = reason.strip() or stopped(connection) or NO_REASON
        stop_all(connection, reason=why, now=now)

    write(engine, stop)
    typer.echo("All calls are stopped: nobody is dialled for any campaign.")
    with reading(engine) as connection:
        calls = calls_under_way(connection)
    typer.echo(f"{_in_progress(calls)}{' and will finish' if calls else ''}.")
    typer.echo("Take it back with evercall allow-all.")


def run_allow_all(engine: Engine) -> None:
    """Take the stop back and print who goes on."""
    was = write(engine, allow_all)
    # Before anything else can fail: it is done.
    typer.echo("Calls are allowed again." if was else "Calls were not stopped.")
    with reading(engine) as connection:
        dialling = [each.name for each in list_all(connection) if each.state.dials]
        calls = calls_under_way(connection)
    typer.echo(f"Campaigns that dial now: {', '.join(dialling) if dialling else 'none'}.")
    typer.echo(f"{_in_progress(calls)}.")


def _in_progress(calls: int) -> str:
    if not calls:
        return "No call is in progress"
    return f"{plural(calls, 'call')} {'is' if calls == 1 else 'are'} still in progress"
