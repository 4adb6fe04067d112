"""``evercall campaign start``, ``pause``, ``resume``, ``cancel`` and ``canary``."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tests.workers.entrypoints.campaign.conftest import CAMPAIGN, Evercall
from workers.campaign.model import CAMPAIGN_MOVES, CampaignState, ContactState
from workers.entrypoints.campaign.moved import POSSIBLE
from workers.store.campaign_schema import attempts
from workers.store.campaigns.campaigns import load
from workers.store.campaigns.contacts import counts, page
from workers.store.campaigns.rows import CampaignRow
from workers.store.database import reading, writing


def row(engine: Engine) -> CampaignRow:
    with reading(engine) as connection:
        found = load(connection, "reminders")
    assert found is not None
    return found


@pytest.mark.parametrize("state", list(CampaignState))
def test_what_operators_may_do_is_what_the_table_allows(state: CampaignState) -> None:
    """All of it but the end, to which a campaign comes by itself."""
    assert set(POSSIBLE[state].values()) == CAMPAIGN_MOVES[state] - {CampaignState.FINISHED}


def test_life_of_a_campaign(evercall: Evercall, engine: Engine) -> None:
    """Canary, start, pause with a reason, resume, cancel."""
    done = evercall("campaign", "canary", "reminders", "--contacts", "1")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "Campaign reminders is canary.\n"
        "It pauses by itself after 1 contact.\n"
        "2 contacts waiting to be called.\n"
    )
    assert row(engine).canary_left == 1
    assert evercall("campaign", "start", "reminders").stdout == (
        "Campaign reminders is running.\n2 contacts waiting to be called.\n"
    )
    done = evercall("campaign", "pause", "reminders", "--reason", "Wrong price.")
    assert done.stdout == "Campaign reminders is paused.\n"
    assert (row(engine).state, row(engine).reason) == ("paused", "Wrong price.")
    assert "is already paused" in evercall("campaign", "pause", "reminders").stdout
    assert row(engine).reason == "Wrong price."
    assert evercall("campaign", "resume", "reminders").exit_code == 0
    assert row(engine).state is CampaignState.RUNNING
    done = evercall("campaign", "cancel", "reminders")
    assert done.stdout == "Campaign reminders is cancelled.\n"
    with reading(engine) as connection:
        assert counts(connection, row(engine).campaign_id)[ContactState.CANCELLED] == 2
    assert evercall("campaign", "cancel", "reminders").exit_code == 0


@pytest.mark.usefixtures("imported")
def test_impossible_move_says_what_is_possible(evercall: Evercall) -> None:
    """In a sentence, with exit code 1."""
    done = evercall("campaign", "pause", "reminders")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Campaign reminders is draft, so pause is not possible; "
        "possible are campaign start, campaign canary, campaign cancel.\n"
    )
    evercall("campaign", "cancel", "reminders")
    done = evercall("campaign", "resume", "reminders")
    assert "nothing leads out of that" in done.stderr


@pytest.mark.usefixtures("imported")
def test_canary_of_more_than_a_database_counts_is_refused(evercall: Evercall) -> None:
    """As a wrong option, before anything is touched."""
    done = evercall("campaign", "canary", "reminders", "--contacts", "9" * 21)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--contacts" in done.stderr


@pytest.mark.usefixtures("imported")
def test_campaign_that_is_not_there(evercall: Evercall) -> None:
    """One line."""
    done = evercall("campaign", "start", "other")
    assert (done.exit_code, done.stderr) == (
        1,
        "There is no campaign other; evercall campaign list names those there are.\n",
    )


def test_campaign_without_contacts_is_not_started(evercall: Evercall, folder: Path) -> None:
    """It would be finished at once."""
    (folder / "people.csv").write_text("phone,who,tz\n12,Nobody,\n")
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    evercall("campaign", "import", "campaign.yaml")
    done = evercall("campaign", "start", "reminders")
    assert done.exit_code == 1
    assert "nobody left to call: import contacts first" in done.stderr


def test_pause_tells_of_calls_that_go_on(evercall: Evercall, engine: Engine) -> None:
    """They are not broken off."""
    evercall("campaign", "start", "reminders")
    campaign = row(engine)
    with writing(engine) as connection:
        contact = page(connection, campaign.campaign_id)[0].contact
        connection.execute(
            insert(attempts).values(
                contact_id=contact.contact_id,
                campaign_id=campaign.campaign_id,
                number=contact.number,
                caller=contact.number,
                ordinal=1,
                state="placed",
                created_at=campaign.created_at,
            )
        )
    done = evercall("campaign", "pause", "reminders")
    assert "1 call is still in progress and will finish." in done.stdout
    assert "1 call is still in progress" in evercall("stop-all").stdout


@pytest.mark.usefixtures("imported")
def test_start_under_the_emergency_stop_says_so(evercall: Evercall) -> None:
    """The campaign runs and dials nobody."""
    evercall("stop-all", "--reason", "Wrong list.")
    done = evercall("campaign", "start", "reminders")
    assert done.exit_code == 0
    assert "All calls are stopped (Wrong list.): nobody is dialled before allow-all." in done.stdout
