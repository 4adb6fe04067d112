"""``evercall campaign rehearse``: what a campaign would come to, without a call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, update

from tests.workers.entrypoints.campaign.conftest import CAMPAIGN, Evercall
from workers.dialling.finishing import UNREADABLE
from workers.entrypoints.campaign import rehearsed
from workers.entrypoints.campaign.rehearsed import Assumed, guess, rehearse, run_rehearse
from workers.store.campaign_schema import attempts, contacts
from workers.store.campaigns.campaigns import load
from workers.store.campaigns.rows import CampaignRow
from workers.store.campaigns.suppressions import suppress
from workers.store.database import open_engine, reading, writing

# A Friday: 09:30 in New York (EST), 14:30 in London, 06:30 in Los Angeles.
NOW = datetime(2026, 11, 27, 14, 30, tzinfo=UTC)
DAYTIME = CAMPAIGN.replace("mon-sun: 00:00-24:00", "mon-fri: 09:00-18:00")
PEOPLE = """\
phone,who,tz
+12125550121,Ada,America/New_York
+12125550122,Bob,America/New_York
+12125550123,Cho,America/New_York
+12125550124,Dan,America/Los_Angeles
+12125550125,Eve,Europe/London
12,Nobody,
"""


@pytest.fixture
def people(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(DAYTIME)
    (folder / "people.csv").write_text(PEOPLE)


def row(engine: Engine) -> CampaignRow:
    with reading(engine) as connection:
        found = load(connection, "reminders")
    assert found is not None
    return found


@pytest.mark.usefixtures("people")
def test_contacts_are_decided_about_as_if_it_ran(
    folder: Path, evercall: Evercall, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hours, suppression, earlier calls and spacing; nothing is changed."""
    evercall("campaign", "import", "campaign.yaml")
    engine = open_engine(f"sqlite:///{folder / 'data' / 'evercall.sqlite3'}")
    with writing(engine) as connection:
        suppress(connection, "+12125550121", reason="Wrote.", source="operator", now=NOW)
        # Called an hour ago for another campaign; and one that is to wait until the evening.
        connection.execute(
            insert(attempts).values(
                contact_id=4,
                campaign_id=1,
                number="+12125550122",
                caller="+12125550100",
                ordinal=1,
                state="ended",
                created_at=NOW - timedelta(hours=1),
                asked_at=NOW - timedelta(hours=1),
                settled_at=NOW,
            )
        )
        connection.execute(
            update(contacts)
            .where(contacts.c.number == "+12125550123")
            .values(not_before=NOW + timedelta(hours=2), attempts=1)
        )
    with reading(engine) as connection:
        before = connection.execute(contacts.select()).all()
    run_rehearse(engine, "reminders", assumed=Assumed(price_per_minute=0.1), now=NOW)
    out = capsys.readouterr().out
    assert "Campaign reminders, draft, as if it ran now. Nobody is dialled." in out
    assert "callable now 1, later 3 (from 2026-11-27 16:30 UTC), never 1" in out
    assert "       1  later  Their number was called as often as allowed in 24 hours." in out
    assert "       1  later  The next attempt is not due yet." in out
    assert "       1  later  It is outside the permitted hours where they are." in out
    assert "       1  never  Their number is on the suppression list: Wrote." in out
    assert "1 row of the file kept aside" in out
    assert "finished about 2026-" in out
    assert " USD" in out
    assert "Assumed: 50% of the dials are answered and last 60 s each" in out
    assert "5550" not in out
    with reading(engine) as connection:
        assert connection.execute(contacts.select()).all() == before
    engine.dispose()


@pytest.mark.usefixtures("people")
def test_small_pages_come_to_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody once, wherever a page ends."""
    whole = rehearse(engine, row(engine), NOW)
    assert (whole.now, whole.later, whole.never) == (4, 1, 0)
    monkeypatch.setattr(rehearsed, "PAGE", 2)
    assert rehearse(engine, row(engine), NOW) == whole


@pytest.mark.usefixtures("people")
def test_contact_that_cannot_be_read_is_never_called(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the dialler would have it, also at the end of a page."""
    monkeypatch.setattr(rehearsed, "PAGE", 2)
    with writing(engine) as connection:
        connection.execute(update(contacts).where(contacts.c.id == 2).values(variables="{"))
    found = rehearse(engine, row(engine), NOW)
    assert (found.now, found.later, found.never) == (3, 1, 1)
    assert found.reasons["never", UNREADABLE] == 1


@pytest.mark.usefixtures("people")
def test_estimate_takes_what_is_left(engine: Engine) -> None:
    """Everybody reached at once: as many dials as contacts, whole minutes, their price."""
    campaign = row(engine)
    guessed = guess(
        campaign,
        rehearse(engine, campaign, NOW),
        Assumed(talk_s=61, answered=1, reached=1, price_per_minute=0.5),
        NOW,
    )
    assert guessed.dials == pytest.approx(5)
    assert guessed.minutes == pytest.approx(10)
    assert guessed.cost == pytest.approx(5)
    assert guessed.finish_at is not None
    # Los Angeles opens at 17:00 UTC.
    assert guessed.finish_at > datetime(2026, 11, 27, 17, tzinfo=UTC)


@pytest.mark.usefixtures("imported")
def test_command_rehearses(evercall: Evercall) -> None:
    """With its own options, under a stop that it tells of."""
    evercall("stop-all")
    arguments = ["--talk-s", "30", "--price-per-minute", "0.02", "--currency", "EUR"]
    done = evercall("campaign", "rehearse", "reminders", *arguments)
    assert done.exit_code == 0, done.output
    assert "callable now 2, later 0, never 0" in done.stdout
    assert " EUR" in done.stdout
    assert "last 30 s each" in done.stdout
    assert "All calls are stopped at present" in done.stdout
    done = evercall("campaign", "rehearse", "other")
    assert (done.exit_code, done.stderr) == (
        1,
        "There is no campaign other; evercall campaign list names those there are.\n",
    )


@pytest.mark.usefixtures("people")
def test_campaign_that_cannot_finish_says_why(
    evercall: Evercall, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last day comes first."""
    (folder / "campaign.yaml").write_text(DAYTIME + "ends_on: 2026-11-27\n")
    evercall("campaign", "import", "campaign.yaml")
    engine = open_engine(f"sqlite:///{folder / 'data' / 'evercall.sqlite3'}")
    late = datetime(2026, 11, 28, 3, tzinfo=UTC)
    run_rehearse(engine, "reminders", assumed=Assumed(), now=late)
    engine.dispose()
    out = capsys.readouterr().out
    assert "later 0, never 5" in out
    assert "For the cost, give --price-per-minute." in out
