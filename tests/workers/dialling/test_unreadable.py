"""A contact that cannot be read ends with that as the reason, and keeps nobody else waiting."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from telephony.calls.status import AnsweredBy, CallStatus
from tests.workers.dialling.world import Fate, World, campaign, numbers
from workers.campaign.model import Attempts, CampaignState, LineOutcome, Webhook
from workers.dialling import choosing
from workers.dialling.choosing import tick
from workers.dialling.finishing import UNREADABLE
from workers.store.campaign_schema import attempts, contacts, outbox
from workers.store.campaigns.claims import dialling_campaigns
from workers.store.campaigns.suppressions import reason_for
from workers.store.database import reading, writing

DAMAGED = [
    pytest.param({"variables": '{"order": '}, id="half a JSON text"),
    pytest.param({"variables": '["order"]'}, id="JSON of another shape"),
]
# PostgreSQL has types.
DAMAGED_IN_SQLITE = [
    pytest.param("not_before", "tomorrow", id="a time that is none"),
    pytest.param("not_placed", "many", id="a number that is none"),
]


def ids_of(connection: Connection) -> list[int]:
    return list(connection.scalars(select(contacts.c.id).order_by(contacts.c.id)))


def damage(engine: Engine, values: dict[str, str], *, place: int = 0) -> int:
    with writing(engine) as connection:
        contact_id = ids_of(connection)[place]
        connection.execute(update(contacts).where(contacts.c.id == contact_id).values(values))
    return contact_id


def damage_as_text(engine: Engine, column: str, text: str) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(
            f"UPDATE contacts SET {column} = ? WHERE id = (SELECT min(id) FROM contacts)",
            (text,),
        )


def reasons(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.scalars(select(contacts.c.reason).order_by(contacts.c.id)))


@pytest.mark.parametrize("values", DAMAGED)
async def test_everybody_else_is_dialled(engine: Engine, values: dict[str, str]) -> None:
    """It is logged once, and the campaign comes to its end."""
    world = World(engine)
    one = world.add(campaign(), numbers(6))
    broken = damage(engine, values)
    with capture_logs() as logs:
        await world.run(60)
    assert world.contact_states(one) == ["never"] + ["done"] * 5
    assert reasons(engine)[0] == UNREADABLE
    assert Counter(dialled.to for dialled in world.twilio.ledger) == dict.fromkeys(
        numbers(6)[1:], 1
    )
    assert world.campaign(one).state is CampaignState.FINISHED
    logged = [log for log in logs if log["log_level"] == "error"]
    assert [(log["event"], log["contact"], log["campaign"]) for log in logged] == [
        ("contact.unreadable", broken, "reminders")
    ]


@pytest.mark.parametrize(("column", "text"), DAMAGED_IN_SQLITE)
async def test_what_sqlite_keeps_without_looking_stops_no_other(
    engine: Engine, column: str, text: str
) -> None:
    """A time that is none spoils the answer that it is part of."""
    if engine.dialect.name != "sqlite":
        pytest.skip("it has types")
    world = World(engine)
    one = world.add(campaign(), numbers(6))
    damage_as_text(engine, column, text)
    await world.run(60)
    assert world.contact_states(one) == ["never"] + ["done"] * 5
    assert reasons(engine)[0] == UNREADABLE


async def test_its_attempt_is_taken_back(engine: Engine) -> None:
    """Damaged between the decision and the call: the campaign goes on."""
    world = World(engine)
    one = world.add(campaign(), numbers(3))
    tick(engine, now=world.now)
    damage(engine, {"variables": "{"})
    await world.run(60)
    assert world.contact_states(one) == ["never", "done", "done"]
    assert world.attempt_states(one)[0] == "withdrawn"
    assert len(world.twilio.ledger) == 2


async def test_its_call_is_settled(engine: Engine) -> None:
    """Damaged while it rang: nobody calls again, and the campaign ends."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(CallStatus.BUSY, answered_by=None)
    one = world.add(campaign(attempts=Attempts(most=1, per_day=9)), numbers(3))
    await world.run(2)
    damage(engine, {"variables": "{"})
    await world.run(20)
    assert world.contact_states(one) == ["never", "exhausted", "exhausted"]
    with reading(engine) as connection:
        outcomes = connection.scalars(select(attempts.c.outcome)).all()
    assert outcomes == [LineOutcome.BUSY] * 3
    assert world.campaign(one).state is CampaignState.FINISHED


async def test_who_opts_out_is_suppressed_all_the_same(engine: Engine) -> None:
    """What an attempt's own row says is enough for that."""
    world = World(engine)
    world.twilio.fate = lambda _number, _attempt: Fate(talk_s=3.0, answered_by=AnsweredBy.HUMAN)
    world.add(campaign(), numbers(1))
    await world.run(2)
    damage(engine, {"variables": "{"})
    with writing(engine) as connection:
        connection.execute(update(attempts).values(opted_out=True))
    await world.run(30)
    with reading(engine) as connection:
        assert reason_for(connection, numbers(1)[0]) == "They asked not to be called."


async def test_customer_is_told(engine: Engine) -> None:
    """With what can be read of it."""
    world = World(engine)
    world.add(campaign(webhook=Webhook("https://crm.example/hook")), numbers(1))
    damage(engine, {"variables": "{"})
    await world.run(2)
    with reading(engine) as connection:
        told = orjson.loads(connection.scalars(select(outbox.c.payload)).one())["data"]
    assert (told["number"], told["state"], told["reason"], told["variables"]) == (
        numbers(1)[0],
        "never",
        UNREADABLE,
        None,
    )


async def test_what_cannot_be_written_either_is_passed_by(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for somebody who can mend it."""

    def refuse(connection: Connection, *_args: object, **_kwargs: object) -> None:
        connection.execute(update(contacts).values(reason="half done"))
        raise IntegrityError("UPDATE", {}, Exception("no"))

    world = World(engine)
    one = world.add(campaign(), numbers(4))
    damage(engine, {"variables": "{"})
    monkeypatch.setattr(choosing, "finish_unreadable", refuse)
    await world.run(60)
    assert world.contact_states(one) == ["waiting", "done", "done", "done"]
    assert "half done" not in reasons(engine)
    with reading(engine) as connection:
        assert len(dialling_campaigns(connection)) == 1
