"""What the brake sees of a campaign, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine

from tests.workers.store.campaigns.filled import CAMPAIGN, CREATED, RESUMED, Filled, fill
from workers.campaign.brake import sample
from workers.campaign.model import AttemptState, LineOutcome
from workers.store.campaigns import braking
from workers.store.database import reading, writing


@pytest.fixture
def filled(engine: Engine) -> Iterator[tuple[Connection, Filled]]:
    with writing(engine) as connection:
        written = fill(connection)
    with reading(engine) as connection:
        yield connection, written


def test_the_newest_calls_since_the_start_are_seen(filled: tuple[Connection, Filled]) -> None:
    """Newest first, and as many of those a person answered; never what Twilio only put off."""
    connection, written = filled
    limits = replace(CAMPAIGN.brake, calls=30)
    settled = sorted(
        (
            call
            for call in written.settled
            if call["settled_at"] > RESUMED
            and call["outcome"] is not LineOutcome.CANCELED
            and call["state"] is not AttemptState.REFUSED
        ),
        key=lambda call: (call["settled_at"], call["id"]),
        reverse=True,
    )
    people = [
        call["id"]
        for call in settled
        if call["outcome"] in (LineOutcome.HUMAN, LineOutcome.OPTED_OUT)
    ]
    wanted = {call["id"] for call in settled[:30]} | set(people[:30])
    found = braking.newest_samples(connection, written.campaign_id, limits, RESUMED)
    assert found == [
        sample(call["id"], call["outcome"], abandoned=call["abandoned"])
        for call in settled
        if call["id"] in wanted
    ]
    assert len(found) > 30


def test_people_are_looked_for_among_the_newest_attempts_alone(
    filled: tuple[Connection, Filled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where hardly anybody answers, not every attempt since the start is read each second."""
    connection, written = filled
    monkeypatch.setattr(braking, "SEARCHED", 30)
    limits = replace(CAMPAIGN.brake, calls=10)
    newest = sorted(
        (call for call in written.settled if call["settled_at"] > RESUMED),
        key=lambda call: (call["settled_at"], call["id"]),
        reverse=True,
    )
    found = braking.newest_samples(connection, written.campaign_id, limits, RESUMED)
    assert found
    assert {one.attempt_id for one in found} <= {call["id"] for call in newest[:30]}


def test_what_twilio_put_off_is_no_failure(filled: tuple[Connection, Filled]) -> None:
    """What it never had, though it was asked, is one."""
    connection, written = filled
    limits = replace(CAMPAIGN.brake, calls=10_000)
    seen = {
        one.attempt_id
        for one in braking.newest_samples(connection, written.campaign_id, limits, CREATED)
    }
    for state, counts in ((AttemptState.REFUSED, False), (AttemptState.NEVER_PLACED, True)):
        ids = {call["id"] for call in written.settled if call["state"] is state}
        assert ids
        assert ids <= seen if counts else not ids & seen


def test_shares_are_measured_since_the_newest_start(filled: tuple[Connection, Filled]) -> None:
    """A campaign that was never started has offended in nothing."""
    connection, written = filled
    found = braking.shares(connection, written.campaign_id, CAMPAIGN.brake, RESUMED)
    assert [one.measure for one in found] == ["blocked", "abandoned", "opted_out", "failed"]
    assert all(one.seen == 50 for one in found)
    never = braking.shares(connection, written.campaign_id, CAMPAIGN.brake, None)
    assert all(one.seen == 0 and not one.judged for one in never)


def test_offenders_come_in_their_order_and_without_numbers(
    filled: tuple[Connection, Filled],
) -> None:
    """Each leads to a line of the source; an id that is gone is left out."""
    connection, written = filled
    blocked = [c for c in written.settled if c["outcome"] is LineOutcome.CARRIER_BLOCKED][:3]
    lines = {row["id"]: row["line"] for row in written.contacts}
    ids = [call["id"] for call in reversed(blocked)]
    found = braking.offenders(connection, [*ids, 999_999])
    assert [one.attempt_id for one in found] == ids
    assert [one.line for one in found] == [lines[c["contact_id"]] for c in reversed(blocked)]
    assert all(one.error_code == 32017 and one.sip_code == 603 for one in found)
    assert all("+1555" not in repr(one) for one in found)
