"""``evercall campaign watch``: one campaign while it runs.

On a terminal a screen that is drawn anew each second; elsewhere a line now and then. It ends when
the campaign is over and nobody is on the phone, or when it is interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from workers.campaign.brake import Measured
from workers.campaign.model import CampaignState, ContactState, LineOutcome
from workers.campaign.pacing import Allowed, allowed
from workers.dashboard.campaign_words import percent
from workers.dashboard.story import one_line
from workers.entrypoints.campaign.opened import campaign_named, console
from workers.entrypoints.campaign.tables import (
    STATES,
    brake_table,
    events_table,
    outcomes_table,
    safe,
    stop_text,
)
from workers.store.campaigns import braking, figures
from workers.store.campaigns.events import CampaignEvent
from workers.store.campaigns.figures import Standing
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.switches import stopped
from workers.store.database import reading

SCREEN_S = 1.0
LINE_S = 5.0
PACE_OVER = timedelta(seconds=60)
"""As long as the mean is that is shown as the pace now, once a campaign has run for so long."""
_LEAST_OVER = timedelta(seconds=5)
_EVENTS = 5
# Counting all contacts takes this share of the time at the most, however many there are.
_COUNTING = 0.1
_OVER = (CampaignState.FINISHED, CampaignState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Counts:
    """What takes longer to count the more contacts there are."""

    standing: Standing
    outcomes: Mapping[LineOutcome, int]


@dataclass(frozen=True, slots=True)
class Watched:
    """A campaign at one moment."""

    campaign: CampaignRow
    at: datetime
    counts: Counts
    under_way: Mapping[str, int]
    pace: float
    """Calls started per second."""
    allowed: Allowed | None
    """What the ramp allows; None: it does not dial."""
    brake: Sequence[Measured]
    events: Sequence[CampaignEvent]
    stopped: str | None = None
    """Why nobody is dialled for any campaign; None: it is not so."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.campaign.state in _OVER and not self.under_way


def run_watch(engine: Engine, name: str) -> None:
    """Show a campaign until it is over.

    Raises:
        Failed: there is none of this name.
    """
    watcher = Watcher(engine, name, wall=time.time, clock=time.monotonic)
    watch(watcher.look, console(), time.sleep)


class Watcher:
    """Looks at a campaign again and again.

    Args:
        engine: of its database.
        name: of the campaign.
        wall: POSIX seconds, by which campaigns run.
        clock: monotonic seconds, by which counting is measured.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._name = name
        self._wall = wall
        self._clock = clock
        self._counts: Counts | None = None
        self._state: CampaignState | None = None
        self._count_at = 0.0

    def look(self) -> Watched:
        """The campaign now; what takes long to count may be as of a little before.

        Raises:
            Failed: there is none of this name.
        """
        now = datetime.fromtimestamp(self._wall(), UTC)
        with reading(self._engine) as connection:
            campaign = campaign_named(connection, self._name)
            number, began = campaign.campaign_id, self._clock()
            counts = self._counts
            # The last look must not show a bar that is not full.
            if counts is None or began >= self._count_at or campaign.state is not self._state:
                counts = Counts(
                    figures.standing(connection, number), figures.outcomes(connection, number)
                )
                took = self._clock() - began
                self._counts, self._count_at = counts, began + took / _COUNTING
                self._state = campaign.state
            since = campaign.started_at
            dialling = campaign.state.dials and since is not None
            over = PACE_OVER if since is None else min(PACE_OVER, max(_LEAST_OVER, now - since))
            return Watched(
                campaign=campaign,
                at=now,
                counts=counts,
                under_way=figures.under_way(connection, number),
                pace=figures.pace(connection, number, now, over),
                allowed=(
                    allowed(campaign.definition.pace, now - since)
                    if dialling and since is not None
                    else None
                ),
                brake=braking.shares(connection, number, campaign.definition.brake, since),
                events=figures.newest_events(connection, number, most=_EVENTS),
                stopped=stopped(connection),
            )


def watch(look: Callable[[], Watched], out: Console, pause: Callable[[float], None]) -> None:
    """Show a campaign until it is over.

    Args:
        look: how it stands now.
        out: a terminal, or where lines go.
        pause: waits so many seconds; KeyboardInterrupt ends the watch as well.
    """
    seen = look()
    live: Live | None = Live(console=out, auto_refresh=False) if out.is_terminal else None
    with live or nullcontext():
        while True:
            if live is not None:
                live.update(screen(seen), refresh=True)
            else:
                out.print(Text(line(seen)), soft_wrap=True)
            if seen.over:
                return
            pause(LINE_S if live is None else SCREEN_S)
            seen = look()


def screen(seen: Watched) -> RenderableType:
    """The whole screen, for any width from 60 columns on."""
    campaign, stands = seen.campaign, seen.counts.standing
    head = Text("Campaign ").append(safe(campaign.name, "bold")).append("  ")
    head.append(campaign.state, STATES[campaign.state])
    if campaign.canary_left is not None:
        head.append(f", {campaign.canary_left} left of the canary")
    bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    bar.add_row(
        ProgressBar(total=max(1, stands.total), completed=stands.final),
        f"{percent(stands.share)}, {stands.final:,} of {stands.total:,}",
    )
    parts: list[RenderableType] = [head]
    if campaign.reason:
        parts.append(safe(campaign.reason))
    if (stop := stop_text(seen.stopped)) is not None:
        parts.append(stop)
    parts += [bar, Text(), _now(seen)]
    # Side by side where there is room: a screen has few lines.
    tables = [outcomes_table(seen.counts.outcomes)] if seen.counts.outcomes else []
    tables += [brake_table(seen.brake)] if campaign.started_at is not None else []
    if tables:
        parts += [Text(), Columns(tables, padding=(0, 4))]
    if seen.events:
        parts += [Text(), events_table(seen.events)]
    return Group(*parts)


def line(seen: Watched) -> str:
    """The same in one line, for a log."""
    stands, calls = seen.counts.standing, sum(seen.under_way.values())
    parts = [
        f"{seen.at:%H:%M:%S} UTC {seen.campaign.state}",
        f"{stands.final:,} of {stands.total:,} done ({percent(stands.share)})",
        f"{stands.of(ContactState.DONE):,} reached",
        f"{calls} in progress",
        _pace_words(seen),
    ]
    if (stop := stop_text(seen.stopped)) is not None:
        parts.append(stop.plain)
    reached = [one.measure for one in seen.brake if one.reached]
    if reached:
        parts.append(f"brake: {', '.join(reached)}")
    if seen.campaign.reason and not seen.campaign.state.dials:
        parts.append(safe(seen.campaign.reason).plain)
    return one_line("; ".join(parts))


def _now(seen: Watched) -> Table:
    stands = seen.counts.standing
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Pace", _pace_words(seen))
    calls = ", ".join(f"{count} {status}" for status, count in seen.under_way.items())
    most = f" of {seen.allowed.calls_at_once:,}" if seen.allowed else ""
    number = sum(seen.under_way.values())
    table.add_row("In progress", f"{number}{most}{f': {calls}' if calls else ''}")
    table.add_row(
        "Contacts",
        f"{stands.of(ContactState.DONE):,} reached, "
        f"{stands.of(ContactState.EXHAUSTED):,} not reached, "
        f"{stands.of(ContactState.NEVER):,} never, "
        f"{stands.of(ContactState.WAITING):,} waiting",
    )
    return table


def _pace_words(seen: Watched) -> str:
    set_to = f" of {seen.allowed.calls_per_second:.3g}/s" if seen.allowed else ""
    return f"{seen.pace:.3g}/s{set_to}"
