"""``evercall campaign list``: which campaigns there are, how far each is, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine

from workers.dashboard.campaign_words import percent
from workers.entrypoints.campaign.opened import console
from workers.entrypoints.campaign.tables import STATES, plain_table, safe, stop_text
from workers.store.campaigns.figures import Listed, listed
from workers.store.campaigns.switches import stopped
from workers.store.database import reading


def run_list(engine: Engine) -> None:
    """Print all campaigns, the newest first."""
    with reading(engine) as connection:
        found = listed(connection)
        stop = stop_text(stopped(connection))
    out = console()
    print_list(out, found)
    if stop is not None:
        out.print(stop)


def print_list(out: Console, found: Sequence[Listed]) -> None:
    """Print them as a table."""
    if not found:
        out.print("No campaigns. Make one: evercall campaign import FILE.")
        return
    table = plain_table(
        "Name", "State", "Done", "Contacts", "Calls now", "Why", right=(2, 3, 4), fold=5
    )
    for one in found:
        stands = one.standing
        table.add_row(
            safe(one.name),
            Text(one.state, STATES[one.state]),
            percent(stands.share) if stands.total else "–",
            f"{stands.final:,} of {stands.total:,}",
            str(one.calls_now) if one.calls_now else Text("–", "dim"),
            safe(one.reason),
        )
    out.print(table)
