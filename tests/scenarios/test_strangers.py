"""Nobody who is not Twilio with a call of ours reaches a model."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agent.conversation.record import EndReason
from telephony.media_stream.ticket import TicketBook
from tests.scenarios.rig import (
    APOLOGY,
    COLLEAGUE,
    GREETING,
    agent_turns,
    evercall,
    played_ms,
    said,
    spoken_ms,
    until,
)
from workers.entrypoints.services import REFUSAL
from workers.twin.caller import (
    CallerScript,
    HangUp,
    SecondStream,
    StaySilent,
    Tone,
    WaitAgentDone,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.connect import second_stream
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.media.stream import StreamFaults

SECRET = "a secret of sixteen characters and more"
REFUSED = "evercall_streams_refused_total"


async def test_stream_without_a_good_ticket_opens_no_session(tmp_path: Path) -> None:
    """Missing, malformed, expired and foreign tickets close the socket with 1008; each is counted.

    Twilio then asks what is next; after four such streams the caller hears the apology.
    """
    stale = TicketBook(SECRET, clock=lambda: time.time() - 3_600)
    others = TicketBook(SECRET)
    elsewhere = TicketBook("another secret, no less long")
    tickets = {
        "missing": None,
        "malformed": "garbage",
        "expired": stale.issue(account_sid="AC1", call_sid="CA1"),
        "foreign": others.issue(account_sid="AC1", call_sid="CA1"),
        # Signed with another secret, it says nothing at all.
        "malformed too": elsewhere.issue(account_sid="AC1", call_sid="CA1"),
    }
    async with evercall(tmp_path, ticket_secret=SECRET, prewarm=False) as rig:
        results = await asyncio.gather(
            *(
                rig.phone(
                    StaySilent(),
                    faults=CallFaults(streams=(StreamFaults(parameters={"ticket": ticket}),) * 4),
                )
                for ticket in tickets.values()
            )
        )
        assert not rig.live.sessions
        assert not rig.live.refusals
        for reason in ("missing", "expired", "foreign"):
            assert rig.metric(REFUSED, reason=f"ticket_{reason}") == 4
        assert rig.metric(REFUSED, reason="ticket_malformed") == 8
        for result in results:
            closed = result.named("stream.closed")
            assert [event.data["code"] for event in closed] == [1008] * 4
            assert APOLOGY in said(result)
            stored = await rig.worker.store.load_call(result.sid)
            assert stored is not None
            assert stored.record is None
    # A ticket that was refused is not written down.
    for ticket in filter(None, tickets.values()):
        assert ticket not in rig.log_text


async def test_call_goes_on_after_a_refused_stream(tmp_path: Path) -> None:
    """The next stream has a ticket of its own, and the caller is greeted."""
    faults = CallFaults(streams=(StreamFaults(parameters={"ticket": None}),))
    async with evercall(tmp_path) as rig:
        _, record = await rig.call(WaitAgentDone(300), HangUp(), faults=faults)
    assert len(rig.live.sessions) == 1
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]
    assert record.end_reason is EndReason.CALLER_HUNG_UP


async def test_ticket_of_one_call_opens_no_stream_for_another(tmp_path: Path) -> None:
    """A stream that names another call or account is closed, though its ticket is genuine."""
    async with evercall(tmp_path, prewarm=False) as rig:
        faults = (StreamFaults(call_sid="CA" + "0" * 32), StreamFaults(account_sid="AC0"))
        await asyncio.gather(
            *(rig.phone(StaySilent(), faults=CallFaults(streams=(fault,) * 4)) for fault in faults)
        )
        assert not rig.live.sessions
        assert rig.metric(REFUSED, reason="ticket_foreign") == 8


async def test_second_stream_of_a_call_is_refused(tmp_path: Path) -> None:
    """Whether its ticket is used up or fresh; the first stream notices nothing."""
    async with evercall(tmp_path, ticket_secret=SECRET) as rig:
        call = await rig.ring(
            WaitAgentStarts(), SecondStream(), WaitAgentDone(500), WaitSeconds(0.5), HangUp()
        )
        fresh = TicketBook(SECRET).issue(account_sid=rig.twilio.account_sid, call_sid=call.sid)
        await until(lambda: call.sid in rig.worker.runner.live)
        await second_stream(call.line, {"ticket": fresh})
        result = await call.wait(30)
        record = await rig.record(call.sid)
        assert rig.metric(REFUSED, reason="ticket_reused") == 1
        assert rig.metric(REFUSED, reason="second") == 1
    assert [event.data["code"] for event in result.named("second_stream.closed")] == [1008] * 2
    assert len(rig.live.sessions) == 1
    assert [turn.heard for turn in record.turns] == [GREETING]
    assert abs(played_ms(result, 0) - spoken_ms(GREETING)) <= 60
    assert len(record.streams) == 1


async def test_unsigned_requests_leave_a_count_and_nothing_else(tmp_path: Path) -> None:
    """A forged webhook, or one without a signature, is a 403; the store does not learn of it."""
    async with evercall(tmp_path) as rig:
        results = await asyncio.gather(
            rig.phone(StaySilent(), faults=CallFaults(webhook_signing="bad")),
            rig.phone(StaySilent(), faults=CallFaults(webhook_signing="missing")),
        )
        assert await rig.worker.store.flush()
        for result in results:
            assert {hook.status for hook in result.webhooks} == {403}
            assert await rig.worker.store.load_call(result.sid) is None
            assert not await rig.events(result.sid, "status")
        refused = "evercall_requests_refused_total"
        assert rig.metric(refused, route="/voice", reason="signature") >= 2
        assert len(rig.worker.active) == 0
    assert not rig.live.sessions


async def test_unsigned_media_socket_is_answered_with_403(tmp_path: Path) -> None:
    """The upgrade is refused before anything is read from the socket."""
    async with evercall(tmp_path, prewarm=False) as rig:
        results = await asyncio.gather(
            *(
                rig.phone(StaySilent(), faults=CallFaults(streams=(fault,) * 4))
                for fault in (StreamFaults(signing="bad"), StreamFaults(signing="missing"))
            )
        )
        refused = "evercall_requests_refused_total"
        assert rig.metric(refused, route="/media", reason="signature") == 8
    assert not rig.live.sessions
    for result in results:
        assert "403" in str(result.warnings)


async def test_socket_without_start_is_closed(tmp_path: Path) -> None:
    """Five seconds are enough for ``start`` to come."""
    faults = CallFaults(streams=(StreamFaults(start_delay_s=8),))
    async with evercall(tmp_path) as rig:
        result, record = await rig.call(WaitAgentDone(300), HangUp(), faults=faults)
        assert rig.metric(REFUSED, reason="no_start") == 1
    first = result.named("stream.closed")[0]
    assert first.data["code"] == 1008
    assert 4.9 < first.at_s < 7
    assert [turn.heard for turn in agent_turns(record)] == [GREETING]


async def test_too_many_calls_are_refused_politely(tmp_path: Path) -> None:
    """One more than there is room for hears why; when there is room again, calls are taken."""
    async with evercall(tmp_path, max_calls=1) as rig:
        first = await rig.ring(WaitAgentDone(300), WaitSeconds(30))
        await until(lambda: rig.live.sessions)
        refused = await rig.phone(StaySilent())
        first.hang_up()
        await first.wait()
        await until(lambda: not rig.worker.active.open_calls)
        _, record = await rig.call(WaitStream(), WaitAgentDone(300), HangUp())
    assert REFUSAL.text in said(refused)
    assert played_ms(refused, 0) > 1_000
    assert refused.status == "completed"
    assert len(rig.live.sessions) == 2
    assert [turn.heard for turn in record.turns] == [GREETING]


async def test_too_many_calls_are_forwarded_where_a_number_is_set(tmp_path: Path) -> None:
    """Somebody else takes the call instead."""
    dialled: list[str] = []

    def colleague(to: str) -> CalleeBehaviour:
        dialled.append(to)
        return CalleeBehaviour(script=CallerScript.of(Tone(700, 400), HangUp()))

    async with evercall(tmp_path, max_calls=1, forward_number=COLLEAGUE) as rig:
        rig.twilio.on_dial = colleague
        first = await rig.ring(WaitAgentDone(300), WaitSeconds(30))
        await until(lambda: rig.live.sessions)
        forwarded = await rig.phone(StaySilent())
        first.hang_up()
        await first.wait()
    assert dialled == [COLLEAGUE]
    assert abs(played_ms(forwarded, 0) - 400) <= 40
    assert len(rig.live.sessions) == 1
