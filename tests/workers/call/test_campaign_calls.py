"""Briefs before a call and results after it, also while the database is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.conversation.record import CallRecord, TurnRecord
from agent.spec import AgentSpec
from telephony.calls.status import AnsweredBy
from tests.fakes.briefs import MemoryBriefs
from tests.fakes.store import MemoryCallStore
from workers.call.agents import Agents, loaded_agent
from workers.call.campaign_calls import CampaignCalls, was_abandoned
from workers.call.entry import CallEntry
from workers.campaign.brief import Brief
from workers.metrics import Metrics

OURS, THEIRS = "+15550100002", "+15550100001"
BRIEF = Brief(17, "june", 7, AgentSpec("campaigner", "You call people."))
STARTED = "2026-11-27T10:00:00.000+00:00"
STARTED_S = 1_795_773_600.0


class World:
    def __init__(self) -> None:
        self.briefs = MemoryBriefs(by_attempt={17: BRIEF})
        self.store = MemoryCallStore()
        self.metrics = Metrics()
        self.agents = Agents(loaded_agent(AgentSpec("own", "You are a baker.")))
        self.slept: list[float] = []
        self.now = 0.0
        self.calls = CampaignCalls(
            self.briefs,
            self.agents,
            self.store,
            self.metrics,
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def counted(self, outcome: str) -> float:
        name = "evercall_campaign_briefs_total"
        return self.metrics.registry.get_sample_value(name, {"outcome": outcome}) or 0.0

    async def events(self, kind: str) -> list[dict[str, object]]:
        found = await self.store.load_events("CA1")
        return [dict(event.payload) for event in found if event.kind == kind]


@pytest.fixture
def world() -> World:
    return World()


def outbound() -> CallEntry:
    return CallEntry("CA1", "AC1", "outbound-api", OURS, THEIRS)


def inbound(from_: str = THEIRS) -> CallEntry:
    return CallEntry("CA1", "AC1", "inbound", from_, OURS)


# -- before a call -------------------------------------------------------------------------------


async def test_outbound_call_gets_its_attempts_brief(world: World) -> None:
    """With the campaign's agent, asked for once."""
    entry = outbound()
    assert await world.calls.brief(entry, 17, announced=True)
    assert await world.calls.brief(entry, 17)
    assert entry.brief is BRIEF
    assert world.agents.of(entry).spec.name == "campaigner"
    assert (world.briefs.asked, world.counted("found")) == (["attempt"], 1)


@pytest.mark.parametrize("what", ["failing", "unusable", "unknown", "slow"])
async def test_outbound_call_without_its_brief_is_let_down(world: World, what: str) -> None:
    """The wrong agent is worse; the next question may find it."""
    if what == "slow":
        world.briefs.delay_s = 1.01
    elif what == "unknown":
        world.briefs.by_attempt.clear()
    else:
        setattr(world.briefs, what, True)
    entry = outbound()
    assert not await world.calls.brief(entry, 17, announced=True)
    assert not entry.briefed
    name = {"failing": "unavailable", "slow": "unavailable"}.get(what, what)
    assert world.counted(name) == 1


async def test_agent_that_cannot_be_loaded_lets_a_callee_down_and_no_caller(world: World) -> None:
    """A caller is served by the worker's own."""
    broken = replace(BRIEF, spec=replace(BRIEF.spec, tools=("no.such.module:tool",)))
    world.briefs.by_attempt[17] = broken
    world.briefs.by_numbers[THEIRS, OURS] = broken
    assert not await world.calls.brief(outbound(), 17, announced=True)
    entry = inbound()
    assert await world.calls.brief(entry, None, announced=True)
    assert world.agents.of(entry) is world.agents.own


async def test_inbound_call_of_a_contact_has_the_same_context(world: World) -> None:
    """Others have the worker's own agent."""
    world.briefs.by_numbers[THEIRS, OURS] = replace(BRIEF, attempt_id=None)
    contact, other = inbound(), inbound("+15550100009")
    assert await world.calls.brief(contact, None, announced=True)
    assert await world.calls.brief(other, None, announced=True)
    assert contact.brief is not None
    assert (other.brief, other.briefed) == (None, True)


async def test_inbound_call_does_not_wait_for_a_store_that_is_away(world: World) -> None:
    """It keeps the worker's own agent, which does not change in the middle of it."""
    world.briefs.failing = True
    entry = inbound()
    assert await world.calls.brief(entry, None, announced=True)
    world.briefs.failing = False
    world.briefs.by_numbers[THEIRS, OURS] = replace(BRIEF, attempt_id=None)
    assert await world.calls.brief(entry, None)
    assert world.agents.of(entry) is world.agents.own
    assert world.briefs.asked == ["inbound"]


async def test_outbound_call_of_no_campaign_asks_nobody(world: World) -> None:
    """``evercall call`` has the worker's own agent, from beginning to end."""
    entry = outbound()
    assert await world.calls.brief(entry, None, announced=True)
    assert await world.calls.brief(entry, None)
    assert world.briefs.asked == []


async def test_call_that_goes_on_is_found_by_its_sid(world: World) -> None:
    """Where no address names the attempt any more."""
    world.briefs.by_call["CA1"] = BRIEF
    entry = outbound()
    assert await world.calls.brief(entry, None)
    assert entry.brief is BRIEF


async def test_call_that_another_agent_began_does_not_go_on_with_ours(world: World) -> None:
    """Its record says who spoke; a call of the own agent goes on."""
    world.briefs.failing = True
    entry = outbound()
    entry.record = CallRecord("CA1", "campaigner", "model")
    assert not await world.calls.brief(entry, None)
    entry.record = CallRecord("CA1", "own", "model")
    assert await world.calls.brief(entry, None)


# -- results -------------------------------------------------------------------------------------


async def test_callee_is_suppressed_by_their_own_number(world: World) -> None:
    """Outbound it is ``To``, and the attempt says so as well."""
    entry = outbound()
    await world.calls.brief(entry, 17, announced=True)
    assert await world.calls.opt_out(entry, "keypad")
    assert world.briefs.suppressed == [(THEIRS, "keypad", "CA1")]
    assert world.briefs.flags == [(17, "opted_out")]
    assert await world.events("opt_out") == [{"source": "keypad"}]
    assert await world.events("suppressed") == [{"written": True, "known": True}]


async def test_caller_without_a_campaign_is_suppressed_too(world: World) -> None:
    """Inbound it is ``From``."""
    assert await world.calls.opt_out(inbound(), "agent")
    assert world.briefs.suppressed == [(THEIRS, "agent", "CA1")]


@pytest.mark.parametrize(
    "number", ["anonymous", "+266696687", "+7378742833", "+86282452253", "sip:anna@example.com"]
)
async def test_withheld_number_cannot_be_promised(world: World, number: str) -> None:
    """It is on the call's history, and nothing else is written."""
    assert not await world.calls.opt_out(inbound(number), "agent")
    assert world.briefs.suppressed == []
    assert await world.events("suppressed") == [{"written": False, "known": False}]


async def test_opt_out_is_written_when_the_database_is_back(world: World) -> None:
    """Tried again, also when the call is over; the history tells both."""
    world.briefs.fail_writes = 4
    assert not await world.calls.opt_out(inbound(), "agent")
    assert world.briefs.suppressed == []
    await world.calls.settled()
    assert world.briefs.suppressed == [(THEIRS, "agent", "CA1")]
    assert world.slept == [1.0, 2.0, 5.0, 10.0]
    assert [event["written"] for event in await world.events("suppressed")] == [False, True]


async def test_opt_out_outlives_a_long_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else knows of it, and they would be called again: it is never one too many either."""
    monkeypatch.setattr("workers.call.campaign_calls.MAX_WAITING", 0)
    world.briefs.fail_writes = 200
    assert not await world.calls.opt_out(inbound(), "agent")
    await world.calls.settled()
    assert sum(world.slept) > 3_600
    assert world.briefs.suppressed == [(THEIRS, "agent", "CA1")]


async def test_report_is_given_up_after_minutes(world: World) -> None:
    """It is not tried for ever."""
    entry = outbound()
    await world.calls.brief(entry, 17, announced=True)
    world.briefs.failing = True
    assert not await world.calls.report(entry, {"coming": True})
    await world.calls.settled()
    assert 600 <= sum(world.slept) < 640
    world.briefs.failing = False
    assert world.briefs.reports == []


async def test_worker_that_stops_tries_once_more_at_once(world: World) -> None:
    """A pause of half a minute is not waited for, nor is a database that is away."""
    gate = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await gate.wait()

    world.calls._sleep = sleep
    world.briefs.fail_writes = 1
    assert not await world.calls.opt_out(inbound(), "agent")
    await world.calls.close()
    assert world.briefs.suppressed == [(THEIRS, "agent", "CA1")]


async def test_opt_out_outlives_the_tool_that_asked_for_it(world: World) -> None:
    """A caller who hangs up at once has a tool cancelled, not their wish."""
    world.briefs.delay_s = 0.01
    asking = asyncio.create_task(world.calls.opt_out(inbound(), "agent"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await world.calls.settled()
    assert world.briefs.suppressed == [(THEIRS, "agent", "CA1")]


async def test_report_is_kept_for_its_contact(world: World) -> None:
    """Now, or else later."""
    entry = outbound()
    await world.calls.brief(entry, 17, announced=True)
    assert await world.calls.report(entry, {"coming": True})
    world.briefs.fail_writes = 1
    assert not await world.calls.report(entry, {"coming": False})
    await world.calls.settled()
    assert world.briefs.reports == [(7, 17, {"coming": True}), (7, 17, {"coming": False})]


# -- abandoned -----------------------------------------------------------------------------------


def spoken(*turns: tuple[float, float], ended_s: float = 20.0) -> CallRecord:
    return CallRecord(
        "CA1",
        "campaigner",
        "model",
        started_at=STARTED,
        ended_s=ended_s,
        turns=[
            TurnRecord("agent", "Hello.", "Hello.", at_s, at_s + 1, heard_ms=heard_ms)
            for at_s, heard_ms in turns
        ],
    )


@pytest.mark.parametrize(
    ("record", "answered_at", "expected"),
    [
        (spoken((0.8, 500)), None, False),
        (spoken((2.5, 500)), None, True),
        # Somewhat later than Twilio asked the stream begins.
        (spoken((1.5, 500)), STARTED_S - 1, True),
        (spoken((1.5, 500)), STARTED_S + 5, False),
        # What was never played was not heard.
        (spoken((0.5, 0), (4.0, 300)), None, True),
        (spoken((0.5, 0)), None, True),
        # Nobody has waited for two seconds.
        (spoken(ended_s=1.2), None, False),
        (spoken(ended_s=9.0), None, True),
        (None, None, False),
    ],
)
def test_abandoned_is_who_heard_nobody_within_two_seconds(
    record: CallRecord | None, answered_at: float | None, expected: bool
) -> None:
    """From the answer to the first sound of the agent that was played."""
    assert was_abandoned(record, answered_at) is expected


@pytest.mark.parametrize(
    ("answered_by", "flagged"),
    [
        (None, True),
        (AnsweredBy.HUMAN, True),
        (AnsweredBy.UNKNOWN, True),
        (AnsweredBy.MACHINE_START, False),
        (AnsweredBy.FAX, False),
    ],
)
async def test_abandoned_call_of_a_person_is_noted_once(
    world: World, answered_by: AnsweredBy | None, flagged: bool
) -> None:
    """A machine waits for nobody."""
    entry = outbound()
    await world.calls.brief(entry, 17, announced=True)
    entry.record, entry.answered_by = spoken((3.0, 500)), answered_by
    world.calls.closed(entry)
    world.calls.closed(entry)
    await world.calls.settled()
    assert world.briefs.flags == ([(17, "abandoned")] if flagged else [])
