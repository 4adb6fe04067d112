"""Watching a campaign: what is on the screen, what is in a line, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from sqlalchemy import Engine, update

from tests.workers.store.campaigns.filled import NOW, Filled, fill
from workers.campaign.model import AttemptState, CampaignState, ContactState
from workers.entrypoints.campaign.opened import Failed
from workers.entrypoints.campaign.watched import (
    LINE_S,
    SCREEN_S,
    Watched,
    Watcher,
    line,
    screen,
    watch,
)
from workers.store.campaign_schema import campaigns, contacts
from workers.store.database import open_engine, writing


@pytest.fixture
def filled(sqlite_url: str) -> Iterator[tuple[Engine, Filled]]:
    engine = open_engine(sqlite_url)
    with writing(engine) as connection:
        written = fill(connection)
    yield engine, written
    engine.dispose()


class Clock:
    """Counts one second for each time it is read."""

    def __init__(self, step_s: float = 1.0) -> None:
        self.now = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def watcher(engine: Engine, name: str = "spring-reminders", step_s: float = 0.0) -> Watcher:
    return Watcher(engine, name, wall=NOW.timestamp, clock=Clock(step_s))


def shown(seen: Watched, width: int = 100) -> str:
    console = Console(width=width, record=True, file=StringIO(), force_terminal=True)
    console.print(screen(seen))
    return console.export_text()


def test_screen_has_everything(filled: tuple[Engine, Filled]) -> None:
    """Progress, pace against what the ramp allows, calls, outcomes, brake, newest events."""
    engine, written = filled
    seen = watcher(engine).look()
    text = shown(seen)
    final = sum(
        row["state"] not in (ContactState.WAITING, ContactState.IN_HAND) for row in written.contacts
    )
    assert "Campaign spring-reminders  running" in text
    assert f"{final} of 400" in text
    asked = sum(
        call["asked_at"] is not None and (NOW - call["asked_at"]).total_seconds() <= 60
        for call in written.attempts
    )
    assert f"{asked / 60:.3g}/s of 0.025/s" in text
    live = [
        call
        for call in written.attempts
        if call["state"] in (AttemptState.ASKING, AttemptState.PLACED, AttemptState.UNKNOWN)
    ]
    assert f"{len(live)} of 4: " in text
    assert "A person answered" in text
    assert "Blocked by the carrier" in text
    assert "12 %, and the limit is 10 %" in " ".join(text.split())
    assert "Resumed" in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_screen_fits_its_width_and_names_nobody(filled: tuple[Engine, Filled], width: int) -> None:
    """No line is longer, and no telephone number is on it."""
    engine, _ = filled
    seen = watcher(engine).look()
    campaign = replace(seen.campaign, state=CampaignState.PAUSED, reason="Verify +15550100001.")
    for one in (seen, replace(seen, campaign=campaign, allowed=None)):
        text = shown(one, width)
        assert max(len(row.rstrip()) for row in text.splitlines()) <= width
        assert "555" not in text
        assert "555" not in line(one)
    assert "Verify (number)." in line(replace(seen, campaign=campaign))


def test_a_line_says_how_it_stands(filled: tuple[Engine, Filled]) -> None:
    """In one line, for a log."""
    engine, _ = filled
    seen = watcher(engine).look()
    told = line(seen)
    stands = seen.counts.standing
    assert told.startswith("20:00:00 UTC running; ")
    assert f"{stands.final} of 400 done" in told
    assert f"{stands.of(ContactState.DONE)} reached" in told
    assert "\n" not in told


def test_watch_ends_when_the_campaign_is_over_and_nobody_speaks(
    filled: tuple[Engine, Filled],
) -> None:
    """Not before the last call has ended; elsewhere than on a terminal, a line at a time."""
    engine, _ = filled
    running = watcher(engine).look()
    finished = replace(running, campaign=replace(running.campaign, state=CampaignState.FINISHED))
    looks = iter([running, finished, replace(finished, under_way={})])
    waits: list[float] = []
    console = Console(width=100, record=True, file=StringIO(), force_terminal=False)
    watch(lambda: next(looks), console, waits.append)
    lines = console.export_text().splitlines()
    assert len(lines) == 3
    assert waits == [LINE_S, LINE_S]
    assert "UTC finished;" in lines[-1]


def test_a_terminal_is_drawn_anew_each_second(filled: tuple[Engine, Filled]) -> None:
    """Interrupted, it leaves the terminal as it should be."""
    engine, _ = filled
    seen = watcher(engine).look()
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    console = Console(width=100, record=True, file=StringIO(), force_terminal=True)
    with pytest.raises(KeyboardInterrupt):
        watch(lambda: seen, console, pause)
    assert waits == [SCREEN_S] * 3
    assert "spring-reminders" in console.export_text()


def test_counting_everybody_takes_a_tenth_of_the_time(filled: tuple[Engine, Filled]) -> None:
    """Counts that took 1 s are kept for 10 s; a new state is counted at once."""
    engine, written = filled
    # Each look reads the clock once, and twice where it counts.
    looking = watcher(engine, step_s=1.0)
    before = looking.look().counts.standing
    with writing(engine) as connection:
        connection.execute(
            update(contacts)
            .where(contacts.c.campaign_id == written.campaign_id)
            .values(state=ContactState.CANCELLED)
        )
    looks = [looking.look().counts.standing for _ in range(8)]
    assert all(one == before for one in looks)
    assert looking.look().counts.standing.of(ContactState.CANCELLED) == 400
    with writing(engine) as connection:
        connection.execute(
            update(contacts)
            .where(contacts.c.campaign_id == written.campaign_id)
            .values(state=ContactState.DONE)
        )
        connection.execute(
            update(campaigns)
            .where(campaigns.c.id == written.campaign_id)
            .values(state=CampaignState.FINISHED)
        )
    assert looking.look().counts.standing.of(ContactState.DONE) == 400


def test_a_draft_has_a_screen_and_a_stranger_none(filled: tuple[Engine, Filled]) -> None:
    """Without a start there is no brake; a name that is not there is said."""
    engine, _ = filled
    seen = watcher(engine, "other").look()
    assert "Brake" not in shown(seen)
    assert "0/s" in line(seen)
    with pytest.raises(Failed, match="There is no campaign nobody"):
        watcher(engine, "nobody").look()
