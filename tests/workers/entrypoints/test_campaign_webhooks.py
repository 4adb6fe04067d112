"""Twilio's requests about calls that a campaign has placed."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from agent.spec import AgentSpec
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import CallAlreadyOver
from tests.workers.entrypoints.app import ACCOUNT, CALL, App, redirect, ticket, verbs
from workers.call.entry import CallState
from workers.campaign.brief import Brief
from workers.campaign.model import VoicemailPolicy
from workers.entrypoints import machines
from workers.entrypoints.machines import A_MACHINE_ANSWERED
from workers.store.calls import CallRow

SPEC = AgentSpec("campaigner", "You call people.", apology="Campaign sorry.")
BRIEF = Brief(
    17,
    "june",
    7,
    SPEC,
    {"name": "Anna"},
    voicemail=VoicemailPolicy.LEAVE_MESSAGE,
    voicemail_message="Hello {{ name }}, call us & ask.",
)
QUERY = "?attempt=17"
END_BEEP, END_SILENCE = "machine_end_beep", "machine_end_silence"


@pytest.fixture
def app() -> App:
    app = App()
    app.briefs.by_attempt[17] = BRIEF
    return app


async def answered(app: App) -> None:
    answer = await app.post("/voice", query=QUERY, Direction="outbound-api")
    assert verbs(answer) == ["Connect", "Redirect"]


async def verdict(app: App, answered_by: str, query: str = QUERY) -> None:
    answer = await app.post("/voice/amd", query=query, AnsweredBy=answered_by)
    assert answer.status_code == 204
    await app.campaigns.settled()


# -- voice ---------------------------------------------------------------------------------------


async def test_answered_call_has_its_campaigns_agent(app: App) -> None:
    """Ticket and next question name the attempt, for whoever gets the stream."""
    answer = await app.post("/voice", query=QUERY, Direction="outbound-api")
    assert redirect(answer) == "https://voice.example/voice/continue?n=1&attempt=17"
    redeemed = app.tickets.redeem(ticket(answer), account_sid=ACCOUNT, call_sid=CALL)
    assert redeemed.attempt_id == 17
    entry = app.announced()
    assert entry.brief is BRIEF
    assert entry.answered_at == app.wall
    assert app.agents.of(entry).spec.name == "campaigner"
    assert app.prewarmed == [entry]


@pytest.mark.parametrize("what", ["failing", "unusable"])
async def test_callee_without_a_brief_hears_the_apology(app: App, what: str) -> None:
    """Nobody is called by the wrong agent; the brake learns of it when it can."""
    setattr(app.briefs, what, True)
    answer = await app.post("/voice", query=QUERY, Direction="outbound-api")
    assert verbs(answer) == ["Say", "Hangup"]
    assert app.announced().state is CallState.FINISHED
    assert app.prewarmed == []
    app.briefs.failing = False
    await app.campaigns.close()
    assert app.briefs.flags == [(17, "abandoned")]


async def test_callee_for_whom_there_is_no_room_is_not_told_to_call_later() -> None:
    """They have not called us, and nobody they want waits behind the forward number."""
    app = App(limit=1, forward_number="+15550100009")
    await app.announce("CA-other")
    answer = await app.post("/voice", query=QUERY, Direction="outbound-api")
    assert verbs(answer) == ["Say", "Hangup"]
    assert "We are sorry." in answer.text
    await app.campaigns.settled()
    assert app.briefs.flags == [(17, "abandoned")]


async def test_contact_who_calls_back_has_their_campaigns_agent(app: App) -> None:
    """Others have the worker's own."""
    app.briefs.by_numbers["+15550100001", "+15550100002"] = replace(BRIEF, attempt_id=None)
    answer = await app.post("/voice")
    assert redirect(answer).endswith("?n=1")
    assert app.announced().brief is not None


async def test_other_worker_finds_the_brief_by_the_address(app: App) -> None:
    """What is next is asked with the attempt; without it, by the call."""
    for query in ("?n=1&attempt=17", "?n=1"):
        app.briefs.by_call[CALL] = BRIEF
        answer = await app.post("/voice/continue", query=query, Direction="outbound-api")
        assert redirect(answer) == "https://voice.example/voice/continue?n=2&attempt=17"


async def test_other_worker_without_the_brief_apologises(app: App) -> None:
    """In the middle of a call as well."""
    app.briefs.failing = True
    answer = await app.post("/voice/continue", query="?n=1&attempt=17", Direction="outbound-api")
    assert verbs(answer) == ["Say", "Hangup"]


async def test_apology_is_the_campaigns_own(app: App) -> None:
    """As are the limits of what may be lost."""
    await answered(app)
    app.active.apologise(app.announced())
    answer = await app.post("/voice/continue", query="?n=1&attempt=17", Direction="outbound-api")
    assert "Campaign sorry." in answer.text


@pytest.mark.parametrize(
    "query", ["?attempt=", "?attempt=x", "?attempt=-1", f"?attempt={'9' * 11}"]
)
async def test_odd_attempt_is_nobodys(app: App, query: str) -> None:
    """Who was called hears the apology rather than an agent that is not meant for them."""
    answer = await app.post("/voice", query=query, Direction="outbound-api")
    assert verbs(answer) == ["Say", "Hangup"]


@pytest.mark.parametrize("query", ["?attempt=", "?attempt=x", "?attempt=17"])
async def test_who_calls_us_has_no_attempt(app: App, query: str) -> None:
    """Whatever the address says."""
    assert verbs(await app.post("/voice", query=query)) == ["Connect", "Redirect"]
    assert app.briefs.asked == ["inbound"]


# -- status --------------------------------------------------------------------------------------


async def test_status_is_noted_with_its_attempt(app: App) -> None:
    """In the call's history as well, as for any call."""
    answer = await app.post("/voice/status", query=QUERY, CallStatus="ringing", SequenceNumber="1")
    assert answer.status_code == 204
    ((attempt, report),) = app.briefs.statuses
    assert (attempt, report.call_sid, report.status) == (17, CALL, CallStatus.RINGING)
    assert report.sequence_number == 1
    assert [event.kind for _, event in app.store.events] == ["status"]


async def test_status_that_cannot_be_noted_is_answered_and_counted(app: App) -> None:
    """Twilio does not ask again; whoever looks for attempts without news finds it."""
    app.briefs.failing = True
    answer = await app.post("/voice/status", query=QUERY, CallStatus="completed")
    assert answer.status_code == 204
    assert app.counted("evercall_campaign_notes_failed_total", what="status") == 1


# -- machines ------------------------------------------------------------------------------------


async def test_message_is_left_after_the_greeting(app: App) -> None:
    """In the agent's voice; the redirect behind it is the proof."""
    await answered(app)
    await verdict(app, END_BEEP)
    assert app.briefs.verdicts == [(17, AnsweredBy.MACHINE_END_BEEP)]
    ((what, call_sid, document),) = app.rest.asked
    assert (what, call_sid) == ("redirect", CALL)
    say, then = ET.fromstring(document)
    assert say.text == "Hello Anna, call us & ask."
    assert then.text == "https://voice.example/voice/message-left?attempt=17"
    assert app.briefs.flags == []
    answer = await app.post("/voice/message-left", query=QUERY)
    assert verbs(answer) == ["Hangup"]
    assert app.briefs.flags == [(17, "message_left")]


async def test_proof_of_a_message_is_not_lost_with_the_database(app: App) -> None:
    """It is tried again, and the call ends at once."""
    app.briefs.fail_writes = 1
    assert verbs(await app.post("/voice/message-left", query=QUERY)) == ["Hangup"]
    await app.campaigns.close()
    assert app.briefs.flags == [(17, "message_left")]


@pytest.mark.parametrize(
    ("policy", "answered_by", "flags"),
    [
        (VoicemailPolicy.HANG_UP, "machine_start", [(17, "machine")]),
        (VoicemailPolicy.HANG_UP, END_SILENCE, [(17, "machine")]),
        # A message would be spoken into its greeting.
        (VoicemailPolicy.LEAVE_MESSAGE, "machine_start", [(17, "machine")]),
        (VoicemailPolicy.LEAVE_MESSAGE, "fax", []),
        (VoicemailPolicy.TALK, "fax", []),
    ],
)
async def test_machine_is_hung_up_on(
    app: App, policy: VoicemailPolicy, answered_by: str, flags: list[tuple[int, str]]
) -> None:
    """Noted first, so that the end of the call is read as what it is."""
    app.briefs.by_attempt[17] = replace(BRIEF, voicemail=policy)
    await answered(app)
    await verdict(app, answered_by)
    assert app.rest.asked == [("hang_up", CALL)]
    assert app.briefs.flags == flags


async def test_agent_that_talks_to_machines_is_told(app: App) -> None:
    """By a message, as an operator would: another worker may serve the call."""
    app.briefs.by_attempt[17] = replace(BRIEF, voicemail=VoicemailPolicy.TALK)
    await answered(app)
    await verdict(app, END_BEEP)
    assert app.rest.asked == []
    (left,) = app.store.messages.values()
    assert (left.message.call_sid, left.message.text) == (CALL, A_MACHINE_ANSWERED)


@pytest.mark.parametrize("answered_by", ["human", "unknown", "tomorrow"])
async def test_person_is_only_noted(app: App, answered_by: str) -> None:
    """What is not known is a person: hanging up on people is worse."""
    await answered(app)
    await verdict(app, answered_by)
    assert len(app.briefs.verdicts) == 1
    assert (app.rest.asked, app.briefs.flags) == ([], [])


async def test_verdict_after_the_call_is_only_noted(app: App) -> None:
    """Over, or with a person: nothing is to be ended."""
    await answered(app)
    entry = app.announced()
    for state in (CallState.TRANSFER, CallState.FINISHED, CallState.APOLOGY):
        entry.state = state
        await verdict(app, END_BEEP)
        app.briefs.verdicts.clear()
    await app.post("/voice/status", query=QUERY, CallStatus="completed")
    app.store.rows[CALL] = (
        replace(app.store.rows[CALL][0], state="finished"),
        *app.store.rows[CALL][1:],
    )
    await verdict(app, END_BEEP)
    assert app.rest.asked == []
    assert len(app.briefs.verdicts) == 1
    assert app.counted("evercall_campaign_machines_total", done="late") == 4


async def test_call_of_another_worker_is_ended_too(app: App) -> None:
    """Unless the store says that it is with somebody else."""
    await verdict(app, END_BEEP)
    assert [what for what, *_ in app.rest.asked] == ["redirect"]
    app.briefs.verdicts.clear()
    app.store.save_call(
        CallRow(CALL, ACCOUNT, "outbound-api", "", "", "transfer", "in-progress", fence=2)
    )
    await verdict(app, END_BEEP)
    assert len(app.rest.asked) == 1


async def test_twilio_that_refuses_costs_no_call(app: App) -> None:
    """It was over meanwhile."""
    await answered(app)
    app.rest.error = CallAlreadyOver("it is over")
    await verdict(app, END_BEEP)
    assert app.announced().undecided


async def test_verdict_that_comes_twice_begins_no_message_anew(app: App) -> None:
    """Whichever worker gets it."""
    await answered(app)
    await verdict(app, END_BEEP)
    await verdict(app, END_BEEP)
    assert [what for what, *_ in app.rest.asked] == ["redirect"]


async def test_verdict_without_an_attempt_is_in_the_history_only(app: App) -> None:
    """``evercall call`` has no campaign."""
    await answered(app)
    await verdict(app, END_BEEP, query="")
    assert (app.briefs.verdicts, app.rest.asked) == ([], [])
    assert [event.kind for _, event in app.store.events] == ["amd"]


async def test_verdict_that_cannot_be_noted_is_acted_on(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine is hung up on though nobody can write it down; that is tried again."""
    monkeypatch.setattr(machines, "WRITE_DEADLINE_S", 0.01)
    app.briefs.by_attempt[17] = replace(BRIEF, voicemail=VoicemailPolicy.HANG_UP)
    await answered(app)
    app.briefs.fail_writes = 2
    answer = await app.post("/voice/amd", query=QUERY, AnsweredBy=END_BEEP)
    assert answer.status_code == 204
    await app.campaigns.close()
    assert app.rest.asked == [("hang_up", CALL)]
    assert app.briefs.flags == [(17, "machine")]
