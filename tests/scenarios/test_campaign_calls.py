"""Calls that a campaign has placed, on real sockets: what they know, and what comes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, insert, select, update

from telephony.calls.rest import TwilioRest
from telephony.settings import TwilioSettings
from tests.scenarios.rig import CALLED, CALLER, GREETING, Rig, agent_turns, evercall, until
from workers.campaign.contacts import Row
from workers.campaign.model import (
    AttemptState,
    Campaign,
    CampaignState,
    Hours,
    OutcomeField,
    Source,
    VoicemailPolicy,
    Weekday,
    Window,
)
from workers.store.campaign_schema import attempts, campaigns, contacts, suppressions
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.database import open_engine, reading, writing
from workers.twin import phone_audio
from workers.twin.caller import CallerScript, HangUp, Press, Say, StaySilent, WaitAgentDone
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, TextRule, Turn
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.callee import CalleeBehaviour, Voicemail

DISCLOSURE = "This is an automatic assistant."
HELLO, NOT_AGAIN, BYE = "Hello Anna, about Monday.", "Never call again.", "Goodbye then."
AGENT = """\
name: reminder
system_instruction: You remind {{ name }} of {{ day }}.
greeting: {text: "Hello {{ name }}, about {{ day }}."}
vad: {silence_duration_ms: 300}
"""
MODEL = LiveScript(
    # Said only to whoever asks for these very words.
    texts=(
        TextRule(f"{DISCLOSURE} {HELLO}", (script.Say(HELLO),)),
        TextRule("pressed 9 on", (script.Say(BYE), CallTool("end_call"))),
    ),
    turns=(
        Turn(
            NOT_AGAIN,
            (
                CallTool("report_outcome", {"coming": False, "note": "by phone"}),
                CallTool("opt_out"),
                CallTool("end_call"),
                script.Say(BYE),
            ),
        ),
    ),
    opening=(script.Say(GREETING),),
    otherwise=(script.Say(BYE),),
    answer_delay_s=0.1,
)


@dataclass(frozen=True, slots=True)
class Campaigning:
    """A worker with a campaign of one contact, who is being dialled."""

    rig: Rig
    engine: Engine
    attempt_id: int

    async def dial(self, callee: CalleeBehaviour, **options: Any) -> TwinCall:
        """Place the attempt's call, as the dialler does."""
        twilio = self.rig.twilio
        twilio.on_dial = lambda _to: callee
        settings = TwilioSettings(
            twilio.account_sid, twilio.auth_token, self.rig.base_url, base_url=twilio.base_url
        )
        async with TwilioRest(settings) as rest:
            placed = await rest.dial(CALLER, from_=CALLED, attempt_id=self.attempt_id, **options)
        return twilio.live_calls[placed.sid]

    def attempt(self) -> dict[str, Any]:
        with reading(self.engine) as connection:
            return dict(connection.execute(select(attempts)).mappings().one())

    def report(self) -> object:
        with reading(self.engine) as connection:
            text = connection.execute(select(contacts.c.report)).scalar_one()
        return None if text is None else orjson.loads(text)

    def suppressed(self) -> dict[str, str]:
        """Sources by number."""
        with reading(self.engine) as connection:
            found = connection.execute(select(suppressions.c.number, suppressions.c.source))
            return {row.number: row.source for row in found}

    async def until_ended(self) -> dict[str, Any]:
        await until(lambda: self.attempt()["state"] == AttemptState.ENDED)
        return self.attempt()


@asynccontextmanager
async def campaigning(folder: Path, **fields: Any) -> AsyncIterator[Campaigning]:
    agent = folder / "reminder.yaml"
    agent.write_text(AGENT)
    now = datetime.now(UTC)
    definition = Campaign(
        name="reminders",
        agent=str(agent),
        callers=(CALLED,),
        source=Source("/people.csv"),
        hours=Hours({day: (Window(time(0), time(0)),) for day in Weekday}),
        disclosure=DISCLOSURE,
        outcome={"coming": OutcomeField("boolean", required=True), "note": OutcomeField("text")},
        opt_out_key="9",
        **fields,
    )
    async with evercall(folder / "data", MODEL) as rig:
        assert await rig.worker.store.flush()
        engine = open_engine(f"sqlite:///{rig.data_dir / 'evercall.sqlite3'}")
        with writing(engine) as connection:
            made = create(connection, definition, now=now)
            person = Row(
                line=1,
                number=CALLER,
                zones=("America/New_York",),
                name="Anna",
                consent="form",
                variables={"day": "Monday"},
            )
            add_contacts(connection, made, [person], now=now)
            connection.execute(update(campaigns).values(state=CampaignState.RUNNING.value))
            attempt_id = connection.execute(
                insert(attempts)
                .values(
                    contact_id=select(contacts.c.id).scalar_subquery(),
                    campaign_id=made,
                    number=CALLER,
                    caller=CALLED,
                    ordinal=1,
                    state=AttemptState.ASKING.value,
                    created_at=now,
                    asked_at=now,
                )
                .returning(attempts.c.id)
            ).scalar_one()
        try:
            yield Campaigning(rig, engine, attempt_id)
        finally:
            engine.dispose()


async def test_call_knows_its_contact_reports_and_opts_out(tmp_path: Path) -> None:
    """It discloses first, greets by name, keeps what was said, and calls that number no more."""
    person = CalleeBehaviour(
        script=CallerScript.of(WaitAgentDone(300), Say(NOT_AGAIN), StaySilent())
    )
    async with campaigning(tmp_path) as it:
        call = await it.dial(person, machine_detection="Enable")
        result = await call.wait(40)
        record = await it.rig.record(result.sid)
        attempt = await it.until_ended()
        assert it.report() == {"coming": False, "note": "by phone"}
        assert it.suppressed() == {CALLER: "agent"}
        (session,) = it.rig.live.sessions
        assert "You remind Anna of Monday." in session.system_instruction
    assert agent_turns(record)[0].heard == HELLO
    assert record.agent == "reminder"
    assert [tool.name for tool in record.tools] == ["report_outcome", "opt_out", "end_call"]
    assert record.opted_out
    assert (attempt["call_sid"], attempt["answered_by"]) == (result.sid, "human")
    assert (attempt["opted_out"], attempt["abandoned"]) == (True, False)


async def test_key_stops_all_calls(tmp_path: Path) -> None:
    """It is written at once, whatever the model makes of it, which says goodbye."""
    person = CalleeBehaviour(script=CallerScript.of(WaitAgentDone(300), Press("9"), StaySilent()))
    async with campaigning(tmp_path) as it:
        result = await (await it.dial(person)).wait(40)
        record = await it.rig.record(result.sid)
        attempt = await it.until_ended()
        assert it.suppressed() == {CALLER: "keypad"}
    assert attempt["opted_out"]
    assert [turn.heard for turn in agent_turns(record)] == [HELLO, BYE]


async def test_voicemail_has_the_message_after_its_beep(tmp_path: Path) -> None:
    """The agent falls silent, the message is said whole, and Twilio's next question proves it."""
    machine = Voicemail(greeting=(Say("Please leave a message."),))
    async with campaigning(
        tmp_path,
        voicemail=VoicemailPolicy.LEAVE_MESSAGE,
        voicemail_message="Hello {{ name }}, we call again.",
    ) as it:
        call = await it.dial(CalleeBehaviour.machine(machine), machine_detection="DetectMessageEnd")
        result = await call.wait(60)
        attempt = await it.until_ended()
    assert attempt["message_left"]
    assert (attempt["answered_by"], attempt["abandoned"]) == ("machine_end_beep", False)
    assert phone_audio.loud_ms(result.recorded) > 800


async def test_voicemail_is_hung_up_on(tmp_path: Path) -> None:
    """It is a machine's call, and no person was left waiting."""
    async with campaigning(tmp_path) as it:
        call = await it.dial(CalleeBehaviour.machine(), machine_detection="Enable")
        await call.wait(40)
        attempt = await it.until_ended()
    assert (attempt["machine"], attempt["message_left"]) == (True, False)
    assert attempt["answered_by"] == "machine_start"


async def test_contact_who_calls_back_meets_the_same_agent(tmp_path: Path) -> None:
    """By name; the next caller meets the worker's own."""
    async with campaigning(tmp_path) as it:
        _, record = await it.rig.call(WaitAgentDone(300), HangUp())
        _, other = await it.rig.call(WaitAgentDone(300), HangUp(), from_="+15550100077")
    assert (record.agent, agent_turns(record)[0].heard) == ("reminder", HELLO)
    assert (other.agent, agent_turns(other)[0].heard) == ("bakery", GREETING)
