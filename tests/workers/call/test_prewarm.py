"""Connections dialled ahead: taken once, by the right session, and never left open."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from google.genai import types

from agent import events
from agent.context.seed import SeedTurn
from agent.conversation.prompt import Opening, open_call
from agent.conversation.record import EndReason
from agent.conversation.transcript import Transcript
from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError
from agent.live.connection import Connection
from agent.live.dialer import Dialer, LiveDialer
from agent.live.session import LiveSession
from agent.live.settings import LiveSettings
from agent.spec import AgentSpec, Greeting, Limits
from agent.tools.call_control import built_in_tools
from agent.tools.runner import ToolRunner
from tests.agent.live.calls import Listener
from tests.fakes.call_control import FakeCallControl
from tests.fakes.live_connection import FakeConnection, FakeDialer
from tests.fakes.playout import FakePlayout
from workers.call.prewarm import Prewarm, PrewarmOutcome
from workers.twin.live_api.faults import Close, Fault, GoAway
from workers.twin.live_api.script import LiveScript, Say
from workers.twin.live_api.server import LiveTwin

HIT, LATE, UNCLAIMED, FAILED, FULL = PrewarmOutcome
SPEC = AgentSpec(name="bakery", system_instruction="Be kind.", tools=("end_call",))
OPENING = Opening("Be kind.", greeting="Hello.")
# What a session hands to its dialer: the instruction, nothing else of the opening.
DIALLED = Opening("Be kind.")
TOOLS = (types.FunctionDeclaration(name="end_call", description="Hang up."),)
CALL = "CA1"
AWAY = LiveConnectFailed("the network is away")
REFUSED = LiveConnectRefused("GOOGLE_API_KEY", "was refused")


@dataclass(slots=True)
class Desk:
    """A prewarm over a dialer, and what it counted."""

    dialer: FakeDialer
    limit: int = 50
    keep_s: float = 20.0
    outcomes: list[PrewarmOutcome] = field(default_factory=list)
    prewarm: Prewarm = field(init=False)

    def __post_init__(self) -> None:
        self.prewarm = Prewarm(
            self.dialer, on_outcome=self.outcomes.append, limit=self.limit, keep_s=self.keep_s
        )

    def begin(self, call_sid: str = CALL) -> None:
        self.prewarm.begin(call_sid, SPEC, OPENING, TOOLS)

    async def connect(self, dialer: Dialer | None = None, **options: Any) -> Connection:
        """Dial as a session does."""
        return await (dialer or self.prewarm.dialer_for(CALL)).connect(
            SPEC, DIALLED, list(TOOLS), **options
        )

    @property
    def open(self) -> list[FakeConnection]:
        return [connection for connection in self.dialer.connections if not connection.closed]


@asynccontextmanager
async def desk(*outcomes: FakeConnection | LiveError, **options: Any) -> AsyncIterator[Desk]:
    """A prewarm of one test, which leaves no task behind."""
    before = asyncio.all_tasks()
    at_once = options.pop("open_at_once", True)
    found = Desk(FakeDialer(*outcomes, open_at_once=at_once), **options)
    try:
        yield found
    finally:
        async with asyncio.timeout(5):
            await found.prewarm.close()
    assert asyncio.all_tasks() <= before


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.001)


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_connection_that_is_there_is_taken() -> None:
    """The session dials nothing, and the connection is its own: not even the end closes it."""
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        assert await one.connect() is one.dialer.connections[0]
        await settle()
        assert (len(one.dialer.dials), one.outcomes) == (1, [HIT])
    assert one.open == one.dialer.connections


async def test_connection_is_dialled_as_the_session_would() -> None:
    """The whole spec, its instruction, no handle and no history: the setup of a fresh call."""
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        (dial,) = one.dialer.dials
    assert (dial.spec, dial.opening, dial.handle, dial.history) == (SPEC, DIALLED, None, ())


async def test_what_came_before_the_claim_reaches_the_session() -> None:
    """``goAway`` seconds after the setup (seen on 3.8) is the session's to act on."""
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        one.dialer.connections[0].say(events.GoAwayReceived(9.0))
        await settle()
        connection = await one.connect()
        async with asyncio.timeout(1):
            assert await connection.receive() == [events.GoAwayReceived(9.0)]


async def test_dial_under_way_is_waited_for() -> None:
    """Its rest is shorter than a dial, and there is never a second connection."""
    async with desk(open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await settle()
        assert not taking.done()
        one.dialer.may_open.set()
        assert await taking is one.dialer.connections[0]
        assert (len(one.dialer.dials), one.outcomes) == (1, [LATE])


async def test_one_that_is_waited_for_is_not_too_old() -> None:
    """How long one is kept for nobody says nothing of one that a session wants."""
    async with desk(open_at_once=False, keep_s=0.02) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await asyncio.sleep(0.1)
        one.dialer.may_open.set()
        assert await taking is one.dialer.connections[0]
        assert (len(one.dialer.dials), one.outcomes) == (1, [LATE])


async def test_second_begin_of_a_call_is_ignored() -> None:
    """Twilio asks again where our answer was slow; while it is dialled, and when it is there."""
    async with desk() as one:
        one.begin()
        one.begin()
        await until(lambda: one.open)
        one.begin()
        await settle()
        assert len(one.dialer.dials) == 1
        one.begin("CA2")
        await until(lambda: len(one.open) == 2)


@pytest.mark.parametrize(
    "wanted",
    [
        {"handle": "h"},
        {"history": (SeedTurn("user", "Hi."),)},
        {"opening": Opening("Be stern.")},
        {"spec": replace(SPEC, model="gemini-3.1-flash-live-preview")},
        {"spec": replace(SPEC, voice="Puck")},
        {"declarations": ()},
    ],
    ids=["handle", "history", "instruction", "model", "voice", "tools"],
)
async def test_other_setup_is_dialled_and_what_was_there_is_closed(wanted: dict[str, Any]) -> None:
    """A session never gets a connection that was told something else than it would have told."""
    asked: dict[str, Any] = {"spec": SPEC, "opening": DIALLED, "declarations": TOOLS} | wanted
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        got = await one.prewarm.dialer_for(CALL).connect(**asked)
        await settle()
        assert [got] == one.open == one.dialer.connections[1:]
        assert one.dialer.dials[1].handle == wanted.get("handle")
        assert one.outcomes == [UNCLAIMED]


async def test_later_dials_are_the_sessions_own() -> None:
    """A move must not find the connection of a webhook that was asked again."""
    async with desk() as one:
        dialer = one.prewarm.dialer_for(CALL)
        first = await one.connect(dialer)
        one.begin()
        await until(lambda: len(one.open) == 2)
        assert await one.connect(dialer, timeout_s=4.0) is one.dialer.connections[2]
        assert one.dialer.dials[2].timeout_s == 4.0
        assert first is one.dialer.connections[0]


async def test_session_of_another_call_takes_nothing() -> None:
    """Connections are all alike, but who called is part of the instruction."""
    async with desk() as one:
        one.begin("CA2")
        await until(lambda: one.open)
        assert await one.connect() is one.dialer.connections[1]
        assert one.outcomes == []


async def test_failed_dial_ahead_does_not_fail_the_session() -> None:
    """Whether it failed before the session came or while it waited, the session dials anew."""
    for waits in (False, True):
        async with desk(AWAY, FakeConnection(), open_at_once=not waits) as one:
            one.begin()
            await settle()
            taking = asyncio.create_task(one.connect())
            await settle()
            one.dialer.may_open.set()
            assert await taking is one.dialer.connections[0]
            assert (len(one.dialer.dials), one.outcomes) == (2, [FAILED])


async def test_refused_dial_is_passed_on() -> None:
    """A wrong key is not tried twice while a caller waits for the apology."""
    async with desk(REFUSED, FakeConnection(), open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await settle()
        one.dialer.may_open.set()
        with pytest.raises(LiveConnectRefused) as caught:
            await taking
        assert caught.value is REFUSED
        assert (len(one.dialer.dials), one.outcomes) == (1, [FAILED])


async def test_waiting_counts_against_the_sessions_bound() -> None:
    """It ends when the bound does, and what a failed dial took is not to be had twice."""
    async with desk(open_at_once=False) as one:
        one.begin()
        with pytest.raises(LiveConnectFailed):
            await one.connect(timeout_s=0.02)
        assert one.outcomes == [FAILED]
        one.dialer.may_open.set()
        await settle()
        assert one.dialer.connections == []  # that dial was broken off
    async with desk(AWAY, FakeConnection(), open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect(timeout_s=4.0))
        await asyncio.sleep(0.1)
        one.dialer.may_open.set()
        await taking
        left_s = one.dialer.dials[1].timeout_s
        assert left_s is not None
        assert left_s < 3.95


async def test_dead_connection_is_not_given_out() -> None:
    """The session would find out with its first word; it dials at once instead."""
    dead = FakeConnection()
    async with desk(dead, FakeConnection()) as one:
        one.begin()
        await until(lambda: one.open)
        dead.lose(1011)
        assert await one.connect() is one.dialer.connections[1]
        await settle()
        assert (dead.closed, one.outcomes) == (True, [FAILED])


async def test_unclaimed_connection_is_closed_after_a_while() -> None:
    """A stream that landed in another process leaves nothing here."""
    async with desk(keep_s=0.05) as one:
        one.begin()
        await until(lambda: one.open)
        assert one.outcomes == []
        await until(lambda: not one.open)
        assert one.outcomes == [UNCLAIMED]
        assert await one.connect() is one.dialer.connections[1]


async def test_call_that_is_over_drops_its_connection() -> None:
    """The one that is there is closed, the one that is dialled is broken off."""
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        one.prewarm.drop(CALL)
        one.prewarm.drop("CA of nobody")
        await until(lambda: not one.open)
        assert one.outcomes == [UNCLAIMED]
    async with desk(open_at_once=False) as one:
        one.begin()
        await settle()
        one.prewarm.drop(CALL)
        await settle()
        one.dialer.may_open.set()
        await settle()
        assert (one.dialer.connections, one.outcomes) == ([], [UNCLAIMED])


async def test_drop_leaves_a_session_that_waits_its_connection() -> None:
    """The session knows itself when it ends; a status callback may be late or of another leg."""
    async with desk(open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await settle()
        one.prewarm.drop(CALL)
        one.dialer.may_open.set()
        await taking
        assert (len(one.dialer.dials), one.outcomes) == (1, [LATE])


async def test_more_than_the_limit_are_not_dialled() -> None:
    """A slot is free again when its connection is taken or closed, and not while it closes."""
    slow = FakeConnection()
    slow.hangs_at_close = True
    async with desk(slow, FakeConnection(), limit=2) as one:
        for call_sid in (CALL, "CA2", "CA3"):
            one.begin(call_sid)
        await until(lambda: len(one.open) == 2)
        assert (len(one.dialer.dials), one.outcomes) == (2, [FULL])
        one.prewarm.drop(CALL)
        await settle()
        one.begin("CA4")
        await settle()
        assert (len(one.dialer.dials), one.outcomes) == (2, [FULL, UNCLAIMED, FULL])
        await one.connect(one.prewarm.dialer_for("CA2"))
        await settle()
        one.begin("CA5")
        await until(lambda: len(one.dialer.dials) == 3)


@pytest.mark.parametrize("turns", range(8))
async def test_session_that_ends_while_it_waits_leaves_nothing_open(turns: int) -> None:
    """Whatever turn of the loop it is cancelled in, between the dial's end and its own."""
    async with desk(open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await settle()
        one.dialer.may_open.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        await settle()
        if taking.cancelled():
            assert (one.open, one.outcomes) == ([], [UNCLAIMED])
        else:
            assert turns > 0
            assert (one.open, one.outcomes) == ([taking.result()], [LATE])


async def test_close_drops_all_and_begins_nothing() -> None:
    """After it nothing is open and nothing runs; a late webhook does not dial."""
    async with desk() as one:
        one.begin()
        await until(lambda: one.open)
        one.dialer.may_open.clear()
        one.begin("CA2")
        await settle()
        await one.prewarm.close()
        assert (one.open, one.outcomes) == ([], [UNCLAIMED, UNCLAIMED])
        one.begin("CA3")
        await settle()
        assert len(one.dialer.dials) == 2


async def test_close_lets_a_session_that_waits_dial_itself() -> None:
    """Sessions end by themselves; none hangs on what is no more."""
    async with desk(open_at_once=False) as one:
        one.begin()
        taking = asyncio.create_task(one.connect())
        await settle()
        await one.prewarm.close()
        one.dialer.may_open.set()
        async with asyncio.timeout(1):
            assert await taking is one.dialer.connections[0]
        assert len(one.dialer.dials) == 2


class _BrokenOnce(FakeDialer):
    """A bug that only shows the first time."""

    async def connect(
        self, spec: AgentSpec, opening: Opening, *rest: Any, **options: Any
    ) -> FakeConnection:
        connection = await super().connect(spec, opening, *rest, **options)
        if len(self.dials) == 1:
            raise ZeroDivisionError
        return connection


async def test_bug_in_a_dial_ahead_is_not_the_sessions() -> None:
    """It is logged where it happened, and the session dials."""
    outcomes: list[PrewarmOutcome] = []
    dialer = _BrokenOnce(open_at_once=False)
    prewarm = Prewarm(dialer, on_outcome=outcomes.append)
    prewarm.begin(CALL, SPEC, OPENING, TOOLS)
    taking = asyncio.create_task(prewarm.dialer_for(CALL).connect(SPEC, DIALLED, TOOLS))
    await settle()
    dialer.may_open.set()
    async with asyncio.timeout(1):
        assert await taking is dialer.connections[1]
    assert outcomes == [FAILED]
    await prewarm.close()


class _Rough(FakeDialer):
    """A dialer whose dials take a while and come to this or that."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def connect(self, *rest: Any, **options: Any) -> FakeConnection:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        if self.chance.random() < 0.2:
            raise self.chance.choice([AWAY, REFUSED])
        self.connections.append(FakeConnection())
        return self.connections[-1]


async def _one_schedule(seed: int) -> None:
    chance = random.Random(seed)
    dialer = _Rough(chance)
    counted: list[PrewarmOutcome] = []
    prewarm = Prewarm(dialer, on_outcome=counted.append, limit=3, keep_s=0.001)
    calls = [f"CA{n}" for n in range(4)]
    before = asyncio.all_tasks()
    sessions: list[asyncio.Task[Connection]] = []
    begun = 0
    for _ in range(30):
        call_sid = chance.choice(calls)
        match chance.randrange(7):
            case 0 | 1:
                begun += call_sid not in prewarm._warm
                prewarm.begin(call_sid, SPEC, OPENING, TOOLS)
            case 2 | 3:
                connecting = prewarm.dialer_for(call_sid).connect(SPEC, DIALLED, TOOLS)
                sessions.append(asyncio.create_task(connecting))
            case 4 if sessions:
                chance.choice(sessions).cancel()
            case 5 if dialer.connections:
                chance.choice(dialer.connections).lose()
            case _:
                prewarm.drop(call_sid)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.05:
            await asyncio.sleep(0.0015)
    await prewarm.close()
    got = await asyncio.gather(*sessions, return_exceptions=True)
    owned = [connection for connection in got if isinstance(connection, FakeConnection)]
    assert len(set(map(id, owned))) == len(owned), "one connection, two sessions"
    left_open = [connection for connection in dialer.connections if not connection.closed]
    assert all(connection in owned for connection in left_open), "nobody closes it"
    assert all(
        isinstance(error, LiveError | asyncio.CancelledError | FakeConnection) for error in got
    )
    assert not prewarm._warm
    assert len(counted) == begun, "each comes to one outcome"
    assert asyncio.all_tasks() <= before


async def test_no_schedule_shares_or_leaks_a_connection() -> None:
    """Whatever comes when: each open connection has one owner, and nothing is left running."""
    first = random.randrange(10**6)
    print(f"seeds from {first}")
    for seed in range(first, first + 300):
        try:
            await _one_schedule(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


# --- Real sockets --------------------------------------------------------------------------------

GREETING = "Good morning."
SETUP_S = 0.25


def bakery() -> AgentSpec:
    return AgentSpec(
        name="bakery",
        system_instruction="You are a baker.",
        greeting=Greeting(GREETING),
        tools=("end_call",),
        limits=Limits(connect_timeout_s=5, answer_timeout_s=5),
    )


def twin(*faults: Fault) -> LiveTwin:
    script = LiveScript(opening=(Say(GREETING),), answer_delay_s=0.05)
    return LiveTwin(script, faults=faults, setup_delay_s=SETUP_S)


def real_dialer(live: LiveTwin) -> LiveDialer:
    return LiveDialer(
        LiveSettings(api_key="test-key", base_url=live.base_url, ca_file=live.ca_file)
    )


def tools_of(spec: AgentSpec) -> ToolRunner:
    return ToolRunner(built_in_tools(spec, FakeCallControl()), timeout_s=1.0)


async def first_audio_s(spec: AgentSpec, dialer: Dialer) -> float:
    """Run a session as a stream does; return when its agent was first heard."""
    playout = FakePlayout()
    listener = Listener(playout)
    session = LiveSession(
        spec=spec,
        opening=open_call(spec, variables={}),
        dialer=dialer,
        tools=tools_of(spec),
        transcript=Transcript(playout),
        playout=playout,
    )
    session.listen(listener)
    started_s = time.monotonic()
    task = asyncio.create_task(session.run())
    await until(lambda: any(isinstance(event, events.AudioReceived) for event in listener.events))
    took_s = time.monotonic() - started_s
    session.end(EndReason.CALLER_HUNG_UP)
    async with asyncio.timeout(5):
        await task
    return took_s


@pytest.mark.real_time
async def test_call_dialled_ahead_is_greeted_sooner_by_the_setup() -> None:
    """Begun at the webhook, claimed 300 ms later: one connection, and nothing to wait for."""
    spec = bakery()
    outcomes: list[PrewarmOutcome] = []
    async with twin() as live:
        dialer = real_dialer(live)
        prewarm = Prewarm(dialer, on_outcome=outcomes.append)
        await first_audio_s(spec, dialer)  # makes the SDK's client
        without_s = await first_audio_s(spec, dialer)
        before = len(live.sessions)
        prewarm.begin(CALL, spec, open_call(spec, variables={}), tools_of(spec).declarations)
        await asyncio.sleep(0.3)
        with_s = await first_audio_s(spec, prewarm.dialer_for(CALL))
        await live.until(lambda: not live.open_sessions)
        await prewarm.close()
        assert (len(live.sessions) - before, outcomes) == (1, [HIT])
        assert live.sessions[-1].setup == live.sessions[0].setup
    print(f"first audio after {without_s:.3f} s, dialled ahead after {with_s:.3f} s")
    assert without_s - with_s > 0.8 * SETUP_S


async def test_connection_nobody_claims_is_closed_at_the_server() -> None:
    """By age, by the end of the call, and at the worker's end, also in the middle of a setup."""
    spec = bakery()
    async with twin() as live:
        prewarm = Prewarm(real_dialer(live), keep_s=0.8)
        opening, declarations = open_call(spec, variables={}), tools_of(spec).declarations

        async def begin(number: int, *, ready: bool = True) -> None:
            prewarm.begin(f"CA{number}", spec, opening, declarations)
            await live.until(lambda: len(live.sessions) == number)
            await live.until(lambda: not ready or live.sessions[-1].ready_at is not None)
            assert live.open_sessions

        await begin(1)
        await live.until(lambda: not live.open_sessions, timeout_s=3)
        await begin(2)
        prewarm.drop("CA2")
        await live.until(lambda: not live.open_sessions, timeout_s=3)
        await begin(3)
        await begin(4, ready=False)
        await prewarm.close()
        await live.until(lambda: not live.open_sessions, timeout_s=3)
        assert len(live.sessions) == 4


async def test_connection_the_server_closed_is_not_given_out() -> None:
    """Its end is seen in the socket, unread; the session gets one that lives."""
    spec = bakery()
    outcomes: list[PrewarmOutcome] = []
    async with twin(Close(sessions=frozenset({1}), after_s=0.05)) as live:
        prewarm = Prewarm(real_dialer(live), on_outcome=outcomes.append)
        prewarm.begin(CALL, spec, open_call(spec, variables={}), tools_of(spec).declarations)
        await live.until(lambda: live.sessions and not live.open_sessions)
        await asyncio.sleep(0.05)
        await first_audio_s(spec, prewarm.dialer_for(CALL))
        assert ([log.number for log in live.sessions], outcomes) == ([1, 2], [FAILED])
        await prewarm.close()


async def test_go_away_before_the_claim_reaches_the_session() -> None:
    """It waits in the socket, in its place, however long nobody reads."""
    spec = bakery()
    async with twin(GoAway(after_s=0.05, time_left_s=9.0, closes=False)) as live:
        prewarm = Prewarm(real_dialer(live))
        prewarm.begin(CALL, spec, open_call(spec, variables={}), tools_of(spec).declarations)
        await live.until(lambda: live.sessions and live.sessions[0].ready_at is not None)
        await asyncio.sleep(0.2)
        connection = await prewarm.dialer_for(CALL).connect(
            spec,
            Opening(open_call(spec, variables={}).system_instruction),
            tools_of(spec).declarations,
        )
        async with asyncio.timeout(1):
            while events.GoAwayReceived(9.0) not in await connection.receive():
                pass
        await connection.close()
        await prewarm.close()
        assert len(live.sessions) == 1
