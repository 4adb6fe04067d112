"""The database is gone: calls do not notice, and what was to be written is written after."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from agent.conversation.record import EndReason
from tests.scenarios.fleet.database import KINDS, kinds
from tests.scenarios.fleet.fleet import Fleet, fleet
from tests.scenarios.fleet.seen import FleetCall, got_through, heard_ms, longest_silence_s
from tests.scenarios.fleet.talk import ANSWERS, MODEL, QUESTIONS, greeted, questions
from tests.scenarios.rig import GREETING, until
from workers.twin.caller import HangUp, StaySilent, WaitSeconds

pytestmark = pytest.mark.alone


async def lost_writes(it: Fleet) -> int:
    """What the workers gave up."""
    lost = 0
    async with httpx.AsyncClient() as http:
        for worker in it.workers.values():
            if not worker.gone:
                answer = await http.get(f"http://127.0.0.1:{worker.port}/readyz")
                lost += answer.json()["store_lost_writes"]
    return lost


async def talk_through_an_outage(it: Fleet, *, calls: int, turns: int, away_s: float) -> None:
    talking = [
        await it.ring(*greeted(), *questions(turns, pause_s=0.5), HangUp(), model=MODEL)
        for _ in range(calls)
    ]
    await asyncio.gather(*(call.until_answers(2) for call in talking))
    async with it.database.away():
        begun = time.monotonic()
        # Somebody who calls only now.
        it.balancer.only("w1", "/voice", times=1)
        it.balancer.only("w1", "/media", times=1)
        talking.append(await it.ring(*greeted(), *questions(2), HangUp(), model=MODEL))
        await asyncio.sleep(away_s - (time.monotonic() - begun))
    results = await asyncio.gather(*(call.wait(120) for call in talking))
    for call, result in zip(talking, results, strict=True):
        assert got_through(result), result.warnings
        assert call.streams == 1
        record = await it.record(call, timeout_s=30)
        asked = sum(turn.speaker == "caller" for turn in record.turns)
        assert [turn.heard for turn in record.turns] == [
            GREETING,
            *(text for pair in zip(QUESTIONS, ANSWERS, strict=True) for text in pair),
        ][: 1 + 2 * asked]
        assert asked in (2, turns)
        assert all(
            turn.answer_delay_s < 2 for turn in record.turns if turn.answer_delay_s is not None
        )
    assert await lost_writes(it) == 0


@pytest.mark.parametrize("kind", kinds("postgresql"))
async def test_calls_do_not_notice_a_database_that_is_gone(kind: str, tmp_path: Path) -> None:
    """Eight calls through ten seconds without it: every turn is heard, and stored after."""
    async with fleet(tmp_path, kind=kind) as it:
        await talk_through_an_outage(it, calls=8, turns=5, away_s=10)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS[1:])
async def test_calls_do_not_notice_a_minute_without_database(kind: str, tmp_path: Path) -> None:
    """Thirty calls, sixty seconds; those that begin and end meanwhile are written as well."""
    async with fleet(tmp_path, kind=kind) as it:
        await talk_through_an_outage(it, calls=30, turns=8, away_s=60)


@pytest.mark.parametrize("kind", kinds("postgresql"))
async def test_call_goes_on_though_the_database_is_gone_when_its_worker_dies(
    kind: str, tmp_path: Path
) -> None:
    """With its memory or without: the caller is answered, and the record is closed after."""
    async with fleet(tmp_path, kind=kind) as it:
        it.balancer.only("w1")
        call = await it.ring(
            *greeted(), *questions(2), WaitSeconds(5), *questions(2, first=2), HangUp(), model=MODEL
        )
        await call.until_answers(3)
        await call.until_agent_quiet(quiet_s=0.5)
        it.balancer.anyone()
        old = it.workers["w1"]
        async with it.database.away():
            old.kill()
            assert old.killed_at is not None
            await call.until_streams(2, timeout_s=8)
            again_s = call.now_s()
            await call.until_answers(4)
            await call.until_agent_speaks()
        result = await call.wait(45)
        assert got_through(result), result.warnings
        assert heard_ms(result, again_s) > 500
        assert longest_silence_s(result, again_s, result.duration_s) < 12
        record = await it.record(call, timeout_s=30)
        assert record.end_reason is EndReason.CALLER_HUNG_UP
        assert record.turns[-1].speaker == "agent"


async def take_by_hand(it: Fleet, call: FleetCall) -> float:
    """Take the number of a call that is served, as somebody who believes that its worker is dead.

    Returns:
        When, by the monotonic clock.
    """
    row = await it.row(call)
    assert await it.store.take_from(call.sid, fence=row.fence) is not None
    return time.monotonic()


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_worker_that_lost_its_number_falls_silent_and_closes(
    kind: str, tmp_path: Path
) -> None:
    """Two believe that they own a call: the one without the number stops within 1.2 s."""
    async with fleet(tmp_path, kind=kind) as it:
        call = await it.ring(
            *greeted(), *questions(1), WaitSeconds(6), *questions(1, first=1), HangUp(), model=MODEL
        )
        first = await it.served(call)
        await call.until_answers(2)
        await call.until_agent_quiet(quiet_s=0.5)
        taken = await take_by_hand(it, call)
        await until(lambda: call.count("stream.closed"), timeout_s=5)
        # It says that it lives once a second, and hears then what it has lost.
        assert time.monotonic() - taken < 1.2 + 0.8
        result = await call.wait(30)
        assert got_through(result), result.warnings
        assert result.two_voices(unheard=True) == []
        assert first.logged("call.taken_over", call_sid=call.sid)
        record = await it.record(call)
        assert record.end_reason is EndReason.CALLER_HUNG_UP
        assert record.turns[-1].heard == ANSWERS[1]


@pytest.mark.parametrize("kind", kinds())
async def test_stream_of_a_number_that_was_served_is_refused(kind: str, tmp_path: Path) -> None:
    """Somebody else has claimed the stream that Twilio opens next: it gets no second voice."""
    async with fleet(tmp_path, kind=kind) as it:
        call = await it.ring(*greeted(), *questions(1), StaySilent(), model=MODEL)
        await call.until_answers(2)
        row = await it.row(call)
        claim = await it.store.claim(row, owner="by hand", stream=row.streams + 1, at=time.time())
        assert claim.outcome == "taken"
        await until(lambda: call.count("stream.closed"), timeout_s=5)

        def refused() -> int:
            return sum(
                len(worker.logged("stream.refused", call_sid=call.sid)) for worker in it.everyone
            )

        await until(lambda: refused() or call.streams > 2, timeout_s=10, poll_s=0.1)
        call.twin.hang_up()
        assert (await call.wait(10)).two_voices(unheard=True) == []
