"""A worker dies while its session moves; and one worker after the other dies, under many calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.conversation.prompt import REPEAT
from agent.conversation.record import EndReason
from tests.scenarios.fleet.database import KINDS, kinds
from tests.scenarios.fleet.fleet import fleet
from tests.scenarios.fleet.numbers import p, show
from tests.scenarios.fleet.seen import FleetCall, got_through
from tests.scenarios.fleet.talk import ANSWERS, MODEL, greeted, model, questions
from tests.scenarios.rig import APOLOGY, said, until
from workers.twin.caller import HangUp, StaySilent, WaitSeconds
from workers.twin.live_api import script
from workers.twin.live_api.faults import GoAway
from workers.twin.live_api.script import CallTool, LiveScript

pytestmark = pytest.mark.alone

# What is written behind a call may die with its worker (README, "What can be lost").
FORGOTTEN_S = 0.2


@pytest.mark.parametrize("kind", kinds("postgresql"))
async def test_worker_dies_while_its_session_moves(kind: str, tmp_path: Path) -> None:
    """Between two Live connections: the next worker finds the session again, nothing is lost."""
    leaves = GoAway(sessions=frozenset({1}), turn=2, time_left_s=3.0)
    async with fleet(tmp_path, kind=kind, faults=[leaves]) as it:
        it.balancer.only("w1")
        call = await it.ring(
            *greeted(), *questions(1), WaitSeconds(5), *questions(1, first=1), HangUp(), model=MODEL
        )
        # The next connection has been asked for, and is not there yet.
        await until(
            lambda: len(call.sessions) == 2 and call.sessions[1].ready_at is None,
            timeout_s=20,
            poll_s=0.002,
        )
        old = it.workers["w1"]
        it.balancer.anyone()
        old.kill()
        assert old.killed_at is not None
        assert await call.until_next_model(old.killed_at) is not None
        assert call.lost_turns(old.killed_at - FORGOTTEN_S) == []
        result = await call.wait(30)
        assert got_through(result), result.warnings
        assert call.streams == 2
        assert result.two_voices(unheard=True) == []
        record = await it.record(call)
        assert record.end_reason is EndReason.CALLER_HUNG_UP
        assert record.turns[-1].heard == ANSWERS[1]


@pytest.mark.parametrize("kind", KINDS)
async def test_turn_that_finished_just_before_its_worker_died_is_known(
    kind: str, tmp_path: Path
) -> None:
    """It is written when it is over, not when a checkpoint is due; three times in one call."""
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3")) as it:
        # So short that it is over before a checkpoint would be due.
        brief = model(*((script.Say(text),) for text in ("Certainly.", "Seventeen.", "Gladly.")))
        call = await it.ring(*greeted(), *questions(3), StaySilent(), model=brief)
        restarts = []
        for number in range(1, 4):
            server = await it.served(call, number)
            # The greeting is a turn as well.
            await call.until_answers(number + 1, poll_s=0.002)
            await asyncio.sleep(FORGOTTEN_S)
            server.kill()
            assert server.killed_at is not None
            assert await call.until_next_model(server.killed_at) is not None
            assert call.lost_turns(server.killed_at - FORGOTTEN_S) == []
            restarts.append(asyncio.create_task(it.restart(server.name)))
        await asyncio.gather(*restarts)
        call.twin.hang_up()
        await call.wait(30)


@pytest.mark.parametrize("kind", KINDS)
async def test_question_in_which_its_worker_died_is_asked_for(kind: str, tmp_path: Path) -> None:
    """Also right after an answer: nobody has heard all of it, and the caller waits for the next."""
    async with fleet(tmp_path, kind=kind) as it:
        call = await it.ring(*greeted(), *questions(2), StaySilent(), model=MODEL)
        server = await it.served(call, 1)
        await call.until_answers(2, poll_s=0.002)
        await call.until_caller_speaks()
        # Long enough to be taken for speech, and written; most of the question is over by then.
        await asyncio.sleep(1.0)
        server.kill()
        assert server.killed_at is not None
        session = await call.until_next_model(server.killed_at)
        assert session is not None
        await until(lambda: session.texts or session.heard, timeout_s=5)
        assert session.texts == [REPEAT]
        await call.until_agent_speaks()
        call.twin.hang_up()
        await call.wait(30)


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_caller_gets_the_apology_after_too_many_losses(kind: str, tmp_path: Path) -> None:
    """Three times the call goes on (``limits.takeovers``); then it is not tried for ever."""
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3")) as it:
        call = await it.ring(*greeted(), *questions(1), StaySilent(), model=MODEL)
        restarts = []
        for stream in range(1, 5):
            server = await it.served(call, stream)
            # The dead are taken out first: what is asked is not how long that takes.
            await asyncio.sleep(1.5)
            assert not call.is_over
            server.kill()
            restarts.append(asyncio.create_task(it.restart(server.name)))
        result = await call.wait(30)
        assert call.streams == 4
        assert APOLOGY in said(result)
        assert result.status == "completed"
        assert result.two_voices(unheard=True) == []
        await asyncio.gather(*restarts)
        assert (await it.row(call)).state == "finished"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
async def test_three_workers_are_killed_one_after_the_other_under_thirty_calls(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No call ends, nothing finished is forgotten, no tool runs twice; and how long it takes."""
    times: list[tuple[float, float]] = []
    forgotten: list[str] = []
    late: list[str] = []
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3")) as it:

        async def affected(call: FleetCall, killed_at: float) -> None:
            if await call.until_next_model(killed_at) is None:
                return
            forgotten.extend(call.lost_turns(killed_at - FORGOTTEN_S))
            late.extend(call.lost_turns(killed_at))
            await asyncio.sleep(1)
            if (found := call.heard_again_s(killed_at)) is not None:
                times.append(found)

        calls = []
        for number in range(30):
            steps = [*greeted(), *questions(8, pause_s=1.0), WaitSeconds(3), HangUp()]
            calls.append(await it.ring(*steps, model=books(number)))
            await asyncio.sleep(0.25)
        for name in ("w1", "w2", "w3"):
            await asyncio.sleep(3)
            old = it.workers[name]
            hit = [call for call in calls if not call.is_over and it.server_of(call) is old]
            old.kill()
            assert old.killed_at is not None
            await asyncio.gather(*(affected(call, old.killed_at) for call in hit))
            await it.restart(name)
        results = await asyncio.gather(*(call.wait(90) for call in calls))
        stuck = zip(calls, results, strict=True)
        assert [call.story() for call, one in stuck if not got_through(one)] == []
        assert [pair for one in results for pair in one.two_voices(unheard=True)] == []
        runs = [it.tool_runs(f"load-{number}") for number in range(30)]
        with capsys.disabled():
            show("workers killed under 30 calls: until the agent hears the caller again", times)
            print(
                f"{len(forgotten)} finished turns forgotten, "
                f"{len(late)} with those of the last {FORGOTTEN_S} s; "
                f"{sum(len(run) > 0 for run in runs)} tools begun, "
                f"{sum(run.count('begun') > 1 for run in runs)} of them twice"
            )
        assert forgotten == []
        assert all(run.count("begun") <= 1 for run in runs)
        assert len(times) > 20
        assert p([asked for asked, _ in times], 95) < 5


def books(number: int) -> LiveScript:
    """A model whose third answer takes a tool, which takes its time."""
    tool = CallTool("book_table", {"key": f"load-{number}", "takes_s": 2.0})
    return model(
        (script.Say(ANSWERS[0]),), (script.Say(ANSWERS[1]),), (tool, script.Say(ANSWERS[2]))
    )
