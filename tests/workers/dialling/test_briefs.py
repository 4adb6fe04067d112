"""Briefs come from the database and the agent's file, and results go back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select

from telephony.calls.status import AnsweredBy, CallStatus
from telephony.calls.webhooks import StatusReport
from tests.databases import end
from tests.workers.store.campaigns.samples import NOW, campaign, number, row
from workers.call.brief import Briefs
from workers.campaign.brief import BriefUnusable
from workers.campaign.model import AttemptState, OutcomeField, VoicemailPolicy
from workers.dialling.briefs import AgentFiles, SqlBriefs
from workers.store.asking import Asker
from workers.store.calls import StoreUnavailable
from workers.store.campaign_schema import attempts, campaigns, contacts, suppressions
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.database import open_engine, reading, writing

OURS, CALL = "+12125550100", "CA1"


@dataclass
class World:
    engine: Engine
    briefs: Briefs
    agent: Path
    contact_id: int
    attempt_id: int

    def one(self, table: object, **where: object) -> dict[str, object]:
        with reading(self.engine) as connection:
            found = connection.execute(select(table).filter_by(**where))  # type: ignore[call-overload]
            return dict(found.mappings().one())


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    agent = tmp_path / "agent.yaml"
    agent.write_text("name: caller\nsystem_instruction: You call people.\n")
    engine = open_engine(sqlite_url)
    definition = replace(
        campaign(),
        agent=str(agent),
        disclosure="This is a machine.",
        outcome={"coming": OutcomeField("boolean", required=True)},
        opt_out_key="9",
        voicemail=VoicemailPolicy.LEAVE_MESSAGE,
        voicemail_message="Call us.",
    )
    with writing(engine) as connection:
        made = create(connection, definition, now=NOW)
        add_contacts(connection, made, [row(1)], now=NOW)
        connection.execute(campaigns.update().values(state="running"))
        contact_id = connection.execute(select(contacts.c.id)).scalar_one()
        attempt = connection.execute(
            insert(attempts)
            .values(
                contact_id=contact_id,
                campaign_id=made,
                number=number(1),
                caller=OURS,
                ordinal=1,
                state=AttemptState.PLACED.value,
                created_at=NOW,
                call_sid=CALL,
            )
            .returning(attempts.c.id)
        ).scalar_one()
    ready = threading.Event()
    ready.set()
    asker = Asker(engine, ready)
    yield World(engine, SqlBriefs(asker, now=lambda: NOW), agent, contact_id, attempt)
    end(asker)
    engine.dispose()


async def test_brief_is_the_campaigns_and_the_contacts(world: World) -> None:
    """By attempt or by call; what a call needs of the file is in it."""
    brief = await world.briefs.for_attempt(world.attempt_id, CALL)
    assert brief is not None
    assert brief == await world.briefs.for_call(CALL)
    assert (brief.attempt_id, brief.contact_id) == (world.attempt_id, world.contact_id)
    assert (brief.campaign, brief.spec.name) == ("reminders", "caller")
    assert brief.variables == {"name": "Person 1", "order": "A-1"}
    assert (brief.disclosure, brief.opt_out_key) == ("This is a machine.", "9")
    assert brief.outcome == {"coming": OutcomeField("boolean", required=True)}
    assert (brief.voicemail, brief.voicemail_message) == (
        VoicemailPolicy.LEAVE_MESSAGE,
        "Call us.",
    )
    assert await world.briefs.for_attempt(10_000, CALL) is None
    assert await world.briefs.for_call("CA-other") is None


async def test_contact_who_calls_back_is_briefed_without_an_attempt(world: World) -> None:
    """Nobody has dialled this call."""
    brief = await world.briefs.for_inbound(caller=number(1), called=OURS)
    assert brief is not None
    assert (brief.attempt_id, brief.contact_id) == (None, world.contact_id)
    assert await world.briefs.for_inbound(caller=number(2), called=OURS) is None


async def test_agent_that_cannot_be_read_is_named(world: World) -> None:
    """With file and line, or that it is not there."""
    world.agent.write_text("name: caller\n")
    with pytest.raises(BriefUnusable, match=r"agent\.yaml.*system_instruction"):
        await world.briefs.for_attempt(world.attempt_id, CALL)
    world.agent.unlink()
    with pytest.raises(BriefUnusable, match=r"agent\.yaml"):
        await world.briefs.for_attempt(world.attempt_id, CALL)


def test_agents_file_is_read_again_when_it_has_changed(world: World) -> None:
    """The same object until then, so that its tools are loaded once."""
    files = AgentFiles()
    first = files.load(str(world.agent))
    assert files.load(str(world.agent)) is first
    world.agent.write_text("name: other\nsystem_instruction: You call people.\n")
    os.utime(world.agent, ns=(1, 1))
    assert files.load(str(world.agent)).name == "other"


async def test_results_are_written_where_they_belong(world: World) -> None:
    """Report, suppression, status, verdict and flags."""
    briefs, attempt = world.briefs, world.attempt_id
    await briefs.keep_report(world.contact_id, attempt, {"coming": True})
    await briefs.suppress(number(1), reason="They asked.", source="keypad", call_sid=CALL)
    report = StatusReport(CALL, CallStatus.IN_PROGRESS, 2, None, None, None)
    await briefs.note_status(attempt, report)
    await briefs.note_answered_by(attempt, CALL, AnsweredBy.HUMAN)
    await briefs.note_flags(attempt, CALL, opted_out=True, abandoned=True)
    assert world.one(contacts)["report"] == '{"coming":true}'
    kept = world.one(suppressions)
    assert (kept["number"], kept["source"], kept["call_sid"]) == (number(1), "keypad", CALL)
    row = world.one(attempts)
    assert (row["status"], row["answered_by"]) == ("in-progress", "human")
    assert (row["opted_out"], row["abandoned"], row["machine"]) == (True, True, False)


async def test_other_call_neither_learns_nor_writes(world: World) -> None:
    """Nor does one whose attempt was never asked for: that address is older than its database."""
    briefs, attempt = world.briefs, world.attempt_id

    async def tried(attempt: int, call_sid: str) -> None:
        assert await briefs.for_attempt(attempt, call_sid) is None
        assert not await briefs.note_answered_by(attempt, call_sid, AnsweredBy.FAX)
        await briefs.note_flags(attempt, call_sid, message_left=True, opted_out=True)
        await briefs.note_status(
            attempt, StatusReport(call_sid, CallStatus.COMPLETED, 9, 1, None, None)
        )

    before = world.one(attempts)
    await tried(attempt, "CA-other")
    for odd in (0, 2**31, 9_999_999_999):
        await tried(odd, CALL)
    assert world.one(attempts) == before
    for state in (AttemptState.INTENDED, AttemptState.WITHDRAWN):
        with writing(world.engine) as connection:
            connection.execute(attempts.update().values(call_sid=None, state=state.value))
        before = world.one(attempts)
        await tried(attempt, CALL)
        assert world.one(attempts) == before


async def test_callback_may_come_before_the_answer_to_the_request(world: World) -> None:
    """Nobody knows the call's SID yet."""
    with writing(world.engine) as connection:
        asking = AttemptState.ASKING.value
        connection.execute(attempts.update().values(call_sid=None, state=asking))
    assert await world.briefs.for_attempt(world.attempt_id, CALL) is not None
    report = StatusReport(CALL, CallStatus.RINGING, 1, None, None, None)
    await world.briefs.note_status(world.attempt_id, report)
    assert world.one(attempts)["call_sid"] == CALL


async def test_verdict_is_new_once(world: World) -> None:
    """Its start gives way to its end; nothing else gives way to anything."""
    told = [
        await world.briefs.note_answered_by(world.attempt_id, CALL, AnsweredBy(text))
        for text in ("machine_start", "machine_start", "machine_end_beep", "human", "fax")
    ]
    assert told == [True, False, True, False, False]
    assert world.one(attempts)["answered_by"] == "machine_end_beep"


async def test_agents_file_that_breaks_while_it_is_used_costs_no_call(world: World) -> None:
    """What was read last goes on, and what is read when it is mended."""
    before = await world.briefs.for_attempt(world.attempt_id, CALL)
    assert before is not None
    good = world.agent.read_text()
    for break_it in (lambda: world.agent.write_text("name: caller\n"), world.agent.unlink):
        break_it()
        assert await world.briefs.for_attempt(world.attempt_id, CALL) == before
    world.agent.write_text(good.replace("name: caller", "name: mended"))
    after = await world.briefs.for_attempt(world.attempt_id, CALL)
    assert after is not None
    assert after.spec.name == "mended"


async def test_database_that_is_away_is_unavailable(world: World) -> None:
    """Within the deadline, and nothing is written afterwards."""
    with writing(world.engine), pytest.raises(StoreUnavailable):
        await world.briefs.note_flags(world.attempt_id, CALL, machine=True, deadline_s=0.05)
    assert world.one(attempts)["machine"] is False
