"""How shards are led: on numbers for time, without any process."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.loadtest.measured_samples import answered, call
from workers.loadtest.measured import CallMeasured, OwnSlip
from workers.loadtest.result import Machine
from workers.loadtest.shards.conductor import (
    HOLD_S,
    MOST_APART_S,
    SILENT_S,
    Conductor,
    Send,
    WriteWav,
)
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    FromShard,
    Going,
    Hold,
    Left,
    Ready,
    SendWavs,
    TimeTold,
    WavPiece,
    WhatTime,
)
from workers.loadtest.shards.stands import Stand
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import encode_sums

SLIP = OwnSlip(900, 0.4, 2.0, 0.0)
MACHINE = Machine("Any", 2, "3.11.9", "0.1.0")
WALL = 1_764_000_000.0
PREPARE_S, LEAD_S = 30.0, 2.0


class Led:
    """A conductor and the time, which passes as it is told to."""

    def __init__(self, count: int = 2) -> None:
        self.now_s = 100.0
        self.told: list[int] = []
        self.conductor = Conductor(
            count,
            now_s=self.now_s,
            prepare_s=PREPARE_S,
            lead_s=LEAD_S,
            never="Nobody listens",
            on_call=lambda one: self.told.append(one.number),
        )

    @property
    def wall(self) -> float:
        return WALL + self.now_s

    def begins_at(self) -> float | None:
        return self.conductor.begins_at

    def called(self) -> bool:
        return self.conductor.called

    def over(self) -> bool:
        return self.conductor.over

    def says(self, index: int, *messages: FromShard) -> list[object]:
        commands: list[object] = []
        for message in messages:
            commands += self.conductor.handle(index, message, now_s=self.now_s, wall=self.wall)
        return commands

    def ready(self, index: int, *, ahead_s: float = 0.0) -> list[object]:
        asked = self.says(index, Ready(f"host-{index}", MACHINE, f"http://{index}"))
        assert asked[0] == Send(index, WhatTime(self.wall))
        return self.says(index, TimeTold(self.wall, self.wall + ahead_s))

    def begun(self) -> Led:
        for index in range(len(self.conductor.shards)):
            self.ready(index)
        assert self.conductor.begins_at is not None
        return self

    def calls(self, index: int, *calls: CallMeasured) -> list[object]:
        return self.says(index, *(CallOver(one) for one in calls), finished(*calls))

    def tick(self, after_s: float) -> list[object]:
        self.now_s += after_s
        return list(self.conductor.tick(now_s=self.now_s, wall=self.wall))

    def stands(self) -> list[Stand]:
        return [shard.stand for shard in self.conductor.shards]


def finished(*calls: CallMeasured) -> Finished:
    return Finished(SLIP, encode_sums(sums_of(calls)))


def slow(number: int, ms: float) -> CallMeasured:
    return call(number, answers=answered(ms))


def test_all_begin_at_one_moment_once_all_are_set() -> None:
    """Not before: one that is missing makes it another load."""
    led = Led()
    assert led.ready(0) == []
    assert led.begins_at() is None
    led.now_s += 5
    at = led.wall + LEAD_S
    assert led.ready(1) == [Send(0, Begin(at)), Send(1, Begin(at))]
    assert led.begins_at() == at
    assert led.stands() == [Stand.CALLING] * 2
    assert [one.name for one in led.conductor.shards] == [
        "callers 1 of 2 on host-0",
        "callers 2 of 2 on host-1",
    ]


@pytest.mark.parametrize(
    ("ahead_s", "said"),
    [(40.0, "its clock is 40.0 s ahead of this one's"), (-9.0, "its clock is 9.0 s behind this")],
)
def test_clock_that_is_wrong_lets_nobody_begin(ahead_s: float, said: str) -> None:
    """Its host is named, and by how much it is wrong at least."""
    led = Led()
    led.ready(0)
    commands = led.ready(1, ahead_s=ahead_s)
    assert commands == [Send(0, BreakOff())]
    assert led.begins_at() is None
    assert "Callers 2 of 2 on host-1" in led.conductor.refused
    assert said in led.conductor.refused


def test_clock_is_wrong_by_no_more_than_the_answer_took() -> None:
    """A slow broker makes no clock wrong."""
    led = Led(1)
    led.says(0, Ready("host-0", MACHINE, ""))
    asked = led.wall
    led.now_s += 3.0
    led.says(0, TimeTold(asked, asked + 3.0 + MOST_APART_S - 0.1))
    assert led.begins_at() is not None


def test_shard_that_never_is_ready_lets_nobody_begin() -> None:
    """In bounded time, and with what that means."""
    led = Led()
    led.ready(0)
    assert led.conductor.refused == ""
    while led.now_s < 100 + PREPARE_S:
        led.says(0, Going(0, 0, SLIP))
        led.tick(HOLD_S)
    assert led.conductor.refused == ("Callers 2 of 2 was not ready within 30 s. Nobody listens.")


def test_shard_that_cannot_begin_says_why() -> None:
    """It may not reach the target from where it is."""
    led = Led()
    commands = led.says(1, Failed("http://x cannot be reached."))
    assert led.conductor.refused == "Callers 2 of 2 failed: http://x cannot be reached."
    assert commands == [Send(0, BreakOff())]


def test_calls_are_kept_as_they_are_told() -> None:
    """Also those of a shard that does not come to its end."""
    led = Led().begun()
    led.says(0, Going(2, 3, SLIP), CallOver(slow(1, 20.0)))
    assert led.told == [1]
    assert (led.conductor.shards[0].running, led.conductor.shards[0].begun) == (2, 3)


def test_sound_is_asked_for_of_the_slowest_of_all() -> None:
    """Once nobody calls any more; then everybody leaves."""
    led = Led().begun()
    assert led.calls(0, *(slow(n, 100.0 + n) for n in range(1, 20, 2))) == []
    assert not led.called()
    commands = led.calls(1, *(slow(n, 100.0 + n) for n in range(2, 21, 2)))
    assert led.called()
    assert commands == [
        Send(0, SendWavs((11, 13, 15, 17, 19))),
        Send(1, SendWavs((12, 14, 16, 18, 20))),
    ]
    piece = base64.b64encode(b"RIFF").decode()
    assert led.says(0, WavPiece(11, piece)) == [WriteWav(11, b"RIFF")]
    led.says(0, Left())
    assert not led.over()
    led.says(1, Left())
    assert led.over()
    assert not any(shard.lost for shard in led.conductor.shards)


def test_shard_that_is_gone_has_the_others_broken_off() -> None:
    """What they have told is kept, and the test is told not to be the one that was planned."""
    led = Led().begun()
    led.says(1, CallOver(slow(2, 30.0)))
    commands = led.conductor.gone(1, "ended by itself: signal SIGKILL", wall=led.wall)
    assert commands == [Send(0, BreakOff())]
    assert led.conductor.shards[1].lost == (
        "Callers 2 of 2 on host-1 ended by itself: signal SIGKILL."
    )
    assert not led.conductor.broken_off, "nobody asked for that"
    assert led.calls(0, slow(1, 40.0)) == [Send(0, SendWavs((1,)))]
    led.says(0, Left())
    assert led.over()
    assert led.conductor.refused == ""


def test_shard_that_is_silent_is_gone() -> None:
    """It says every second how it goes; the leader lets it know that it is there as well."""
    led = Led().begun()
    assert led.tick(HOLD_S) == [Send(0, Hold()), Send(1, Hold())]
    led.says(0, Going(1, 1, SLIP))
    commands = led.tick(SILENT_S - HOLD_S)
    assert Send(0, BreakOff()) in commands
    assert led.conductor.shards[1].lost.endswith("has not been heard of for 15 s.")
    assert led.says(1, Going(1, 1, SLIP)) == [], "too late"
    assert led.stands() == [Stand.CALLING, Stand.LOST]


def test_silence_after_the_last_call_loses_sound_alone() -> None:
    """The figures are all there."""
    led = Led().begun()
    led.calls(0, slow(1, 10.0))
    led.calls(1, slow(2, 10.0))
    led.conductor.gone(1, "ended by itself: exit code 1", wall=led.wall)
    led.says(0, Left())
    assert led.over()
    assert not any(shard.lost for shard in led.conductor.shards)


def test_calls_that_did_not_come_through_are_missed() -> None:
    """A shard's own histograms say so, whatever there is between."""
    led = Led().begun()
    led.says(0, CallOver(slow(1, 10.0)), finished(slow(1, 10.0), slow(3, 10.0)))
    assert led.conductor.shards[0].lost == (
        "Callers 1 of 2 on host-0 made 2 calls, and 1 of them came through."
    )


def test_call_that_came_twice_is_noticed() -> None:
    """It would be counted twice."""
    led = Led().begun()
    led.says(0, CallOver(slow(1, 10.0)), CallOver(slow(1, 10.0)), finished(slow(1, 10.0)))
    assert led.conductor.shards[0].lost


def test_ctrl_c_is_passed_on_once() -> None:
    """Calls end properly, and their shards finish as ever."""
    led = Led().begun()
    assert led.conductor.break_off() == [Send(0, BreakOff()), Send(1, BreakOff())]
    assert led.conductor.break_off() == []
    led.calls(0)
    led.calls(1, slow(2, 10.0))
    assert led.conductor.broken_off
    assert led.called()


def test_what_the_table_does_not_know_is_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="callers 1 of 2 said Left while preparing"):
        Led().says(0, Left())


messages = st.sampled_from(
    [
        Ready("host", MACHINE, "http://0"),
        TimeTold(WALL + 100, WALL + 100),
        TimeTold(WALL, WALL + 900),
        Going(1, 1, SLIP),
        CallOver(slow(1, 10.0)),
        finished(),
        finished(slow(1, 10.0)),
        WavPiece(1, "UklGRg=="),
        Left(),
        Failed("It rains."),
        None,
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), messages, st.floats(0, 4)), max_size=40))
def test_whatever_shards_say_it_comes_to_an_end(
    story: list[tuple[int, FromShard | None, float]],
) -> None:
    """Anything in any order is an order, an error or too late; silence ends it in bounded time."""
    led = Led(3)
    for index, message, after_s in story:
        led.tick(after_s)
        try:
            if message is None:
                led.conductor.gone(index, "is gone", wall=led.wall)
            else:
                led.says(index, message)
        except ValueError:
            led.conductor.gone(index, "does not keep to the order", wall=led.wall)
    until_s = led.now_s + PREPARE_S + SILENT_S + HOLD_S
    while not led.over():
        assert led.conductor.next_s > led.now_s
        led.tick(led.conductor.next_s - led.now_s)
        assert led.now_s <= until_s
    begun = led.begins_at() is not None
    assert begun or led.conductor.refused
    assert begun == led.called()
