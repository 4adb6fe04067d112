"""A worker is killed with SIGKILL, with calls in every state: all of them go on at another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from agent.conversation.record import CallRecord, EndReason
from tests.scenarios.fleet.database import kinds
from tests.scenarios.fleet.fleet import Fleet, fleet
from tests.scenarios.fleet.numbers import show
from tests.scenarios.fleet.process import WorkerProcess
from tests.scenarios.fleet.seen import CONTINUE, FleetCall, got_through, heard_ms
from tests.scenarios.fleet.talk import (
    ANSWERS,
    LONG_ANSWER,
    LONG_QUESTION,
    MODEL,
    QUESTIONS,
    greeted,
    model,
    questions,
)
from tests.scenarios.rig import COLLEAGUE, until
from workers.twin.caller import (
    CallerScript,
    HangUp,
    Say,
    StaySilent,
    Step,
    Tone,
    WaitAgentDone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api import script
from workers.twin.live_api.script import CallTool, LiveScript, Steps
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.result import CallResult

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

ABSENT = "+15550100008"
AGENT = {"transfer": {"front desk": COLLEAGUE, "back office": ABSENT}}
WRITTEN_S = 0.2
"""What is written behind needs a moment to be written."""
RINGS_S = 9.0
"""Longer than it takes all calls to get to where the worker dies."""


def transfer(to: str) -> Steps:
    return (CallTool("transfer_call", {"destination": to}), script.Say("One moment please."))


CALLS: dict[str, tuple[list[Step], LiveScript]] = {
    "quiet": ([*greeted(), *questions(1), WaitSeconds(9), *questions(1, first=1), HangUp()], MODEL),
    "caller": (
        [*greeted(), *questions(1), Say(LONG_QUESTION), WaitAgentDone(400), HangUp()],
        model(questions=(QUESTIONS[0], LONG_QUESTION)),
    ),
    "agent": (
        # Somebody who waits a while before they say more.
        [
            *greeted(),
            *questions(1),
            *(Say(QUESTIONS[1]), WaitAgentDone(2_500)),
            *questions(1, first=2),
            HangUp(),
        ],
        model((script.Say(ANSWERS[0]),), (script.Say(LONG_ANSWER),)),
    ),
    "tool": (
        [*greeted(), *questions(2), *questions(1, first=2), HangUp()],
        model(
            (script.Say(ANSWERS[0]),),
            (CallTool("book_table", {"key": "crash", "takes_s": 8.0}), script.Say(ANSWERS[1])),
        ),
    ),
    "connected": ([*greeted(), *questions(1), StaySilent()], model(transfer("front desk"))),
    "ringing": ([*greeted(), *questions(1), StaySilent()], model(transfer("back office"))),
    "gone": ([*greeted(), *questions(1), StaySilent()], MODEL),
}


@dataclass
class Crash:
    """What became of it."""

    it: Fleet
    calls: dict[str, FleetCall]
    killed: WorkerProcess
    killed_at: float
    results: dict[str, CallResult | BaseException] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    """Turns finished before, that the next model did not know when it was set up."""

    def result(self, name: str) -> CallResult:
        found = self.results[name]
        if isinstance(found, BaseException):
            raise found
        return found

    def at_s(self, name: str) -> float:
        """When the worker was killed, by the call's time."""
        return self.calls[name].at_s(self.killed_at)

    async def record(self, name: str) -> CallRecord:
        return await self.it.record(self.calls[name])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=kinds("postgresql"))
async def crash(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crash]:
    """Seven calls at one worker, which is killed when each of them is where it is to be."""
    folder = tmp_path_factory.mktemp("crash")
    async with fleet(folder, kind=request.param, agent=AGENT, workers=("w1", "w2")) as it:
        it.twilio.on_dial = on_dial
        it.balancer.only("w1")
        calls = {name: await it.ring(*steps, model=says) for name, (steps, says) in CALLS.items()}
        await until(lambda: all_there(it, calls), timeout_s=20)
        it.balancer.anyone()
        it.workers["w1"].kill()
        assert it.workers["w1"].killed_at is not None
        crash = Crash(it, calls, it.workers["w1"], it.workers["w1"].killed_at)
        await asyncio.gather(go_on(crash), *(finish(crash, name) for name in calls))
        yield crash


def on_dial(to: str) -> CalleeBehaviour:
    if to == COLLEAGUE:
        steps = (WaitStream(), WaitSeconds(4), Tone(1_000, 1_000), WaitSeconds(1), HangUp())
        return CalleeBehaviour(after_s=0.3, script=CallerScript.of(*steps))
    return CalleeBehaviour(outcome="no-answer", after_s=RINGS_S)


def all_there(it: Fleet, calls: dict[str, FleetCall]) -> bool:
    return (
        calls["caller"].caller_speaks()
        and calls["caller"].answers >= 2
        and calls["agent"].agent_is_heard()
        and calls["agent"].answers >= 2
        and it.tool_runs("crash") == ["begun"]
        and calls["connected"].count("bridged") > 0
        and calls["ringing"].count("dial") > 0
        and calls["gone"].answers >= 2
        and calls["quiet"].answers >= 2
        and not calls["quiet"].agent_is_heard()
    )


async def go_on(crash: Crash) -> None:
    """Do what those do who do not follow a script of their own."""
    gone, ringing = crash.calls["gone"], crash.calls["ringing"]
    await until(lambda: gone.webhooks(CONTINUE, since_s=crash.at_s("gone")))
    gone.twin.hang_up()
    await ringing.until_streams(2, timeout_s=RINGS_S + 10)
    await ringing.until_agent_speaks()
    await ringing.until_agent_quiet()
    ringing.twin.hang_up()


async def finish(crash: Crash, name: str) -> None:
    call = crash.calls[name]
    try:
        # Before it has been told anything that it did not know when it was set up.
        if await call.until_next_model(crash.killed_at) is not None:
            crash.lost[name] = call.lost_turns(crash.killed_at - WRITTEN_S)
        crash.results[name] = await call.wait(45)
    except (TimeoutError, AssertionError) as error:
        crash.results[name] = error


ON_A_STREAM = ["quiet", "caller", "agent", "tool"]


@pytest.mark.parametrize("name", ON_A_STREAM)
async def test_call_goes_on_at_another_worker(crash: Crash, name: str) -> None:
    """The caller gets to the end of what they wanted, on a second stream."""
    result = crash.result(name)
    assert got_through(result), result.warnings
    assert crash.calls[name].streams == 2
    assert crash.it.server_of(crash.calls[name]).name == "w2"
    assert heard_ms(result, crash.at_s(name) + 0.3) > 500


@pytest.mark.parametrize("name", ON_A_STREAM)
async def test_next_model_knows_all_that_was_finished(crash: Crash, name: str) -> None:
    """No turn that was over before the worker died is forgotten."""
    crash.result(name)
    assert crash.lost[name] == []


@pytest.mark.parametrize("name", ON_A_STREAM)
async def test_nobody_is_greeted_again(crash: Crash, name: str) -> None:
    """The model is not asked for its greeting by any connection but the first."""
    crash.result(name)
    first, *others = crash.calls[name].sessions
    assert any("just been answered" in text for text in first.texts)
    assert not any("just been answered" in text for log in others for text in log.texts)


@pytest.mark.parametrize("name", ON_A_STREAM)
async def test_never_two_voices(crash: Crash, name: str) -> None:
    """The dead worker's stream is over when the next one begins."""
    result = crash.result(name)
    assert result.two_voices(unheard=True) == []
    ended = result.named("stream.closed")[0].at_s
    assert ended <= result.named("stream.started")[1].at_s


@pytest.mark.parametrize("name", ON_A_STREAM)
async def test_one_record_and_one_recording_span_both_workers(crash: Crash, name: str) -> None:
    """Turns of both are in it, in order, and the first stream is known to be lost."""
    result = crash.result(name)
    record = await crash.record(name)
    assert record.end_reason is EndReason.CALLER_HUNG_UP
    assert [one.end_reason for one in record.streams] == [
        EndReason.STREAM_LOST,
        EndReason.CALLER_HUNG_UP,
    ]
    assert record.streams[0].worker != record.streams[1].worker
    starts = [turn.started_s for turn in record.turns]
    assert starts == sorted(starts)
    assert record.turns[-1].started_s > record.streams[1].started_s > record.turns[0].started_s
    assert [turn.heard for turn in record.turns[1:3]] == [QUESTIONS[0], ANSWERS[0]]
    assert record.ended_s == pytest.approx(result.duration_s, abs=2.0)
    assert len(crash.it.recordings(crash.calls[name])) == 1


async def test_tool_runs_once_and_its_outcome_is_unknown(crash: Crash) -> None:
    """Nobody runs it again; the next model is told that it may have been carried out."""
    crash.result("tool")
    assert crash.it.tool_runs("crash") == ["begun"]
    record = await crash.record("tool")
    assert [(tool.name, tool.outcome) for tool in record.tools] == [("book_table", "unknown")]
    assert "book_table" in crash.calls["tool"].known_turns()


async def test_answer_that_was_cut_off_is_gone_on_with(crash: Crash) -> None:
    """The caller hears the rest of it, not the beginning again."""
    result = crash.result("agent")
    (_, second) = crash.calls["agent"].sessions[:2]
    assert second.said
    rest = second.said[0].text
    assert rest
    assert LONG_ANSWER.endswith(rest)
    assert heard_ms(result, crash.at_s("agent")) > 500


async def test_caller_who_hangs_up_meanwhile_leaves_nothing(crash: Crash) -> None:
    """Their record is closed although nobody serves them, and no Live connection is left."""
    result = crash.result("gone")
    assert result.status == "completed"
    assert not result.open_sockets
    record = await crash.record("gone")
    assert record.streams[-1].end_reason is not None
    assert all(not log.open for log in crash.calls["gone"].sessions)


async def test_connected_transfer_is_not_touched(crash: Crash) -> None:
    """Caller and colleague talk on, and the call ends when the colleague hangs up."""
    result = crash.result("connected")
    (leg,) = result.legs
    assert leg.status == "completed"
    assert result.named("dial.ended")[0].data["bridged"]
    assert result.named("dial.ended")[0].at_s > crash.at_s("connected")
    assert result.status == "completed"
    assert crash.calls["connected"].streams == 1
    assert (await crash.record("connected")).end_reason is EndReason.TRANSFERRED


async def test_caller_whose_transfer_nobody_answers_gets_the_agent_back(crash: Crash) -> None:
    """The next worker's agent knows that nobody answered, and says so."""
    result = crash.result("ringing")
    assert result.named("dial.ended")[0].at_s > crash.at_s("ringing")
    assert crash.calls["ringing"].streams == 2
    assert any("nobody answered" in text for text in crash.calls["ringing"].sessions[-1].texts)
    assert heard_ms(result, result.named("stream.started")[1].at_s) > 500


async def test_agent_hears_the_caller_again_soon(
    crash: Crash, capsys: pytest.CaptureFixture[str]
) -> None:
    """From Twilio's next request on; bounded generously here, since the machine is shared."""
    times = [
        found
        for name in ON_A_STREAM
        if (found := crash.calls[name].heard_again_s(crash.killed_at)) is not None
    ]
    assert len(times) == len(ON_A_STREAM)
    with capsys.disabled():
        show("worker killed: until the agent hears the caller again", times)
    assert max(asked for asked, _ in times) < 5
