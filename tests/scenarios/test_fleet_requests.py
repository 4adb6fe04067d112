"""Twilio's requests late, repeated, out of order, and at another worker than the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.conversation.record import EndReason
from tests.scenarios.fleet.database import KINDS, kinds
from tests.scenarios.fleet.fleet import fleet
from tests.scenarios.fleet.seen import CONTINUE, got_through, heard_ms
from tests.scenarios.fleet.talk import ANSWERS, MODEL, QUESTIONS, greeted, questions
from tests.scenarios.rig import GREETING
from workers.twin.caller import DropSocket, HangUp, SecondStream, WaitSeconds

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_requests_in_any_order_at_any_worker_make_one_call(kind: str, tmp_path: Path) -> None:
    """A stream that lands elsewhere, then is lost; late repeats change nothing, then or after."""
    async with fleet(tmp_path, kind=kind) as it:
        it.balancer.only("w1", "/voice")
        it.balancer.only("w2", "/media", times=1)
        it.balancer.only("w1", "/media")
        call = await it.ring(
            *greeted(),
            *questions(1),
            DropSocket(),
            WaitSeconds(3),
            SecondStream(),
            *questions(1, first=1),
            WaitSeconds(2),
            *questions(1, first=2),
            HangUp(),
            model=MODEL,
        )
        assert (await it.served(call, 2)).name == "w1"
        assert len(it.workers["w2"].logged("stream.started")) == 1
        # The question that was answered, once more at each worker, and older ones.
        (asked,) = call.webhooks(CONTINUE)
        for name in ("w1", "w2", "w1"):
            assert (await it.repeat(call, asked, at=name)).status == 200
        (voice,) = call.webhooks("/voice")
        assert (await it.repeat(call, voice, at="w2")).status == 200
        for status in ("ringing", "initiated", "in-progress", "in-progress"):
            answer = await it.post(call, "/voice/status", CallStatus=status)
            assert answer.status in (200, 204)
        result = await call.wait(45)
        assert got_through(result), result.warnings
        assert result.named("second_stream.closed")
        assert not result.named("second_stream.accepted")
        assert result.two_voices(unheard=True) == []
        assert call.streams == 2
        assert heard_ms(result, 0) > 2_000
        record = await it.record(call)
        assert record.end_reason is EndReason.CALLER_HUNG_UP
        assert len(record.streams) == 2
        assert [turn.heard for turn in record.turns] == [
            GREETING,
            *(text for pair in zip(QUESTIONS[:3], ANSWERS, strict=False) for text in pair),
        ]
        # After its end: nothing comes back to life.
        for name in ("w1", "w2"):
            answer = await it.repeat(call, asked, at=name)
            assert b"Hangup" in answer.body
            assert b"Stream" not in answer.body
        await it.post(call, "/voice/status", CallStatus="in-progress", SequenceNumber="0")
        row = await it.row(call)
        assert (row.state, row.status) == ("finished", "completed")
        assert await it.record(call) == record


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS[1:])
async def test_status_callbacks_are_not_needed(kind: str, tmp_path: Path) -> None:
    """Some never come: the call is over for us all the same, and its record closed."""
    async with fleet(tmp_path, kind=kind) as it:
        call = await it.ring(*greeted(), *questions(1), HangUp(), model=MODEL, status_url="")
        assert got_through(await call.wait(30))
        record = await it.record(call)
        assert record.end_reason is EndReason.CALLER_HUNG_UP
