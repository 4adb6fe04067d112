"""From the operator's command on nobody is dialled: real processes, judged by the twin's ledger.

The command, the processes and the ledger have one clock. A slow machine makes everything later,
the command's return included.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.fakes.redis import NoServerError
from tests.scenarios.campaigns.paced import NAME, Paced, Ran, full_pace, paced
from tests.scenarios.rig import until
from workers.campaign.model import AttemptState, CampaignState
from workers.store.campaign_schema import UNSETTLED, attempts

RATE = 10.0
WITHIN_S = 1.0
"""So long after the command has returned a request may still be on its way."""
QUIET_S = 4.0
"""Longer than anything waits that might still dial: a tick's interval, a pump's nap, a message."""
START_S = 90.0
"""Until the first calls, on a machine that has other things to do."""
CONTACTS = 250
"""More than are dialled until a command has run there."""
RINGS_S = 2.0
_OVER = (AttemptState.ENDED, AttemptState.REFUSED, AttemptState.NEVER_PLACED)


async def dialling(it: Paced) -> None:
    """Let the campaign run until calls are in progress and more are due."""
    await asyncio.to_thread(it.fill, CONTACTS, full_pace(RATE, 500))
    await it.until_dialled(20, START_S)
    await until(lambda: it.twilio.live_calls)


async def assert_quiet(it: Paced, command: Ran) -> int:
    """Nobody is dialled after the command, and who is being called is; how many there were."""
    assert command.code == 0, command.output
    ringing = set(it.twilio.live_calls)
    # Nothing happens that could be waited for.
    await asyncio.sleep(QUIET_S)
    await until(lambda: not it.twilio.live_calls, timeout_s=30)
    ledger = list(it.twilio.ledger)
    late = [entry.asked_at - command.ended_at for entry in ledger]
    assert max(late) <= WITHIN_S, f"dialled {max(late):.2f} s after {command.output}"
    assert len(ledger) < CONTACTS, "all of them had been dialled before"
    assert all(it.twilio.ledger[sid].status == "busy" for sid in ringing), "a call was cut off"
    return len(ledger)


def assert_no_repeats(it: Paced) -> None:
    """Each contact has one attempt, and each attempt one call."""
    repeated = [n for n in Counter(entry.to for entry in it.twilio.ledger).values() if n > 1]
    assert not repeated, f"{len(repeated)} of {CONTACTS} were called again"


def unsettled(it: Paced) -> int:
    """Attempts that are over, and that no task has seen to."""
    over = attempts.c.state.in_([state.value for state in _OVER])
    with it.engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(attempts).where(UNSETTLED, over)
        ).scalar_one()


@pytest.mark.timeout(300)
async def test_paused_campaign_dials_nobody_and_resumes_without_repeats(tmp_path: Path) -> None:
    """``campaign pause`` and ``campaign resume``; in the end everybody was called once."""
    async with paced(tmp_path, rings_s=RINGS_S) as it:
        await dialling(it)
        before = await assert_quiet(it, await it.command("campaign", "pause", NAME))
        assert it.state is CampaignState.PAUSED
        resumed = await it.command("campaign", "resume", NAME)
        assert resumed.code == 0, resumed.output
        await until(lambda: it.state is CampaignState.FINISHED, timeout_s=120, poll_s=0.5)
        assert before < len(it.twilio.ledger) == CONTACTS
        assert_no_repeats(it)


@pytest.mark.timeout(300)
async def test_emergency_stop_holds_until_it_is_taken_back(tmp_path: Path) -> None:
    """``stop-all`` and ``allow-all``; the campaign's own state stays as it was."""
    async with paced(tmp_path, rings_s=RINGS_S) as it:
        await dialling(it)
        before = await assert_quiet(it, await it.command("stop-all"))
        assert it.state is CampaignState.RUNNING
        allowed = await it.command("allow-all")
        assert allowed.code == 0, allowed.output
        await it.until_dialled(min(before + 20, CONTACTS), 60)
        assert_no_repeats(it)


@pytest.mark.timeout(300)
async def test_emergency_stop_needs_the_database_alone(tmp_path: Path) -> None:
    """It is given while the broker is dead, and holds when the broker is back, empty."""
    try:
        async with paced(tmp_path, broker="redis", rings_s=RINGS_S) as it:
            assert it.broker is not None
            await dialling(it)
            it.broker.kill()
            before = await assert_quiet(it, await it.command("stop-all"))
            await asyncio.to_thread(it.broker.start)
            # Only tasks settle: once they have, they run again.
            await until(lambda: not unsettled(it), timeout_s=90, poll_s=0.2)
            await asyncio.sleep(QUIET_S)
            assert len(it.twilio.ledger) == before
            allowed = await it.command("allow-all")
            assert allowed.code == 0, allowed.output
            await it.until_dialled(min(before + 20, CONTACTS), 60)
            assert_no_repeats(it)
    except NoServerError as error:
        pytest.skip(str(error))
