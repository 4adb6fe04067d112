"""``evercall campaign show``: all figures of one campaign."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from workers.campaign.pacing import allowed
from workers.dashboard.campaign_page.plots import FEW, quantile
from workers.dashboard.campaign_words import CONTACT_WORDS, percent, reason_words
from workers.dashboard.story import long
from workers.entrypoints.campaign.opened import campaign_named, console
from workers.entrypoints.campaign.tables import (
    STATES,
    brake_table,
    events_table,
    outcomes_table,
    plain_table,
    safe,
    stop_text,
)
from workers.store.campaigns.overview import Overview, overview
from workers.store.campaigns.series import PEOPLE, REACHED_NETWORK
from workers.store.campaigns.switches import stopped
from workers.store.database import reading

_NEWEST_EVENTS = 10
_MOST_ZONES = 12


def run_show(engine: Engine, name: str, *, now: datetime) -> None:
    """Print all that is known of a campaign.

    Raises:
        Failed: there is none of this name.
    """
    with reading(engine) as connection:
        found = overview(connection, campaign_named(connection, name), now=now)
        stop = stop_text(stopped(connection))
    out = console()
    if stop is not None:
        out.print(stop)
    print_campaign(out, found)


def print_campaign(out: Console, found: Overview) -> None:
    """Print it, one part under the other."""
    campaign = found.campaign
    head = Text("Campaign ").append(safe(campaign.name, "bold")).append("  ")
    out.print(head.append(campaign.state, STATES[campaign.state]))
    if campaign.reason:
        out.print(safe(campaign.reason))
    out.print()
    out.print(_facts(found))
    for part in (
        _contacts(found),
        outcomes_table(found.outcomes) if found.settled else None,
        _reported(found),
        _rates(found),
        brake_table(found.brake) if campaign.started_at else None,
        events_table(found.events[-_NEWEST_EVENTS:]) if found.events else None,
        _errors(found),
    ):
        if part is not None:
            out.print()
            out.print(part)


def _facts(found: Overview) -> Table:
    stands, campaign = found.standing, found.campaign
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Done", f"{percent(stands.share)}, {stands.final:,} of {stands.total:,} contacts")
    calls = ", ".join(f"{count} {status}" for status, count in found.under_way.items())
    table.add_row("Calls now", calls or "none")
    table.add_row("Pace", _pace(found))
    rang = sum(found.outcomes.get(one, 0) for one in REACHED_NETWORK)
    people = sum(found.outcomes.get(one, 0) for one in PEOPLE)
    if rang:
        table.add_row(
            "Answered", f"{percent(people / rang)} of {rang:,} calls, by a person; {_length(found)}"
        )
    started = f"{campaign.started_at:%Y-%m-%d %H:%M:%S} UTC" if campaign.started_at else "not yet"
    table.add_row("Created", f"{campaign.created_at:%Y-%m-%d %H:%M:%S} UTC")
    table.add_row("Started", started)
    return table


def _pace(found: Overview) -> str:
    pace, campaign = found.campaign.definition.pace, found.campaign
    full = f"{pace.calls_per_second:g} calls a second, {pace.calls_at_once:,} at once"
    if not campaign.state.dials or campaign.started_at is None:
        return full
    now = allowed(pace, found.at - campaign.started_at)
    return f"{now.calls_per_second:g} calls a second, {now.calls_at_once:,} at once; in full {full}"


def _length(found: Overview) -> str:
    people = found.lengths.people
    return f"half of them longer than {long(quantile(people, 0.5))}" if people else "no length"


def _contacts(found: Overview) -> Table | None:
    table = plain_table("Contacts", "", "Why", right=(1,), fold=2)
    for state, words in CONTACT_WORDS.items():
        mine = [one for one in found.reasons if one.state is state]
        for index, one in enumerate(mine):
            table.add_row(
                words if index == 0 else "",
                f"{one.contacts:,}",
                safe(reason_words(one.state, one.reason)),
            )
        rest = found.standing.of(state) - sum(one.contacts for one in mine)
        if rest:
            table.add_row("" if mine else words, f"{rest:,}", Text("other reasons", "dim"))
    return table if table.row_count else None


def _reported(found: Overview) -> Table | None:
    if not found.reported:
        return None
    table = plain_table("Reported", "Contacts", "Share", right=(1, 2))
    for field in found.reported:
        table.add_row(safe(field.name), f"{field.given:,}", "")
        for value, count in field.values.items():
            share = Text(percent(count / field.given), "dim")
            table.add_row(safe(f"  {value}"), f"{count:,}", share)
    return table


def _rates(found: Overview) -> Table | None:
    if not found.rates.by_zone:
        return None
    table = plain_table("Answered by a person", "Share", "Of calls", right=(1, 2))
    for name, rate in list(found.rates.by_zone.items())[:_MOST_ZONES]:
        style = "dim" if rate.calls < FEW else ""
        table.add_row(safe(name or "zone not known", style), percent(rate.share), f"{rate.calls:,}")
    for hour, rate in found.rates.by_hour.items():
        style = "dim" if rate.calls < FEW else ""
        table.add_row(
            Text(f"{hour:02d}:00 where they are", style), percent(rate.share), f"{rate.calls:,}"
        )
    return table


def _errors(found: Overview) -> Table | None:
    if not found.row_errors:
        return None
    table = plain_table("Column", "Rows kept aside", "What is wrong", right=(1,), fold=2)
    for one in found.commonest_errors:
        table.add_row(safe(one.field), f"{one.rows:,}", safe(one.message))
    return table
