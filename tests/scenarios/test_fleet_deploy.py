"""SIGTERM: a worker hands its calls over, and nobody on the phone notices."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from pathlib import Path

import pytest

from agent.conversation.record import CallRecord, EndReason
from tests.scenarios.fleet.database import kinds
from tests.scenarios.fleet.fleet import Fleet, fleet
from tests.scenarios.fleet.numbers import p
from tests.scenarios.fleet.seen import CONTINUE, FleetCall, got_through
from tests.scenarios.fleet.talk import (
    ANSWERS,
    LONG_ANSWER,
    MODEL,
    QUESTIONS,
    greeted,
    model,
    questions,
)
from tests.scenarios.rig import until
from workers.twin.caller import HangUp, Say, StaySilent, Step, WaitSeconds
from workers.twin.live_api import script
from workers.twin.twilio_api.result import CallResult

pytestmark = pytest.mark.alone

CALLS = 30
SETTLES_S = 3.0
"""What a deploy waits for a worker that is new before it goes on to the next one."""
LEAVES_S = 40.0
"""By then every call has come to a safe point."""


def talk(turns: int, begins_s: float) -> list[Step]:
    return [*greeted(), WaitSeconds(begins_s), *questions(turns, pause_s=1.0), HangUp()]


async def many(it: Fleet, count: int, turns: int) -> list[FleetCall]:
    """Let people call at their own pace."""
    calls = []
    for number in range(count):
        calls.append(await it.ring(*talk(turns, (number % 10) * 0.3), model=MODEL))
        await asyncio.sleep(0.1)
    return calls


async def all_well(it: Fleet, calls: list[FleetCall], turns: int) -> list[CallRecord]:
    """Nobody was dropped, forgotten, or spoken to by two; gives the records."""
    results = await asyncio.gather(*(call.wait(90) for call in calls))
    dropped = [
        (result.sid, result.stream_gaps)
        for result in results
        if not got_through(result) or result.warned(31903)
    ]
    assert dropped == []
    for call, result in zip(calls, results, strict=True):
        assert result.two_voices(unheard=True) == []
        forgotten = [text for text in QUESTIONS[: turns - 1] if text not in call.known_turns()]
        assert forgotten == [], call.story()
    return [await it.record(call) for call in calls]


def cut_ms(results: list[CallResult]) -> list[float]:
    """What callers did not hear to its end, at the ends of streams that others followed."""
    return [gap.cut_ms for result in results for gap in result.stream_gaps]


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_calls_are_handed_over_at_a_safe_point(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """30 calls at a worker that gets SIGTERM: none dropped, none cut, and it exits by itself."""
    turns = 4
    async with fleet(tmp_path, kind=kind) as it:
        it.balancer.only("w1")
        calls = await many(it, CALLS, turns)
        await asyncio.gather(*(call.until_answers(2) for call in calls))
        it.balancer.anyone()
        old = it.workers["w1"]
        old.terminate()
        assert await old.wait_gone(LEAVES_S) == 0
        records = await all_well(it, calls, turns)
        results = [call.twin.so_far() for call in calls]
        handed = [record for record in records if len(record.streams) == 2]
        # Those that ended by themselves meanwhile had one stream.
        assert len(handed) > CALLS / 2
        for record in handed:
            assert record.streams[0].end_reason is EndReason.HANDED_OVER
            assert [turn.heard for turn in record.turns if turn.speaker == "agent"][1:] == list(
                ANSWERS[:turns]
            )
        deaf = [gap.deaf_s for result in results for gap in result.stream_gaps]
        with capsys.disabled():
            print(
                f"\nhanded over: {len(handed)} of {CALLS} calls; cut {max(cut_ms(results)):.0f} ms "
                f"at worst; between the streams p50 {p(deaf, 50):.2f} s, p95 {p(deaf, 95):.2f} s"
            )
        assert max(cut_ms(results)) == 0


@pytest.mark.parametrize("kind", kinds())
async def test_second_signal_hands_over_at_once_and_the_last_worker_waits(
    kind: str, tmp_path: Path
) -> None:
    """Twice SIGTERM: no safe point is waited for. Nobody else there: the call may end first."""
    long = model((script.Say(ANSWERS[0]),), (script.Say(LONG_ANSWER),))
    async with fleet(tmp_path, kind=kind) as it:
        it.balancer.only("w1")
        call = await it.ring(*greeted(), *questions(1), Say(QUESTIONS[1]), StaySilent(), model=long)
        await call.until_answers(2)
        await call.until_agent_speaks()
        it.balancer.anyone()
        old = it.workers["w1"]
        old.terminate()
        await asyncio.sleep(0.5)
        assert not old.gone
        assert call.agent_is_heard()
        old.terminate()
        assert await old.wait_gone(10) == 0
        await call.until_streams(2, timeout_s=5)
        await call.until_agent_speaks()
        await call.until_agent_quiet()
        call.twin.hang_up()
        result = await call.wait(10)
        (gap,) = result.stream_gaps
        assert gap.silent_s is not None
        assert gap.silent_s < 3
        record = await it.record(call)
        assert [one.end_reason for one in record.streams] == [
            EndReason.HANDED_OVER,
            EndReason.CALLER_HUNG_UP,
        ]
        assert LONG_ANSWER.endswith(call.sessions[-1].said[0].text)

        last = it.workers["w2"]
        alone = await it.ring(*greeted(), *questions(3), HangUp(), model=MODEL)
        await alone.until_answers(2)
        last.terminate()
        assert got_through(await alone.wait(30))
        assert alone.streams == 1
        assert await last.wait_gone(20) == 0


@pytest.mark.parametrize("kind", kinds())
async def test_caller_hangs_up_between_two_streams(kind: str, tmp_path: Path) -> None:
    """Handed over, nobody has the call yet, and its end is told to another worker: it is closed."""
    # Connections are taken by its backlog, and never answered.
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        async with fleet(tmp_path, kind=kind) as it:
            it.balancer.add("nobody", nobody.getsockname()[1])
            it.balancer.only("nobody", CONTINUE)
            it.balancer.only("w2", "/voice/status")
            it.balancer.only("w1")
            call = await it.ring(*greeted(), *questions(1), StaySilent(), model=MODEL)
            await call.until_answers(2)
            it.workers["w1"].terminate()
            await until(lambda: call.webhooks(CONTINUE), timeout_s=20)
            call.twin.hang_up()
            await call.wait(30)
            record = await it.record(call)
            assert record.streams[-1].end_reason is EndReason.HANDED_OVER
            assert record.end_reason is EndReason.STREAM_LOST
            row = await it.row(call)
            assert (row.state, row.status) == ("finished", "completed")


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "times"), [("postgresql", 2), ("sqlite", 1)])
async def test_rolling_restart_under_thirty_calls(
    kind: str, times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three workers are replaced one after the other, twice: nobody is dropped or forgotten."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3"), seed=seed) as it:
        over = asyncio.Event()
        calls: list[FleetCall] = []
        left: list[float] = []

        async def callers(begins_s: float) -> None:
            """One call after the other, so that there are always as many."""
            await asyncio.sleep(begins_s)
            while not over.is_set():
                call = await it.ring(*talk(6, 0.5), model=MODEL)
                calls.append(call)
                await call.wait(120)

        lines = [asyncio.create_task(callers(number * 0.3)) for number in range(CALLS)]
        await asyncio.sleep(12)
        for _ in range(times):
            for name in ("w1", "w2", "w3"):
                old = it.workers[name]
                asked = time.monotonic()
                old.terminate()
                assert await old.wait_gone(60) == 0
                left.append(time.monotonic() - asked)
                await it.restart(name)
                await asyncio.sleep(SETTLES_S)
        over.set()
        await asyncio.gather(*lines)
        records = await all_well(it, calls, 6)
        results = [call.twin.so_far() for call in calls]
        streams = [len(record.streams) for record in records]
        with capsys.disabled():
            print(
                f"\nrolling restart, {times} times: {len(calls)} calls, "
                f"{sum(streams) - len(calls)} hand-overs, {max(streams)} streams in one call; "
                f"cut {max(cut_ms(results), default=0):.0f} ms at worst; "
                f"workers left within {max(left):.1f} s"
            )
        assert sum(streams) - len(calls) >= CALLS * times // 2
        assert max(cut_ms(results), default=0) == 0
