"""Twilio's questions get the right TwiML, strangers' get 403 and leave a count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from agent.conversation.record import CallRecord, SummaryRecord, TurnRecord
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.ticket import Ticket
from tests.workers.entrypoints.app import ACCOUNT, BAKERY, CALL, App, redirect, ticket, verbs
from workers.call.active import ActiveCalls, StreamRefused
from workers.call.entry import CallEntry, CallState
from workers.call.takeover import TRANSFER_FAILED, Takeover
from workers.entrypoints import webhooks
from workers.store.calls import CallRow

PATHS = [
    "/voice",
    "/voice/continue",
    "/voice/transfer-result",
    "/voice/whisper",
    "/voice/status",
    "/voice/stream-status",
    "/voice/amd",
    "/voice/message-left",
]


@pytest.fixture
def app() -> App:
    return App()


def stored(state: str, **fields: Any) -> CallRow:
    return CallRow(CALL, ACCOUNT, "inbound", "", "", state, "in-progress", **fields)


def redeemed(app: App, answer: httpx.Response) -> Ticket:
    return app.tickets.redeem(ticket(answer), account_sid=ACCOUNT, call_sid=CALL)


@pytest.mark.parametrize("path", PATHS)
async def test_bad_signature_leaves_only_a_count(app: App, path: str) -> None:
    """Nothing is stored, no entry is made."""
    answer = await app.post(path, token="a stranger's", AnsweredBy="human")
    unsigned = await app.http.post(path, content=b"CallSid=CA1")
    assert (answer.status_code, unsigned.status_code) == (403, 403)
    assert (app.store.rows, app.store.events, len(app.active)) == ({}, [], 0)
    counted = app.counted("evercall_requests_refused_total", route=path, reason="signature")
    assert counted == 2


async def test_inbound_call_gets_a_stream_with_a_ticket(app: App) -> None:
    """The ticket in the answer opens a stream for this call, once."""
    answer = await app.post("/voice", CallStatus="ringing")
    assert verbs(answer) == ["Connect", "Redirect"]
    assert redirect(answer) == "https://voice.example/voice/continue?n=1"
    app.tickets.redeem(ticket(answer), account_sid=ACCOUNT, call_sid=CALL)
    entry = app.active.get(CALL)
    assert entry is not None
    assert (entry.from_, entry.to) == ("+15550100001", "+15550100002")


async def test_answered_outbound_call_gets_a_stream(app: App) -> None:
    """A call we placed comes to the same door."""
    answer = await app.post("/voice", Direction="outbound-api")
    assert verbs(answer) == ["Connect", "Redirect"]
    entry = app.active.get(CALL)
    assert entry is not None
    assert entry.direction == "outbound-api"


async def test_full_worker_refuses_politely() -> None:
    """One call too many hears a sentence, and takes no place."""
    app = App(limit=1)
    await app.announce()
    answer = await app.post("/voice", CallSid="CA-other")
    assert verbs(answer) == ["Say", "Hangup"]
    assert len(app.active) == 1
    assert app.counted("evercall_calls_refused_total", answer="say") == 1


async def test_full_worker_forwards_where_it_can() -> None:
    """With a forward number the caller reaches a person instead."""
    app = App(limit=1, forward_number="+15550100009")
    await app.announce()
    answer = await app.post("/voice", CallSid="CA-other")
    assert verbs(answer) == ["Dial", "Hangup"]
    assert "+15550100009" in answer.text


async def test_voice_does_not_wait_for_the_store(app: App) -> None:
    """A store that is away is not asked, and its losses do not stop a call."""
    app.store.failing = True
    started = time.perf_counter()
    assert verbs(await app.post("/voice", CallStatus="ringing")) == ["Connect", "Redirect"]
    assert time.perf_counter() - started < 1
    assert app.store.lost > 0


async def test_unfinished_call_is_reconnected_until_too_many_were_lost(app: App) -> None:
    """Each loss is counted when the next stream starts; the fourth within two minutes is the last.

    Whoever answers meanwhile: the store has the count.
    """
    answer = await app.post("/voice")
    for number in (1, 2, 3, 4):
        assert redirect(answer).endswith(f"?n={number}")
        with app.active.stream(await app.takeover.started(redeemed(app, answer))) as entry:
            if entry.unclaimed:
                await app.takeover.claim_later(entry)
            assert entry.streams == number
        app.active.drop(entry)
        answer = await app.post("/voice/continue", query=f"?n={number}")
        assert verbs(answer) == (["Connect", "Redirect"] if number < 4 else ["Say", "Hangup"])
    assert "We are sorry." in answer.text
    assert verbs(await app.post("/voice/continue", query="?n=4")) == ["Hangup"]


async def test_number_in_the_address_is_believed(app: App) -> None:
    """A worker that never saw the call counts on where the last one stopped."""
    answer = await app.post("/voice/continue", query="?n=2")
    assert redirect(answer).endswith("?n=3")
    assert redeemed(app, answer).stream == 3


@pytest.mark.parametrize("query", ["", "?n=", "?n=x", "?n=-1", "?n=99999999"])
async def test_odd_count_is_none(app: App, query: str) -> None:
    """An address without a sensible count starts from nothing."""
    assert verbs(await app.post("/voice/continue", query=query)) == ["Connect", "Redirect"]


async def test_finished_call_is_hung_up(app: App) -> None:
    """The redirect does not revive what the agent ended."""
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.finish(entry)
    assert verbs(await app.post("/voice/continue", query="?n=1")) == ["Hangup"]


async def test_finished_call_of_an_earlier_process_is_hung_up(app: App) -> None:
    """What this process does not know it asks the store."""
    app.store.save_call(stored("finished"))
    assert verbs(await app.post("/voice/continue", query="?n=1")) == ["Hangup"]


async def test_unfinished_call_of_an_earlier_process_keeps_its_history(app: App) -> None:
    """The next session can be told what was said before the restart."""
    turn = TurnRecord("agent", "Hello", "Hello", 0, 1)
    app.store.save_call(stored("in_progress", fence=1, streams=1))
    app.store.save_record(CALL, CallRecord(CALL, "bakery", "m", turns=[turn]), fence=1)
    answer = await app.post("/voice/continue", query="?n=1")
    entry = await app.takeover.started(redeemed(app, answer))
    assert entry.record is not None
    assert entry.record.turns == [turn]
    assert (entry.fence, entry.streams) == (2, 2)


async def test_newer_number_in_the_store_counts_more_than_memory(app: App) -> None:
    """Another worker has served the call meanwhile, and finished it."""
    await app.announce()
    app.store.save_call(stored("finished", fence=2, streams=2))
    assert verbs(await app.post("/voice/continue", query="?n=2")) == ["Hangup"]


async def test_memory_counts_where_it_is_the_newest(app: App) -> None:
    """What is written behind may not be there yet."""
    await app.announce()
    entry = app.announced()
    entry.fence = entry.streams = 2
    app.store.save_call(stored("in_progress", fence=1, streams=1))
    app.store.failing = True
    app.active.finish(entry)
    app.store.failing = False
    assert verbs(await app.post("/voice/continue", query="?n=2")) == ["Hangup"]


async def test_unknown_call_goes_on_while_the_store_is_away(app: App) -> None:
    """Doubt costs a fresh session, not the call."""
    app.store.failing = True
    assert verbs(await app.post("/voice/continue", query="?n=1")) == ["Connect", "Redirect"]


async def test_apology_is_said_once(app: App) -> None:
    """A model that cannot be reached is explained to the caller, then the call ends."""
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.apologise(entry)
    assert verbs(await app.post("/voice/continue", query="?n=1")) == ["Say", "Hangup"]
    assert entry.state is CallState.FINISHED


@pytest.mark.parametrize(
    ("direction", "caller_id"), [("inbound", None), ("outbound-api", "+15550100001")]
)
async def test_transfer_shows_a_number_we_may_show(
    app: App, direction: str, caller_id: str | None
) -> None:
    """The caller's own by default; of a call we placed, ours (errors 13214, 13247)."""
    await app.post("/voice", Direction=direction)
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009")
    answer = await app.post("/voice/continue", query="?n=1")
    assert verbs(answer) == ["Dial"]
    assert "+15550100009" in answer.text
    assert (f'callerId="{caller_id}"' in answer.text) is (caller_id is not None)


async def test_answered_transfer_ends_the_call(app: App) -> None:
    """When the two have spoken, nobody waits for the caller."""
    await transferred(app)
    answer = await app.post("/voice/transfer-result", DialCallStatus="completed")
    assert verbs(answer) == ["Hangup"]


async def test_unanswered_transfer_returns_to_the_agent(app: App) -> None:
    """The caller comes back, the agent is told, and it does not count as a lost stream."""
    entry = await transferred(app)
    answer = await app.post("/voice/transfer-result", DialCallStatus="no-answer")
    assert verbs(answer) == ["Connect", "Redirect"]
    assert redeemed(app, answer).notice == TRANSFER_FAILED
    assert entry.state is CallState.HANDED_OVER
    assert app.store.events[-1][1].payload == {"status": "no-answer", "bridged": None}


async def test_last_resort_that_does_not_answer_is_followed_by_the_apology(app: App) -> None:
    """No session is left to go back to; a question that Twilio repeats meets the same answer."""
    entry = await transferred(app, last_resort=True)
    for _ in range(2):
        answer = await app.post("/voice/transfer-result", DialCallStatus="no-answer")
        assert verbs(answer) == ["Say", "Hangup"]
        assert "We are sorry." in answer.text
    assert entry.state is CallState.FINISHED


async def test_last_resort_that_answers_ends_the_call(app: App) -> None:
    """Who has spoken with a person hears no apology."""
    await transferred(app, last_resort=True)
    answer = await app.post("/voice/transfer-result", DialCallStatus="completed")
    assert verbs(answer) == ["Hangup"]


async def test_last_resort_does_not_wait_for_the_old_stream_to_apologise(app: App) -> None:
    """No stream follows that the old one could be in the way of."""
    await app.announce()
    with app.active.stream(app.announced()) as entry:
        app.active.transfer(entry, "+15550100009", last_resort=True)
        async with asyncio.timeout(1):
            answer = await app.post("/voice/transfer-result", DialCallStatus="failed")
        assert verbs(answer) == ["Say", "Hangup"]


@pytest.mark.parametrize(
    ("last_resort", "expected"),
    [(True, ["Say", "Hangup"]), (False, ["Connect", "Redirect"])],
)
async def test_unanswered_transfer_of_an_earlier_process(
    app: App, last_resort: bool, expected: list[str]
) -> None:
    """The store tells whether an agent was left when the caller was put through."""
    app.store.save_call(stored("transfer", fence=1, streams=1, last_resort=last_resort))
    answer = await app.post("/voice/transfer-result", DialCallStatus="busy")
    assert verbs(answer) == expected


LEG = "CA" + "9" * 32


async def whispered(app: App, call_sid: str = CALL) -> httpx.Response:
    """What Twilio is told when somebody has answered: it asks about their leg of the call."""
    return await app.post(
        "/voice/whisper",
        query=f"?call={call_sid}",
        CallSid=LEG,
        ParentCallSid=CALL,
        Direction="outbound-dial",
    )


async def test_briefing_is_said_to_whoever_answers(app: App) -> None:
    """As often as Twilio asks, in the voice of the apology."""
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009", briefing="Anna wants <two> loaves & more.")
    answer = await app.post("/voice/continue", query="?n=1")
    assert f'url="https://voice.example/voice/whisper?call={CALL}"' in answer.text
    for _ in range(2):
        answer = await whispered(app)
        assert verbs(answer) == ["Say"]
        assert ET.fromstring(answer.text)[0].text == "Anna wants <two> loaves & more."
    assert app.counted("evercall_webhooks_total", route="/voice/whisper") == 2


async def test_briefing_is_said_with_the_apologys_voice() -> None:
    """Language and voice are of the agent's file."""
    spec = replace(
        BAKERY, apology="Es tut uns leid.", language="de-DE", apology_voice="Polly.Vicki"
    )
    app = App(spec=spec)
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009", briefing="Anna möchte zwei Brote.")
    (say,) = ET.fromstring((await whispered(app)).text)
    assert (say.text, say.attrib) == (
        "Anna möchte zwei Brote.",
        {"language": "de-DE", "voice": "Polly.Vicki"},
    )


@pytest.mark.parametrize("briefing", [None, ""])
async def test_transfer_without_a_briefing_asks_for_none(app: App, briefing: str | None) -> None:
    """Who answers is connected at once; a question all the same is answered with nothing."""
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009", briefing=briefing)
    answer = await app.post("/voice/continue", query="?n=1")
    assert "whisper" not in answer.text
    assert verbs(await whispered(app)) == []


async def test_briefing_of_an_unknown_call_is_none(app: App) -> None:
    """The call may be over, or the store be slow: nobody must hear an error, or wait for long.

    No entry is made.
    """
    app.store.read_delay_s = 30
    async with asyncio.timeout(5):
        for call_sid in ("CA404", "", "%00"):
            assert verbs(await whispered(app, call_sid)) == []
        assert verbs(await app.post("/voice/whisper")) == []
    assert len(app.active) == 0


async def test_briefing_of_another_workers_call_is_made_from_what_it_has_stored(app: App) -> None:
    """The worker that put the caller through may be gone by the time somebody answers."""
    record = CallRecord(CALL, "bakery", "m", summary=SummaryRecord(caller="Anna", turns=0))
    app.store.save_call(stored("transfer", fence=1, streams=1, transfer_to="+15550100009"))
    app.store.save_record(CALL, record, fence=1)
    assert verbs(answer := await app.post("/voice/continue", query="?n=1")) == ["Dial"]
    assert "whisper" in answer.text
    answer = await whispered(app)
    assert verbs(answer) == ["Say"]
    assert "Anna" in answer.text


async def test_next_transfer_has_a_briefing_of_its_own(app: App) -> None:
    """Nobody hears what was meant for somebody else."""
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009", briefing="The first.")
    await app.post("/voice/continue", query="?n=1")
    await app.post("/voice/transfer-result", DialCallStatus="no-answer")
    app.active.transfer(entry, "+15550100008")
    answer = await app.post("/voice/continue", query="?n=1")
    assert "whisper" not in answer.text
    assert verbs(await whispered(app)) == []


async def test_answered_but_not_connected_transfer_returns_to_the_agent(app: App) -> None:
    """Who hangs up on the briefing has not spoken with the caller (``DialBridged``)."""
    await transferred(app)
    answer = await app.post(
        "/voice/transfer-result", DialCallStatus="completed", DialBridged="false"
    )
    assert verbs(answer) == ["Connect", "Redirect"]


async def transferred(app: App, *, last_resort: bool = False) -> CallEntry:
    await app.announce()
    entry = app.active.get(CALL)
    assert entry is not None
    app.active.transfer(entry, "+15550100009", last_resort=last_resort)
    await app.post("/voice/continue", query="?n=1")
    return entry


async def test_status_is_recorded_and_ends_the_call(app: App) -> None:
    """A callback is answered with nothing, kept, and a terminal one forgets the call."""
    await app.announce()
    answer = await app.post(
        "/voice/status", CallStatus="completed", CallDuration="61", SequenceNumber="0"
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(app.active) == 0
    ((call_sid, event),) = app.store.events
    assert (call_sid, event.kind, event.payload["duration_s"]) == (CALL, "status", 61)
    assert "+1555" not in str(event.payload)


async def test_status_closes_the_books_of_a_call_whose_stream_was_lost(app: App) -> None:
    """Its last stream did not know that it was the last, and nobody asks what is next; once."""
    await app.announce()
    with app.active.stream(await app.takeover.started(redeemed(app, await app.post("/voice")))) as (
        entry
    ):
        await app.takeover.claim_later(entry)
    await app.post("/voice/status", CallStatus="completed")
    await app.post("/voice/status", CallStatus="completed")
    assert app.closed == [entry]


async def test_status_leaves_the_books_of_a_call_that_is_done_alone(app: App) -> None:
    """Its stream has closed them."""
    await app.announce()
    with app.active.stream(app.announced()) as entry:
        app.active.finish(entry)
    await app.post("/voice/status", CallStatus="completed")
    assert app.closed == []


async def test_stream_status_is_recorded(app: App) -> None:
    """The reason of a failed handshake is in the store and counted."""
    answer = await app.post(
        "/voice/stream-status", StreamEvent="stream-error", StreamSid="MZ1", StreamError="31920"
    )
    assert answer.status_code == 204
    assert app.store.events[0][1].payload["error"] == "31920"
    assert app.counted("evercall_stream_events_total", event="stream-error") == 1


async def test_amd_verdict_is_recorded(app: App) -> None:
    """Also for a call that is over."""
    assert (await app.post("/voice/amd", AnsweredBy="human")).status_code == 204
    assert app.store.events[0][1].payload["answered_by"] == "human"


async def test_signed_request_without_call_is_400(app: App) -> None:
    """Twilio's own mistakes are told apart from strangers'."""
    answer = await app.post("/voice", CallSid="")
    assert answer.status_code == 400
    assert app.counted("evercall_requests_refused_total", route="/voice", reason="malformed") == 1


async def test_huge_body_is_refused(app: App) -> None:
    """It is not read to its end."""
    answer = await app.http.post("/voice", content=b"x" * (webhooks.MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


async def test_body_that_does_not_come_is_given_up(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger cannot hold a connection by sending slowly."""
    monkeypatch.setattr(webhooks, "BODY_TIMEOUT_S", 0.05)
    sent: list[Mapping[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def send(message: Mapping[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/voice",
        "raw_path": b"/voice",
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }
    await asyncio.wait_for(app.app(scope, receive, send), 5)
    assert sent[0]["status"] == 408


async def test_only_post_is_served(app: App) -> None:
    """A browser on the address sees that there is nothing to get."""
    assert (await app.http.get("/voice")).status_code == 405
    assert (await app.http.get("/")).status_code == 404


async def test_continue_waits_for_the_old_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio's question overtakes our own end of the stream: the state is read after it."""

    async def run_call(entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        raise AssertionError

    app = App(run_call)
    await app.announce()
    with app.active.stream(app.announced()) as entry:
        asked = asyncio.create_task(app.post("/voice/continue", query="?n=1"))
        await asyncio.sleep(0.02)
        assert not asked.done()
        app.active.finish(entry)
    assert verbs(await asked) == ["Hangup"]


async def test_call_that_is_taken_while_its_end_is_waited_for_goes_on(app: App) -> None:
    """A worker that was stopped, and is asked about the call that was taken from it."""
    await app.announce()
    entry = await app.takeover.started(redeemed(app, await app.post("/voice")))

    async def serve() -> None:
        with app.active.stream(entry):
            await app.takeover.claim_later(entry)
            try:
                await asyncio.sleep(60)
            finally:
                app.active.finish(entry)

    stream = asyncio.create_task(serve())
    await asyncio.sleep(0.02)
    asked = asyncio.create_task(app.post("/voice/continue", query="?n=1"))
    await asyncio.sleep(0.02)
    await app.store.take_from(CALL, fence=entry.fence)
    app.active.taken(CALL)
    answer = await asked
    assert verbs(answer) == ["Connect", "Redirect"]
    assert redirect(answer).endswith("?n=2")
    with pytest.raises(StreamRefused, match="taken"):
        await stream


async def test_continue_does_not_wait_for_a_stream_that_has_decided(app: App) -> None:
    """A transfer is dialled at once, while the old stream is still being cleared away."""
    await app.announce()
    with app.active.stream(app.announced()) as entry:
        app.active.transfer(entry, "+15550100009")
        async with asyncio.timeout(1):
            assert verbs(await app.post("/voice/continue", query="?n=1")) == ["Dial"]


async def test_repeated_question_leaves_the_next_stream_alone(app: App) -> None:
    """Twilio repeats what it got no answer to; the stream may be open by then, and goes on.

    What it gets then opens no second one.
    """
    app.store.save_call(stored("in_progress", fence=1, streams=1))
    first = await app.post("/voice/continue", query="?n=1")
    with app.active.stream(await app.takeover.started(redeemed(app, first))):
        again = await app.post("/voice/continue", query="?n=1")
        assert app.active.live_streams == 1
        with pytest.raises(StreamRefused, match="second"):
            await app.takeover.started(redeemed(app, again))
    assert redirect(first) == redirect(again)


async def test_stream_is_served_by_a_process_that_did_not_announce_it(app: App) -> None:
    """A balancer leads the stream elsewhere; its ticket says whose call it is."""
    answer = await app.post("/voice")
    elsewhere = Takeover(ActiveCalls(2, app.store, worker="w2"), app.store)
    entry = await elsewhere.started(redeemed(app, answer))
    assert (entry.from_, entry.to, entry.direction) == ("+15550100001", "+15550100002", "inbound")
    assert app.store.rows[CALL][0].owner == "w2"


async def test_emptied_worker_sends_a_new_call_elsewhere() -> None:
    """Not refused while another worker is ready: the stream will land there."""
    app = App(elsewhere=True)
    app.active.draining = True
    assert verbs(await app.post("/voice")) == ["Connect", "Redirect"]
    assert len(app.active) == 0
    assert app.prewarmed == []


async def test_repeated_announcement_prewarms_no_call_that_is_served(app: App) -> None:
    """Nobody would take that connection."""
    await app.post("/voice")
    with app.active.stream(await app.takeover.started(redeemed(app, await app.post("/voice")))):
        app.prewarmed.clear()
        await app.post("/voice")
    assert app.prewarmed == []


async def test_failed_transfer_waits_for_the_old_stream(app: App) -> None:
    """A number that cannot be dialled is back at once; the next stream must not be refused."""
    await app.announce()
    with app.active.stream(app.announced()) as entry:
        app.active.transfer(entry, "+15550100009")
        asked = asyncio.create_task(app.post("/voice/transfer-result", DialCallStatus="failed"))
        await asyncio.sleep(0.02)
        assert not asked.done()
    assert verbs(await asked) == ["Connect", "Redirect"]
    with app.active.stream(app.announced()):
        again = app.post("/voice/transfer-result", DialCallStatus="failed")
        assert verbs(await asyncio.wait_for(again, 1)) == ["Connect", "Redirect"]


async def test_operator_routes(app: App) -> None:
    """Health, readiness and metrics say how the worker is."""
    await app.announce()
    assert (await app.http.get("/healthz")).text == "ok\n"
    ready = await app.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["open_calls"] == 1
    metrics = (await app.http.get("/metrics")).text
    assert "evercall_open_calls 1.0" in metrics
    assert "evercall_store_waiting_writes 0.0" in metrics
    app.active.draining = True
    assert (await app.http.get("/readyz")).status_code == 503
    refused: httpx.Response = await app.post("/voice", CallSid="CA-new")
    assert verbs(refused) == ["Say", "Hangup"]


async def test_stream_that_never_starts_is_counted_as_lost(app: App) -> None:
    """Refused, or not to be opened: it is not tried for ever, at whichever worker Twilio asks."""
    await app.post("/voice")
    for number in (1, 2, 3):
        answer = await app.post("/voice/continue", query=f"?n={number}")
        assert verbs(answer) == ["Connect", "Redirect"]
        if (entry := app.active.get(CALL)) is not None:
            app.active.drop(entry)
    assert verbs(await app.post("/voice/continue", query="?n=4")) == ["Say", "Hangup"]
