"""Who counts as dead, ready and leader, by the looks of one worker at all."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st

from tests.workers.fleet.fleet_store import worker_row
from workers.fleet.watch import BEAT_S, DEAD_S, GAP_S, FleetWatch

SEED = int(os.environ.get("FLEET_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


class World:
    """``us`` looks once a second; the others beat as long as they run."""

    def __init__(self, *others: str) -> None:
        self.watch = FleetWatch("us")
        self.now = 1000.0
        self.beats = dict.fromkeys(("us", *others), 1)
        self.stopped: set[str] = set()
        self.draining: set[str] = set()

    def look(self, *, after_s: float = BEAT_S, answered: bool = True) -> None:
        self.now += after_s
        if not answered:
            self.watch.look_failed(self.now)
            return
        for name in self.beats.keys() - self.stopped:
            self.beats[name] += 1
        rows = [
            worker_row(name, count, draining=name in self.draining)
            for name, count in self.beats.items()
        ]
        self.watch.looked(rows, self.now)

    def looks(self, count: int) -> None:
        for _ in range(count):
            self.look()


def test_worker_that_stands_still_is_dead_after_four_seconds() -> None:
    """Not before: three signs of life may be late or lost."""
    world = World("other")
    world.looks(3)
    world.stopped.add("other")
    world.looks(3)
    assert not world.watch.dead
    world.look()
    assert world.watch.dead == {"other"}


def test_four_looks_in_quick_succession_prove_nothing() -> None:
    """The time counts, too."""
    world = World("other")
    world.look()
    world.stopped.add("other")
    for _ in range(30):
        world.look(after_s=0.1)
    assert not world.watch.dead
    for _ in range(11):
        world.look(after_s=0.1)
    assert world.watch.dead == {"other"}


def test_few_slow_looks_prove_nothing() -> None:
    """Four looks must have seen nothing new, however long that takes."""
    world = World("other")
    world.look()
    world.stopped.add("other")
    for _ in range(3):
        world.look(after_s=3.0)
        assert not world.watch.dead
    world.look(after_s=3.0)
    assert world.watch.dead == {"other"}


def test_worker_that_moves_again_is_alive_again() -> None:
    """It was stopped, and goes on."""
    world = World("other")
    world.stopped.add("other")
    world.looks(6)
    assert world.watch.dead == {"other"}
    world.stopped.clear()
    world.look()
    assert not world.watch.dead


@pytest.mark.parametrize("looks", [1, 4])
def test_worker_seen_for_the_first_time_is_alive_until_proven_otherwise(looks: int) -> None:
    """Also one that died before we began to look."""
    world = World("ghost")
    world.stopped.add("ghost")
    world.looks(looks)
    assert world.watch.others_ready == 1
    world.looks(5 - looks)
    assert world.watch.others_ready == 0
    assert world.watch.dead == {"ghost"}


def test_failed_look_begins_the_series_anew() -> None:
    """While the database is away nobody's count moves."""
    world = World("other")
    world.look()
    world.stopped.add("other")
    world.looks(3)
    world.look(answered=False)
    world.looks(4)
    assert not world.watch.dead
    world.look()
    assert world.watch.dead == {"other"}


def test_who_was_dead_before_an_outage_has_to_be_found_dead_again() -> None:
    """It may have come back while its signs of life could not be written."""
    world = World("other")
    world.stopped.add("other")
    world.looks(6)
    world.look(answered=False)
    assert not world.watch.dead
    world.looks(4)
    assert not world.watch.dead
    world.look()
    assert world.watch.dead == {"other"}


def test_own_stop_begins_the_series_anew() -> None:
    """A machine that slept has stopped the others, too."""
    world = World("other")
    world.look()
    world.stopped.add("other")
    world.looks(3)
    world.look(after_s=GAP_S + 0.1)
    world.looks(3)
    assert not world.watch.dead
    world.look()
    assert world.watch.dead == {"other"}


def test_ready_are_others_that_live_and_do_not_drain() -> None:
    """Those that would take a call."""
    world = World("a", "b", "c")
    world.draining.add("b")
    world.stopped.add("c")
    world.looks(6)
    assert world.watch.others_ready == 1
    assert sorted(world.watch.states) == ["dead", "draining", "ready", "ready"]


def test_nobody_is_ready_while_the_store_does_not_answer() -> None:
    """A call handed over now would leave nothing behind for who goes on with it."""
    world = World("a")
    world.look()
    world.look(answered=False)
    assert world.watch.others_ready == 0
    assert not world.watch.is_leader
    world.look()
    assert world.watch.others_ready == 1


def test_leader_is_the_living_worker_with_the_smallest_name() -> None:
    """If that one dies, it is the next."""
    world = World("another")
    world.looks(2)
    assert not world.watch.is_leader
    world.stopped.add("another")
    world.looks(5)
    assert world.watch.is_leader


def test_worker_that_was_forgotten_is_neither_dead_nor_ready() -> None:
    """It has left."""
    world = World("other")
    world.stopped.add("other")
    world.looks(6)
    del world.beats["other"]
    world.look()
    assert not world.watch.dead
    assert world.watch.others_ready == 0


def test_gone_are_the_dead_and_those_not_on_the_list() -> None:
    """As far as anything is known."""
    world = World("other", "still")
    world.stopped.add("still")
    world.looks(6)
    assert [name for name in ("us", "other", "still", "?") if world.watch.is_gone(name)] == [
        "still",
        "?",
    ]
    world.look(answered=False)
    assert not world.watch.is_gone("?")


def test_we_are_never_dead_in_our_own_eyes() -> None:
    """Whatever the list says of us."""
    watch = FleetWatch("us")
    for second in range(10):
        watch.looked([worker_row("us"), worker_row("z")], 1000.0 + second)
    assert watch.dead == {"z"}
    assert watch.is_leader


def test_before_the_first_look_nothing_is_known() -> None:
    """Neither do we lead."""
    watch = FleetWatch("us")
    assert (watch.dead, watch.others_ready, watch.is_leader) == (frozenset(), 0, False)


LOOKS = st.lists(
    st.tuples(st.floats(0.8, 1.2), st.booleans() | st.just(True)), min_size=1, max_size=80
)


@seed(SEED)
@given(looks=LOOKS, outage=st.integers(0, 60), length=st.integers(1, 60))
def test_outage_makes_nobody_dead(
    looks: list[tuple[float, bool]], outage: int, length: int
) -> None:
    """Whatever else fails to answer; all beat whenever the store takes it."""
    note(f"FLEET_SEED={SEED}")
    world = World("a", "b")
    for place, (after_s, answered) in enumerate(looks):
        away = outage <= place < outage + length
        # Those who come back later than we do: a second, or a little more.
        world.stopped = (
            {"a", "b"} if away or outage + length <= place < outage + length + 2 else set()
        )
        world.look(after_s=after_s, answered=answered and not away)
        assert not world.watch.dead


@seed(SEED)
@given(
    before=st.lists(st.floats(0.0, 1.2), max_size=20),
    after=st.lists(st.floats(0.9, 1.1), min_size=8, max_size=8),
    others=st.integers(1, 4),
)
def test_stopped_worker_is_dead_within_two_beats_of_the_limit(
    before: list[float], after: list[float], others: int
) -> None:
    """Counted from its last sign of life, and it alone."""
    note(f"FLEET_SEED={SEED}")
    world = World(*(f"w{number}" for number in range(others)))
    for after_s in before:
        world.look(after_s=after_s)
    world.look(after_s=1.0)
    stopped_at = world.now
    world.stopped.add("w0")
    for after_s in after:
        world.look(after_s=after_s)
        if world.watch.dead:
            break
    assert world.watch.dead == {"w0"}
    assert DEAD_S <= world.now - stopped_at <= DEAD_S + 2 * BEAT_S
