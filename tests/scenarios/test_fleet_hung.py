"""A worker hangs, its sockets open: its calls are steered to another, and it does not come back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.conversation.record import EndReason
from tests.scenarios.fleet.database import KINDS, kinds
from tests.scenarios.fleet.fleet import fleet
from tests.scenarios.fleet.numbers import show
from tests.scenarios.fleet.seen import CONTINUE, got_through, heard_ms
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
from workers.twin.caller import HangUp, Say, StaySilent, WaitSeconds
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool

pytestmark = pytest.mark.alone

STEERED_S = 11.0
"""About 8 s; the machine is shared."""


@pytest.mark.parametrize("kind", kinds("sqlite"))
async def test_calls_of_a_stopped_worker_are_steered_on_and_it_stays_silent_after(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGSTOP: the sweeper of the other worker has Twilio ask; SIGCONT: the old one lets go."""
    later = [WaitSeconds(STEERED_S), *questions(1, first=2), HangUp()]
    async with fleet(tmp_path, kind=kind) as it:
        it.balancer.only("w1")
        quiet = await it.ring(*greeted(), *questions(2), *later, model=MODEL)
        agent = await it.ring(
            *greeted(),
            *questions(1),
            Say(QUESTIONS[1]),
            *later,
            model=model((script.Say(ANSWERS[0]),), (script.Say(LONG_ANSWER),)),
        )
        calls = [quiet, agent]
        old = it.workers["w1"]
        await quiet.until_answers(3)
        await agent.until_answers(2)
        await agent.until_agent_speaks()
        it.balancer.anyone()
        old.stop()
        assert old.killed_at is not None
        await asyncio.gather(*(call.until_streams(2, timeout_s=STEERED_S + 5) for call in calls))
        lost = [call.lost_turns(old.killed_at - 0.2) for call in calls]
        await asyncio.sleep(1.0)
        continued = [call.now_s() for call in calls]
        old.cont()
        results = await asyncio.gather(*(call.wait(45) for call in calls))
        steered = [
            (0.0, call.webhooks(CONTINUE)[0].sent_at_s - call.at_s(old.killed_at)) for call in calls
        ]
        with capsys.disabled():
            show("worker stopped: until its calls were steered on", steered)
        for call, result, since_s in zip(calls, results, continued, strict=True):
            assert got_through(result), result.warnings
            assert call.webhooks(CONTINUE)[0].sent_at_s - call.at_s(old.killed_at) < STEERED_S
            assert call.streams == 2
            assert it.server_of(call).name == "w2"
            assert result.two_voices(unheard=True) == []
            assert heard_ms(result, since_s) > 500
            record = await it.record(call)
            assert record.end_reason is EndReason.CALLER_HUNG_UP
            assert len(record.streams) == 2
            assert record.turns[-1].heard == ANSWERS[2]
        assert lost == [[], []]
        # It has not been killed, has let go of its calls, and takes new ones.
        await until(lambda: not it.balancer.backends["w1"].pipes)
        await until(lambda: it.balancer.backends["w1"].ready)
        assert not old.gone
        it.balancer.only("w1")
        assert got_through(await (await it.ring(*greeted(), HangUp())).wait(20))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS[:1])
async def test_worker_whose_event_loop_hangs_kills_itself(kind: str, tmp_path: Path) -> None:
    """A tool that blocks the loop costs its worker, not the callers of that worker."""
    blocks = model(
        (script.Say(ANSWERS[0]),),
        (CallTool("block_the_loop", {"key": "hung", "takes_s": 60.0}), script.Say(ANSWERS[1])),
    )
    agent = {"tools": ["fleet_tools:block_the_loop"]}
    async with fleet(tmp_path, kind=kind, agent=agent, settings={"EVERCALL_HUNG_S": "2"}) as it:
        it.balancer.only("w1")
        asks = await it.ring(*greeted(), *questions(2), StaySilent(), model=blocks)
        beside = await it.ring(*greeted(), WaitSeconds(14), *questions(2), HangUp(), model=MODEL)
        await until(lambda: it.tool_runs("hung") == ["begun"], timeout_s=20)
        it.balancer.anyone()
        assert await it.workers["w1"].wait_gone(10) == -9
        await asyncio.gather(asks.until_streams(2), beside.until_streams(2))
        await asks.until_agent_speaks()
        asks.twin.hang_up()
        assert got_through(await beside.wait(45))
        assert it.tool_runs("hung") == ["begun"]
        assert "block_the_loop" in asks.known_turns()
