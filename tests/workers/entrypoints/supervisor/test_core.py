"""Every place keeps a child that serves: what the parent's table says, without processes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from workers.entrypoints.supervisor.core import (
    START_S,
    YOUNG_S,
    ChildState,
    Supervision,
)
from workers.entrypoints.supervisor.events import (
    Begun,
    ChildExited,
    ChildReady,
    Command,
    Event,
    Finish,
    Hurry,
    Kill,
    Leave,
    Reason,
    RecycleWanted,
    ReportDeath,
    ReportLeft,
    ReportRecycling,
    ReportRestartGivenUp,
    RestartRequested,
    Spawn,
    StopRequested,
    TimePassed,
)

LEAVE_S = 100.0
HURRY_S = 10.0


class Parent:
    """Events in, commands out, and time by hand."""

    def __init__(self, places: int = 2) -> None:
        self.core = Supervision(places, leave_s=LEAVE_S, hurry_s=HURRY_S)
        self.now = 0.0

    def __call__(self, event: Event) -> list[Command]:
        return list(self.core.handle(event, self.now))

    def serving(self) -> Parent:
        """Children 1 to ``places``, all ready, each at the place before its number."""
        self(Begun())
        for child in range(1, self.core.places + 1):
            self(ChildReady(child))
        return self

    def wait(self, seconds: float) -> list[Command]:
        self.now += seconds
        return self(TimePassed())


def test_first_child_starts_alone() -> None:
    """What is wrong with the settings is said once, and tables are made by one."""
    parent = Parent(3)
    assert parent(Begun()) == [Spawn(1, 0)]
    assert parent(ChildReady(1)) == [Spawn(2, 1), Spawn(3, 2)]


def test_wrong_settings_at_the_first_start_end_the_whole() -> None:
    """The child has said which; the next one would say the same."""
    parent = Parent()
    parent(Begun())
    assert parent(ChildExited(1, 2)) == [Finish(2)]


def test_wrong_settings_later_do_not() -> None:
    """Whoever breaks a file while calls go on does not end them."""
    parent = Parent().serving()
    parent.now = 500.0
    assert parent(ChildExited(1, 2)) == [ReportDeath(1, 500.0, 0.0), Spawn(3, 0)]
    assert parent(ChildExited(3, 2)) == [ReportDeath(3, 0.0, 0.0), Spawn(4, 0)]


def test_any_other_end_of_the_first_start_is_tried_again() -> None:
    """Such as a database that is not up yet."""
    parent = Parent()
    parent(Begun())
    assert parent(ChildExited(1, 1)) == [ReportDeath(1, 0.0, 0.0), Spawn(2, 0)]


def test_children_that_die_young_are_started_later_and_later() -> None:
    """0, 1, 2, 4 … 30 s; the other places are not held up by it."""
    parent = Parent().serving()
    child, waits = 1, []
    for _ in range(8):
        reported, *spawned = parent(ChildExited(child, -9))
        assert isinstance(reported, ReportDeath)
        assert reported.restart_in_s is not None
        waits.append(reported.restart_in_s)
        if not spawned:
            assert parent.core.deadline == parent.now + waits[-1]
            assert parent.wait(waits[-1] - 0.01) == []
            spawned = parent.wait(0.02)
        (spawn,) = spawned
        assert isinstance(spawn, Spawn)
        assert spawn.place == 0
        child = spawn.child
        parent(ChildReady(child))
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_is_forgiven() -> None:
    """After one, the next child is started at once again."""
    parent = Parent().serving()
    parent(ChildExited(1, -9))
    parent(ChildExited(3, -9))
    parent.wait(1)
    parent(ChildReady(4))
    parent.now += YOUNG_S
    assert parent(ChildExited(4, -11)) == [ReportDeath(4, YOUNG_S, 0.0), Spawn(5, 0)]


def test_child_that_does_not_get_ready_is_killed_and_another_started() -> None:
    """A start that hangs would leave the place empty."""
    parent = Parent()
    parent(Begun())
    assert parent.wait(START_S - 1) == []
    assert parent.wait(1) == [Kill(1)]
    assert parent.core.deadline is None, "it is killed once"
    assert parent(ChildExited(1, -9)) == [ReportDeath(1, START_S, 0.0), Spawn(2, 0)]


def test_recycling_starts_the_replacement_first() -> None:
    """The old child is told to leave when the new one serves; then it has its time."""
    parent = Parent().serving()
    assert parent(RecycleWanted(1, Reason.MEMORY)) == [
        ReportRecycling(1, Reason.MEMORY),
        Spawn(3, 0),
    ]
    assert parent(RecycleWanted(1, Reason.MEMORY)) == [], "it says so again and again"
    assert parent(ChildReady(3)) == [Leave(1, replaced=True)]
    assert parent(RecycleWanted(1, Reason.MEMORY)) == []
    parent.now = 7.0
    assert parent(ChildExited(1, 0)) == [ReportLeft(1, 7.0)]


def test_one_child_is_recycled_at_a_time() -> None:
    """The next one's turn comes when the one before is gone."""
    parent = Parent().serving()
    parent(RecycleWanted(2, Reason.CALLS))
    assert parent(RecycleWanted(1, Reason.MEMORY)) == []
    assert parent(ChildReady(3)) == [Leave(2, replaced=True)]
    assert parent(ChildExited(2, 0)) == [
        ReportLeft(2, 0.0),
        ReportRecycling(1, Reason.MEMORY),
        Spawn(4, 0),
    ]


def test_single_place_can_be_recycled() -> None:
    """For a while there are two children."""
    parent = Parent(1).serving()
    parent(RecycleWanted(1, Reason.CALLS))
    assert parent(ChildReady(2)) == [Leave(1, replaced=True)]


def test_child_that_dies_while_its_replacement_starts_is_not_started_again() -> None:
    """The replacement is there already; with it that is done, and the next one's turn comes."""
    parent = Parent().serving()
    parent(RecycleWanted(1, Reason.MEMORY))
    assert parent(ChildExited(1, -9)) == [ReportDeath(1, 0.0, 0.0)]
    assert parent(ChildReady(3)) == []
    assert parent(RecycleWanted(2, Reason.CALLS)) == [
        ReportRecycling(2, Reason.CALLS),
        Spawn(4, 1),
    ]


def test_replacement_that_fails_is_tried_again_while_the_old_child_serves() -> None:
    """As late as any other that dies young."""
    parent = Parent().serving()
    parent(RecycleWanted(1, Reason.MEMORY))
    assert parent(ChildExited(3, 1)) == [ReportDeath(3, 0.0, 0.0), Spawn(4, 0)]
    assert parent(ChildExited(4, 1)) == [ReportDeath(4, 0.0, 1.0)]
    assert parent.wait(1) == [Spawn(5, 0)]
    assert parent(ChildReady(5)) == [Leave(1, replaced=True)]


def test_restart_replaces_all_one_after_the_other() -> None:
    """A deploy in place: never fewer than before."""
    parent = Parent(3).serving()
    assert parent(RestartRequested()) == [ReportRecycling(1, Reason.RESTART), Spawn(4, 0)]
    for old, new in ((1, 4), (2, 5)):
        assert parent(ChildReady(new)) == [Leave(old, replaced=True)]
        assert parent(ChildExited(old, 0)) == [
            ReportLeft(old, 0.0),
            ReportRecycling(old + 1, Reason.RESTART),
            Spawn(new + 1, old),
        ]
    assert parent(ChildReady(6)) == [Leave(3, replaced=True)]
    assert parent(ChildExited(3, 0)) == [ReportLeft(3, 0.0)]


def test_restart_ends_where_the_new_children_do_not_get_ready() -> None:
    """A release that cannot start replaces nobody."""
    parent = Parent().serving()
    parent(RestartRequested())
    assert parent(ChildExited(3, 2)) == [ReportDeath(3, 0.0, None), ReportRestartGivenUp()]
    assert parent.core.deadline is None
    assert [parent.core.state(child) for child in (1, 2)] == [ChildState.READY] * 2
    assert parent(RestartRequested()) == [ReportRecycling(1, Reason.RESTART), Spawn(4, 0)]


def test_stop_lets_all_leave_and_ends_with_the_last() -> None:
    """Nobody is started any more, whatever happens."""
    parent = Parent().serving()
    parent(RecycleWanted(1, Reason.MEMORY))
    assert parent(StopRequested()) == [Leave(1), Leave(2), Leave(3)]
    assert parent(ChildReady(3)) == []
    assert parent(RestartRequested()) == []
    parent.now = 3.0
    assert parent(ChildExited(1, -9)) == [ReportLeft(1, 3.0)]
    assert parent(ChildExited(3, 0)) == [ReportLeft(3, 3.0)]
    assert parent(ChildExited(2, 0)) == [ReportLeft(2, 3.0), Finish(0)]


def test_stop_while_a_child_waits_to_be_started() -> None:
    """It is not waited for."""
    parent = Parent(1).serving()
    parent(ChildExited(1, -9))
    parent(ChildExited(2, -9))
    assert parent(StopRequested()) == [Finish(0)]


def test_second_stop_hurries_all() -> None:
    """What does not go then is killed soon, and the exit code tells."""
    parent = Parent().serving()
    parent(StopRequested())
    assert parent(StopRequested()) == [Hurry(1), Hurry(2)]
    assert parent(ChildExited(1, 0)) == [ReportLeft(1, 0.0)]
    assert parent.wait(HURRY_S) == [Kill(2)]
    assert parent(ChildExited(2, -9)) == [ReportLeft(2, HURRY_S), Finish(1)]


def test_child_that_does_not_leave_is_killed() -> None:
    """Long after it should have; in a recycling the next one's turn comes by that."""
    parent = Parent().serving()
    parent(RecycleWanted(1, Reason.MEMORY))
    parent(RecycleWanted(2, Reason.MEMORY))
    parent(ChildReady(3))
    assert parent.core.deadline == LEAVE_S
    assert parent.wait(LEAVE_S - 1) == []
    assert parent.wait(1) == [Kill(1)]
    assert ReportRecycling(2, Reason.MEMORY) in parent(ChildExited(1, -9))


@pytest.mark.parametrize("places", [1, 2, 4])
def test_whatever_happens_places_are_filled_and_it_ends(places: int) -> None:
    """In random order: no place ever has two that serve, none stays empty, a stop comes to an end.

    Without deaths, as many serve as ever did, also while others are replaced.
    """
    for seed in range(300):
        chance = random.Random(seed)
        deadly = seed % 2 == 0
        story: list[object] = [f"seed {seed}"]
        world = _World(places, chance, story, deadly=deadly)
        for _ in range(60):
            world.step()
        world.stop()
        assert world.finished is not None, story


class _World:
    """Children that do as they please, as far as a child can."""

    def __init__(
        self, places: int, chance: random.Random, story: list[object], *, deadly: bool
    ) -> None:
        self.core = Supervision(places, leave_s=LEAVE_S, hurry_s=HURRY_S)
        self.chance, self.story, self.deadly = chance, story, deadly
        self.now = 0.0
        self.alive: dict[int, int] = {}
        self.finished: int | None = None
        self.most_ready = 0
        self.tell(Begun())

    def tell(self, event: Event) -> None:
        self.story.append((self.now, event))
        for command in self.core.handle(event, self.now):
            self.story.append(command)
            if isinstance(command, Spawn):
                self.alive[command.child] = command.place
            elif isinstance(command, Finish):
                assert not self.alive, self.story
                self.finished = command.code
        self.check()

    def in_state(self, state: ChildState) -> list[int]:
        return [child for child in self.alive if self.core.state(child) is state]

    def check(self) -> None:
        ready = [self.alive[child] for child in self.in_state(ChildState.READY)]
        starting = [self.alive[child] for child in self.in_state(ChildState.STARTING)]
        leaving = self.in_state(ChildState.LEAVING)
        assert len(set(ready)) == len(ready), self.story
        assert len(set(starting)) == len(starting), self.story
        if self.finished is None and not (ready or starting or leaving):
            assert self.core.deadline is not None, self.story
        if not self.deadly and self.stops == 0:
            assert len(ready) >= self.most_ready, self.story
            assert len(leaving) <= 1, self.story
            self.most_ready = len(ready)

    stops = 0

    def step(self) -> None:
        self.now += self.chance.choice([0.0, 0.5, 5.0, 40.0])
        due = self.core.deadline
        if due is not None and due <= self.now:
            # Children that are killed go.
            for command in self.core.handle(TimePassed(), self.now):
                self.story.append(command)
                if isinstance(command, Spawn):
                    self.alive[command.child] = command.place
                elif isinstance(command, Kill):
                    self.exit(command.child, -9)
        for event in self.events():
            self.tell(event)

    def events(self) -> Iterator[Event]:
        starting, ready = self.in_state(ChildState.STARTING), self.in_state(ChildState.READY)
        leaving = self.in_state(ChildState.LEAVING)
        roll = self.chance.random()
        if starting and roll < 0.4:
            yield ChildReady(self.chance.choice(starting))
        elif leaving and roll < 0.6:
            self.exit(self.chance.choice(leaving), 0)
        elif ready and roll < 0.75:
            reason = self.chance.choice([Reason.CALLS, Reason.MEMORY])
            yield RecycleWanted(self.chance.choice(ready), reason)
        elif roll < 0.8:
            yield RestartRequested()
        elif self.deadly and self.alive:
            self.exit(self.chance.choice(list(self.alive)), self.chance.choice([-9, 0, 1]))

    def exit(self, child: int, code: int) -> None:
        del self.alive[child]
        self.tell(ChildExited(child, code))

    def stop(self) -> None:
        self.stops = 1
        self.tell(StopRequested())
        for child in list(self.alive):
            self.exit(child, 0)
