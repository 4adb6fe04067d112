"""Calls of dead workers reach /voice/continue, by the store and by REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace

import pytest

from telephony.calls.status import CallStatus
from telephony.errors import CallAlreadyOver, CarrierBusy, CarrierError, OutcomeUnknown
from tests.fakes import virtual_loop
from tests.workers.fleet.fleet_store import FleetStore, call_row, worker_row
from workers.fleet.heartbeat import Heartbeat
from workers.fleet.sweep import AT_ONCE
from workers.fleet.sweeper import Sweeper
from workers.store.calls import CallRow, StoredCall


@dataclass(frozen=True)
class Fetched:
    status: CallStatus | None


class FakeRest:
    """``errors``: what redirecting raises, one after the other; carried out all the same or not."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.delay_s = 0.2
        self.status: CallStatus | None = CallStatus.IN_PROGRESS
        self.known = True
        self.redirects: list[tuple[str, str]] = []
        self.fetches = 0
        self.under_way = 0
        self.most_under_way = 0
        self.on_redirect: Callable[[str], None] = lambda _sid: None

    async def redirect(self, call_sid: str, document: str) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.delay_s)
        self.under_way -= 1
        self.redirects.append((call_sid, document))
        self.on_redirect(call_sid)
        if self.errors:
            raise self.errors.pop(0)

    async def fetch(self, call_sid: str) -> Fetched | None:
        self.fetches += 1
        await asyncio.sleep(self.delay_s)
        return Fetched(self.status) if self.known else None


class Counts:
    def __init__(self) -> None:
        self.died = 0
        self.outcomes: list[str] = []

    def worker_died(self) -> None:
        self.died += 1

    def call_steered(self, outcome: str) -> None:
        self.outcomes.append(outcome)


class World:
    """Worker ``b`` beats and sweeps; ``dead`` is on the list and shows no sign of life."""

    def __init__(self, rest: FakeRest | None) -> None:
        self.store = FleetStore()
        self.store.workers["dead"] = worker_row("dead")
        self.rest = rest or FakeRest()
        self.counts = Counts()
        self.finalised: list[tuple[CallRow, bool]] = []
        clock = asyncio.get_running_loop().time
        self.sweeper = Sweeper(
            self.store,
            rest,
            document=lambda row: f"continue {row.streams}",
            finalise=self.finalise,
            metrics=self.counts,
            clock=clock,
        )
        self.heart = Heartbeat(
            self.store,
            "b",
            serving=dict,
            draining=bool,
            calls=int,
            on_lost=lambda _sid: None,
            after=self.sweeper.looked,
            clock=clock,
        )
        self.heart.start()

    async def finalise(self, call: StoredCall, lost: bool) -> None:
        self.finalised.append((call.row, lost))
        self.store.save_call(replace(call.row, state="finished", owner="", status="completed"))

    def claimed(self, call_sid: str) -> None:
        """Another worker goes on with the call."""
        row = self.store.row(call_sid)
        self.store.add(replace(row, owner="c", fence=row.fence + 1, streams=row.streams + 1))


Play = Callable[[World], Coroutine[None, None, None]]


def played(play: Play, *, rest: FakeRest | None = None) -> World:
    return _played(play, rest or FakeRest())


def _played(play: Play, rest: FakeRest | None) -> World:
    async def work() -> World:
        world = World(rest)
        await play(world)
        await world.sweeper.close()
        await world.heart.close()
        assert len(asyncio.all_tasks()) == 1
        return world

    return virtual_loop.run(work())


def test_calls_of_a_dead_worker_are_steered_within_seconds() -> None:
    """Forty of them, a few at once; each one once, under a new number, then it is forgotten."""

    async def play(world: World) -> None:
        world.store.add(*(call_row(f"CA{number}", streams=number) for number in range(40)))
        world.rest.on_redirect = world.claimed
        await asyncio.sleep(4.5)
        assert world.counts.died == 1
        await asyncio.sleep(3)
        assert sorted(world.rest.redirects) == sorted(
            (f"CA{number}", f"continue {number}") for number in range(40)
        )
        assert world.rest.most_under_way == AT_ONCE
        await asyncio.sleep(5)
        assert "dead" not in world.store.workers

    world = played(play)
    assert world.counts.outcomes == ["steered"] * 40
    assert world.counts.died == 1
    assert world.finalised == []


def test_living_workers_calls_are_left_alone() -> None:
    """However long they last."""

    async def play(world: World) -> None:
        world.store.add(call_row(owner="b"))
        await asyncio.sleep(60)

    assert played(play).rest.redirects == []


def test_only_the_first_of_the_living_sweeps() -> None:
    """The others look on, until it is dead itself."""

    async def play(world: World) -> None:
        world.store.add(call_row())
        for beats in range(10):
            world.store.workers["a"] = worker_row("a", beats)
            await asyncio.sleep(1)
        assert world.rest.redirects == []
        await asyncio.sleep(6)
        assert len(world.rest.redirects) == 1

    played(play)


def test_without_twilio_nothing_is_done() -> None:
    """Nor is anybody forgotten."""

    async def play(world: World) -> None:
        world.store.add(call_row())
        await asyncio.sleep(20)
        assert world.store.row("CA1").owner == "dead"
        assert "dead" in world.store.workers

    _played(play, None)


def test_call_that_is_over_is_finalised_under_our_number() -> None:
    """The caller had hung up."""
    rest = FakeRest()
    rest.errors = [CallAlreadyOver("over", code=21220)]

    async def play(world: World) -> None:
        world.store.add(call_row(fence=4))
        await asyncio.sleep(10)

    world = played(play, rest=rest)
    assert [(row.fence, lost) for row, lost in world.finalised] == [(5, False)]
    assert world.counts.outcomes == ["over"]


@pytest.mark.parametrize("error", [CarrierBusy("busy", code=20429), OutcomeUnknown("503")])
def test_twilio_that_fails_is_asked_again(error: CarrierError) -> None:
    """Until it does what is asked."""
    rest = FakeRest()
    rest.errors = [error, error]

    async def play(world: World) -> None:
        world.store.add(call_row())
        await asyncio.sleep(20)

    world = played(play, rest=rest)
    assert len(rest.redirects) == 3
    assert world.counts.outcomes == ["steered"]


def test_redirect_that_was_carried_out_unanswered_is_not_repeated() -> None:
    """It would tear down the stream that it led to."""
    rest = FakeRest()
    rest.errors = [OutcomeUnknown("timeout")]

    async def play(world: World) -> None:
        world.store.add(call_row())
        loop = asyncio.get_running_loop()

        def lead_to_stream(call_sid: str) -> None:
            loop.call_later(2.0, world.claimed, call_sid)

        rest.on_redirect = lead_to_stream
        await asyncio.sleep(30)

    world = played(play, rest=rest)
    assert len(rest.redirects) == 1
    assert world.counts.outcomes == ["came_back"]


@pytest.mark.parametrize(("state", "status"), [("in_progress", "completed"), ("finished", "")])
def test_call_that_ended_meanwhile_is_not_steered_again(state: str, status: str) -> None:
    """Its books are closed, unless somebody has done that."""
    rest = FakeRest()
    rest.errors = [CarrierBusy("busy")]

    async def play(world: World) -> None:
        world.store.add(call_row())
        rest.on_redirect = lambda sid: world.store.add(
            replace(world.store.row(sid), state=state, status=status or "in-progress")
        )
        await asyncio.sleep(30)

    world = played(play, rest=rest)
    assert len(rest.redirects) == 1
    assert [lost for _, lost in world.finalised] == ([False] if status else [])


def test_twilio_that_fails_for_minutes_loses_the_call() -> None:
    """Its books are closed for all that."""
    rest = FakeRest()
    rest.errors = [CarrierBusy("busy")] * 1000

    async def play(world: World) -> None:
        world.store.add(call_row())
        await asyncio.sleep(300)

    world = played(play, rest=rest)
    assert [lost for _, lost in world.finalised] == [True]
    assert world.counts.outcomes == ["lost"]
    assert len(rest.redirects) <= 12


def test_taking_that_was_not_answered_is_found_out() -> None:
    """The call has no owner any more, and is not left for a minute because of that."""

    async def play(world: World) -> None:
        world.store.add(call_row())
        world.store.take_unanswered = True
        await asyncio.sleep(8)
        assert len(world.rest.redirects) == 1

    played(play)


def test_worker_that_moves_again_keeps_what_was_not_taken() -> None:
    """The database was away when its calls were to be taken, and it is alive since."""

    async def play(world: World) -> None:
        world.store.add(call_row())
        taking = world.store.take_from

        async def away(call_sid: str, *, fence: int, deadline_s: float = 2.0) -> CallRow | None:
            world.store.failing = True
            return await taking(call_sid, fence=fence)

        world.store.take_from = away  # type: ignore[method-assign]
        await asyncio.sleep(30)
        assert world.store.failing
        world.store.take_from = taking  # type: ignore[method-assign]
        world.store.failing = False
        for beats in range(10, 20):
            world.store.workers["dead"] = worker_row("dead", beats)
            await asyncio.sleep(1)
        assert world.store.row("CA1").owner == "dead"

    played(play)


def test_mistake_of_ours_is_confined_to_its_call() -> None:
    """The other calls are steered."""

    async def play(world: World) -> None:
        def document(row: CallRow) -> str:
            if row.call_sid == "CA1":
                raise ValueError("a bug")
            return "continue"

        world.sweeper._document = document
        world.store.add(call_row("CA1"), call_row("CA2"))
        await asyncio.sleep(8)
        assert [sid for sid, _ in world.rest.redirects] == ["CA2"]

    played(play)


def test_call_left_behind_is_steered_once() -> None:
    """Twilio says that it goes on."""

    async def play(world: World) -> None:
        world.store.leave_idle(call_row(owner="", state="handed_over"))
        await asyncio.sleep(200)
        assert len(world.rest.redirects) == 1
        assert world.rest.fetches <= 4

    played(play)


@pytest.mark.parametrize("status", [CallStatus.COMPLETED, None])
def test_call_left_behind_that_is_over_is_finalised(status: CallStatus | None) -> None:
    """Or that Twilio does not know."""
    rest = FakeRest()
    rest.status, rest.known = status, status is not None

    async def play(world: World) -> None:
        world.store.leave_idle(call_row(owner="", state="transfer"))
        await asyncio.sleep(3)

    world = played(play, rest=rest)
    assert [lost for _, lost in world.finalised] == [False]


@pytest.mark.parametrize("status", [CallStatus.RINGING, CallStatus.QUEUED])
def test_call_that_still_rings_is_left_alone(status: CallStatus) -> None:
    """Redirecting it is refused as if it were over."""
    rest = FakeRest()
    rest.status = status

    async def play(world: World) -> None:
        world.store.leave_idle(call_row(owner="", state="ringing", streams=0))
        await asyncio.sleep(30)

    world = played(play, rest=rest)
    assert (rest.redirects, world.finalised) == ([], [])


def test_call_of_a_worker_that_nobody_knows_is_taken_and_steered() -> None:
    """That one has left, or was forgotten, and its last words of the call were lost."""

    async def play(world: World) -> None:
        world.store.leave_idle(call_row(owner="unheard of"))
        await asyncio.sleep(30)
        assert world.store.row("CA1").fence == 2
        assert len(world.rest.redirects) == 1

    assert played(play).counts.outcomes == ["steered"]


def test_call_of_a_worker_that_nobody_knows_is_steered_though_twilio_fails_at_first() -> None:
    """That it has an owner does not mean that somebody goes on with it."""
    rest = FakeRest()
    rest.errors = [CarrierBusy("busy")]

    async def play(world: World) -> None:
        world.store.leave_idle(call_row(owner="unheard of"))
        await asyncio.sleep(30)

    assert played(play, rest=rest).counts.outcomes == ["steered"]


def test_closing_steers_what_was_taken() -> None:
    """Nobody else would find it for a minute."""
    rest = FakeRest()
    rest.delay_s = 1.0

    async def play(world: World) -> None:
        world.store.add(*(call_row(f"CA{number}") for number in range(30)))
        await asyncio.sleep(4.5)
        await world.sweeper.close()
        taken = {sid for sid in world.store.rows if not world.store.row(sid).owner}
        assert {sid for sid, _ in rest.redirects} == taken
        assert 0 < len(taken) < 30

    played(play, rest=rest)


def test_closing_is_bounded() -> None:
    """A Twilio that hangs does not hold up the exit."""
    rest = FakeRest()
    rest.delay_s = 1e6

    async def play(world: World) -> None:
        world.store.add(call_row())
        await asyncio.sleep(6)
        began_at = asyncio.get_running_loop().time()
        await world.sweeper.close()
        assert asyncio.get_running_loop().time() - began_at <= 3.5

    played(play, rest=rest)
