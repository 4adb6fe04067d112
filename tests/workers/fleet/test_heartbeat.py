"""A worker says once a second that it lives, and hears of the calls it has lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping

import pytest

from tests.fakes import virtual_loop
from tests.workers.fleet.fleet_store import FleetStore, call_row, worker_row
from workers.fleet.heartbeat import Heartbeat, worker_name
from workers.fleet.watch import FleetWatch
from workers.store.calls import FleetSeen, WorkerRow


class World:
    def __init__(self, store: FleetStore) -> None:
        self.store = store
        self.serving = {"CA1": 3}
        self.lost: list[str] = []
        self.looks: list[frozenset[str]] = []
        self.draining = False
        self.heart = Heartbeat(
            self.store,
            "us",
            serving=lambda: self.serving,
            draining=lambda: self.draining,
            calls=lambda: 7,
            on_lost=self.lose,
            after=self.note,
            clock=asyncio.get_running_loop().time,
        )

    def lose(self, call_sid: str) -> None:
        self.lost.append(call_sid)

    def note(self, watch: FleetWatch) -> None:
        self.looks.append(watch.dead)

    @property
    def beats(self) -> int:
        row = self.store.workers.get("us")
        return row.beats if row else 0


def played(
    play: Callable[[World], Coroutine[None, None, None]], store: FleetStore | None = None
) -> World:
    """Run a play in a loop without waiting."""

    async def work() -> World:
        world = World(store or FleetStore())
        await play(world)
        return world

    return virtual_loop.run(work())


def test_worker_shows_itself_once_a_second() -> None:
    """With what it is and does at that moment."""

    async def play(world: World) -> None:
        world.heart.start()
        await asyncio.sleep(0.5)
        assert world.beats == 1
        world.draining = True
        await asyncio.sleep(10)
        row = world.store.workers["us"]
        assert (row.beats, row.draining, row.calls) == (11, True, 7)
        await world.heart.close()

    played(play)


def test_there_is_one_question_at_a_time_and_none_is_waited_for_long() -> None:
    """A store that hangs is asked again once the last question is given up."""

    async def play(world: World) -> None:
        world.heart.start()
        await asyncio.sleep(1.5)
        world.store.delay_s = 3600
        await asyncio.sleep(30)
        assert world.store.most_beating == 1
        assert world.heart.watch.others_ready == 0
        world.store.delay_s = 0
        before = world.beats
        await asyncio.sleep(3.5)
        assert world.beats > before
        await world.heart.close()

    played(play)


class Hanging(FleetStore):
    """It keeps no deadline, and what was begun is written whether it is waited for or not."""

    async def beat(
        self, worker: WorkerRow, serving: Mapping[str, int], *, deadline_s: float = 2.0
    ) -> FleetSeen:
        writing = asyncio.create_task(super().beat(worker, serving, deadline_s=deadline_s))
        return await asyncio.shield(writing)

    async def _answer(self, deadline_s: float) -> None:
        await asyncio.sleep(self.delay_s)


def test_store_that_keeps_no_deadline_is_given_up_too() -> None:
    """The next beat may succeed."""

    async def play(world: World) -> None:
        world.store.delay_s = 1e6
        began_at = asyncio.get_running_loop().time()
        assert not await world.heart.beat()
        assert asyncio.get_running_loop().time() - began_at <= 3

    played(play, Hanging())


def test_lost_call_is_told() -> None:
    """Each time, until it is not served here any more."""

    async def play(world: World) -> None:
        world.store.add(call_row(fence=4))
        await world.heart.beat()
        await world.heart.beat()
        assert world.lost == ["CA1", "CA1"]
        world.serving = {}
        await world.heart.beat()
        assert world.lost == ["CA1", "CA1"]

    played(play)


def test_call_that_came_back_meanwhile_is_not_lost() -> None:
    """Between question and answer it was claimed here again, under a new number."""

    async def play(world: World) -> None:
        world.store.add(call_row(fence=4))
        world.store.delay_s = 0.5
        beat = asyncio.create_task(world.heart.beat())
        await asyncio.sleep(0.2)
        world.serving = {"CA1": 5}
        await beat
        assert world.lost == []

    played(play)


def test_mistake_of_who_is_told_does_not_look_like_an_outage() -> None:
    """The others are told, and the look counts."""

    async def play(world: World) -> None:
        def fail(_call_sid: str) -> None:
            raise RuntimeError("a bug")

        heart = Heartbeat(
            world.store,
            "us",
            serving=lambda: world.serving,
            draining=bool,
            calls=int,
            on_lost=fail,
            after=world.note,
            clock=asyncio.get_running_loop().time,
        )
        world.store.add(call_row(fence=4))
        assert await heart.beat()
        assert heart.watch.is_leader
        assert world.looks == [frozenset()]

    played(play)


def test_nothing_is_done_after_a_look_that_failed() -> None:
    """Nobody sweeps by what was known before."""

    async def play(world: World) -> None:
        await world.heart.beat()
        world.store.failing = True
        assert not await world.heart.beat()
        assert len(world.looks) == 1
        world.store.failing = False
        assert await world.heart.beat()
        assert len(world.looks) == 2

    played(play)


def test_other_worker_that_stops_is_found_dead() -> None:
    """What the beats bring feeds the watch."""

    async def play(world: World) -> None:
        world.store.workers["other"] = worker_row("other")
        world.heart.start()
        await asyncio.sleep(3.5)
        assert world.heart.watch.others_ready == 1
        await asyncio.sleep(2)
        assert world.looks[-1] == {"other"}
        await world.heart.close()

    played(play)


def test_worker_that_leaves_is_taken_off_the_list() -> None:
    """Also where a beat is under way: it must not be written behind the farewell."""

    async def play(world: World) -> None:
        world.heart.start()
        await asyncio.sleep(1.5)
        world.store.delay_s = 0.8
        await asyncio.sleep(0.8)
        assert world.store.beating == 1
        world.store.delay_s = 0
        await world.heart.close()
        assert world.store.workers == {}
        await asyncio.sleep(10)
        assert world.store.workers == {}

    played(play, Hanging())


@pytest.mark.parametrize("store", [FleetStore, Hanging])
def test_farewell_is_bounded(store: type[FleetStore]) -> None:
    """A store that is away does not hold up the exit."""

    async def play(world: World) -> None:
        world.heart.start()
        await asyncio.sleep(1.5)
        world.store.delay_s = 1e6
        began_at = asyncio.get_running_loop().time()
        await world.heart.close()
        assert asyncio.get_running_loop().time() - began_at <= 6

    played(play, store())


def test_no_two_workers_have_the_same_name() -> None:
    """Not even of one process."""
    names = {worker_name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) <= 128 for name in names)
