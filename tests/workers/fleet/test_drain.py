"""Which call is handed over when, and when the worker may exit."""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st

from workers.fleet.drain import (
    AGAIN_S,
    BURST,
    HAND_OVER_S,
    LAST_S,
    Drain,
    DrainingCall,
    Exit,
    HandOver,
)

SEED = int(os.environ.get("FLEET_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
STEP_S = 0.1


class World:
    """``calls``: streams by call SID, open here."""

    def __init__(self, calls: int = 1, *, drain_s: float = 300.0, others_ready: int = 1) -> None:
        self.now = self.began_at = 1000.0
        self.drain = Drain(drain_s, now=self.now)
        self.calls = {f"CA{number}": 1 for number in range(calls)}
        self.others_ready = others_ready
        self.awaited = False
        self.hurry = False
        self.exited: Exit | None = None
        self.ordered: list[tuple[float, HandOver, int]] = []
        """When which call was handed over, and which stream of it that was."""

    @property
    def passed_s(self) -> float:
        return self.now - self.began_at

    def step(self) -> list[HandOver]:
        commands = self.drain.step(
            [DrainingCall(sid, stream) for sid, stream in self.calls.items()],
            others_ready=self.others_ready,
            awaited=self.awaited,
            hurry=self.hurry,
            now=self.now,
        )
        orders = [one for one in commands if isinstance(one, HandOver)]
        for one in commands:
            if isinstance(one, Exit):
                self.exited = one
        self.ordered += [(self.passed_s, one, self.calls[one.call_sid]) for one in orders]
        self.now += STEP_S
        return orders

    def steps(self, seconds: float) -> list[HandOver]:
        orders = []
        for _ in range(round(seconds / STEP_S)):
            orders += self.step()
        return orders

    def until_exit(self, within_s: float = 1000.0) -> float:
        while self.exited is None:
            assert self.passed_s < within_s, "it never exits"
            self.step()
        return self.passed_s - STEP_S


def test_worker_without_calls_exits_at_once() -> None:
    """There is nothing to hand over."""
    world = World(0)
    world.step()
    assert world.exited == Exit(0)


def test_what_twilio_is_about_to_ask_is_waited_for() -> None:
    """Nobody else may be there to answer."""
    world = World(0)
    world.awaited = True
    world.steps(20)
    assert world.exited is None
    assert world.drain.waits_for == "requests"
    world.awaited = False
    world.step()
    assert world.exited == Exit(0)


def test_calls_are_handed_over_at_their_safe_points() -> None:
    """To wait for which each has half a minute; once all are gone, so are we."""
    world = World(1)
    assert world.step() == [HandOver("CA0", HAND_OVER_S)]
    assert world.steps(5) == []
    assert world.drain.waits_for == "safe_points"
    world.calls.clear()
    world.step()
    assert world.exited == Exit(0)
    assert world.drain.handed_over == 1


def test_calls_are_handed_over_a_few_at_a_time() -> None:
    """Ten a second, so that who goes on with them is not overrun."""
    world = World(40)
    assert len(world.step()) == BURST
    assert 8 <= len(world.steps(1)) <= 11
    world.steps(4)
    assert len({order.call_sid for _, order, _ in world.ordered}) == 40
    assert len(world.ordered) == 40


def test_late_steps_hand_over_no_crowd() -> None:
    """A loop that was busy for a second does not make up for it."""
    world = World(40)
    world.steps(1)
    world.now += 5
    assert len(world.step()) == BURST


def test_alone_it_waits_for_calls_to_end() -> None:
    """Handing over would only bring them back."""
    world = World(2, others_ready=0)
    assert world.steps(100) == []
    assert world.drain.waits_for == "no_other_worker"
    world.calls.clear()
    world.step()
    assert world.exited == Exit(0)


def test_worker_that_comes_up_later_is_used() -> None:
    """Such as the next version, in a deploy."""
    world = World(1, others_ready=0)
    world.steps(100)
    world.others_ready = 1
    assert world.step() == [HandOver("CA0", HAND_OVER_S)]


def test_who_leads_streams_here_may_need_time_to_notice() -> None:
    """Until then a call would come back; but the end waits for nobody."""
    world = World(1)
    world.drain = Drain(300.0, now=world.now, settle_s=5.0)
    assert world.steps(4.9) == []
    assert world.drain.waits_for == "balancers"
    assert len(world.steps(0.3)) == 1
    world = World(1)
    world.drain = Drain(300.0, now=world.now, settle_s=5.0)
    world.hurry = True
    assert world.step() == [HandOver("CA0", 0.0)]


def test_call_that_came_back_is_left_alone_for_a_while() -> None:
    """Counted from when it came back, however long its safe point was waited for."""
    world = World(1)
    world.step()
    world.steps(20)
    world.calls["CA0"] = 2
    assert world.steps(AGAIN_S - STEP_S) == []
    assert [order.call_sid for order in world.steps(0.5)] == ["CA0"]
    assert world.drain.handed_over == 2


def test_stream_that_is_lost_does_not_shorten_that_while() -> None:
    """It came back, and then broke."""
    world = World(1)
    world.step()
    world.calls["CA0"] = 2
    world.steps(5)
    world.calls["CA0"] = 3
    assert world.steps(4) == []
    assert len(world.steps(2)) == 1


def test_hand_over_that_did_nothing_is_repeated() -> None:
    """A session that had only just begun may not have been told."""
    world = World(1)
    world.step()
    assert world.steps(HAND_OVER_S + AGAIN_S - 1) == []
    assert len(world.steps(2)) == 1
    assert world.drain.handed_over == 1


def test_safe_point_is_waited_for_no_longer_than_the_limit() -> None:
    """What is left of it is told."""
    world = World(1, drain_s=12.0)
    assert world.step() == [HandOver("CA0", 12.0)]


def test_at_the_limit_all_are_handed_over_at_once() -> None:
    """Also alone, and whether or not they wait for a safe point; five seconds later we exit."""
    world = World(20, drain_s=10.0, others_ready=0)
    assert world.steps(10) == []
    orders = world.steps(0.2)
    assert sorted(orders, key=lambda one: one.call_sid) == sorted(
        (HandOver(sid, 0.0) for sid in world.calls), key=lambda one: one.call_sid
    )
    assert world.until_exit() == pytest.approx(10 + LAST_S, abs=2 * STEP_S)
    assert world.exited == Exit(20)


def test_at_the_limit_who_waits_for_a_safe_point_is_forced() -> None:
    """It has had its time."""
    world = World(1, drain_s=10.0)
    world.step()
    world.steps(9.8)
    assert world.steps(0.3) == [HandOver("CA0", 0.0)]


def test_hurry_hands_over_all_at_once() -> None:
    """The second signal; it exits as soon as nothing is left."""
    world = World(20)
    world.step()
    world.hurry = True
    assert len(world.step()) == 20
    world.calls.clear()
    world.awaited = True
    world.steps(1)
    assert world.exited is None
    world.awaited = False
    world.step()
    assert world.exited == Exit(0)


def test_hurry_is_bounded_too() -> None:
    """By a few seconds, whatever is left or awaited."""
    world = World(3)
    world.awaited = world.hurry = True
    assert world.until_exit() == pytest.approx(LAST_S, abs=2 * STEP_S)


def test_call_that_comes_back_in_the_end_is_not_sent_to_and_fro() -> None:
    """One that only begins then is handed over, too."""
    world = World(1)
    world.hurry = True
    assert len(world.step()) == 1
    world.calls["CA0"] = 2
    assert world.steps(1) == []
    world.calls["CA9"] = 1
    assert world.step() == [HandOver("CA9", 0.0)]


def test_no_time_at_all_hands_over_at_once() -> None:
    """A limit of 0."""
    world = World(2, drain_s=0.0)
    assert world.step() == [HandOver("CA0", 0.0), HandOver("CA1", 0.0)]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["leaves", "returns", "begins", "others", "none", "asks", "answered"]),
        st.integers(0, 7),
        st.integers(1, 60),
    ),
    max_size=60,
)


@seed(SEED)
@given(
    drain_s=st.sampled_from([0.0, 0.05, 3.0, 20.0, 60.0]),
    calls=st.integers(0, 8),
    others_ready=st.integers(0, 2),
    changes=CHANGES,
    hurry_at=st.none() | st.integers(0, 700),
)
def test_whatever_happens(
    drain_s: float,
    calls: int,
    others_ready: int,
    changes: list[tuple[str, int, int]],
    hurry_at: int | None,
) -> None:
    """It exits in time, and moves no call without need."""
    note(f"FLEET_SEED={SEED}")
    world = World(calls, drain_s=drain_s, others_ready=others_ready)
    newest = dict(world.calls)
    ready: list[int] = []
    returned: dict[tuple[str, int], float] = {}
    hurried_s = drain_s if hurry_at is None else min(drain_s, hurry_at * STEP_S)
    script = [change for change in changes for _ in range(change[2])]
    at = 0
    while world.exited is None:
        what, who, _ = script[at] if at < len(script) else ("", 0, 0)
        sid = f"CA{who}"
        match what:
            case "leaves":
                world.calls.pop(sid, None)
            case "returns" if sid in newest and sid not in world.calls:
                newest[sid] += 1
                world.calls[sid] = newest[sid]
                returned[sid, newest[sid]] = world.passed_s
            case "begins" if sid not in newest:
                newest[sid] = world.calls[sid] = 1
            case "others" | "none":
                world.others_ready = int(what == "others")
            case "asks" | "answered":
                world.awaited = what == "asks"
            case _:
                pass
        world.hurry = hurry_at is not None and at >= hurry_at
        busy = bool(world.calls or world.awaited)
        had_others = world.others_ready
        orders = world.step()
        ready += [had_others] * len(orders)
        assert busy or world.exited is not None
        at += 1
    # In time: not before it must, where something is left, and not much later.
    ended_s = world.passed_s - STEP_S
    assert ended_s <= hurried_s + LAST_S + 2 * STEP_S
    if world.exited.left:
        assert ended_s >= hurried_s + LAST_S - 2 * STEP_S
    for (_, one, _), others in zip(world.ordered, ready, strict=True):
        assert others or one.limit_s == 0
    _moves_no_call_without_need(world, returned)


def _moves_no_call_without_need(world: World, returned: dict[tuple[str, int], float]) -> None:
    by_stream: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for at_s, one, stream in world.ordered:
        by_stream.setdefault((one.call_sid, stream), []).append((at_s, one.limit_s))
    handed: dict[str, list[int]] = {}
    for (sid, stream), orders in by_stream.items():
        # One stream: once, again only when that did nothing, and in the end without waiting.
        waiting = [order for order in orders if order[1] > 0]
        assert len(orders) - len(waiting) <= 1
        for earlier, later in itertools.pairwise(waiting):
            assert later[0] - earlier[0] >= earlier[1] + AGAIN_S - STEP_S / 2
        # One that came back after it was handed over is left alone for a while.
        if handed.get(sid) and waiting:
            assert waiting[0][0] - returned[sid, stream] >= AGAIN_S - STEP_S / 2 or (
                stream - 1 not in handed[sid]
            )
        handed.setdefault(sid, []).append(stream)
    # A few at a time, unless there is no time.
    starts = sorted(at_s for at_s, one, _ in world.ordered if one.limit_s > 0)
    for place, at_s in enumerate(starts):
        crowd = sum(other <= at_s + 1.0 for other in starts[place:])
        assert crowd <= BURST + 11
