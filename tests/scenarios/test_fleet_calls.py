"""Calls on several workers behind one address, while nothing goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.conversation.record import EndReason
from tests.scenarios.fleet.database import kinds
from tests.scenarios.fleet.fleet import fleet
from tests.scenarios.fleet.seen import got_through, heard_ms
from tests.scenarios.rig import ANSWER, GREETING, QUESTION, agent_turns
from workers.twin.caller import HangUp, Say, WaitAgentDone
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, Turn

pytestmark = pytest.mark.alone

TALK = (WaitAgentDone(400), Say(QUESTION), WaitAgentDone(400), HangUp())
TOOL = LiveScript(
    opening=(script.Say(GREETING),),
    turns=(
        Turn(
            QUESTION,
            (CallTool("book_table", {"key": "calls", "takes_s": 0.1}), script.Say(ANSWER)),
        ),
    ),
    answer_delay_s=0.1,
)


@pytest.mark.parametrize("kind", kinds())
async def test_calls_go_to_all_workers_and_each_has_one_record(kind: str, tmp_path: Path) -> None:
    """Six calls at three workers: every one is answered, and recorded in the one database."""
    async with fleet(tmp_path, kind=kind, workers=("w1", "w2", "w3")) as it:
        for name in it.workers:
            it.balancer.only(name, "/voice", times=1)
            it.balancer.only(name, "/media", times=1)
            await (await it.ring(*TALK, model=TOOL)).wait(30)
            it.balancer.anyone()
        calls = [await it.ring(*TALK) for _ in range(3)]
        results = await asyncio.gather(*(call.wait(30) for call in calls))
        for result in results:
            assert got_through(result), result.warnings
            assert heard_ms(result, 0) > 500
        for call in it.calls:
            record = await it.record(call)
            assert record.end_reason is EndReason.CALLER_HUNG_UP
            assert [turn.heard for turn in agent_turns(record)] == [GREETING, ANSWER]
            assert len(record.streams) == 1
            assert len(call.sessions) == 1
            assert not call.lost_turns(finished_by=float("inf"))
            assert len(it.recordings(call)) == 1
        assert {it.server_of(call).name for call in it.calls[:3]} == {"w1", "w2", "w3"}
        assert it.tool_runs("calls") == ["begun", "done"] * 3
